"""A whole response that cannot be passed on, or is lost on its way, is not recorded as one that arrived."""

from collections.abc import Callable

from dialback_invoker.exchange import Exchange
from dialback_invoker.timeline import Timeline
from dialback_wire.errors import LocalError
from dialback_wire.messages import Head, Request, Verdict

HEAD = Head(200, ((b"content-length", b"5"),))
REQUEST = Request("0" * 26, b"GET", b"/", b"h", (), b"http", b"1.1", b"127.0.0.1:1", 0)


class Client:
    """A stream of the link, as far as an exchange that answers needs one."""

    id = 1
    opened_bytes = received = queued = 0
    credit = 65_536
    tap: Callable[[bool, int, int], None] | None = None

    def __init__(self, *, refuses: bool) -> None:
        self.refuses = refuses
        self.over = False
        self.ends: list[Verdict] = []

    def answer(self, head: Head, body: bytes) -> None:
        if self.refuses:
            raise LocalError("the other side takes less")
        self.over = True

    def end(self, verdict: Verdict, **_: object) -> None:
        self.ends.append(verdict)


def exchange(client: Client) -> Exchange:
    return Exchange(REQUEST, client, Timeline())  # type: ignore[arg-type]


async def test_one_that_cannot_be_passed_on_ends_with_an_error() -> None:
    client = Client(refuses=True)
    one = exchange(client)
    try:
        one.answer(HEAD, b"hello")
    except LocalError:
        # As the mux does with whatever a sink raises.
        one.give_up("worker_lost", "internal error")
    assert client.ends == [Verdict.TRUNCATED]
    one.on_closed()
    assert one.outcome is not None
    assert one.outcome.verdict is Verdict.TRUNCATED


async def test_one_that_was_lost_before_it_left_was_not_served() -> None:
    one = exchange(Client(refuses=False))
    one.answer(HEAD, b"hello")
    assert one.outcome is None
    one.on_lost("the link broke")
    assert one.outcome is not None
    assert (one.outcome.verdict, one.outcome.error) == (Verdict.CANCELLED, "client_gone")


async def test_one_that_left_was_served_whatever_comes_then() -> None:
    one = exchange(Client(refuses=False))
    one.answer(HEAD, b"hello")
    one.on_closed()
    one.on_lost("the link broke")
    assert one.outcome is not None
    assert one.outcome.verdict is Verdict.OK
