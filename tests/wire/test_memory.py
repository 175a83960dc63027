"""The link of the all-in-one process: no carrier, the same streams, one tick later."""

from dialback_wire.memory import join
from dialback_wire.messages import Request, Verdict
from dialback_wire.mux import Mux
from dialback_wire.sink import BaseSink
from dialback_wire.stream import Stream
from dialback_wire.tables import Seat

from .notes import Notes
from .pair import OK_HEAD, Ticks, request


def test_two_ends_in_one_process_talk_without_a_carrier() -> None:
    ticks, heard = Ticks(), Notes(asks=True)
    answers: list[Stream] = []

    def on_open(stream: Stream, what: Request | bytes) -> Notes:
        answers.append(stream)
        return Notes(asks=False)

    edge, invoker = join(
        lambda outlet: Mux(Seat.EDGE, write=outlet, defer=ticks),
        lambda outlet: Mux(Seat.INVOKER_LINK, write=outlet, defer=ticks, on_open=on_open),
        ticks,
    )
    assert not edge.ready
    ticks.run()
    heard.stream = edge.open_request(request(), heard)
    assert answers == []
    ticks.run()
    answers[0].head(OK_HEAD)
    answers[0].write(b"x" * 1_000_000)
    answers[0].end(Verdict.OK)
    assert heard.events == []
    ticks.run()
    assert len(heard.data) == 1_000_000
    assert heard.last("end").verdict is Verdict.OK
    assert edge.streams == invoker.streams == 0


def test_bytes_that_are_handed_over_in_memory_are_not_copied() -> None:
    ticks, answers, came = Ticks(), list[Stream](), list[bytes]()

    class Asker(BaseSink):
        def on_data(self, data: bytes) -> None:
            came.append(data)

    def on_open(stream: Stream, what: Request | bytes) -> BaseSink:
        answers.append(stream)
        return BaseSink()

    edge, _ = join(
        lambda outlet: Mux(Seat.EDGE, write=outlet, defer=ticks),
        lambda outlet: Mux(Seat.INVOKER_LINK, write=outlet, defer=ticks, on_open=on_open),
        ticks,
    )
    ticks.run()
    edge.open_request(request(), Asker())
    ticks.run()
    chunk = bytes(50_000)
    answers[0].head(OK_HEAD)
    answers[0].write(chunk)
    ticks.run()
    assert came[0] is chunk


def test_what_is_written_to_an_end_that_is_gone_is_dropped() -> None:
    ticks = Ticks()
    edge, invoker = join(
        lambda outlet: Mux(Seat.EDGE, write=outlet, defer=ticks),
        lambda outlet: Mux(Seat.INVOKER_LINK, write=outlet, defer=ticks),
        ticks,
    )
    ticks.run()
    invoker.lost("shut down")
    edge.ping()
    edge.flush()
    edge.ping()
    edge.flush()
    ticks.run()
    assert invoker.streams == 0
