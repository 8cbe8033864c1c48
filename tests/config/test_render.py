"""Problems for people, for GitHub and for tools."""

import json

from entrant.config import Problem
from entrant.config.render import FORMATS

PROBLEMS = (
    Problem("config/dev.yaml", 14, 13, 'cloud: "pub" is 100% wrong', "error"),
    Problem("config/a,b.yaml", 0, 0, "there is no such file", "warning"),
)


def test_text_is_a_line_for_each_with_its_place() -> None:
    assert FORMATS["text"](PROBLEMS) == (
        'config/dev.yaml:14:13: error: cloud: "pub" is 100% wrong\nconfig/a,b.yaml: warning: there is no such file'
    )


def test_github_commands_escape_what_would_end_them() -> None:
    assert FORMATS["github"](PROBLEMS) == (
        '::error file=config/dev.yaml,line=14,col=13::cloud: "pub" is 100%25 wrong\n'
        "::warning file=config/a%2Cb.yaml::there is no such file"
    )


def test_json_holds_every_part() -> None:
    assert json.loads(FORMATS["json"](PROBLEMS))[0] == {
        "file": "config/dev.yaml",
        "line": 14,
        "column": 13,
        "severity": "error",
        "message": 'cloud: "pub" is 100% wrong',
    }


def test_no_problem_is_nothing_as_text_and_an_empty_list_as_json() -> None:
    assert [FORMATS[name](()) for name in ("text", "github", "json")] == ["", "", "[]"]
