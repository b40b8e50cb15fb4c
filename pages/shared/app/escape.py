"""Text from outside, shown as text: no markdown, no HTML, no picture, not endless."""

import re

from llmrank.core.uploads import masked
from llmrank.core.whereabouts import without_folders

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|<>~$:&-])")


def plain(text: str, *, limit: int = 400) -> str:
    """Escape what markdown would interpret; long text loses its middle.

    A model's name or an error that quotes it could else load a picture from anywhere.
    Of the server's own folders nothing is shown to a stranger, and of another visitor's
    text no name.
    """
    text, half = masked(without_folders(text)), limit // 2
    shown = text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"
    return _MARKDOWN.sub(r"\\\1", " ".join(shown.split()))
