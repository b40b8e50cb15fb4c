"""Files that visitors of the app gave: each opens for the visitor who gave it alone."""

import atexit
import hashlib
import hmac
import os
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from llmrank.core import durable
from llmrank.core.cache import forget
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import cache_folder, written_file
from llmrank.core.permissions import asker

UPLOADED = "upload:"
"""Before the hash of the content: who has not given the same file opens nothing."""

ANOTHERS = "a text of another visitor"
"""What is said instead of an upload's name to who cannot open it, and its mark.

The same text has the same mark, so that two are never taken for one; it opens nothing
and is made with a key of the process, so that no guessed text can be tried on it.
"""

MOST_BYTES = 60_000_000
"""What one visitor's uploads may take; those used longest ago make room."""

MOST_BYTES_OF_ALL = 600_000_000
"""What all uploads of a server may take; beyond, new ones are refused."""

_NAME = re.compile(r"[0-9a-f]{64}(\.[a-z]{3})?")
_IN_TEXT = re.compile(UPLOADED + r"[0-9a-f]{8,64}(\.[a-z]{3})?")
_keeping = threading.Lock()
_holding = threading.Lock()
_holders: dict[str, dict[object, Collection[str]]] = {}
"""Who holds a visitor's uploads: tabs and jobs, and the names that jobs read."""

_begun: dict[Path, Path] = {}
"""This process's own folder in each cache; who made it can be told when it is dead."""

_KEY = secrets.token_bytes(32)


def keep(content: bytes, name: str, suffix: str = "") -> str:
    """Keep an uploaded file for who asks, and return the source that names it.

    Raises:
        LLMRankError: the disk refuses, or all uploads together take too much.
    """
    kept_as = f"{hashlib.sha256(content).hexdigest()}{suffix}"
    with _keeping:
        if _held(_folder(asker().uploads) / kept_as) is None:
            _make_room(len(content), name)
            try:
                folder = _begin() / asker().uploads
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                with written_file(folder / kept_as) as part:
                    part.write_bytes(content)
            except (OSError, LLMRankError) as error:  # it would name the folder
                raise LLMRankError(
                    f"{name} cannot be kept: the server's disk refuses it; whoever "
                    "runs the server can free some space or set LLMRANK_CACHE"
                ) from error
    return UPLOADED + kept_as


def is_upload(source: str) -> bool:
    """Whether a source names an upload."""
    return source.startswith((UPLOADED, ANOTHERS))


def is_open(source: str) -> bool:
    """Whether a source names an upload of who asks."""
    try:
        path(source)
    except LLMRankError:
        return False
    return True


def path(source: str) -> Path:
    """Return the file of an upload of who asks, which is in use from now on.

    Raises:
        LLMRankError: it is another's or gone, which is told apart for nobody.
    """
    name = source.removeprefix(UPLOADED)
    file = _folder(asker().uploads) / name
    if _NAME.fullmatch(name) is None or not file.is_file():
        raise LLMRankError(
            "this upload is another visitor's, or went when its tab was closed or the "
            "server started anew; upload the file again, or take what is embedded"
        )
    with suppress(OSError):
        os.utime(file)
    return file


def content(source: str) -> bytes:
    """Return what an upload of who asks holds.

    Raises:
        LLMRankError: it is another's, gone or damaged.
    """
    held = _held(path(source))
    if held is None:
        raise LLMRankError("this upload is damaged on the disk; upload the file again")
    return held


def visit(uploads: str) -> Callable[[], None]:
    """Hold a visitor's uploads for a tab; return what lets go of them.

    With the last who lets go they are removed, and what was made of them is forgotten.
    """
    with _holding:
        return _take(uploads, ())


def hold(uploads: str) -> Callable[[], None]:
    """Hold for a job, as `visit` does, what there is: none of it makes room either."""
    with _holding:
        return _take(uploads, _names(_folder(uploads)))


def _take(uploads: str, names: Collection[str]) -> Callable[[], None]:
    holding = object()
    _holders.setdefault(uploads, {})[holding] = names
    return partial(_let_go, uploads, holding)


def _let_go(uploads: str, holding: object) -> None:
    with _holding:
        holders = _holders.get(uploads, {})
        holders.pop(holding, None)
        if holders:
            return
        _holders.pop(uploads, None)
        names = _names(_folder(uploads))
        shutil.rmtree(_folder(uploads), ignore_errors=True)
        _forget(names)


def _forget(names: Iterable[str]) -> None:
    """Forget what was made of files, but for those that somebody else has given too."""
    others = {name for folder in _folder("").glob("*") for name in _names(folder)}
    forget(set(names) - others)


def sweep() -> None:
    """Remove the uploads of servers that have ended, and those of earlier versions."""
    cache = cache_folder()
    durable.sweep(_all())
    for folder in (cache / "texts", cache / "tables", *_all().glob("[!.]*")):
        durable.sweep(folder)
        for name in _names(folder):
            with suppress(OSError):
                (folder / name).unlink()
        with suppress(OSError):  # there may be something of another's
            folder.rmdir()


def masked(plain: Any) -> Any:
    """Return plain values with every upload that who asks cannot open left unnamed."""
    if isinstance(plain, str):
        return _IN_TEXT.sub(_said, plain) if UPLOADED in plain else plain
    if isinstance(plain, dict):
        return {name: masked(value) for name, value in plain.items()}
    if isinstance(plain, list):
        return [masked(value) for value in plain]
    return plain


def _said(match: re.Match[str]) -> str:
    if is_open(match[0]):
        return match[0]
    mark = hmac.digest(_KEY, match[0].encode(), "sha256").hex()[:12]
    return f"{ANOTHERS} {mark}"


def _folder(uploads: str) -> Path:
    """Return where a visitor's uploads lie, also while this process has kept none."""
    return _begun.get(_all(), _all() / "none") / uploads


def _begin() -> Path:
    """Return this process's folder, made at its first upload."""
    everything = _all()
    if everything not in _begun or not _begun[everything].parent.is_dir():
        durable.make_folder(everything)
        mine = durable.begin(everything)
        atexit.register(shutil.rmtree, mine, ignore_errors=True)
        _begun[everything] = mine / "new"
    return _begun[everything]


def _names(folder: Path) -> set[str]:
    """Return the names of the uploads in a folder."""
    with suppress(OSError):
        return {file.name for file in folder.iterdir() if _NAME.fullmatch(file.name)}
    return set()


def _all() -> Path:
    return cache_folder() / "uploads"


def _held(file: Path) -> bytes | None:
    """Read a file if it holds what its name says: a full disk may have emptied it."""
    with suppress(OSError):
        held = file.read_bytes()
        if hashlib.sha256(held).hexdigest() == file.name[:64]:
            return held
    return None


def _make_room(n_bytes: int, name: str) -> None:
    """Let go of the visitor's that no job reads, used longest ago first; or refuse."""
    sweep()
    whom = asker().uploads
    kept = [f for f in _all().glob("*/new/*/*") if _NAME.fullmatch(f.name)]
    own = sorted((f for f in kept if f.parent == _folder(whom)), key=_used_s)
    going: list[Path] = []
    with _holding:
        read = set().union(*_holders.get(whom, {}).values())
        for file in own:
            if _size(own) - _size(going) + n_bytes <= MOST_BYTES:
                break
            if file.name not in read:
                going.append(file)
        for most, whose in ((MOST_BYTES, own), (MOST_BYTES_OF_ALL, kept)):
            if _size(whose) - _size(going) + n_bytes > most:
                raise LLMRankError(
                    f"{name} cannot be kept: this server keeps {MOST_BYTES // 10**6} "
                    f"MB of uploads for a visitor and {MOST_BYTES_OF_ALL // 10**6} MB "
                    "for all, until their tabs are closed, and what a job reads until "
                    "it has ended; give an excerpt, or try again later"
                )
        for file in going:
            file.unlink(missing_ok=True)
        _forget(file.name for file in going)


def _size(files: Iterable[Path]) -> int:
    """Return what files take; one that has gone meanwhile takes nothing."""
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.stat().st_size
    return total


def _used_s(file: Path) -> float:
    with suppress(OSError):
        return file.stat().st_mtime
    return 0.0
