"""Draws the state machines of `docs/protocol.md` from the tables in `dialback_wire.tables`.

`python docs/make_state_diagrams.py` rewrites what stands between the markers; a test fails when that would change it.
"""

from enum import Enum
from pathlib import Path

from dialback_wire.frames import FrameType
from dialback_wire.tables import BODY, SENDS, Body, Response, Seat

PAGE = Path(__file__).parent / "protocol.md"
Step = tuple[str, str, str, str]
"""From, to, who sends, which frame."""


def steps_of(asker: Seat, answerer: Seat) -> list[Step]:
    """The response half of one kind of carrier."""
    return [
        (before.value, after.value, _name(seat), kind.name)
        for seat in (asker, answerer)
        for (before, kind), after in SENDS[seat].items()
    ]


def body_steps() -> list[Step]:
    """The request half, the same on every carrier."""
    return [(before.value, after.value, "asker", kind.name) for (before, kind), after in BODY.items()]


def diagram(steps: list[Step], states: list[str], begins: str, ends: str) -> str:
    """A mermaid state diagram; frames with the same way and sender share an arrow."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {begins}"]
    arrows: dict[tuple[str, str, str], list[str]] = {}
    for before, after, sender, kind in steps:
        arrows.setdefault((before, after, sender), []).append(kind)
    ordered = sorted(arrows.items(), key=lambda arrow: (states.index(arrow[0][0]), states.index(arrow[0][1])))
    lines += [f"    {a} --> {b}: {sender} {', '.join(kinds)}" for (a, b, sender), kinds in ordered]
    return "\n".join([*lines, f"    {ends} --> [*]", "```"])


def table(steps: list[Step], states: list[str]) -> str:
    """The same as a table: who may send what in which state, and what the state is then."""
    lines = ["| state | sender | frame | next state |", "|---|---|---|---|"]
    order = [kind.name for kind in FrameType]
    ordered = sorted(steps, key=lambda step: (states.index(step[0]), step[2], order.index(step[3])))
    return "\n".join(lines + [f"| {a} | {sender} | {kind} | {b} |" for a, b, sender, kind in ordered])


def _name(seat: Seat) -> str:
    return "invoker" if seat in (Seat.INVOKER_LINK, Seat.INVOKER_RECEIVER) else seat.name.lower()


def _values(states: type[Enum]) -> list[str]:
    return [str(state.value) for state in states]


def drawings() -> dict[str, str]:
    """What stands between each pair of markers."""
    responses, bodies = _values(Response), _values(Body)
    link = steps_of(Seat.EDGE, Seat.INVOKER_LINK)
    socket = steps_of(Seat.INVOKER_RECEIVER, Seat.BRIDGE)
    return {
        "link": f"{diagram(link, responses, 'idle', 'closed')}\n\n{table(link, responses)}",
        "socket": f"{diagram(socket, responses, 'idle', 'closed')}\n\n{table(socket, responses)}",
        "body": f"{diagram(body_steps(), bodies, 'streaming', 'ended')}\n\n{table(body_steps(), bodies)}",
    }


def redrawn(page: str) -> str:
    """`page` with fresh drawings. Raises ValueError when a marker is missing."""
    for name, drawing in drawings().items():
        begin, end = f"<!-- {name}: drawn by make_state_diagrams.py -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"the markers of {name} are missing")
        page = f"{before}{begin}\n{drawing}\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(redrawn(PAGE.read_text()))
