"""A SQLite file behind two threads, so that the event loop never waits for a disk: one that writes, one that reads.

Each thread owns its connection. In WAL mode the reader sees the last committed state while the writer works. SQLite's
errors leave here as StoreFailure, StoreCorrupt or DiskFull.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, TypeVar

from dialback_invoker.errors import DialbackError, DiskFull, StoreCorrupt, StoreFailure
from dialback_invoker.paths import from_os_error
from dialback_invoker.store.schema import migrate

T = TypeVar("T")

_BUSY_MS: Final = 5_000
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """Opened by `open`; `read` and `write` run a function with the connection on its thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = _Seat(path, "store-writer")
        self._reader = _Seat(path, "store-reader")
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> Database:
        """Open or make the database and bring it up to date. StoreCorrupt and StoreTooNew name the file."""
        database = cls(path)
        try:
            await database._writer.run(_prepare)
            await database._reader.run(lambda connection: connection.execute("PRAGMA query_only = ON"))
        except BaseException:
            await database.close()
            raise
        return database

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` on the reading thread; it sees one consistent state per statement."""
        return await self._reader.run(work)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` as one transaction on the writing thread: committed when it returns, undone if it raises."""

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            return result

        return await self._writer.run(transaction)

    async def close(self) -> None:
        """Wait for what was begun, fold the write-ahead log into the file, close both connections."""
        if self._closed:
            return
        self._closed = True
        await self._reader.close()
        await self._writer.close()


class _Seat:
    """A thread with a connection of its own, made at first use."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
        self._connection: sqlite3.Connection | None = None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        def job() -> T:
            try:
                if self._connection is None:
                    self._connection = _connect(self._path)
                return work(self._connection)
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

        try:
            future = self._executor.submit(job)
        except RuntimeError as error:
            raise StoreFailure("the store is closed") from error
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        def job() -> None:
            if self._connection is not None:
                self._connection.close()  # the last connection to close checkpoints and removes the -wal and -shm files

        await asyncio.wrap_future(self._executor.submit(job))
        self._executor.shutdown(wait=False)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        # Made by us and not by SQLite: deployments' [env] is plain text in it, so nobody else may read the file.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise from_os_error(error, f"the database {path} cannot be opened") from error
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(
            "PRAGMA synchronous = NORMAL"
        )  # with WAL: a power cut loses the last commits, never the file
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    path = Path(connection.execute("PRAGMA database_list").fetchone()[2])
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise _corrupt(path, str(verdict))
    migrate(connection, path)


def _translated(error: sqlite3.Error, path: Path) -> DialbackError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the lower byte is the primary result code
    if code in _DAMAGED:
        return _corrupt(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return DiskFull(f"the database {path} cannot grow: no space left on the disk")
    return StoreFailure(f"the database {path} cannot be used: {error}")


def _corrupt(path: Path, why: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"the database {path} is damaged ({why.strip()[:200]}); move it away to start afresh, or restore a copy"
    )
