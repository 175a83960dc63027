"""A simulator on its own: runs until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from urllib.parse import urlsplit

import uvloop
from rich.text import Text

from dialback.address import bracketed
from dialback.errors import UsageProblem
from dialback.simulators.conditions import Conditions
from dialback.simulators.proxy import Simulator
from dialback.terminal import ACCENT, output_console, print_json


def run(url: str, host: str, port: int, conditions: Conditions, as_json: bool) -> int:
    """The exit code. UsageProblem when there is nothing to simulate, or the address is none."""
    if not conditions.any:
        raise UsageProblem(
            "nothing is to be simulated",
            hint="say at least one of --slow-client, --latency, --drop-after, --buffering-proxy",
        )
    return uvloop.run(_run(_upstream(url), host, port, conditions, as_json))


def _upstream(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise UsageProblem(f"{url!r} is not the address of a server", hint="write http://HOST:PORT")
    return parts.hostname, port


async def _run(upstream: tuple[str, int], host: str, port: int, conditions: Conditions, as_json: bool) -> int:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    simulator = Simulator(conditions, *upstream)
    there, opened = await simulator.start(host, port)
    address = f"http://{bracketed(there)}:{opened}"
    try:
        if as_json:
            print_json({"event": "ready", "url": address, "simulating": list(conditions.lines())}, compact=True)
        else:
            said = Text.assemble((address, ACCENT), f"  in front of http://{bracketed(upstream[0])}:{upstream[1]}")
            for line in conditions.lines():
                said.append(f"\nSIMULATING {line}", "bold yellow")
            output_console().print(said, soft_wrap=True)
        await stopped.wait()
    finally:
        await simulator.close(0.0)
    return 0
