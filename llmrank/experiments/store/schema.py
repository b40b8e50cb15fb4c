"""The tables, and the steps that bring an older file to them."""

from typing import Any

from sqlalchemy import JSON, Connection, MetaData, create_engine, event

APPLICATION_ID = 0x4C4D524B
"""Marks a file as ours ("LMRK"): another program's database is left alone."""

NESTED = ("description", "recipe", "measures", "environment", "comparison")
"""Columns whose text is JSON."""

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
    ("ALTER TABLE runs ADD COLUMN recovery TEXT NOT NULL DEFAULT 'none'",),
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


def _tables() -> MetaData:
    """Read the tables off a new file, so that every column is written once, above."""
    tables, engine = MetaData(), create_engine("sqlite://")

    @event.listens_for(tables, "column_reflect")
    def parse(_inspector: object, _table: object, column: dict[str, Any]) -> None:
        if column["name"] in NESTED:
            column["type"] = JSON(none_as_null=True)

    with engine.begin() as connection:
        migrate(connection)
        tables.reflect(connection)
    engine.dispose()
    return tables


_known = _tables().tables
arenas, runs, cells = _known["arenas"], _known["runs"], _known["cells"]

LIGHT = [c for c in runs.c if c.name != "comparison"]
"""All of a run but the samples, which may be large."""
