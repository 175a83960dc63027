"""The link over TLS, at the invoker: what it shows, and which files it does not take."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
from tests.certificates import Authority
from tests.invoker.core.test_link_server import KEY, Asker, Edge, answer

from dialback_invoker import link_server
from dialback_invoker.errors import PathProblem
from dialback_invoker.link_server import LinkServer
from dialback_invoker.link_tls import server_context
from dialback_invoker.settings import LinkTls
from dialback_wire.flow import Budget
from dialback_wire.messages import End, Verdict


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def tls(authority: Authority) -> LinkTls:
    certificate, key = authority.sign("127.0.0.1")
    return LinkTls(certificate=certificate, key=key)


async def test_megabytes_cross_an_encrypted_link(tls: LinkTls, authority: Authority) -> None:
    server = LinkServer(answer, key=KEY, budget=Budget())
    host, port = await server.listen_tcp("127.0.0.1", 0, server_context(tls))
    edge = Edge()
    trusting = ssl.create_default_context(cafile=authority.path)
    await asyncio.get_running_loop().create_connection(lambda: edge, host, port, ssl=trusting)
    await asyncio.wait_for(edge.ready.wait(), 5)
    asker: Asker = edge.ask()
    assert await asyncio.wait_for(asker.over, 10) == End(Verdict.OK, 4_000_000)
    edge.transport.abort()
    await server.close()


async def test_who_speaks_no_tls_is_cut_off_and_no_error_of_ours(
    tls: LinkTls, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(link_server, "GREETING_SECONDS", 0.2)
    server = LinkServer(answer, key=KEY, budget=Budget())
    host, port = await server.listen_tcp("127.0.0.1", 0, server_context(tls))
    for said in (b"GET / HTTP/1.1\r\n\r\n", b""):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(said)
        try:
            await asyncio.wait_for(reader.read(), 5)
        except ConnectionResetError:
            pass
        writer.close()
    await server.close()
    assert "Traceback" not in caplog.text


def test_files_that_cannot_be_used_are_named(tls: LinkTls, authority: Authority, tmp_path: Path) -> None:
    with pytest.raises(PathProblem, match=r"nowhere\.crt: No such file"):
        server_context(LinkTls(certificate=tmp_path / "nowhere.crt", key=tls.key))
    with pytest.raises(PathProblem, match="no certificate with its unlocked key"):
        server_context(LinkTls(certificate=tls.key, key=tls.key))
    another = authority.sign("localhost")[1]
    with pytest.raises(PathProblem, match="no certificate with its unlocked key"):
        server_context(LinkTls(certificate=tls.certificate, key=another))
    os.chmod(tls.key, 0o644)
    with pytest.raises(PathProblem, match="everybody may read this private key; chmod 600 it"):
        server_context(tls)


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    certificate, key = authority.sign("127.0.0.1", password=b"secret")
    with pytest.raises(PathProblem, match="no certificate with its unlocked key"):
        server_context(LinkTls(certificate=certificate, key=key))
