"""How frames leave: what is joined, and what goes to the carrier as it is."""

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.outlet import LARGE, PartsOutlet
from dialback_wire.read_buffer import SIZE, SMALL, ReadBuffer

WINDOW = frames.frame(FrameType.WINDOW, 1, bytes(16))


def written(outlet: PartsOutlet, writes: list[list[bytes | bytearray]]) -> list[bytes | bytearray]:
    outlet.leave()
    assert not len(outlet)
    (parts,) = writes
    writes.clear()
    return parts


def test_small_frames_leave_in_one_part() -> None:
    writes: list[list[bytes | bytearray]] = []
    outlet = PartsOutlet(writes.append)
    outlet.put(FrameType.WINDOW, 1, bytes(16))
    outlet.put_data(3, 6, [b"abc", bytearray(b"def")])
    header = frames.pack_header(FrameType.DATA << 24 | 6, 3)
    assert written(outlet, writes) == [WINDOW + header + b"abcdef"]


def test_large_parts_leave_as_they_are_and_what_is_between_them_is_joined() -> None:
    writes: list[list[bytes | bytearray]] = []
    outlet = PartsOutlet(writes.append)
    large = bytes(LARGE)
    outlet.put(FrameType.WINDOW, 1, bytes(16))
    outlet.put_data(3, LARGE, [large])
    outlet.put_data(5, LARGE + 2, [b"ab", large])
    outlet.put(FrameType.WINDOW, 1, bytes(16))
    first = frames.pack_header(FrameType.DATA << 24 | LARGE, 3)
    second = frames.pack_header(FrameType.DATA << 24 | LARGE + 2, 5)
    parts = written(outlet, writes)
    assert parts == [WINDOW + first, large, second + b"ab", large, WINDOW]
    assert parts[1] is large
    outlet.put_data(3, 2 * LARGE, [large, large])
    assert written(outlet, writes) == [frames.pack_header(FrameType.DATA << 24 | 2 * LARGE, 3), large, large]
    outlet.put(FrameType.WINDOW, 1, bytes(16))
    assert written(outlet, writes) == [WINDOW]


def test_what_is_dropped_does_not_leave() -> None:
    writes: list[list[bytes | bytearray]] = []
    outlet = PartsOutlet(writes.append)
    outlet.put_data(3, LARGE, [bytes(LARGE)])
    outlet.drop()
    assert not len(outlet)
    assert writes == []


def test_what_is_read_is_used_up_before_the_next_read() -> None:
    buffer = ReadBuffer()
    assert len(buffer.memory) == SIZE
    buffer.memory[:3] = b"abc"
    small, large = buffer.came(3), buffer.came(SMALL + 1)
    buffer.memory[:3] = b"xyz"
    assert small == b"abc"
    assert isinstance(large, memoryview)
    assert bytes(large[:3]) == b"xyz"


def test_nothing_is_written_when_there_is_nothing_to_write() -> None:
    writes: list[list[bytes | bytearray]] = []
    PartsOutlet(writes.append).leave()
    assert writes == []
