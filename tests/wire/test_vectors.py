"""The conformance vectors are what this implementation does, and are written down as it does it."""

import json
from typing import Any

import pytest

from dialback_wire import frames
from dialback_wire.errors import FramingError
from dialback_wire.frames import FrameType
from dialback_wire.messages import Head, Verdict
from dialback_wire.reader import FrameReader

from ..vectors import conversations_of, frames_of, make
from .notes import Notes
from .pair import SEATS, Pair, waiting


@pytest.mark.parametrize("name", sorted(make.build()))
def test_the_vectors_are_fresh(name: str) -> None:
    assert (make.HERE / name).read_text() == make.render(make.build()[name]), "run python -m tests.vectors.make"


def test_every_type_of_frame_has_a_vector() -> None:
    assert {vector["frame"]["type"] for vector in frames_of.valid()} == {kind.name for kind in FrameType}


def decoded(kind: FrameType, payload: bytes) -> Any:
    """What the decoder of this kind makes of a payload."""
    decoders: dict[FrameType, Any] = {
        FrameType.HELLO: frames.decode_hello,
        FrameType.OPEN: frames.decode_open,
        FrameType.INVOKE: frames.decode_invoke,
        FrameType.DECLINE: frames.decode_id,
        FrameType.DONE: frames.decode_id,
        FrameType.ACCEPT: frames.decode_accept,
        FrameType.REFUSE: frames.decode_refuse,
        FrameType.INFO: frames.decode_head,
        FrameType.HEAD: frames.decode_head,
        FrameType.TRAILERS: frames.decode_trailers,
        FrameType.END: frames.decode_end,
        FrameType.CANCEL: frames.decode_cancel,
        FrameType.WINDOW: frames.decode_window,
        FrameType.ANSWER: frames.decode_answer,
    }
    return decoders.get(kind, bytes)(payload)


@pytest.mark.parametrize("vector", frames_of.valid(), ids=lambda vector: vector["name"])
def test_a_frame_of_the_vectors_is_read_as_it_says(vector: dict[str, Any]) -> None:
    ((kind, stream, payload),) = FrameReader().feed(bytes.fromhex(vector["hex"]))
    meaning = vector["frame"]
    assert (FrameType(kind).name, stream) == (meaning["type"], meaning["stream"])
    value = decoded(FrameType(kind), payload)
    for name in (
        "major",
        "agent",
        "target",
        "method",
        "body",
        "invocation",
        "deadline_ms",
        "event",
        "verdict",
        "count",
        "detail",
        "body_length",
        "age_us",
    ):
        if name in meaning and hasattr(value, name):
            got = getattr(value, name)
            assert meaning[name] == (got.name if name == "verdict" else got.decode() if isinstance(got, bytes) else got)
    if kind in (FrameType.DECLINE, FrameType.DONE):
        assert value == meaning["invocation"]
    if kind == FrameType.WINDOW:
        assert value == (meaning["consumed"], meaning["limit"])
    if kind == FrameType.ANSWER:
        status, fields, body = value
        assert (status, frames_of.pairs(fields), body.hex()) == (meaning["status"], meaning["fields"], meaning["data"])
    if kind == FrameType.CANCEL:
        assert (value[0].name, value[1]) == (meaning["reason"], meaning["detail"])


def in_state(state: str) -> tuple[Pair, Notes | None]:
    """An edge that is so far, and the sink of its stream 1."""
    pair = Pair("link", greet=False)
    if state == "greeting":
        return pair, None
    pair.greet()
    if state == "ready":
        return pair, None
    talk = pair.open(body=True)
    if state == "streaming":
        talk.answer.head(Head(200, ()))
        pair.run()
    return pair, talk.asker


@pytest.mark.parametrize("vector", frames_of.malformed(), ids=lambda vector: vector["name"])
def test_a_malformed_frame_has_the_reaction_of_the_vectors(vector: dict[str, Any]) -> None:
    pair, notes = in_state(vector["state"])
    assert pair.asker.seat is SEATS["link"][0]
    data = bytes.fromhex(vector["hex"]) + b"x" * vector["fill"]
    if vector["reaction"] == "close":
        with pytest.raises(FramingError):
            pair.asker.receive(data)
        return
    before = list(notes.events) if notes else []
    pair.asker.receive(data)
    if vector["reaction"] == "pass_over":
        assert (notes.events if notes else []) == before
        assert waiting(pair.asker) == []
        return
    assert notes is not None
    if vector["reaction"] == "refused":
        assert notes.last("refuse") == 503
        return
    assert notes.last("end").verdict is Verdict.PROTOCOL
    is_last = data[0] == FrameType.END or (data[0] == FrameType.ANSWER and vector["state"] == "waiting")
    assert [frame[0] for frame in waiting(pair.asker)] == ([] if is_last else [FrameType.CANCEL])


def test_the_files_are_json_that_names_no_bytes_outside_ascii() -> None:
    for name in make.build():
        text = (make.HERE / name).read_text()
        assert text.isascii()
        json.loads(text)


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_the_conversations_come_out_the_same_however_their_bytes_are_cut(
    monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    whole = conversations_of.all_of_them()
    monkeypatch.setattr(conversations_of.Script, "piece", piece)
    assert conversations_of.all_of_them() == whole
