"""When the network of a function is made, and when it goes."""

from collections.abc import Mapping
from typing import cast

import pytest

from dialback_invoker.launchers import docker_networks
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed
from dialback_invoker.launchers.docker_networks import Networks


class Busy:
    """An engine that refuses to remove a network so many times."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.there: list[str] = []

    async def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        self.there.append(name)
        return name

    async def remove_network(self, network: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise EngineFailed("the network has active endpoints")
        self.there.remove(network)


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_networks, "PAUSES", (0.0, 0.0))


def networks(engine: Busy) -> Networks:
    return Networks(cast(Engine, engine), "p", {})


async def test_an_engine_that_holds_on_to_a_network_is_asked_again() -> None:
    engine = Busy(2)
    all_of = networks(engine)
    await all_of.join("F")
    await all_of.join("F")
    await all_of.leave("F")
    assert engine.there == ["dialback-p-f"], "somebody is on it"
    await all_of.leave("F")
    assert engine.there == []


async def test_a_network_that_stays_is_used_again_and_goes_with_the_next() -> None:
    engine = Busy(3)
    all_of = networks(engine)
    await all_of.join("F")
    with pytest.raises(EngineFailed):
        await all_of.leave("F")
    assert await all_of.join("F") == "dialback-p-f"
    assert engine.there == ["dialback-p-f"], "no second one"
    await all_of.leave("F")
    assert engine.there == []
