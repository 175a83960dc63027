"""A function that looks for what is not its own: secrets in its surroundings, and doors that open without a key."""

import asyncio
import json
import os
import sys
from pathlib import Path

NEXT = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
DOORS = ("runtime.sock", "receiver.sock", "link.sock")


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    path = scope["path"].removeprefix(scope["root_path"])
    found = await {"/surroundings": surroundings, "/doors": doors}[path](scope)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": json.dumps(found).encode()})


async def surroundings(scope):
    """Everything that a function sees without looking into the interpreter's memory."""
    own = {"scope": repr(scope), "environ": dict(os.environ), "argv": [*sys.argv, *sys.orig_argv]}
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            try:
                own[f"{pid} {name}"] = Path(f"/proc/{pid}/{name}").read_bytes().decode("latin-1")
            except OSError:
                pass
    return own


async def doors(scope):
    """What each of the platform's Unix sockets says to somebody without its secret."""
    contained = {str(path) for path in Path("/run/dialback").glob("*.sock")}
    paths = contained or {
        line.split()[-1] for line in Path("/proc/net/unix").read_text().splitlines() if line.endswith(DOORS)
    }
    root = os.environ["LAMBDA_TASK_ROOT"].rpartition("/workers/")[0]
    said = {}
    for path in sorted(path for path in paths if path.startswith(root)):
        for knock in (
            NEXT.format(""),
            NEXT.format("Authorization: Bearer guessed\r\n"),
            "\x01\x00\x00\x00\x00\x00\x00\x00",
        ):
            said[f"{path} {len(knock)}"] = await knocked(path, knock)
    return said


async def knocked(path, text):
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(text.encode())
    try:
        async with asyncio.timeout(8):
            return (await reader.read(-1)).decode("latin-1")
    except TimeoutError:
        return "is still open"
    except ConnectionError:
        return ""
    finally:
        writer.close()
