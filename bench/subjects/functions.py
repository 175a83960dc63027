"""What Dialback is given to serve: the benchmark's function, or a small one for cold starts; and its dialback.toml."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.subjects.base import BENCH

NAME = "bench"

APP, BARE, FASTAPI = "app", "bare", "fastapi"

TEXTS = {
    BARE: """\
async def handler(event, context):
    return {"statusCode": 200, "body": "Hello world\\n"}
""",
    FASTAPI: """\
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/hello", response_class=PlainTextResponse)
async def hello():
    return "Hello world\\n"
""",
}

# One worker, as the peers have one process; room for as many streams at once as a function may have.
SETTINGS = """\
name = "{name}"
entry = "{entry}"
mode = "{mode}"
callback_socket = "{callback_socket}"
launcher = "{launcher}"
concurrency = 10000
max_workers = 1
memory_mb = 1024
idle_seconds = {idle_seconds}
"""

# A worker that is not needed goes soon, so that the next request finds none.
SOON = 1.0
LATE = 3600


@dataclass(frozen=True, slots=True)
class Settings:
    """What differs from one subject to another."""

    mode: str = "callback"
    callback_socket: str = "keep"
    launcher: str = "process"


def write_function(folder: Path, variant: str, settings: Settings) -> None:
    """Make `folder`, with the function's file and its dialback.toml."""
    folder.mkdir()
    if variant == APP:
        shutil.copy(BENCH / "app.py", folder)
    else:
        (folder / "app.py").write_text(TEXTS[variant])
    text = SETTINGS.format(
        name=NAME,
        entry="app:handler" if variant == BARE else "app:app",
        mode=settings.mode,
        callback_socket=settings.callback_socket,
        launcher=settings.launcher,
        idle_seconds=LATE if variant == APP else SOON,
    )
    (folder / "dialback.toml").write_text(text)
