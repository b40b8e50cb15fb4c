"""One way to write a number, from which every page and the command line take it."""

import re
from pathlib import Path

import pytest

import llmrank
from llmrank.core.formatting import (
    choice,
    counted,
    duration,
    interval,
    number,
    share,
    times,
)

ROOT = Path(llmrank.__file__).parents[1]


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (0.3, "30 %"),
        (0.3004, "30 %"),
        (0.0059, "0.59 %"),
        (0.7016, "70.2 %"),
        (1, "100 %"),
        (0, "0 %"),
        (12.345, "1,234 %"),
    ],
)
def test_a_share_has_three_digits_and_a_space(ratio, said):
    assert share(ratio) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("chained", "chained"),
        ("/home/me/second-text.v2.txt", "second-text.v2.txt"),
        ("![x](http://a/b.png)", "b.png"),
        ("<img src=x>*`_", "img srcx_"),
        ("a" * 60, "a" * 40),
        (3, "3"),
        (0.5, "0.5"),
    ],
)
def test_a_choice_stands_in_a_name_as_plain_text(value, said):
    assert choice(value) == said


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (2.2649, "2.26"),
        (28748, "28,748"),
        (0.97, "0.970"),
        (12.34, "12.3"),
        (0, "0.000"),
    ],
)
def test_a_number_has_three_digits_and_separated_thousands(value, said):
    assert number(value) == said
    assert times(value) == f"×{said}"
    assert interval(value, value) == f"[{said}, {said}]"


def test_one_is_no_plural():
    assert counted(1, "thread") == "1 thread"
    assert counted(2, "thread") == "2 threads"
    assert counted(28748, "token") == "28,748 tokens"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.2, "about 1 s"),
        (42, "about 42 s"),
        (418, "about 7 min"),
        (600, "about 10 min"),
        (9e3, "about 2.5 h"),
    ],
)
def test_durations_are_rough(seconds, said):
    assert duration(seconds) == said


WRITERS = [
    *sorted((ROOT / "llmrank").rglob("*.py")),
    *sorted((ROOT / "pages").rglob("*.py")),
    ROOT / "app.py",
]
DRAWN = [
    p
    for folder in ("assets", "llmrank")
    for end in ("js", "html")
    for p in sorted((ROOT / folder).rglob(f"*.{end}"))
]
OTHERWISE = re.compile(r":[.0-9]*%\}(?!\}|<)|\}×|\{[^{}]*share\([^{}]*\)\}%")
"""A Python per cent format, or a multiple with its sign behind."""


@pytest.mark.parametrize("path", WRITERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_nobody_writes_shares_and_multiples_otherwise(path):
    """Plotly's own formats stay: they are in %{braces}."""
    lines = path.read_text("utf-8").splitlines()
    own = [line for line in lines if OTHERWISE.search(re.sub(r"%\{+.*?\}+", "", line))]
    assert own == []


UNIT = re.compile(r"× (average|uniform)|layer's average|average score", re.IGNORECASE)


@pytest.mark.parametrize(
    "path",
    [*WRITERS, *DRAWN],
    ids=lambda p: str(p.relative_to(ROOT)),
)
def test_the_unit_of_a_score_has_one_name(path):
    """Times its layer's mean, in short × mean."""
    assert UNIT.findall(path.read_text("utf-8")) == []
