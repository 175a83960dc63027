"""What goes wrong with an engine: each time a clear reason, and recovery without a restart of the platform."""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docker_engine import collect
from tests.own_engine import OwnEngine, engine_of_ones_own

from dialback_invoker.launchers.base import LaunchFailed, WorkerSpec
from dialback_invoker.launchers.docker import DockerLauncher
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed
from dialback_invoker.launchers.docker_images import DEFAULT_IMAGE
from dialback_invoker.lease import Response, WorkerDied
from dialback_invoker.pool import Pool
from dialback_invoker.worker_state import State

from .conftest import Containers, make_site, within

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(120),
    # The `docker` package leaves it to the garbage collector to close a socket that could not be connected.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]


@pytest.fixture(scope="module")
def engine(client: Any) -> Iterator[OwnEngine]:
    with engine_of_ones_own(client) as own:
        yield own


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    collect()


@pytest.fixture
async def own(engine: OwnEngine, run_dir: Path, spec: WorkerSpec) -> AsyncIterator[Containers]:
    """A launcher at an engine that the test may mistreat; it is up again afterwards."""
    site = make_site(run_dir, f"test-{secrets.token_hex(4)}", Engine(engine.host))
    client = engine.client()
    made = Containers(DockerLauncher(site), spec, client)
    yield made
    for pool in made.pools:
        await within(pool.stop(0))
    await within(made.launcher.close())
    assert made.found() == []
    assert made.networks() == []
    client.close()


async def refused(containers: Containers, pool: Pool) -> LaunchFailed:
    with pytest.raises(LaunchFailed) as caught:
        await containers.lease(pool)
    return caught.value


async def works_again(containers: Containers, pool: Pool) -> None:
    """A request is served as soon as the pool tries to start a worker again. An engine that comes back first ends the
    containers that it finds, so until then one of those may still answer, and die.
    """
    async with asyncio.timeout(20):
        while True:
            try:
                lease = await containers.lease(pool)
            except LaunchFailed:
                await asyncio.sleep(0.1)
                continue
            containers.hand(lease, "result = 'well'")
            answer = await containers.answer(lease)
            lease.release()
            if isinstance(answer, Response):
                assert answer.body == b'"well"'
                return


async def test_an_engine_that_is_down_at_the_start_is_waited_for(own: Containers, engine: OwnEngine) -> None:
    engine.stop()
    try:
        own.site.start()
        pool = own.pool()
        error = await refused(own, pool)
        assert error.code == "engine_unavailable"
        assert engine.host in str(error)
        assert "is it running?" in str(error)
        assert any("cannot be reached" in line.line for line in own.lines)
    finally:
        engine.start()
    await works_again(own, pool)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_an_engine_that_is_restarted_under_load_loses_its_workers_and_no_more(
    own: Containers, engine: OwnEngine, number: int
) -> None:
    pool = own.pool()
    leases = [await own.lease(pool) for _ in range(3)]
    for lease in leases:
        own.hand(lease, "time.sleep(300)")
    await own.until(lambda: [worker.state for worker in pool.workers] == [State.BUSY] * 3)
    stopping = asyncio.ensure_future(asyncio.to_thread(engine.stop, number))
    try:
        await within(stopping)
    finally:
        await asyncio.to_thread(engine.start)
    for lease in leases:
        died = await own.answer(lease)
        assert isinstance(died, WorkerDied)
        assert died.reason
        lease.release()
    await works_again(own, pool)
    async with asyncio.timeout(20):
        while len(await asyncio.to_thread(own.found)) != len(pool.workers):
            await asyncio.sleep(0.1)


async def test_while_the_engine_is_away_workers_serve_on_and_new_ones_are_refused(
    own: Containers, engine: OwnEngine
) -> None:
    pool = own.pool(max_workers=2)
    await own.run(pool, "result = 1")
    engine.stop(signal.SIGKILL)
    try:
        assert await own.run(pool, "result = 'served without an engine'") == "served without an engine"
        holding = await own.lease(pool)
        waiting = asyncio.ensure_future(pool.lease(lambda _: None))
        await own.until(lambda: any("cannot be reached" in line.line for line in own.lines))
        holding.release()
        (await within(waiting)).release()
    finally:
        engine.start()
    await works_again(own, pool)


async def test_a_worker_dies_by_the_platforms_will_although_the_engine_is_away(
    own: Containers, engine: OwnEngine
) -> None:
    pool = own.pool()
    await own.run(pool, "result = 1")
    engine.stop(signal.SIGKILL)
    try:
        await within(pool.stop(0), 15.0)
        assert not pool.workers
    finally:
        engine.start()


async def test_an_image_that_is_missing_is_named_with_what_to_do(own: Containers, run_dir: Path) -> None:
    name = f"nobody/nothing:{secrets.token_hex(4)}"
    own.site.image.name = name
    own.site.image._root = None
    pool = own.pool()
    error = await refused(own, pool)
    assert error.code == "image_missing"
    assert f"docker build -f deploy/worker/Dockerfile -t {name}" in str(error)
    await asyncio.to_thread(own.client.tag, DEFAULT_IMAGE, *name.split(":"))
    try:
        await works_again(own, pool)
        await own.until(lambda: pool.workers)
        # Gone again, while the platform runs.
        await within(pool.workers[0].kill())
        await asyncio.to_thread(own.client.remove_image, name, force=True)
        await own.until(lambda: not pool.workers)
        assert (await refused(own, pool)).code == "image_missing"
    finally:
        await asyncio.to_thread(own.client.tag, DEFAULT_IMAGE, *name.split(":"))
    await works_again(own, pool)
    await within(pool.stop(0))
    await asyncio.to_thread(own.client.remove_image, name)


async def test_a_full_disk_is_said_and_survived(own: Containers, engine: OwnEngine) -> None:
    pool = own.pool()
    engine.fill()
    try:
        error = await refused(own, pool)
        assert "no space left on device" in str(error).lower()
    finally:
        engine.empty()
    await works_again(own, pool)


async def test_a_program_that_is_no_worker_is_refused_with_its_last_words(own: Containers, tmp_path: Path) -> None:
    import io
    import tarfile

    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        text = f"FROM {DEFAULT_IMAGE}\nUSER root\nRUN rm /opt/dialback/door.py\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    broken = f"broken:{secrets.token_hex(4)}"
    await own.site.engine.build(archive.getvalue(), broken, {}, {})
    try:
        own.site.image.name, own.site.image._root = broken, None
        error = await refused(own, own.pool())
        assert error.code == "worker_exited"
        assert "door.py" in str(error)
    finally:
        await within(own.pools[0].stop(0))
        await own.site.engine.remove_image(broken)


async def test_a_start_sweeps_what_a_crash_left(own: Containers, engine: OwnEngine, run_dir: Path) -> None:
    pool = own.pool(spec={"network": "outside"})
    await own.run(pool, "result = 1")
    again = make_site(run_dir, own.site.platform, Engine(engine.host))
    await again.meet()
    assert own.found() == []
    assert own.networks() == []
    await own.until(lambda: not pool.workers)
    await again.close()


async def test_what_bears_another_platforms_mark_is_left_alone(
    own: Containers, engine: OwnEngine, run_dir: Path
) -> None:
    pool = own.pool()
    await own.run(pool, "result = 1")
    (run_dir / "other").mkdir()
    other = make_site(run_dir / "other", "somebody-else", Engine(engine.host))
    await other.meet()
    await other.close()
    assert len(own.found()) == 1


async def test_an_engine_that_hangs_stops_no_other_request(own: Containers, engine: OwnEngine) -> None:
    assert engine._process is not None
    pool = own.pool()
    await own.run(pool, "result = 1")
    engine._process.send_signal(signal.SIGSTOP)
    try:
        slow = asyncio.ensure_future(own.lease(own.pool(start_seconds=1.5, spec={"function": "other"})))
        assert await own.run(pool, "result = 'served'") == "served"
        with pytest.raises(LaunchFailed) as caught:
            await within(slow, 8.0)
        assert caught.value.code == "start_timeout"
    finally:
        engine._process.send_signal(signal.SIGCONT)
    await works_again(own, own.pools[1])


async def test_an_engine_that_is_nowhere_is_said_to_be_nowhere(tmp_path: Path) -> None:
    lost = Engine(f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EngineFailed, match="cannot be reached: is it running"):
        await lost.facts()
    await lost.close()
