"""The tables, and the steps that bring an older file to them."""

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
)

APPLICATION_ID = 0x4C4D524B
"""Marks a file as ours ("LMRK"): another program's database is left alone."""

_tables = MetaData()
_JSON = JSON(none_as_null=True)

arenas = Table(
    "arenas",
    _tables,
    Column("id", String, primary_key=True),
    Column("created", String, nullable=False),
    Column("finished", String),
    Column("description", _JSON, nullable=False),
)

runs = Table(
    "runs",
    _tables,
    Column("id", String, primary_key=True),
    Column("created", String, nullable=False),
    Column("started", String),
    Column("finished", String),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("fingerprint", String),
    Column("recipe", _JSON, nullable=False),
    Column("measures", _JSON, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("calibration_sha256", String),
    Column("evaluation_sha256", String),
    Column("environment", _JSON),
    Column("owner_host", String),
    Column("owner_pid", Integer),
    Column("owner_started", Float),
    Column("model", String, nullable=False),
    Column("criterion", String, nullable=False),
    Column("allocation", String, nullable=False),
    Column("repair", String, nullable=False),
    Column("sparsity", Float, nullable=False),
    Column("n_params", Integer),
    Column("perplexity", Float),
    Column("ratio", Float),
    Column("ratio_low", Float),
    Column("ratio_high", Float),
    Column("ratio_windows", Integer),
    Column("comparison", _JSON),
)

cells = Table(
    "cells",
    _tables,
    Column("arena_id", String, ForeignKey("arenas.id"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("run_id", String, ForeignKey("runs.id"), nullable=False),
)

LIGHT = [c for c in runs.c if c.name != "comparison"]
"""All of a run but the samples, which may be large."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE arenas (id TEXT PRIMARY KEY, created TEXT NOT NULL, "
        "finished TEXT, description TEXT NOT NULL)",
        "CREATE TABLE runs (id TEXT PRIMARY KEY, created TEXT NOT NULL, "
        "started TEXT, finished TEXT, state TEXT NOT NULL, reason TEXT NOT NULL, "
        "fingerprint TEXT, recipe TEXT NOT NULL, measures TEXT NOT NULL, "
        "seed INTEGER NOT NULL, calibration_sha256 TEXT, evaluation_sha256 TEXT, "
        "environment TEXT, "
        "owner_host TEXT, owner_pid INTEGER, owner_started REAL, "
        "model TEXT NOT NULL, criterion TEXT NOT NULL, allocation TEXT NOT NULL, "
        "repair TEXT NOT NULL, sparsity REAL NOT NULL, n_params INTEGER, "
        "perplexity REAL, ratio REAL, ratio_low REAL, ratio_high REAL, "
        "ratio_windows INTEGER, comparison TEXT)",
        "CREATE TABLE cells ("
        "arena_id TEXT NOT NULL REFERENCES arenas(id) ON DELETE CASCADE, "
        "place INTEGER NOT NULL, "
        "run_id TEXT NOT NULL REFERENCES runs(id) ON DELETE CASCADE, "
        "PRIMARY KEY (arena_id, place))",
        "CREATE INDEX runs_by_fingerprint ON runs (fingerprint)",
        "CREATE INDEX runs_by_model ON runs (model, created)",
        "CREATE INDEX cells_by_run ON cells (run_id)",
    ),
)
"""Step n brings version n - 1 to version n. A step that was released never changes."""

VERSION = len(MIGRATIONS)


def version(connection: Connection) -> int:
    """Return the version of the schema in a file; 0 is a new one."""
    return int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())


def migrate(connection: Connection) -> None:
    """Take every missing step; the caller's transaction makes it all or nothing."""
    for number in range(version(connection) + 1, VERSION + 1):
        for statement in MIGRATIONS[number - 1]:
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql(f"PRAGMA user_version = {number}")
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")
