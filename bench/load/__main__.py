"""`python -m bench.load '{"load": "hello", "url": "http://...", "options": {...}}'`: one line of JSON a report.

{"event": "opened"} when all streams of `sse` have begun; at the end {"event": "result", ...} or {"event": "failed",
"error": ...}. `busy` is the share of one core that this process used: near 1 it measures itself.
"""

import asyncio
import json
import resource
import sys
import time
from typing import Any

import uvloop

from bench.load.connection import LoadError, Server
from bench.load.hello import hello
from bench.load.mixed import mixed
from bench.load.sse import sse
from bench.load.stream import stream
from bench.load.transfer import download, upload


def report(event: str, **more: Any) -> None:
    print(json.dumps({"event": event, **more}), flush=True)


async def run(load: str, server: Server, options: dict[str, Any], timeout: float) -> dict[str, Any]:
    loads = {
        "hello": hello,
        "stream": stream,
        "download": download,
        "upload": upload,
        "sse": sse,
        "mixed": mixed,
    }
    if load == "sse":
        options = {**options, "opened": lambda: report("opened")}
    async with asyncio.timeout(timeout):
        result: dict[str, Any] = await loads[load](server, **options)  # type: ignore[operator]
    return result


def main() -> int:
    order = json.loads(sys.argv[1])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        result = uvloop.run(run(order["load"], Server.at(order["url"]), order["options"], order["timeout"]))
    except TimeoutError:
        report("failed", error=f"not over after {order['timeout']} s")
    except (LoadError, OSError, ValueError) as error:
        report("failed", error=str(error) or repr(error))
    else:
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        report("result", **result, seconds=wall, busy=cpu / wall)
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
