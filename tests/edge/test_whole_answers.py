"""An answer that comes whole is written as one piece, by the same rules as one that comes in parts."""

import pytest
from edge_kit import Answer, Client, Front, get

from dialback_edge.access_log import AccessRecord
from dialback_edge.exchange import Exchange
from dialback_edge.hooks import Hooks
from dialback_edge.request_head import RequestHead
from dialback_wire.messages import Fields, Head, Info, Request, Verdict
from dialback_wire.sink import StreamSink
from dialback_wire.stream import Stream


class Whole:
    """A front whose upstream is asked as ever, and whose sinks the test answers itself."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.sinks: list[Exchange] = []

    async def client(self, raw: bytes) -> Client:
        await self.front.start()
        upstream = self.front.upstream
        assert upstream is not None
        ask = upstream.open

        def open_(request: Request, sink: StreamSink) -> Stream:
            assert isinstance(sink, Exchange)
            self.sinks.append(sink)
            return ask(request, sink)

        upstream.open = open_  # type: ignore[method-assign]
        return await self.front.client(raw)

    async def give(self, body: bytes, status: int = 200, *fields: tuple[bytes, bytes]) -> None:
        """Answer the last request."""
        await self.front.invoker.call()
        self.sinks[-1].on_answer(Head(status, fields), body)


def sized(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


@pytest.fixture
def whole(front: Front) -> Whole:
    return Whole(front)


async def answered(whole: Whole, client: Client, method: bytes = b"GET") -> Answer:
    answer = await client.answer(method)
    await whole.front.log.until(lambda: whole.front.log.all)
    return answer


async def test_with_a_length_or_without_one_and_the_connection_lives(whole: Whole) -> None:
    client = await whole.client(get("/") + get("/next"))
    await whole.give(b"hello", 201, sized(b"hello"), (b"X-Kind", b"greeting"))
    answer = await answered(whole, client)
    assert (answer.status, answer.body, answer["x-kind"]) == (201, b"hello", "greeting")
    await whole.give(b"chunk")
    answer = await answered(whole, client)
    assert (answer["transfer-encoding"], answer.body) == ("chunked", b"chunk")
    await client.send(get("/empty"))
    await whole.give(b"")
    assert (await answered(whole, client)).body == b""
    assert [(r.code, r.by, r.status, r.bytes_out) for r in whole.front.log.all] == [
        ("--", "", 201, 5),
        ("--", "", 200, 5),
        ("--", "", 200, 0),
    ]


async def test_what_was_gathered_before_it_leaves_before_it(whole: Whole) -> None:
    client = await whole.client(get("/"))
    await whole.front.invoker.call()
    whole.sinks[-1].on_info(Info(103, ((b"link", b"</style.css>"),)))
    whole.sinks[-1].on_answer(Head(200, (sized(b"hello"),)), b"hello")
    assert (await client.head()).status == 103
    assert (await client.answer()).body == b"hello"


async def test_the_same_head_serves_requests_of_every_kind(whole: Whole) -> None:
    fields = (b"trailer", b"x-sum"), (b"x", b"y")
    client = await whole.client(b"")
    for request, method, framing in (
        (get(), b"GET", "chunked"),
        (get(method="HEAD"), b"HEAD", None),
        (get("/", "TE: trailers"), b"GET", "chunked"),
        (get("/", "Connection: keep-alive", version="1.0"), b"GET", None),
    ):
        await client.send(request)
        await whole.give(b"body", 200, *fields)
        answer = await answered(whole, client, method)
        assert answer["x"] == "y"
        assert ("transfer-encoding" in answer) == (framing is not None)
        assert ("trailer" in answer) == (b"TE:" in request)
        assert ("connection" in answer) == (b"HTTP/1.0" in request)
        assert answer.body == (b"" if method == b"HEAD" else b"body")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_where_there_is_no_body_none_is_written(whole: Whole, method: str, status: int) -> None:
    client = await whole.client(get("/", method=method) + get("/b"))
    await whole.give(b"unseen", status, sized(b"unseen"))
    answer = await answered(whole, client, method.encode())
    assert (answer.status, "content-length" in answer) == (status, status != 204)
    await whole.give(b"b", 200, sized(b"b"))
    assert (await answered(whole, client)).body == b"b"
    assert [(r.code, r.bytes_out) for r in whole.front.log.all] == [("--", 0), ("--", 1)]


async def test_an_old_client_reads_until_the_end(whole: Whole) -> None:
    client = await whole.client(get("/", version="1.0"))
    await whole.give(b"until the end")
    answer = await answered(whole, client)
    assert (answer["connection"], answer.body) == ("close", b"until the end")
    assert whole.front.log.codes == ["--"]


async def test_less_than_its_length_is_a_truncation(whole: Whole) -> None:
    client = await whole.client(get("/") + get("/b"))
    await whole.give(b"short", 200, sized(b"longer than that"))
    assert (await client.head())["content-length"] == "16"
    assert await client.rest() == b"short"
    assert (whole.front.log.codes, whole.front.log.all[0].by) == (["FD"], "function")


async def test_more_than_its_length_is_cut_to_it_and_the_connection_closes(whole: Whole) -> None:
    client = await whole.client(get("/"))
    await whole.give(b"too long", 200, sized(b"too"))
    assert (await answered(whole, client)).body == b"too"
    assert await client.rest() == b""
    assert (whole.front.log.codes, whole.front.log.all[0].by) == (["PD"], "invoker")


@pytest.mark.parametrize("fields", [((b"bad name", b"x"),), ((b"x", b"a\r\nb: c"),), ((b"content-length", b"x"),)])
async def test_a_head_that_must_not_reach_a_client_is_502(whole: Whole, fields: Fields) -> None:
    client = await whole.client(get("/") + get("/b"))
    await whole.give(b"body", 200, *fields)
    answer = await answered(whole, client)
    assert (answer.status, b"invalid_head" in answer.body, b"body" in answer.body) == (502, True, False)
    await whole.give(b"b", 200, sized(b"b"))
    assert (await answered(whole, client)).body == b"b"
    assert whole.front.log.codes == ["PH", "--"]


async def test_an_answer_before_the_end_of_a_large_upload_says_that_it_is_the_last(whole: Whole) -> None:
    client = await whole.client(get("/", "Content-Length: 100000000", method="POST", body=b"some"))
    await whole.give(b"no", 403, sized(b"no"))
    answer = await answered(whole, client)
    assert (answer.status, answer["connection"], answer.body) == (403, "close", b"no")
    assert await client.rest() == b""


class Twice:
    def data(self, data: bytes) -> bytes:
        return data * 2

    def end(self) -> bytes:
        return b"!"


def twice(_request: RequestHead, head: Head) -> tuple[Head, Twice]:
    return Head(head.status, tuple(field for field in head.fields if field[0] != b"content-length")), Twice()


async def test_a_filter_gets_the_body_and_its_end_but_no_error_page(whole: Whole) -> None:
    whole.front.hooks = Hooks(filter=twice)
    client = await whole.client(get("/"))
    await whole.give(b"ab", 200, sized(b"ab"))
    assert (await answered(whole, client)).body == b"abab!"
    await client.send(get("/"))
    await whole.give(b"ab", 200, (b"x", b"\n"))
    answer = await answered(whole, client)
    assert answer.status == 502
    assert b"!" not in answer.body
    assert [record.bytes_out for record in whole.front.log.all] == [5, len(answer.body)]


async def test_nothing_comes_behind_the_end(whole: Whole) -> None:
    client = await whole.client(get("/"))
    call = await whole.front.invoker.call()
    call.answer(b"first")
    assert (await answered(whole, client)).body == b"first"
    whole.sinks[0].on_answer(Head(200, ()), b"second")
    await client.send(get("/"))
    (await whole.front.invoker.call()).stream.end(Verdict.ERROR, status=404)
    assert (await client.answer()).status == 404


class Told:
    """A span that notes what it is told."""

    def __init__(self) -> None:
        self.fields: Fields = ()
        self.events: list[str] = []

    def first_byte(self) -> None:
        self.events.append("first byte")

    def end(self, record: AccessRecord) -> None:
        self.events.append(record.code)


async def test_a_span_is_told_of_the_first_byte_of_an_answer_and_of_no_error_page(whole: Whole) -> None:
    client = await whole.client(b"")
    assert whole.front.service is not None
    span = Told()
    whole.front.service._context.tracer = lambda request, age, fields: span
    await client.send(get("/"))
    await whole.give(b"ab", 200, sized(b"ab"))
    await answered(whole, client)
    await client.send(get("/"))
    await whole.give(b"ab", 200, (b"x", b"\n"))
    await client.answer()
    await whole.front.log.until(lambda: len(whole.front.log.all) == 2)
    assert span.events == ["first byte", "--", "PH"]
