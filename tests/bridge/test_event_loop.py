"""Which event loop a worker's function runs on."""

import asyncio
import importlib
from types import ModuleType

import pytest
import uvloop

from dialback_bridge import event_loop


async def running() -> str:
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.fixture
def without_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def missing(name: str) -> ModuleType:
        if name == "uvloop":
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(importlib, "import_module", missing)


@pytest.mark.parametrize(("choice", "loop"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")])
def test_uvloop_runs_the_function_where_it_is_installed_and_not_unwanted(choice: str, loop: str) -> None:
    assert event_loop.run(running, choice) == loop


@pytest.mark.usefixtures("without_uvloop")
def test_without_uvloop_auto_is_asyncios_own_loop() -> None:
    assert event_loop.run(running, "auto") == "asyncio"


@pytest.mark.usefixtures("without_uvloop")
def test_a_function_that_insists_on_uvloop_is_told_when_it_is_missing() -> None:
    with pytest.raises(event_loop.LoopMissing, match="no usable uvloop"):
        event_loop.run(running, "uvloop")


def test_python_3_10_has_no_runner_and_gets_uvloop_by_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(asyncio, "Runner")
    before = asyncio.get_event_loop_policy()
    try:
        assert event_loop.run(running) == "uvloop"
        assert isinstance(asyncio.get_event_loop_policy(), uvloop.EventLoopPolicy)
    finally:
        asyncio.set_event_loop_policy(before)
