"""The store on SQLite: what is kept, what is forgotten, and what becomes of damaged or foreign databases."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from dialback_invoker.deployment import Deployment, new_deployment_id
from dialback_invoker.errors import DiskFull, PathProblem, StoreCorrupt, StoreFailure, StoreTooNew
from dialback_invoker.function_config import FunctionConfig, Timeouts
from dialback_invoker.store import database
from dialback_invoker.store.port import LogLine, Retention, Store, Trace
from dialback_invoker.store.schema import MIGRATIONS, migrate
from dialback_invoker.store.sqlite import SqliteStore


def deployment(function: str = "chat", number: int = 1, **changes: object) -> Deployment:
    made = Deployment(
        id=new_deployment_id(),
        function=function,
        bundle=f"{number:064x}",
        kind="asgi",
        entry="app:app",
        config=FunctionConfig(timeouts=Timeouts(head=5), env={"A": "b"}),
        created_at=float(number),
        blocks=True,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def trace(number: int, function: str = "chat") -> Trace:
    return {
        "id": f"{number:026d}",
        "function": function,
        "received_at": float(number),
        "status": 200,
        "marks": [{"name": "received", "t": 0.0}],
        "payload": {"version": "2.0"},
    }


def line(seq: int, function: str = "chat", text: str = "hello") -> LogLine:
    return LogLine(seq, float(seq), function, "w_1", "", "stdout", "INFO", text)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await SqliteStore.open(tmp_path / "dialback.db", Retention(invocations=5, log_lines=3, deployments=2))
    yield made
    await made.close()


async def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    made = deployment()
    store = await SqliteStore.open(path)
    await store.add_deployment(made)
    await store.add_invocations([trace(1)])
    await store.set_setting("key", "value")
    await store.close()
    await store.close()
    assert path.stat().st_mode & 0o077 == 0
    assert [p.name for p in tmp_path.iterdir()] == ["dialback.db"]  # no log or lock of the database is left over
    store = await SqliteStore.open(path)
    assert await store.active_deployments() == [made]
    assert await store.invocation("last") == trace(1)
    assert await store.setting("key") == "value"
    assert await store.setting("other") is None
    await store.close()
    with pytest.raises(StoreFailure, match="is closed"):
        await store.setting("key")


async def test_the_last_deployment_is_the_active_one_and_all_are_kept(store: Store) -> None:
    first, second, other = deployment(number=1), deployment(number=2), deployment("Other", 3)
    for made in (first, second, other):
        await store.add_deployment(made)
    assert await store.active_deployments() == [second, other]
    assert await store.deployments("CHAT") == [second, first]
    assert await store.bundles_in_use() == {first.bundle, second.bundle, other.bundle}


async def test_a_deployment_is_immutable(store: Store) -> None:
    made = deployment()
    await store.add_deployment(made)
    with pytest.raises(StoreFailure, match="UNIQUE"):
        await store.add_deployment(replace(made, entry="other:app"))
    assert await store.active_deployments() == [made]


async def test_a_removed_function_takes_its_deployments_and_logs_along(store: Store) -> None:
    await store.add_deployment(deployment())
    await store.add_logs([line(1)])
    await store.add_invocations([trace(1)])
    assert await store.remove_function("Chat")
    assert not await store.remove_function("chat")
    assert await store.deployments("chat") == []
    assert await store.logs("chat") == []
    assert await store.invocation("last") is not None


async def test_summaries_are_short_and_newest_first(store: Store) -> None:
    await store.add_invocations([trace(1), trace(3, "other"), trace(2)])
    found = await store.invocations()
    assert [summary["received_at"] for summary in found] == [3, 2, 1]
    assert "marks" not in found[0]
    assert "payload" not in found[0]
    assert [summary["id"] for summary in await store.invocations("OTHER")] == [trace(3)["id"]]
    assert len(await store.invocations(limit=1)) == 1
    assert await store.invocation(trace(2)["id"]) == trace(2)
    assert await store.invocation("nothing") is None


async def test_a_trace_that_is_but_a_summary_has_empty_details(store: Store) -> None:
    short = {key: value for key, value in trace(1).items() if key not in ("marks", "payload")}
    await store.add_invocations([short])
    found = await store.invocation("last")
    assert found is not None
    assert (found["id"], found["marks"], found["frames"], found["payload"]) == (short["id"], [], [], None)


async def test_logs_are_the_last_lines_in_their_order(store: Store) -> None:
    await store.add_logs([line(n) for n in range(1, 6)])
    await store.add_logs([line(6, "other")])
    assert [found.seq for found in await store.logs("chat", limit=2)] == [4, 5]
    assert [found.seq for found in await store.logs("CHAT", since=4.0)] == [4, 5]
    assert await store.last_log_seq() == 6


async def test_the_retention_forgets_the_oldest(store: Store) -> None:
    await store.add_invocations([trace(n) for n in range(1, 10)])
    await store.add_logs([line(n) for n in range(1, 6)] + [line(n, "other") for n in range(6, 11)])
    for number in range(1, 6):
        await store.add_deployment(deployment(number=number))
    await store.prune(now=100.0, functions=["chat"])
    assert [found["received_at"] for found in await store.invocations()] == [9, 8, 7, 6, 5]
    assert [found.seq for found in await store.logs("chat")] == [3, 4, 5]
    assert len(await store.logs("other")) == 5
    await store.prune(now=7 * 86_400.0 + 8.0)
    assert [found["received_at"] for found in await store.invocations()] == [9, 8]
    assert len(await store.logs("other")) == 3


async def test_only_the_newest_deployments_are_kept_but_for_the_active_and_the_running(store: Store) -> None:
    made = [deployment(number=number, environment=f"e{number}") for number in range(1, 6)]
    for each in made:
        await store.add_deployment(each)
    await store.activate(made[0])
    assert await store.prune_deployments(running=[made[1].id]) == [made[2].id]
    assert [found.created_at for found in await store.deployments("chat")] == [5, 4, 2, 1]
    assert await store.active_deployments() == [made[0]]
    assert await store.environments_in_use() == {"e1", "e2", "e4", "e5"}


async def test_a_database_of_the_first_version_is_brought_forward(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    with sqlite3.connect(path) as raw:
        migrate(raw, path, MIGRATIONS[:1])
        raw.execute("INSERT INTO deployments VALUES ('d_1', 'chat', 'chat', 'b', 'asgi', 'app:app', '{}', 1.0, 1)")
        raw.execute("INSERT INTO functions VALUES ('chat', 'chat', 'd_1')")
    raw.close()
    store = await SqliteStore.open(path)
    [found] = await store.active_deployments()
    assert (found.id, found.environment, found.size) == ("d_1", "", 0)
    await store.close()


async def test_line_numbers_go_on_after_the_last_line_was_forgotten(store: Store) -> None:
    assert await store.last_log_seq() == 0
    await store.add_logs([line(7)])
    await store.remove_function("chat")
    assert await store.last_log_seq() == 7


async def test_reading_goes_on_while_something_is_written(store: Store) -> None:
    await asyncio.gather(
        *(store.add_invocations([trace(n)]) for n in range(20)), *(store.invocations() for _ in range(20))
    )
    assert len(await store.invocations()) == 20


async def test_a_configuration_of_another_version_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    store = await SqliteStore.open(path)
    await store.add_deployment(deployment())
    await store.close()
    with sqlite3.connect(path) as raw:
        config = '{"max_workers": 2, "new": 1, "timeouts": {"x": 1}, "env": {"HOME": "/"}}'
        raw.execute("UPDATE deployments SET config = ?", [config])
    raw.close()
    store = await SqliteStore.open(path)
    assert (await store.active_deployments())[0].config == FunctionConfig(max_workers=2)
    await store.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(StoreCorrupt, match=r"dialback\.db is damaged .*move it away"):
        await SqliteStore.open(path)


async def test_a_damaged_database_is_found_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    store = await SqliteStore.open(path)
    await store.add_invocations([trace(n) | {"detail": "x" * 3000} for n in range(50)])
    await store.close()
    data = bytearray(path.read_bytes())
    data[4096 * 3 :] = b"\xaa" * (len(data) - 4096 * 3)
    path.write_bytes(data)
    with pytest.raises(StoreCorrupt):
        await SqliteStore.open(path)
    assert path.read_bytes() == data


async def test_damage_that_only_the_check_sees_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Damaged:
        def execute(self, query: str) -> "Damaged":
            self.query = query
            return self

        def fetchone(self) -> tuple[object, ...]:
            return (0, "main", "/d/dialback.db") if "list" in self.query else ("row 1 missing from index",)

    with pytest.raises(StoreCorrupt, match=r"/d/dialback\.db is damaged \(row 1 missing"):
        database._prepare(Damaged())  # type: ignore[arg-type]


async def test_the_database_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    await (await SqliteStore.open(path)).close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreTooNew, match="schema version 99, written by a later Dialback"):
        await SqliteStore.open(path)


async def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "dialback.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(StoreCorrupt, match="not one of Dialback's"):
        await SqliteStore.open(path)


def test_migrations_go_forward_one_step_at_a_time_and_a_failing_one_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "db"
    raw = sqlite3.connect(path, isolation_level=None)
    migrate(raw, path)
    more = (*MIGRATIONS, ("CREATE TABLE extra (x)",), ("CREATE TABLE half (x)", "NONSENSE"))
    with pytest.raises(sqlite3.OperationalError):
        migrate(raw, path, more)
    assert raw.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS) + 1
    tables = {row[0] for row in raw.execute("SELECT name FROM sqlite_master")}
    assert "extra" in tables
    assert "half" not in tables
    raw.close()


async def test_a_full_disk_is_a_507_and_what_was_there_stays(tmp_path: Path) -> None:
    data = await database.Database.open(tmp_path / "dialback.db")
    await data.write(lambda db: db.execute("INSERT INTO settings VALUES ('a', 'b')"))
    await data._writer.run(lambda db: db.execute("PRAGMA max_page_count = 1"))
    with pytest.raises(DiskFull, match="no space left"):
        await data.write(lambda db: db.execute("INSERT INTO settings VALUES ('big', ?)", ("x" * 100_000,)))
    assert await data.read(lambda db: db.execute("SELECT * FROM settings").fetchall()) == [("a", "b")]
    await data.close()


async def test_an_error_of_ours_inside_a_transaction_undoes_it(tmp_path: Path) -> None:
    data = await database.Database.open(tmp_path / "dialback.db")

    def work(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO settings VALUES ('a', 'b')")
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await data.write(work)
    assert await data.read(lambda db: db.execute("SELECT count(*) FROM settings").fetchone()) == (0,)
    await data.close()


async def test_a_folder_without_a_place_for_the_database_is_a_path_problem(tmp_path: Path) -> None:
    with pytest.raises(PathProblem, match="cannot be opened"):
        await SqliteStore.open(tmp_path / "missing" / "dialback.db")
