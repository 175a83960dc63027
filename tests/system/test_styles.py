"""Every handler style through a real worker: deployed, streamed, left early, uploaded to."""

import httpx
import pytest

from .platform import FUNCTIONS, Platform
from .raw import RawClient

pytestmark = pytest.mark.system

STYLES = {
    "wsgi": "wsgi",
    "request_handler": "http",
    "fetch_sync": "fetch",
    "fetch_async": "fetch",
    "methods": "fetch",
}


@pytest.fixture(scope="module", params=STYLES)
def style(request: pytest.FixtureRequest, shared: Platform) -> str:
    """The name of a function in that style, deployed without configuration."""
    name = f"style-{request.param.replace('_', '-')}"
    shared.deploy(FUNCTIONS / f"style_{request.param}", name, max_workers=1)
    listed = shared.control(f"/v1/functions/{name}")
    assert listed["kind"] == STYLES[request.param]
    return name


def test_it_streams_and_is_told_when_its_client_leaves(shared: Platform, style: str, tag: str) -> None:
    with RawClient(shared.port) as client:
        client.get(f"/@{style}/stream?tag={tag}")
        assert client.until(b"part").startswith(b"HTTP/1.1 200 ")
        client.until(b"part")
    shared.await_note(tag, "closed")


def test_uploads_of_any_kind_arrive(shared: Platform, style: str, tag: str) -> None:
    url = f"{shared.url}/@{style}/upload?tag={tag}"
    pieces = (b"x" * 100_000 for _ in range(30))
    assert httpx.post(url, content=b"x" * 1000, timeout=60).text == "1000"
    assert httpx.post(url, content=b"x" * 3_000_000, timeout=60).text == "3000000"
    assert httpx.post(url, content=pieces, timeout=60).text == "3000000"


def test_methods_that_have_no_function_are_refused(shared: Platform, tag: str) -> None:
    shared.deploy(FUNCTIONS / "style_methods", "style-methods", max_workers=1)
    refused = httpx.delete(f"{shared.url}/@style-methods/?tag={tag}", timeout=60)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, POST, HEAD")


def test_the_prefix_is_the_script_name(shared: Platform, tag: str) -> None:
    shared.deploy(FUNCTIONS / "style_wsgi", "style-wsgi", max_workers=1)
    answer = httpx.post(f"{shared.url}/@style-wsgi/upload?tag={tag}", content=b"x", timeout=60)
    assert answer.headers["x-script-name"] == "/@style-wsgi"


def test_work_behind_the_response_is_done_and_the_runtime_answered_after_it(shared: Platform, tag: str) -> None:
    shared.deploy(FUNCTIONS / "style_fetch_async", "style-fetch-async", max_workers=1)
    answer = httpx.get(f"{shared.url}/@style-fetch-async/later?tag={tag}", timeout=60)
    assert answer.text == answer.headers["x-dialback-id"]
    shared.await_note(tag, "worked")
    trace = shared.trace(answer.text)
    assert (trace["verdict"], trace["status"]) == ("ok", 200)
