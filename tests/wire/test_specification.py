"""The specification says what the code does: state machines, numbers, limits."""

import runpy
from pathlib import Path
from typing import Any

import pytest

from dialback_wire import frames
from dialback_wire.frames import FrameType
from dialback_wire.messages import Reason, Refusal, Verdict
from dialback_wire.stream import MAX_INFOS
from dialback_wire.tables import Seat

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "protocol.md").read_text()


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    """What the drawing script defines."""
    return runpy.run_path(str(DOCS / "make_state_diagrams.py"))


def test_the_drawn_state_machines_are_fresh(script: dict[str, Any]) -> None:
    assert script["redrawn"](PAGE) == PAGE, "run python docs/make_state_diagrams.py"


def test_a_page_without_markers_is_an_error(script: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="markers of link are missing"):
        script["redrawn"]("no markers")


@pytest.mark.parametrize("kind", list(FrameType))
def test_the_specification_lists_every_frame_with_its_number(kind: FrameType) -> None:
    assert f"| 0x{kind:02x} | {kind.name} |" in PAGE


@pytest.mark.parametrize("value", [*Verdict, *Reason, *Refusal, *Seat], ids=lambda value: str(value.name))
def test_the_specification_lists_every_number_with_its_name(value: Any) -> None:
    assert f"| {int(value)} | {value.name} |" in PAGE


@pytest.mark.parametrize(
    "number", [frames.HELLO_LIMIT, frames.MAX_PING, frames.MAX_TEXT, frames.MAX_CODE, frames.HEADER_BYTES]
)
def test_the_specification_names_the_limits(number: int) -> None:
    assert f"{number} bytes" in PAGE
    assert f"{MAX_INFOS} INFO" in PAGE
