"""What whoever composes an edge may change: error pages, answers on their way, paths that are its own."""

from __future__ import annotations

import pytest
from edge_kit import Front, get

from dialback_edge.hooks import Hooks
from dialback_edge.request_head import RequestHead
from dialback_wire.messages import Fields, Head, Verdict


class Upper:
    """Leaves dashes out, and says goodbye."""

    def data(self, data: bytes) -> bytes:
        return data.replace(b"-", b"").upper()

    def end(self) -> bytes:
        return b"bye"


def upper(request: RequestHead, head: Head) -> tuple[Head, Upper] | None:
    if request.path == b"/plain":
        return None
    return Head(head.status, tuple(field for field in head.fields if field[0] != b"content-length")), Upper()


def page(
    status: int, code: str, message: str, request_id: str, *, accept: bytes = b"", retry_after: int = 0,
    extra: Fields = (),
) -> tuple[Head, bytes]:  # fmt: skip
    body = f"{code} for {request_id}".encode()
    return Head(418, ((b"content-length", b"%d" % len(body)),)), body


@pytest.fixture
def hooked(front: Front) -> Front:
    front.hooks = Hooks(page, upper, b"/_dialback/own/")
    return front


async def test_a_filter_changes_the_body_and_the_credit_goes_by_what_came(hooked: Front) -> None:
    client = await hooked.client(get("/x"))
    call = await hooked.invoker.call()
    call.head(200, (b"content-length", b"8"))
    for piece in (b"ab-", b"-", b"cdef"):
        call.stream.write(piece)
    call.stream.end(Verdict.OK)
    answer = await client.answer()
    assert answer["transfer-encoding"] == "chunked"
    assert answer.body == b"ABCDEFbye"
    await hooked.log.code()
    assert hooked.log.all[-1].bytes_out == len(answer.body)


async def test_what_the_filter_leaves_alone_stays_as_it_was(hooked: Front) -> None:
    client = await hooked.client(get("/plain"))
    (await hooked.invoker.call()).answer(b"as it is")
    answer = await client.answer()
    assert answer.body == b"as it is"
    assert "content-length" in answer


async def test_a_truncated_answer_gets_no_end(hooked: Front) -> None:
    client = await hooked.client(get("/x"))
    call = await hooked.invoker.call()
    call.head(200)
    call.stream.write(b"a")
    call.stream.end(Verdict.ERROR)
    assert b"bye" not in await client.rest()


async def test_error_pages_may_be_made_elsewhere(hooked: Front) -> None:
    client = await hooked.client(get("/x"))
    (await hooked.invoker.call()).stream.end(Verdict.ERROR, status=500, code="handler_error")
    answer = await client.answer()
    assert answer.status == 418
    assert answer.body == f"handler_error for {answer['x-dialback-id']}".encode()
    assert await hooked.log.code() == "FH"


async def test_reserved_paths_may_be_the_upstream_s(hooked: Front) -> None:
    client = await hooked.client(get("/_dialback/own/x"))
    (await hooked.invoker.call()).answer(b"mine")
    assert (await client.answer()).status == 200
    await client.send(get("/_dialback/other"))
    assert (await client.answer()).status == 418
    await client.send(get("/_dialback/health"))
    assert b'"status"' in (await client.answer()).body
