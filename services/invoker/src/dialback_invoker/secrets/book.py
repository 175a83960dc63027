"""The variables that people set for functions beside their ``dialback.toml``: kept, closed, handed to workers.

Everything is in memory as it is stored, secrets closed. They are opened when workers are to be started, and by nothing
that answers the control API.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dialback_invoker.deployment import Deployment
from dialback_invoker.errors import InvalidInput, NotFound, SecretUnreadable
from dialback_invoker.names import name_key
from dialback_invoker.secrets.keys import KeyRing
from dialback_invoker.secrets.redaction import Redactor
from dialback_invoker.secrets.variables import MOST_BYTES, check, size
from dialback_invoker.store.port import Store, Variable

OnChange = Callable[[str], None]
"""(the function whose workers are to be started anew)"""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What was set for a function, opened: for those who start its processes."""

    plain: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


NOTHING: Final = Surroundings()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A value that somebody sets."""

    value: str = field(repr=False)
    secret: bool = False


class VariableBook:
    """Every function's variables. All calls come on the event loop's thread."""

    def __init__(self, store: Store, ring: KeyRing, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ring = ring
        self._clock = clock
        self._variables: dict[str, dict[str, Variable]] = {}
        self._redactors: dict[str, Redactor] = {}
        self._changing = asyncio.Lock()
        self._on_change: OnChange = lambda _: None

    async def load(self) -> None:
        """Read what is stored. Once, at start."""
        for variable in await self._store.variables():
            self._variables.setdefault(name_key(variable.function), {})[variable.name] = variable

    def listen(self, on_change: OnChange) -> None:
        """Be told when a function's variables are others than before."""
        self._on_change = on_change

    def of(self, function: str) -> Surroundings:
        """What a new process of ``function`` is given. Raises SecretUnreadable, PathProblem."""
        found = self._variables.get(name_key(function), {}).values()
        plain = {variable.name: variable.value for variable in found if not variable.secret}
        secrets = {variable.name: self._opened(variable) for variable in found if variable.secret}
        if secrets:
            self._redactors.setdefault(name_key(function), Redactor()).know(secrets)
        return Surroundings(plain, secrets)

    def names(self, function: str) -> Sequence[Variable]:
        """What is set, by name; secrets with an empty value."""
        found = self._variables.get(name_key(function), {})
        return [replace(each, value="") if each.secret else each for _, each in sorted(found.items())]

    def redact(self, function: str, text: str) -> str:
        """``text``, which comes from ``function``, without the values of its secrets."""
        redactor = self._redactors.get(name_key(function))
        return text if redactor is None else redactor(text)

    async def change(self, function: str, put: Mapping[str, Wanted], remove: Sequence[str]) -> None:
        """Set and remove variables in one step: all of it, or none. Raises InvalidInput, NotFound, PathProblem."""
        for name, wanted in put.items():
            check(name, wanted.value, wanted.secret)
        async with self._changing:
            held = self._variables.get(name_key(function), {})
            for name in remove:
                if name not in held:
                    raise NotFound(f"{function} has no variable {name[:64]!r} that was set", code="no_such_variable")
                if name in put:
                    raise InvalidInput(f"{name} is to be set and removed", code="invalid_variable")
            for name, wanted in put.items():
                if name in held and held[name].secret and not wanted.secret:
                    text = f"{name} is a secret, and a plain value could be read by everybody; remove it first"
                    raise InvalidInput(text, code="would_show_secret")
            self._refuse_too_much(function, held, put, remove)
            stored = await asyncio.to_thread(self._sealed, function, put)
            await self._store.change_variables(function, stored, remove)
            left = {name: each for name, each in held.items() if name not in remove}
            self._variables[name_key(function)] = left | {each.name: each for each in stored}
        self._on_change(function)

    async def rotate(self) -> int:
        """Close every secret with a new key and forget the old ones; how many there are. A secret that cannot be
        opened stops it, and then the old keys stay.
        """
        async with self._changing:
            await asyncio.to_thread(self._ring.add_key)
            held = [each for some in self._variables.values() for each in some.values() if each.secret]
            closed = await asyncio.to_thread(self._closed_anew, held)
            await self._store.replace_variables(closed)
            for each in closed:
                self._variables[name_key(each.function)][each.name] = each
            await asyncio.to_thread(self._ring.drop_old_keys)
            return len(closed)

    def forget(self, deployment: Deployment) -> None:
        """A function was removed, and the store has forgotten its variables."""
        self._variables.pop(name_key(deployment.function), None)

    def _refuse_too_much(
        self, function: str, held: Mapping[str, Variable], put: Mapping[str, Wanted], remove: Sequence[str]
    ) -> None:
        kept = {n: self._measured(each) for n, each in held.items() if n not in remove and n not in put}
        total = size(kept) + size({name: wanted.value for name, wanted in put.items()})
        if total > MOST_BYTES:
            raise InvalidInput(
                f"the variables of {function} would have {total:,} bytes, names and values together;"
                f" {MOST_BYTES:,} are allowed",
                code="environment_too_large",
            )

    def _measured(self, variable: Variable) -> str:
        try:
            return self._opened(variable)
        except SecretUnreadable:
            return variable.value

    def bytes_of(self, function: str) -> int:
        """Names and values that are set for ``function``, as Lambda counts them."""
        return size({name: self._measured(each) for name, each in self._variables.get(name_key(function), {}).items()})

    def _opened(self, variable: Variable) -> str:
        if not variable.secret:
            return variable.value
        return self._ring.open(variable.value, variable.function, variable.name)

    def _sealed(self, function: str, put: Mapping[str, Wanted]) -> list[Variable]:
        now = self._clock()
        return [
            Variable(
                function,
                name,
                self._ring.seal(wanted.value, function, name) if wanted.secret else wanted.value,
                wanted.secret,
                now,
            )
            for name, wanted in put.items()
        ]

    def _closed_anew(self, held: Sequence[Variable]) -> list[Variable]:
        return [replace(each, value=self._ring.seal(self._opened(each), each.function, each.name)) for each in held]
