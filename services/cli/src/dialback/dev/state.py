"""What `dialback dev` knows right now: which version serves, what is wrong with the last save, what requests raised."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from dialback.dev.problem import Problem

REMEMBERED = 200
"""Failed requests whose exceptions are kept for their error pages."""


@dataclass(slots=True)
class State:
    """Shared by the pages, the reload and the log; changed on the loop's thread alone."""

    version: str = ""
    problem: Problem | None = None
    number: int = 0
    """Counts problems, so that a page can tell whether it shows this one."""
    raised: OrderedDict[str, Problem] = field(default_factory=OrderedDict)
    """Invocation ids to what their code raised."""
    _listeners: set[Callable[[], None]] = field(default_factory=set)
    _awaited: dict[str, asyncio.Event] = field(default_factory=dict)

    def change(self, version: str, problem: Problem | None) -> None:
        """Another version serves, or something is wrong, or is not any more."""
        if problem is not None:
            self.number += 1
        self.version, self.problem = version, problem
        for listener in tuple(self._listeners):
            listener()

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Be told of changes; call what is returned to be told no more."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def remember(self, invocation: str, problem: Problem) -> None:
        """What a request raised."""
        self.raised[invocation] = problem
        if len(self.raised) > REMEMBERED:
            self.raised.popitem(last=False)
        if (awaited := self._awaited.get(invocation)) is not None:
            awaited.set()

    async def await_raised(self, invocation: str, seconds: float) -> None:
        """Until it is known what the request raised, `seconds` at most."""
        if invocation in self.raised:
            return
        event = self._awaited.setdefault(invocation, asyncio.Event())
        try:
            async with asyncio.timeout(seconds):
                await event.wait()
        except TimeoutError:
            pass
        finally:
            self._awaited.pop(invocation, None)

    def as_dict(self) -> dict[str, object]:
        """For the page."""
        problem = None if self.problem is None else self.problem.as_dict()
        return {"version": self.version, "number": self.number, "problem": problem}
