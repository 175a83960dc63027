"""The store on SQLite: each method of the port as a few statements. Threads and errors are `database`'s business."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import NotFound
from dialback_invoker.function_config import FunctionConfig, Timeouts
from dialback_invoker.names import name_key
from dialback_invoker.platform_variables import set_by_platform
from dialback_invoker.store.database import Database
from dialback_invoker.store.port import LogLine, Retention, Trace, Variable

DETAILS: Final = frozenset({"marks", "gaps", "blocked", "request", "answer", "payload", "frames", "frames_dropped"})
_DEPLOYMENT: Final = (
    "d.id, d.function, d.bundle, d.kind, d.entry, d.config, d.created_at, d.blocks, d.environment, d.size"
)
_LINE: Final = "seq, at, function, worker, invocation, stream, level, line"
_NO_DETAILS: Final[Trace] = {
    "marks": [],
    "gaps": {"first": [], "last": [], "histogram": []},
    "blocked": {"client_ms": 0.0, "worker_ms": 0.0},
    "request": None,
    "answer": None,
    "payload": None,
    "frames": [],
    "frames_dropped": 0,
}
"""What a trace says that was kept as a summary only."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict).decode


class SqliteStore:
    """`Store` on one SQLite file; make it with `open`."""

    def __init__(self, database: Database, retention: Retention) -> None:
        self._database = database
        self._retention = retention

    @classmethod
    async def open(cls, path: Path, retention: Retention | None = None) -> SqliteStore:
        """Open or make the database at ``path``. Raises StoreCorrupt, StoreTooNew, StoreFailure, DiskFull."""
        return cls(await Database.open(path), retention or Retention())

    async def close(self) -> None:
        await self._database.close()

    async def active_deployments(self) -> list[Deployment]:
        query = f"SELECT {_DEPLOYMENT} FROM functions f JOIN deployments d ON d.id = f.active ORDER BY f.key"
        rows = await self._database.read(lambda db: db.execute(query).fetchall())
        return [_deployment(row) for row in rows]

    async def deployments(self, function: str) -> list[Deployment]:
        query = f"SELECT {_DEPLOYMENT} FROM deployments d WHERE function_key = ? ORDER BY created_at DESC, rowid DESC"
        rows = await self._database.read(lambda db: db.execute(query, (name_key(function),)).fetchall())
        return [_deployment(row) for row in rows]

    async def add_deployment(self, deployment: Deployment) -> None:
        d, key = deployment, name_key(deployment.function)
        config = d.config.model_dump_json()
        row = (d.id, key, d.function, d.bundle, d.kind, d.entry, config, d.created_at, d.blocks, d.environment, d.size)

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO deployments (id, function_key, function, bundle, kind, entry, config, created_at, blocks,"
                " environment, size) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                row,
            )
            db.execute(
                "INSERT INTO functions (key, name, active) VALUES (?, ?, ?)"
                " ON CONFLICT (key) DO UPDATE SET active = excluded.active",
                (key, d.function, d.id),
            )

        await self._database.write(work)

    async def remove_function(self, function: str) -> bool:
        key = (name_key(function),)

        def work(db: sqlite3.Connection) -> bool:
            removed = db.execute("DELETE FROM functions WHERE key = ?", key).rowcount
            db.execute("DELETE FROM deployments WHERE function_key = ?", key)
            db.execute("DELETE FROM logs WHERE function_key = ?", key)
            db.execute("DELETE FROM variables WHERE function_key = ?", key)
            return removed > 0

        return await self._database.write(work)

    async def activate(self, deployment: Deployment) -> None:
        d, key = deployment, name_key(deployment.function)

        def work(db: sqlite3.Connection) -> None:
            there = db.execute(
                "UPDATE deployments SET environment = ? WHERE id = ? AND function_key = ?", (d.environment, d.id, key)
            ).rowcount
            if not there or not db.execute("UPDATE functions SET active = ? WHERE key = ?", (d.id, key)).rowcount:
                raise NotFound(f"there is no deployment {d.id} of {d.function}", code="deployment_not_found")

        await self._database.write(work)

    async def prune_deployments(self, running: Collection[str]) -> list[str]:
        def work(db: sqlite3.Connection) -> list[str]:
            gone: list[str] = []
            for key, active in db.execute("SELECT key, active FROM functions").fetchall():
                rows = db.execute(
                    "SELECT id FROM deployments WHERE function_key = ?"
                    " ORDER BY created_at DESC, rowid DESC LIMIT -1 OFFSET ?",
                    (key, self._retention.deployments),
                ).fetchall()
                gone += [row[0] for row in rows if row[0] != active and row[0] not in running]
            db.executemany("DELETE FROM deployments WHERE id = ?", [(each,) for each in gone])
            return gone

        return await self._database.write(work)

    async def environments_in_use(self) -> set[str]:
        query = "SELECT DISTINCT environment FROM deployments WHERE environment <> ''"
        rows = await self._database.read(lambda db: db.execute(query).fetchall())
        return {row[0] for row in rows}

    async def variables(self) -> list[Variable]:
        query = "SELECT function, name, value, secret, set_at FROM variables ORDER BY function_key, name"
        rows = await self._database.read(lambda db: db.execute(query).fetchall())
        return [Variable(function, name, value, bool(secret), at) for function, name, value, secret, at in rows]

    async def change_variables(self, function: str, put: Sequence[Variable], remove: Sequence[str]) -> None:
        key = name_key(function)

        def work(db: sqlite3.Connection) -> None:
            gone = ((key, name) for name in remove)
            db.executemany("DELETE FROM variables WHERE function_key = ? AND name = ?", gone)
            _put_variables(db, put)

        await self._database.write(work)

    async def replace_variables(self, variables: Sequence[Variable]) -> None:
        await self._database.write(lambda db: _put_variables(db, variables))

    async def bundles_in_use(self) -> set[str]:
        rows = await self._database.read(lambda db: db.execute("SELECT DISTINCT bundle FROM deployments").fetchall())
        return {row[0] for row in rows}

    async def add_invocations(self, traces: Sequence[Trace]) -> None:
        def work(db: sqlite3.Connection) -> None:  # encoding happens here, off the event loop's thread
            db.executemany(
                "INSERT OR REPLACE INTO invocations (id, function_key, received_at, summary, trace)"
                " VALUES (?, ?, ?, ?, ?)",
                (
                    (
                        trace["id"],
                        name_key(trace["function"]),
                        trace["received_at"],
                        *_texts(trace),
                    )
                    for trace in traces
                ),
            )

        await self._database.write(work)

    async def invocations(self, function: str | None = None, limit: int = 50) -> list[Trace]:
        where, values = ("", ()) if function is None else ("WHERE function_key = ?", (name_key(function),))
        query = f"SELECT summary FROM invocations {where} ORDER BY received_at DESC, rowid DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (*values, limit)).fetchall())
        return [_decode(row[0]) for row in rows]

    async def invocation(self, invocation: str) -> Trace | None:
        values: tuple[str, ...] = ()
        if invocation == "last":
            query = "SELECT summary, trace FROM invocations ORDER BY received_at DESC, rowid DESC LIMIT 1"
        else:
            query, values = "SELECT summary, trace FROM invocations WHERE id = ?", (invocation,)
        row = await self._database.read(lambda db: db.execute(query, values).fetchone())
        if row is None:
            return None
        return _decode(row[1]) if row[1] else _NO_DETAILS | _decode(row[0])

    async def add_logs(self, lines: Sequence[LogLine]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO logs (seq, function_key, function, at, worker, invocation, stream, level, line)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (n.seq, name_key(n.function), n.function, n.at, n.worker, n.invocation, n.stream, n.level, n.line)
                    for n in lines
                ),
            )

        await self._database.write(work)

    async def logs(self, function: str, since: float = 0.0, limit: int = 1000, invocation: str = "") -> list[LogLine]:
        query = f"SELECT {_LINE} FROM logs WHERE function_key = ? AND at >= ? ORDER BY seq DESC LIMIT ?"
        values: tuple[object, ...] = (name_key(function), since, limit)
        if invocation:
            query = query.replace("ORDER BY", "AND invocation = ? ORDER BY")
            values = (name_key(function), since, invocation, limit)
        rows = await self._database.read(lambda db: db.execute(query, values).fetchall())
        return [LogLine(*row) for row in reversed(rows)]

    async def recent_logs(self, limit: int) -> list[LogLine]:
        query = f"SELECT {_LINE} FROM logs ORDER BY seq DESC LIMIT ?"
        rows = await self._database.read(lambda db: db.execute(query, (limit,)).fetchall())
        return [LogLine(*row) for row in reversed(rows)]

    async def last_log_seq(self) -> int:
        # AUTOINCREMENT remembers the highest even when its line was removed.
        query = "SELECT seq FROM sqlite_sequence WHERE name = 'logs'"
        row = await self._database.read(lambda db: db.execute(query).fetchone())
        return 0 if row is None else int(row[0])

    async def setting(self, key: str) -> str | None:
        query = "SELECT value FROM settings WHERE key = ?"
        row = await self._database.read(lambda db: db.execute(query, (key,)).fetchone())
        return None if row is None else str(row[0])

    async def set_setting(self, key: str, value: str) -> None:
        query = "INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)"
        await self._database.write(lambda db: db.execute(query, (key, value)))

    async def prune(self, now: float, functions: Collection[str] | None = None) -> None:
        keep = self._retention
        keys = None if functions is None else [name_key(name) for name in functions]

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM invocations WHERE received_at < ?", (now - keep.invocation_age,))
            db.execute(
                "DELETE FROM invocations WHERE rowid IN"
                " (SELECT rowid FROM invocations ORDER BY received_at DESC, rowid DESC LIMIT -1 OFFSET ?)",
                (keep.invocations,),
            )
            found = (
                keys if keys is not None else [row[0] for row in db.execute("SELECT DISTINCT function_key FROM logs")]
            )
            for key in found:
                db.execute(
                    "DELETE FROM logs WHERE function_key = ? AND seq <="
                    " (SELECT seq FROM logs WHERE function_key = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
                    (key, key, keep.log_lines),
                )

        await self._database.write(work)


def _put_variables(db: sqlite3.Connection, variables: Sequence[Variable]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO variables (function_key, name, function, value, secret, set_at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        ((name_key(v.function), v.name, v.function, v.value, v.secret, v.set_at) for v in variables),
    )


def _deployment(row: tuple[str, str, str, str, str, str, float, int, str, int]) -> Deployment:
    identity, function, bundle, kind, entry, config, created_at, blocks, environment, size = row
    found = _stored_config(config)
    return Deployment(identity, function, bundle, kind, entry, found, created_at, bool(blocks), environment, size)


def _stored_config(text: str) -> FunctionConfig:
    """A configuration as it was accepted. Keys of versions before or after this one are not its author's mistake."""
    values = _decode(text)
    known = {key: value for key, value in values.items() if key in FunctionConfig.model_fields}
    timeouts = {key: value for key, value in known.pop("timeouts", {}).items() if key in Timeouts.model_fields}
    env = {name: value for name, value in known.pop("env", {}).items() if not set_by_platform(name)}
    return FunctionConfig.model_validate(known | {"timeouts": timeouts, "env": env})


def _texts(trace: Trace) -> tuple[str, str]:
    """Summary and whole trace; the second is empty for a trace that is but a summary."""
    if DETAILS.isdisjoint(trace):
        return _encode(trace).decode(), ""
    return _encode({key: value for key, value in trace.items() if key not in DETAILS}).decode(), _encode(trace).decode()
