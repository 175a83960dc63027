"""Applications of the frameworks that people use, unchanged: found, streamed, told when their client leaves."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import django
import fastapi
import flask
import pytest
import starlette.applications
import starlette.requests
import starlette.routing
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse, StreamingHttpResponse
from django.urls import path
from starlette.responses import PlainTextResponse, StreamingResponse

from dialback_bridge import event_stream
from dialback_bridge.entry import Kind
from dialback_bridge.testing import TestClient

BOUND = 30.0

# Django leaves the file of a request's body open when the client leaves.
pytestmark = pytest.mark.filterwarnings("ignore:Unclosed file <tempfile:ResourceWarning")


@pytest.fixture
def signs() -> SimpleNamespace:
    """What an application and its test tell each other."""
    return SimpleNamespace(go_on=threading.Event(), closed=threading.Event())


def ticks(signs: Any) -> Iterator[str]:
    try:
        yield "one"
        assert signs.go_on.wait(BOUND)
        while True:
            yield "more"
    finally:
        signs.closed.set()


async def async_ticks(signs: Any) -> AsyncIterator[str]:
    try:
        yield "one"
        await asyncio.to_thread(signs.go_on.wait, BOUND)
        while True:
            yield "more"
            await asyncio.sleep(0)
    finally:
        signs.closed.set()


def flask_app(signs: Any) -> Any:
    app = flask.Flask("made")

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(ticks(signs), mimetype="text/plain")

    @app.get("/events")
    def events() -> Any:
        stream = event_stream(ticks(signs), heartbeat=0.05)
        return flask.Response(stream, headers=stream.headers)

    @app.post("/upload")
    def upload() -> Any:
        return str(sum(len(part) for part in iter(lambda: flask.request.stream.read(65536), b"")))

    @app.get("/where")
    def where() -> Any:
        return flask.url_for("where")

    return app


def fastapi_app(signs: Any) -> Any:
    app = fastapi.FastAPI()

    @app.get("/stream")
    async def stream() -> Any:
        return StreamingResponse(async_ticks(signs), media_type="text/plain")

    @app.get("/events")
    async def events() -> Any:
        stream = event_stream(async_ticks(signs), heartbeat=0.05)
        return StreamingResponse(stream, headers=stream.headers)

    @app.post("/upload")
    async def upload(request: fastapi.Request) -> Any:
        return PlainTextResponse(str(sum([len(part) async for part in request.stream()])))

    @app.get("/where")
    async def where(request: fastapi.Request) -> Any:
        return PlainTextResponse(request.url_for("where").path)

    return app


def starlette_app(signs: Any) -> Any:
    async def stream(request: Any) -> Any:
        return StreamingResponse(async_ticks(signs), media_type="text/plain")

    async def events(request: Any) -> Any:
        stream = event_stream(ticks(signs), heartbeat=0.05)
        return StreamingResponse(stream, headers=stream.headers)

    async def upload(request: starlette.requests.Request) -> Any:
        return PlainTextResponse(str(sum([len(part) async for part in request.stream()])))

    async def where(request: starlette.requests.Request) -> Any:
        return PlainTextResponse(request.url_for("where").path)

    routes = [starlette.routing.Route(f"/{each.__name__}", each) for each in (stream, events, where)]
    return starlette.applications.Starlette(
        routes=[*routes, starlette.routing.Route("/upload", upload, methods=["POST"])]
    )


def django_app(signs: Any, make: Callable[[], Any], is_async: bool) -> Any:
    def upload(request: Any) -> Any:
        return HttpResponse(str(sum(len(part) for part in iter(lambda: request.read(65536), b""))))

    def stream(request: Any) -> Any:
        items = async_ticks(signs) if is_async else ticks(signs)
        return StreamingHttpResponse(items, content_type="text/plain")

    def events(request: Any) -> Any:
        stream = event_stream(async_ticks(signs), heartbeat=0.05)
        # Something to iterate over in both ways Django would take the synchronous one.
        return StreamingHttpResponse(aiter(stream) if is_async else stream, headers=stream.headers)

    def where(request: Any) -> Any:
        return HttpResponse(request.path)

    urls = ModuleType("urls_of_the_test")
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("stream", stream),
        path("events", events),
        path("upload", upload),
        path("where", where),
    ]
    sys.modules[urls.__name__] = urls
    if not settings.configured:
        settings.configure(ROOT_URLCONF=urls.__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="for tests", USE_TZ=True)
        django.setup()
    django.urls.clear_url_caches()
    return make()


APPS: dict[str, tuple[Kind, Callable[[Any], Any]]] = {
    "flask": (Kind.WSGI, flask_app),
    "fastapi": (Kind.ASGI, fastapi_app),
    "starlette": (Kind.ASGI, starlette_app),
    "django-asgi": (Kind.ASGI, lambda signs: django_app(signs, get_asgi_application, True)),
    "django-wsgi": (Kind.WSGI, lambda signs: django_app(signs, get_wsgi_application, False)),
}


@pytest.fixture(params=APPS, ids=str)
def client(request: Any, signs: Any) -> Iterator[TestClient]:
    kind, make = APPS[request.param]
    module = ModuleType("app")
    module.app = make(signs)  # type: ignore[attr-defined]
    with TestClient(module, prefix="/@framework") as client:
        assert (client.entry.kind, client.entry.name) == (kind, "app:app")
        yield client


@pytest.mark.parametrize(("where", "one"), [("/stream", b"one"), ("/events", b"data: one\n\n")])
def test_it_streams_and_stops_when_the_client_leaves(client: TestClient, signs: Any, where: str, one: bytes) -> None:
    with client.stream("GET", where) as response:
        assert response.status == 200
        assert response.read_chunk().data == one  # type: ignore[union-attr]
        signs.go_on.set()
        while b"more" not in response.body:
            assert response.read_chunk()
        response.leave()
        assert signs.closed.wait(BOUND)
        assert response.wait_over() == "cancelled"


def test_events_keep_their_headers(client: TestClient, signs: Any) -> None:
    signs.go_on.set()
    with client.stream("GET", "/events") as response:
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["cache-control"] == "no-cache, no-transform"


@pytest.mark.parametrize("body", [b"x" * 1000, b"x" * 300_000, [b"x" * 100_000] * 3])
def test_a_body_of_any_size_and_of_unknown_length_arrives(client: TestClient, request: Any, body: Any) -> None:
    expected = len(body) if isinstance(body, bytes) else 300_000
    if isinstance(body, list) and "django-wsgi" in request.node.name:
        expected = 0  # Django's WSGI side takes a body without Content-Length for an empty one, under every server
    assert client.post("/upload", body=body).text == str(expected)


def test_its_own_urls_have_the_prefix(client: TestClient) -> None:
    assert client.get("/where").text == "/@framework/where"


def test_a_path_that_it_does_not_have_is_404(client: TestClient) -> None:
    assert client.get("/nothing").status == 404
