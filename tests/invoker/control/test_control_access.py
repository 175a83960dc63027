"""Who may talk to the control API (attacks T13, T29, T30), and the token that opens it."""

import asyncio
import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from dialback_invoker.control.access import ControlToken
from dialback_invoker.control.server import ControlServer
from dialback_invoker.errors import PathProblem, PlatformFailure
from dialback_invoker.store.sqlite import SqliteStore


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Basic {token}", "Bearer {token}x", "{token}", "Bearer \udcff"],
)
@pytest.mark.parametrize("path", ["/v1/functions", "/v1/nothing", "/v1"])
async def test_without_the_token_nothing_below_v1_answers(control: Any, authorization: str | None, path: str) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.replace("{token}", control.token)}
    control.session.headers.clear()
    if authorization and "\udcff" in authorization:
        status = await raw_status(control, path, b"Authorization: Bearer \xff\r\n")
    else:
        status, body = await control.ask("GET", path, headers=headers)
        assert body["error"]["code"] == "unauthorized"
    assert status == 401


async def raw_status(control: Any, path: str, headers: bytes, host: bytes = b"Host: localhost\r\n") -> int:
    port = int(control.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET " + path.encode() + b" HTTP/1.1\r\n" + host + headers + b"Connection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 30)
    writer.close()
    await writer.wait_closed()
    return int(answer.split(b" ")[1])


async def test_health_page_and_documentation_need_no_token(control: Any) -> None:
    control.session.headers.clear()
    for path in ("/_dialback/health", "/openapi.json"):
        status, _ = await control.ask("GET", path)
        assert status == 200
    async with control.session.get("/") as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil:80", "", "[::2]", "0.0.0.0"]
)
async def test_a_foreign_host_is_refused(control: Any, host: str) -> None:
    status, body = await control.ask("GET", "/v1/functions", headers={"Host": host})
    assert (status, body["error"]["code"]) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "[::1]:8081", "control.example:80", "[fd00::1]:80"])
async def test_our_own_names_are_answered_whatever_the_port(control: Any, host: str) -> None:
    assert (await control.ask("GET", "/v1/functions", headers={"Host": host}))[0] == 200


async def test_a_foreign_origin_is_refused_and_our_own_is_not(control: Any) -> None:
    for origin in ("http://evil.example", "null", "https://127.0.0.1", f"{control.url}.evil.example"):
        status, body = await control.ask("GET", "/v1/functions", headers={"Origin": origin})
        assert (status, body["error"]["code"]) == (403, "foreign_origin")
    status, _ = await control.ask("GET", "/v1/functions", headers={"Origin": control.url})
    assert status == 200


async def test_repeated_headers_that_decide_are_refused(control: Any) -> None:
    two = b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n"
    assert await raw_status(control, "/v1/functions", two) == 400
    assert await raw_status(control, "/v1/functions", b"", host=b"Host: localhost\r\nHost: evil\r\n") == 400
    assert await raw_status(control, "/v1/functions", b"", host=b"") in (400, 403)


async def test_a_method_cannot_be_overridden(control: Any) -> None:
    await control.deploy()
    for headers in ({"X-HTTP-Method-Override": "DELETE"}, {"X-Method-Override": "DELETE"}):
        status, _ = await control.ask("POST", "/v1/functions/chat?_method=DELETE", headers=headers)
        assert status == 405
    assert control.services.registry.resolve("chat") is not None


async def test_an_unknown_path_and_method_are_errors_as_json(control: Any) -> None:
    status, body = await control.ask("GET", "/v1/nothing")
    assert (status, body["error"]["code"]) == (404, "not_found")
    async with control.session.put("/v1/functions") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET")
    status, body = await control.ask("GET", "/static/%2e%2e%2fapp.py")
    assert status == 404


JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        (b'{"function": "chat", "function": "other", "mode": "buffered"}', 400, "same key twice"),
        (b"[" * 500_000, 400, "nested too deeply"),
        (b'{"a":' * 100_000, 400, "nested too deeply"),
        (b'{"function": NaN}', 400, "NaN is not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"", 400, "not JSON"),
        (b"1" * 10_000, 400, "not JSON"),
        (b'{"function": "chat", "mode": "buffered", "x": 1}', 400, "x: unknown key"),
        (b'{"function": "chat", "mode": "pigeon"}', 400, "mode: "),
        (b'{"function": 1, "mode": "buffered"}', 400, "function: "),
        (b"[]", 400, "dictionary"),
        (b'"' + b"x" * 1_100_000 + b'"', 413, "larger than"),
    ],
)
async def test_hostile_json_is_refused(control: Any, body: bytes, status: int, part: str) -> None:
    found, answer = await control.ask("POST", "/v1/tickets", data=io.BytesIO(body), headers=JSON)
    assert found == status
    assert part in answer["error"]["message"]
    assert control.platform.minted == []


async def test_a_hundred_megabytes_of_json_are_refused_before_they_are_read(control: Any) -> None:
    port = int(control.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/tickets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer " + control.token.encode() + b"\r\nContent-Length: 104857600\r\n\r\n"
    )
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 30)
    writer.close()
    await writer.wait_closed()


async def test_json_without_a_length_is_cut_off_at_the_limit(control: Any) -> None:
    async def body() -> Any:
        for _ in range(20):
            yield b" " * 65_536

    status, _ = await control.ask("POST", "/v1/tickets", data=body(), headers=JSON)
    assert status == 413


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_what_a_form_can_send_is_not_json(control: Any, kind: str) -> None:
    body = json.dumps({"function": "chat", "mode": "buffered"})
    status, _ = await control.ask("POST", "/v1/tickets", data=body, headers={"Content-Type": kind})
    assert status == 415


@pytest.mark.parametrize("name", ["..%2fx", "-v%2F:%2Fh", "-v", "%EF%BD%81", "a%00", "x" * 7000, "a.b", "%2e%2e"])
async def test_a_hostile_function_name_is_a_400(control: Any, name: str) -> None:
    status, body = await control.deploy(name)
    assert status in (400, 404, 405)  # 405: what is left of `..` is the list of all deployments
    if status == 400:
        assert body["error"]["code"] == "invalid_name"
    assert list(control.data.bundles.iterdir()) == []


async def test_our_own_failure_is_a_500_without_its_details(
    control: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise RuntimeError("a secret detail")

    monkeypatch.setattr(control.platform, "workers", fail)
    with caplog.at_level(logging.ERROR):
        status, body = await control.ask("GET", "/v1/workers")
    assert (status, body["error"]["code"]) == (500, "internal")
    assert "a secret detail" not in json.dumps(body)
    assert "a secret detail" in caplog.text


async def test_a_port_in_use_is_named(control: Any) -> None:
    from aiohttp import web

    port = int(control.url.rpartition(":")[2])
    with pytest.raises(PlatformFailure, match=f"port {port} on 127.0.0.1 is in use; choose another") as caught:
        await ControlServer(web.Application(), "127.0.0.1", port).start()
    assert caught.value.code == "port_in_use"
    with pytest.raises(PlatformFailure, match=r"cannot listen on 192\.0\.2\.1"):
        await ControlServer(web.Application(), "192.0.2.1", 0).start()


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    made = await SqliteStore.open(tmp_path / "dialback.db")
    yield made
    await made.close()


async def test_the_token_is_made_once_for_its_owner_and_stored_as_a_hash(tmp_path: Path, store: SqliteStore) -> None:
    path = tmp_path / "control.token"
    await ControlToken.load(path, store)
    token = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert (await ControlToken.load(path, store)).opens(f"bearer {token}")
    assert path.read_text().strip() == token
    await store.close()
    assert token.encode() not in (tmp_path / "dialback.db").read_bytes()


async def test_a_token_that_is_gone_broken_or_was_readable_is_replaced(tmp_path: Path, store: SqliteStore) -> None:
    path = tmp_path / "control.token"
    await ControlToken.load(path, store)
    for spoil in (path.unlink, lambda: path.write_text("nonsense"), lambda: path.chmod(0o644)):
        old = path.read_text().strip()
        spoil()
        access = await ControlToken.load(path, store)
        assert not access.opens(f"Bearer {old}")
        assert access.opens(f"Bearer {path.read_text().strip()}")
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_token_file_that_cannot_be_used_is_named(tmp_path: Path, store: SqliteStore) -> None:
    (tmp_path / "link").symlink_to("elsewhere")
    with pytest.raises(PathProblem, match="cannot be read"):
        await ControlToken.load(tmp_path / "link", store)
    with pytest.raises(PathProblem, match="cannot be written"):
        await ControlToken.load(tmp_path / "missing" / "token", store)
