"""What waits in a stream's queue comes out as it went in, however it was gathered and cut."""

from hypothesis import given
from hypothesis import strategies as st

from dialback_wire.outbox import GATHERED, Outbox

LIMIT = 1 << 30


@given(st.lists(st.tuples(st.integers(1, 6000), st.integers(0, 9000)), max_size=30))
def test_bytes_leave_in_order_whatever_their_pieces(steps: list[tuple[int, int]]) -> None:
    outbox = Outbox(LIMIT)
    went_in, came_out = b"", b""
    for number, (size, wanted) in enumerate(steps):
        data = bytes([number]) * size
        went_in += data
        outbox.put(data)
        count = min(wanted, outbox.sendable)
        came_out += b"".join(outbox.take(count))
        assert outbox.queued == len(went_in) - len(came_out)
    came_out += b"".join(outbox.take(outbox.queued))
    assert came_out == went_in
    assert outbox.window.sent == len(went_in)


def test_small_pieces_are_gathered_up_to_a_bound_and_given_out_once() -> None:
    outbox = Outbox(LIMIT)
    for number in range(GATHERED // 64 + 100):
        outbox.put(bytes([number % 256]) * 64)
    first = outbox.take(outbox.queued)
    assert [len(part) for part in first] == [GATHERED, 100 * 64]
    outbox.put(b"behind")
    assert outbox.take(6) == [b"behind"]
    assert [len(part) for part in first] == [GATHERED, 100 * 64]
