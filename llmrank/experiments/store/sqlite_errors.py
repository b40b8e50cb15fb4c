"""What SQLite refuses, in one sentence each: what, what is allowed, what to do."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from llmrank.core.errors import LLMRankError

DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")

_SENTENCES = {
    "SQLITE_FULL": (
        "the disk is full and {path} cannot grow; what it held before is intact, "
        "free some space and go on"
    ),
    "SQLITE_BUSY": (
        "{path} is locked by another process; wait until that is done and try again, "
        "or name another file with LLMRANK_DB"
    ),
    "SQLITE_READONLY": (
        "{path} can be read but not written to; make the file and its folder "
        "writable, or name another file with LLMRANK_DB"
    ),
    "SQLITE_CANTOPEN": (
        "{path} cannot be opened; make the file and its folder readable and writable, "
        "or name another file with LLMRANK_DB"
    ),
    "SQLITE_IOERR": (
        "the disk failed while {path} was read or written; what was written before is "
        "kept, check the disk and try again"
    ),
    "SQLITE_CORRUPT": (
        "{path} is damaged; start again, and it is moved aside and a new one begun"
    ),
    "SQLITE_NOTADB": (
        "{path} is no database of results and was not changed; "
        "name another file with LLMRANK_DB"
    ),
}
_SENTENCES["SQLITE_LOCKED"] = _SENTENCES["SQLITE_BUSY"]
_SENTENCES["SQLITE_PERM"] = _SENTENCES["SQLITE_CANTOPEN"]


class DamagedError(Exception):
    """The file is a database of results, and SQLite cannot read it any more."""


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the file into a sentence; the rest are bugs."""
    try:
        yield
    except (sqlite3.Error, DBAPIError) as error:
        name = fault_of(error)
        if name not in _SENTENCES:
            raise
        raise LLMRankError(_SENTENCES[name].format(path=path)) from error


def fault_of(error: BaseException) -> str:
    """Return SQLite's name of an error without its extension: SQLITE_IOERR."""
    cause = getattr(error, "orig", None) or error
    name = str(getattr(cause, "sqlite_errorname", ""))
    return "_".join(name.split("_")[:2])
