"""The database's shape and its migrations. Versions only go up; a later version's database is not touched.

``PRAGMA user_version`` holds the version, ``application_id`` says that the file is ours. To change the shape, append to
`MIGRATIONS`; never edit one that was released.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from dialback_invoker.errors import StoreCorrupt, StoreTooNew

APPLICATION_ID: Final = 0x64623031  # "db01"

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
        """CREATE TABLE deployments (
            id TEXT PRIMARY KEY, function_key TEXT NOT NULL, function TEXT NOT NULL, bundle TEXT NOT NULL,
            kind TEXT NOT NULL, entry TEXT NOT NULL, config TEXT NOT NULL, created_at REAL NOT NULL,
            blocks INTEGER NOT NULL)""",
        "CREATE INDEX deployments_by_function ON deployments (function_key, created_at)",
        """CREATE TABLE functions (
            key TEXT PRIMARY KEY, name TEXT NOT NULL,
            active TEXT NOT NULL REFERENCES deployments (id)) WITHOUT ROWID""",
        """CREATE TABLE invocations (
            id TEXT PRIMARY KEY, function_key TEXT NOT NULL, received_at REAL NOT NULL,
            summary TEXT NOT NULL, trace TEXT NOT NULL)""",
        "CREATE INDEX invocations_by_time ON invocations (received_at)",
        "CREATE INDEX invocations_by_function ON invocations (function_key, received_at)",
        """CREATE TABLE logs (
            seq INTEGER PRIMARY KEY AUTOINCREMENT, function_key TEXT NOT NULL, function TEXT NOT NULL, at REAL NOT NULL,
            worker TEXT NOT NULL, invocation TEXT NOT NULL, stream TEXT NOT NULL, level TEXT NOT NULL,
            line TEXT NOT NULL)""",
        "CREATE INDEX logs_by_function ON logs (function_key, seq)",
    ),
    (
        "ALTER TABLE deployments ADD COLUMN environment TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE deployments ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
    ),
    (
        """CREATE TABLE variables (
            function_key TEXT NOT NULL, name TEXT NOT NULL, function TEXT NOT NULL, value TEXT NOT NULL,
            secret INTEGER NOT NULL, set_at REAL NOT NULL, PRIMARY KEY (function_key, name)) WITHOUT ROWID""",
    ),
)


def migrate(connection: sqlite3.Connection, path: Path, migrations: tuple[tuple[str, ...], ...] = MIGRATIONS) -> None:
    """Bring the database up to the latest version, one transaction for each step.

    Raises StoreTooNew for a later version's database and StoreCorrupt for a database of something else.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    owner = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if owner != APPLICATION_ID and (tables or version):
        raise StoreCorrupt(
            f"{path} is a database, but not one of Dialback's; move it away or choose another --data-dir"
        )
    if version > len(migrations):
        raise StoreTooNew(
            f"{path} has schema version {version}, written by a later Dialback; this one knows {len(migrations)}"
        )
    for number, statements in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
