"""A port of its own for `/metrics`: only where it was asked for, and not for pages in a browser."""

import socket

import httpx
import pytest

from dialback.address import TcpAddress
from dialback.errors import StartProblem
from dialback.metrics_port import metrics_port
from dialback_wire.metrics import Metric, Reading

SHEEP = Metric("sheep_total", "counter", "Sheep that were counted", ("colour",))


async def asked(url: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(url, headers=headers)


async def test_without_an_address_nothing_listens() -> None:
    async with metrics_port(None) as metrics:
        assert metrics.url == ""


async def test_what_was_added_is_told_until_the_end() -> None:
    async with metrics_port(TcpAddress("127.0.0.1", 0)) as metrics:
        metrics.exposition.add(lambda: [Reading(SHEEP, 3, ('bl"ack\n',))])
        answer = await asked(metrics.url)
        assert 'sheep_total{colour="bl\\"ack\\n"} 3.0' in answer.text
        assert (await asked(metrics.url.removesuffix("/metrics"))).status_code == 404
    with pytest.raises(httpx.ConnectError):
        await asked(metrics.url)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_on_loopback_a_foreign_host_is_refused(host: str) -> None:
    async with metrics_port(TcpAddress(host, 0)) as metrics:
        assert (await asked(metrics.url)).status_code == 200
        assert (await asked(metrics.url, host="[::1]:1")).status_code == 200
        assert (await asked(metrics.url, host="evil.example:80")).status_code == 403


async def test_elsewhere_every_name_is_answered() -> None:
    async with metrics_port(TcpAddress("0.0.0.0", 0)) as metrics:
        url = metrics.url.replace("0.0.0.0", "127.0.0.1")
        assert (await asked(url, host="dialback:9464")).status_code == 200


async def test_a_port_in_use_is_a_start_problem_that_names_the_setting() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        with pytest.raises(StartProblem, match=r"port \d+ on 127\.0\.0\.1 is in use; .* --metrics"):
            async with metrics_port(TcpAddress("127.0.0.1", holder.getsockname()[1])):
                raise AssertionError
