"""The page: static files of this package, served with headers that let them talk to nobody but this API."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Final

from aiohttp import web

from dialback_invoker.errors import NotFound

FOLDER: Final = Path(__file__).parent.parent / "page"
HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_TYPES: Final = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
    "png": "image/png",
}
_FILE = re.compile(r"[a-z0-9][a-z0-9_-]*\.(html|js|css|svg|png)", re.ASCII)


def page_routes(folder: Path = FOLDER) -> list[web.RouteDef]:
    """GET / and /static/<file>; they need no token, and hold nothing secret."""

    async def index(_: web.Request) -> web.Response:
        return await _file(folder, "index.html")

    async def static(request: web.Request) -> web.Response:
        return await _file(folder, request.match_info["file"])

    return [web.get("/", index), web.get("/static/{file}", static)]


async def _file(folder: Path, name: str) -> web.Response:
    found = _FILE.fullmatch(name)
    try:
        content = await asyncio.to_thread((folder / name).read_bytes) if found else None
    except FileNotFoundError:
        content = None
    if found is None or content is None:
        raise NotFound(f"there is no page file {name[:64]!r}")
    kind = _TYPES[found[1]]
    charset = None if kind == "image/png" else "utf-8"
    return web.Response(body=content, content_type=kind, charset=charset, headers=HEADERS)
