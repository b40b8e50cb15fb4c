"""One SQLite file: opened, checked, migrated, moved aside when it is damaged."""

import logging
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from llmrank.core.durable import make_folder, sync
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import own_path, results_file
from llmrank.experiments.store import schema
from llmrank.experiments.store.sqlite_errors import (
    DAMAGE,
    DamagedError,
    explained,
    fault_of,
)

HEADER = b"SQLite format 3\0"
ID_AT = 68
"""Where SQLite keeps the application id in the file."""

_log = logging.getLogger(__name__)


class Database:
    """Short transactions on one file, from any thread and process.

    `notice` says what happened to the file when it was opened, if anything did.
    Each transaction has its own connection: opening one takes a fraction of a
    millisecond, and nothing is shared between threads or held over a fork. A `sealed`
    file is never written, also where it could be.
    """

    def __init__(self, path: Path, *, wait_s: float, sealed: bool = False) -> None:
        self.path = own_path(path).absolute()
        self.notice: str | None = None
        self._sealed = sealed
        self._wait_s = wait_s
        self._engine = create_engine(
            "sqlite://", creator=self._connect, poolclass=NullPool
        )
        _check_place(self.path)
        with explained(self.path):
            before = _identity(self.path)
            try:
                self._open()
            except DamagedError:
                if _identity(self.path) == before:  # nobody has moved it meanwhile
                    self.notice = _moved_aside(self.path)
                self._open()

    @property
    def read_only(self) -> bool:
        """Whether the file, or the folder its log has to lie in, refuses writing."""
        if self._sealed:
            return True
        places = [p for p in (self.path, self.path.parent) if p.exists()]
        own = os.access in os.supports_effective_ids
        return not all(os.access(p, os.W_OK, effective_ids=own) for p in places)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees the file as it was at its first look."""
        with explained(self.path), self._engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a connection alone in writing; all is kept, or nothing on an error.

        Raises:
            LLMRankError: locked for too long, read-only, or the disk is full or fails.
        """
        with explained(self.path), self._engine.connect() as connection:
            # A transaction that begins with reading cannot wait for another's end.
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?{self._mode}",
            uri=True,
            timeout=self._wait_s,
            isolation_level=None,  # we begin transactions ourselves
            check_same_thread=False,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # some are built with less
        return connection

    @property
    def _mode(self) -> str:
        """A read-only folder cannot take SQLite's log: without one, none is needed."""
        if not self.read_only:
            return "mode=rwc"
        log = self.path.with_name(f"{self.path.name}-wal")
        is_logged = log.exists() and log.stat().st_size > 0
        return "mode=ro" if is_logged else "mode=ro&immutable=1"

    def _open(self) -> None:
        try:
            with self._engine.connect() as connection:
                self._check(connection)
        except (sqlite3.Error, DBAPIError) as error:
            if fault_of(error) in DAMAGE and _was_ours(self.path):
                raise DamagedError from error
            raise

    def _check(self, connection: Connection) -> None:
        ours = _pragma(connection, "application_id") == schema.APPLICATION_ID
        tables = connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
        n_tables = tables.scalar_one()
        if n_tables > 0 and not ours:
            raise LLMRankError(
                f"{self.path} is another program's database and was not changed; "
                "name another file with LLMRANK_DB"
            )
        version = schema.version(connection)
        if version > schema.VERSION:
            raise LLMRankError(
                f"{self.path} was written by a newer version (schema {version}; this "
                f"one knows up to {schema.VERSION}); update, or name another file with "
                "LLMRANK_DB"
            )
        if ours and _pragma(connection, "quick_check") != "ok":
            raise DamagedError
        if not self.read_only:
            self._prepare(connection)
        elif version < schema.VERSION:
            raise LLMRankError(
                f"{self.path} is of an older version (schema {version}) and cannot be "
                "written to; make the file and its folder writable once"
            )

    def _prepare(self, connection: Connection) -> None:
        """Write-ahead logging, so that readers and one writer go on side by side."""
        deadline = time.monotonic() + self._wait_s
        while _pragma(connection, "journal_mode") != "wal":
            try:
                _pragma(connection, "journal_mode = WAL")
                break
            except DBAPIError as error:  # here SQLite itself does not wait
                is_busy = fault_of(error) in ("SQLITE_BUSY", "SQLITE_LOCKED")
                if not is_busy or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        if schema.version(connection) < schema.VERSION:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            schema.migrate(connection)  # another process may have done it meanwhile
            connection.commit()


def _pragma(connection: Connection, words: str) -> object:
    return connection.exec_driver_sql(f"PRAGMA {words}").scalars().first()


def _check_place(path: Path) -> None:
    """Refuse a folder and what cannot be made; make the folder of the file."""
    if path.exists() and not path.is_file():
        raise LLMRankError(f"{path} is no file; name a file with LLMRANK_DB")
    try:
        make_folder(path.parent)
    except OSError as error:
        raise LLMRankError(
            f"{path.parent} cannot be made ({error.strerror}); "
            "name a file in another folder with LLMRANK_DB"
        ) from error


def _identity(path: Path) -> int | None:
    return path.stat().st_ino if path.exists() else None


def _was_ours(path: Path) -> bool:
    """Whether it lies in our own place, or its head still says that it is ours."""
    if path == results_file().absolute():
        return True
    with path.open("rb") as file:
        head = file.read(100)
    marked = head[ID_AT : ID_AT + 4] == schema.APPLICATION_ID.to_bytes(4, "big")
    return head.startswith(HEADER) and marked


def _moved_aside(path: Path) -> str:
    """Rename a damaged file and its log, so that nothing of them is lost."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    try:
        for ending in ("-wal", "-shm", ""):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(aside.with_name(aside.name + ending))
        sync(path.parent)
    except OSError as error:
        raise LLMRankError(
            f"{path} is damaged and cannot be moved aside ({error.strerror}); "
            "name another file with LLMRANK_DB"
        ) from error
    notice = f"{path.name} was damaged: it was moved to {aside}, and a new one begun"
    _log.warning(notice)
    return notice
