"""Names and messages from outside are shown as text; time left is said roughly."""

import re
from dataclasses import replace

import pytest

from llmrank.core.jobs import JobView
from pages.shared.app import job_words
from pages.shared.app.escape import plain


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://example.org/x.png)",
        "<script>alert(1)</script>",
        "a `b` *c* _d_ [e](f) $g$ :red[h] ~~i~~",
        "# title",
    ],
)
def test_every_markdown_sign_is_escaped(text):
    signs = "`*_[]()#!<>$:~"
    for match in re.finditer(f"[{re.escape(signs)}]", plain(text)):
        assert plain(text)[match.start() - 1] == "\\"
    assert plain(text).replace("\\", "") == text


def test_long_text_keeps_its_ends():
    assert len(plain("x" * 10_000, limit=60)) < 70
    assert plain("a\nb") == "a b"


def test_the_time_left_is_said_as_everywhere():
    seen = JobView(
        "1", "me", "Measuring", state="running", what="Timing", done=2, total=10,
        share=0.2, elapsed_s=104.5, remaining_s=418.0,
    )  # fmt: skip
    assert job_words.said(seen) == "Timing · 20 %, about 7 min left"
    unknown = replace(seen, share=None, remaining_s=None, step_s=30.0)
    assert job_words.said(unknown) == "Timing · 104 s so far, about 30 s left at least"
