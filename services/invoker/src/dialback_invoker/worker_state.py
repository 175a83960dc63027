"""The states of a worker, as a table: what is not in it does not happen."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where a worker is in its life."""

    # In C: Enum's own is a Python function, and the table is asked twice for every request.
    __hash__ = object.__hash__

    STARTING = "starting"
    """Its process is being made, or loads the function."""
    READY = "ready"
    """It polled for the first time and has served nothing yet."""
    BUSY = "busy"
    """It holds at least one lease, and may take more."""
    IDLE = "idle"
    """It has served, and is warm."""
    CONDEMNED = "retiring"
    """It finishes what it holds and takes nothing new."""
    STOPPING = "stopping"
    """It was told to exit."""
    DEAD = "dead"


class Event(Enum):
    """What happens to a worker."""

    __hash__ = object.__hash__  # as above

    POLLED = "polled"
    LEASED = "leased"
    FREED = "freed"
    """Its last lease ended."""
    CONDEMNED = "condemned"
    STOPPED = "stopped"
    EXITED = "exited"


_END = {Event.CONDEMNED: State.CONDEMNED, Event.STOPPED: State.STOPPING, Event.EXITED: State.DEAD}

TRANSITIONS: Mapping[State, Mapping[Event, State]] = {
    State.STARTING: {Event.POLLED: State.READY, **_END},
    State.READY: {Event.LEASED: State.BUSY, **_END},
    State.BUSY: {Event.LEASED: State.BUSY, Event.FREED: State.IDLE, **_END},
    State.IDLE: {Event.LEASED: State.BUSY, **_END},
    State.CONDEMNED: {Event.POLLED: State.CONDEMNED, Event.FREED: State.CONDEMNED, **_END},
    State.STOPPING: {
        Event.POLLED: State.STOPPING,
        Event.FREED: State.STOPPING,
        Event.CONDEMNED: State.STOPPING,
        Event.STOPPED: State.STOPPING,
        Event.EXITED: State.DEAD,
    },
    State.DEAD: {Event.FREED: State.DEAD, Event.CONDEMNED: State.DEAD, Event.STOPPED: State.DEAD},
}

SERVING = frozenset({State.READY, State.BUSY, State.IDLE})
"""States in which a worker with a free slot may be given work."""
LIVE = SERVING | {State.STARTING}
"""States that count towards ``max_workers``."""


class IllegalTransition(AssertionError):
    """A fault of ours: an event in a state that does not know it."""


def step(state: State, event: Event) -> State:
    """The state after the event. Raises IllegalTransition."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise IllegalTransition(f"a worker that is {state.value} cannot be {event.value}") from None
