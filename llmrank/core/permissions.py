"""What is opened for whom: every model, text, table and export passes here.

The library and the command line ask for the person at the machine, who may open all
that the system lets them. The app says with `guard` for whom its threads ask; a job
asks for the visitor who started it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from llmrank.core.errors import LLMRankError
from llmrank.core.variables import is_on, variable

P = ParamSpec("P")
R = TypeVar("R")

OUTSIDE = (
    "lies outside the folders that this server opens; whoever runs it can name more in "
    "LLMRANK_MODEL_DIRS"
)
_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*(/[A-Za-z0-9_][\w.-]*)?")


@dataclass(frozen=True)
class Asker:
    """For whom something is opened.

    `uploads` names the folder of their own uploads and is told to nobody. A `stranger`
    reads uploads and allowed folders alone.
    """

    uploads: str = "own"
    stranger: bool = False


_carried: ContextVar[Asker | None] = ContextVar("asker", default=None)
_ask: Callable[[], Asker] = Asker


def guard(ask: Callable[[], Asker]) -> None:
    """Have a process ask for others: `ask` tells who, in whatever thread asks."""
    global _ask
    _ask = ask


def asker() -> Asker:
    """Return for whom this thread asks."""
    return _carried.get() or _ask()


@contextmanager
def asking(whom: Asker) -> Iterator[None]:
    """Ask for somebody else until the block ends, as a job does in its thread."""
    token = _carried.set(whom)
    try:
        yield
    finally:
        _carried.reset(token)


def carried(work: Callable[P, R]) -> Callable[P, R]:
    """Return work that asks for whom this thread asks, whatever thread does it."""
    whom = asker()

    def as_asked(*given: P.args, **more: P.kwargs) -> R:
        with asking(whom):
            return work(*given, **more)

    return as_asked


def allowed_roots() -> tuple[Path, ...]:
    """Return the folders a stranger may read models from and export to.

    `LLMRANK_MODEL_DIRS` (separated like PATH) replaces the default: the home and the
    working folder.
    """
    return tuple(root.resolve() for root in _named_roots())


def _named_roots() -> tuple[Path, ...]:
    named = variable("LLMRANK_MODEL_DIRS")
    paths = named.split(os.pathsep) if named else [str(Path.home()), str(Path.cwd())]
    return tuple(Path(p).expanduser().absolute() for p in paths if p)


def is_open(name: str | Path) -> bool:
    """Whether a path is opened for who asks; whether it exists plays no part.

    A link is where it leads. What is written as outside is not looked for at all.
    """
    if not asker().stranger:
        return True
    text = str(name)
    if text.startswith("~") and text[1:2] not in ("", "/"):
        return False  # whose homes there are is told to nobody
    try:
        path = Path(text).expanduser()
        written = Path(os.path.normpath(Path.cwd() / path))
        roots = allowed_roots()
        if not any(written.is_relative_to(r) for r in (*roots, *_named_roots())):
            return False
        return any(path.resolve().is_relative_to(root) for root in roots)
    except (OSError, RuntimeError, ValueError):  # a ring of links, a zero byte
        return False


def check_path(name: str | Path) -> None:
    """Refuse a path that is not opened for who asks.

    Raises:
        LLMRankError: the same whether something is there or not.
    """
    if not is_open(name):
        raise LLMRankError(f"{str(name)[:120]!r} {OUTSIDE}")


def check_own_file(name: str | Path) -> None:
    """Refuse a stranger every text and table of the server's that is no upload.

    Raises:
        LLMRankError: the same whether something is there or not.
    """
    if asker().stranger:
        raise LLMRankError(
            "this server is shared and reads no files of its own; upload the text or "
            f"table instead of naming {str(name)[:80]!r}"
        )


def is_of_hub(name: str) -> bool:
    """Whether a name that is not opened as a path is looked for on the hub."""
    return _HUB_ID.fullmatch(name) is not None and not name.lower().endswith(".gguf")


def check_hub() -> None:
    """Refuse a stranger the hub, unless `LLMRANK_HUB` opens it."""
    if asker().stranger and not is_on("LLMRANK_HUB"):
        raise LLMRankError(
            "this server is shared and fetches nothing from the hub; use demo, data "
            "that is embedded, or a folder of the server (whoever runs it can set "
            "LLMRANK_HUB=1)"
        )
