"""Files that visitors of the app gave: each opens for the visitor who gave it alone."""

import hashlib
import hmac
import re
import secrets
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmrank.doors import asker
from llmrank.errors import LLMRankError
from llmrank.folders import cache_folder, written_file

UPLOADED = "upload:"
"""Before the hash of the content: who has not given the same file opens nothing."""

ANOTHERS = "a text of another visitor"
"""What is said instead of an upload's name to who cannot open it, and its mark.

The same text has the same mark, so that two are never taken for one; it opens nothing
and is made with a key of the process, so that no guessed text can be tried on it.
"""

MOST_BYTES = 60_000_000
"""What one visitor's uploads may take; the oldest make room."""

MOST_BYTES_OF_ALL = 600_000_000
"""What all uploads of a server may take; beyond, new ones are refused."""

FORGOTTEN_S = 24 * 3600.0
"""After how long an upload goes that a killed server left behind."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[a-z]{3})?")
_IN_TEXT = re.compile(UPLOADED + r"[0-9a-f]{8,64}(\.[a-z]{3})?")
_keeping = threading.Lock()
_KEY = secrets.token_bytes(32)


def keep(content: bytes, name: str, suffix: str = "") -> str:
    """Keep an uploaded file for who asks, and return the source that names it.

    Raises:
        LLMRankError: the disk refuses, or all uploads together take too much.
    """
    folder = _folder(asker().uploads)
    path = folder / f"{hashlib.sha256(content).hexdigest()}{suffix}"
    with _keeping:
        if not _is_whole(path):
            _make_room(len(content), name, folder)
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with written_file(path) as part:
                    part.write_bytes(content)
            except (OSError, LLMRankError) as error:  # it would name the folder
                raise LLMRankError(
                    f"{name} cannot be kept: the server's disk refuses it; whoever "
                    "runs the server can free some space or set LLMRANK_CACHE"
                ) from error
    return UPLOADED + path.name


def is_upload(source: str) -> bool:
    """Whether a source names an upload."""
    return source.startswith((UPLOADED, ANOTHERS))


def path(source: str) -> Path:
    """Return the file of an upload of who asks.

    Raises:
        LLMRankError: it is another's or gone, which is told apart for nobody.
    """
    name = source.removeprefix(UPLOADED)
    found = _folder(asker().uploads) / name
    if _NAME.fullmatch(name) is None or not found.is_file():
        raise LLMRankError(
            "this upload is another visitor's, or went when its tab was closed; "
            "upload the file again, or take what is embedded"
        )
    return found


def content(source: str) -> bytes:
    """Return what an upload of who asks holds.

    Raises:
        LLMRankError: it is another's, gone or damaged.
    """
    found = path(source)
    with suppress(OSError):
        held = found.read_bytes()
        if _holds(found, held):
            return held
    raise LLMRankError("this upload is damaged on the disk; upload the file again")


def remove(uploads: str) -> None:
    """Remove a visitor's uploads."""
    with _keeping:
        shutil.rmtree(_folder(uploads), ignore_errors=True)


def masked(plain: Any) -> Any:
    """Return plain values with every upload that who asks cannot open left unnamed."""
    if isinstance(plain, str):
        return _IN_TEXT.sub(_said, plain) if UPLOADED in plain else plain
    if isinstance(plain, dict):
        return {name: masked(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [masked(value) for value in plain]
    return plain


def _said(found: re.Match[str]) -> str:
    try:
        path(found[0])
    except LLMRankError:
        mark = hmac.digest(_KEY, found[0].encode(), "sha256").hex()[:12]
        return f"{ANOTHERS} {mark}"
    return found[0]


def _folder(uploads: str) -> Path:
    return _all() / uploads


def _all() -> Path:
    return cache_folder() / "uploads"


def _is_whole(found: Path) -> bool:
    with suppress(OSError):
        return _holds(found, found.read_bytes())
    return False


def _holds(found: Path, held: bytes) -> bool:
    """Whether a file holds what its name says: a full disk may have emptied it."""
    return hashlib.sha256(held).hexdigest() == found.name[:64]


def _make_room(n_bytes: int, name: str, folder: Path) -> None:
    """Let go of what is forgotten and of the visitor's oldest; refuse if still full."""
    kept = [f for f in _all().glob("*/*") if _NAME.fullmatch(f.name)]
    kept.sort(key=_made_s)
    for found in kept:
        if found.parent != folder and time.time() - _made_s(found) > FORGOTTEN_S:
            found.unlink(missing_ok=True)
    own = [found for found in kept if found.parent == folder]
    while own and sum(map(_size, own)) + n_bytes > MOST_BYTES:
        own.pop(0).unlink(missing_ok=True)
    for most, whose in ((MOST_BYTES, own), (MOST_BYTES_OF_ALL, kept)):
        if sum(map(_size, whose)) + n_bytes > most:
            raise LLMRankError(
                f"{name} cannot be kept: this server keeps {MOST_BYTES // 10**6} MB of "
                f"uploads for a visitor and {MOST_BYTES_OF_ALL // 10**6} MB for all, "
                "until their tabs are closed; give an excerpt, or try again later"
            )


def _size(found: Path) -> int:
    with suppress(OSError):
        return found.stat().st_size
    return 0


def _made_s(found: Path) -> float:
    with suppress(OSError):
        return found.stat().st_mtime
    return 0.0
