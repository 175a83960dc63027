"""The link over TLS, at the edge: whom it trusts, and what it says of those whom it does not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from edge_kit import Invoker
from tests.certificates import Authority
from tests.edge.test_link import KEY, FarEnd, LinkServer

from dialback_edge.errors import SettingsError
from dialback_edge.link import LinkClient
from dialback_edge.link_tls import explained
from dialback_edge.settings import LinkSettings


class TlsServer(LinkServer):
    """What the edge dials, with TLS."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.invoker = Invoker()
        self.key = KEY
        self._context = context

    async def open(self) -> int:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(lambda: FarEnd(self), "127.0.0.1", 0, ssl=self._context)
        return int(self.server.sockets[0].getsockname()[1])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "link.key"
    path.write_bytes(KEY)
    path.chmod(0o600)
    return path


@pytest.fixture
async def port(authority: Authority) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("127.0.0.1"))
    server = TlsServer(context)
    yield await server.open()
    server.close()


def linked(port: int, key_file: Path, trusted: Path | None, host: str = "127.0.0.1", wait: float = 5.0) -> LinkClient:
    return LinkClient(
        LinkSettings(host=host, port=port, key_file=key_file, tls=True, tls_authority=trusted, first_wait=wait)
    )


async def test_an_invoker_whose_certificate_is_trusted_is_linked(
    port: int, key_file: Path, authority: Authority
) -> None:
    link = linked(port, key_file, authority.path)
    await link.start()
    assert link.ready
    current = link._current
    assert current is not None
    assert current._transport is not None
    assert current._transport.get_extra_info("ssl_object").version() == "TLSv1.3"
    await link.stop()


@pytest.mark.parametrize("trusted", ["nobody of ours", "somebody else"])
async def test_one_whose_certificate_is_not_trusted_never_sees_a_request(
    port: int, key_file: Path, trusted: str, tmp_path: Path
) -> None:
    path = Authority(tmp_path, "other").path if trusted == "somebody else" else None
    link = linked(port, key_file, path, wait=0.3)
    await link.start()
    assert not link.ready
    assert "its certificate is not trusted" in link.last_error
    await link.stop()


async def test_a_certificate_for_another_name_is_none(port: int, key_file: Path, authority: Authority) -> None:
    link = linked(port, key_file, authority.path, host="localhost", wait=0.3)
    await link.start()
    assert "its certificate is not trusted: hostname mismatch" in link.last_error.lower().replace("'", "")
    await link.stop()


@pytest.fixture
async def plain() -> AsyncIterator[int]:
    """The port of an invoker without TLS."""
    server = LinkServer()
    server.key = KEY
    yield await server.listen()
    server.close()


async def test_an_invoker_without_tls_is_told_from_one_that_is_away(
    plain: int, key_file: Path, authority: Authority
) -> None:
    link = linked(plain, key_file, authority.path, wait=0.3)
    await link.start()
    said, ready = link.last_error, link.ready
    await link.stop()
    assert not ready
    assert said.startswith("no TLS with it: ")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), "no TLS with it: "),
        (ConnectionResetError(), "no TLS with it: it hung up during the handshake"),
    ],
)
def test_why_there_was_no_handshake(error: ssl.SSLError | ConnectionResetError, words: str) -> None:
    assert explained(error).startswith(words)


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_file_without_certificates_is_named(tmp_path: Path, key_file: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"ca\.pem: "):
        await linked(1, key_file, path).start()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"path": "/x", "tls": True}, "TLS is for a link over TCP"),
        ({"host": "h", "port": 1, "key_file": "/k", "tls_authority": "/ca"}, "is for a link with `tls`"),
    ],
)
def test_settings_that_would_not_count_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LinkSettings.model_validate(settings)
