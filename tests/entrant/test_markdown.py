"""Values in comments stay values; comments fit and are never cut inside a block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrant.markdown import Comment, Section, code, details, text

HOSTILE = [
    "</details>",
    "`",
    "``` \n```",
    "a|b",
    "@everyone",
    "[x](https://evil.example)",
    "#1",
    "<img src=x>",
    "![a](b)",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_value_in_a_code_span_ends_where_the_span_ends(value: str) -> None:
    span = code(value)
    assert "\n" not in span
    fence = span[: len(span) - len(span.lstrip("`"))]
    inner = span[len(fence) : -len(fence)]
    assert span.startswith(fence) and span.endswith(fence)
    assert fence not in inner.replace("`" * (len(fence) + 1), "")


@pytest.mark.parametrize("value", HOSTILE)
def test_words_become_no_markup_mention_or_link(value: str) -> None:
    words = text(value)
    assert "<" not in words and "\n" not in words
    assert "@everyone" not in words and "https://" not in words
    for mark in ("[", "#", "!", "`", "|"):
        assert words.count(mark) == words.count("\\" + mark)


def test_a_long_list_is_cut_between_lines_and_says_so() -> None:
    comment = Comment("head\n", (Section("Long", [f"- line {n}" for n in range(10_000)]), Section("Short", ["- kept"])))
    shown, cut = comment.render(2_000, rest="The rest is elsewhere.")
    assert cut and len(shown) <= 2_000
    assert "- kept" in shown and shown.endswith("The rest is elsewhere.")
    listed = [line for line in shown.splitlines() if line.startswith("- line")]
    assert f"- … and {10_000 - len(listed)} more" in shown
    assert "- line 9999" in comment.complete()


def test_a_block_is_shown_whole_or_not_at_all() -> None:
    block = Section("", details("More", [f"- {n}" for n in range(1000)]), whole=True)
    shown, cut = Comment("head\n", (block,)).render(500)
    assert cut and "<details>" not in shown
    shown, cut = Comment("head\n", (block,)).render()
    assert not cut and shown.count("<details>") == shown.count("</details>") == 1


def test_what_fits_is_shown_without_a_word_about_the_rest() -> None:
    shown, cut = Comment("head\n", (Section("A", ["- a"]),)).render(rest="elsewhere")
    assert not cut and "elsewhere" not in shown


SECTIONS = st.builds(
    Section,
    title=st.text("abc", max_size=20),
    lines=st.lists(st.text("xyz", max_size=300).map(lambda words: f"- {words}"), min_size=1, max_size=40),
    whole=st.booleans(),
    name=st.text("abc", min_size=1, max_size=20),
)


@given(st.lists(SECTIONS, max_size=8), st.integers(700, 6000))
def test_whatever_it_is_made_of_a_comment_fits_and_its_blocks_are_whole(sections: list[Section], most: int) -> None:
    shown, cut = Comment("head\n", sections).render(most, rest="Elsewhere: {what}.")
    assert len(shown) <= most
    whole = "head\n" + "".join("\n" + section.render(1 << 40)[0] for section in sections)
    assert cut or shown == whole
    assert cut is False or len(whole) > most - 500
    for section in sections:
        block = "\n".join(section.lines)
        assert not section.whole or block in shown or cut


def test_what_short_sections_leave_is_for_long_ones() -> None:
    long, short = Section("Long", [f"- line {n}" for n in range(10_000)]), Section("Short", ["- kept"])
    shown, _ = Comment("head\n", (long, short, short)).render(2_000)
    assert len(shown) > 1_800
