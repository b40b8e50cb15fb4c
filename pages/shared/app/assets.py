"""The browser's part of the app, from plain files: no build step, no request."""

import base64
import re
from functools import cache
from pathlib import Path

ASSETS = Path(__file__).parents[3] / "assets"


def text(name: str) -> str:
    """Return a file of assets, as in `explorer/explorer.css`."""
    return (ASSETS / name).read_text("utf-8")


@cache
def module(name: str) -> str:
    """Return a module's source, with what it imports in it as data URLs.

    Streamlit takes one script per component; so the modules stay plain files, and no
    build step and no request is needed. Equal URLs are one module to the browser.
    """
    folder = name.rpartition("/")[0]

    def inline(match: re.Match[str]) -> str:
        other = f"{match[2] or folder}/{match[3]}"
        inner = base64.b64encode(module(other).encode()).decode()
        return f'from "data:text/javascript;base64,{inner}"'

    return re.sub(r'from "\.(/|\./([a-z]+)/)([a-z]+\.js)"', inline, text(name))
