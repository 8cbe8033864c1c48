"""Values in comments stay values; comments fit and are never cut inside a block."""

import pytest

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
