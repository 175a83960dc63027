"""The table of callback tokens: which invocation a dial-back is for, and whether it still may.

An entry goes `pending -> attached -> ended`, each step without an await between look and set. What ended is remembered
for a while, so that a late or replayed token is told 410 and not 401.
"""

import os
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from dialback_wire import tokens
from dialback_wire.messages import Refusal
from dialback_wire.randomness import Randomness
from dialback_wire.tokens import Token

if TYPE_CHECKING:
    from dialback_invoker.exchange import Exchange

REMEMBERED = 20_000
"""How many ended tokens are remembered; the oldest are forgotten first, and then answered 401."""


@dataclass(slots=True)
class Entry:
    """One invocation that waits for, or has, its dial-back."""

    token: Token
    worker: str
    exchange: "Exchange"
    attached: bool = False


class Refused(Exception):
    """A token was not accepted: the code and a constant reason for the other side."""

    def __init__(self, code: Refusal) -> None:
        super().__init__(_REASONS[code])
        self.code = code
        self.reason = _REASONS[code]


_REASONS = {
    Refusal.UNAUTHORIZED: "unauthorized",
    Refusal.CONFLICT: "this token is in use",
    Refusal.GONE: "this invocation is over",
}

# What an unknown id is compared with, so that a wrong id and a wrong secret take the same work.
_NOBODY = Token("none", "0" * 26, bytes(32))


class PendingTable:
    """Tokens of one receiver. `receiver` names it in every token: [0-9a-z], 16 characters at most."""

    def __init__(self, receiver: str, random: Callable[[int], bytes] | None = None) -> None:
        self.receiver = receiver
        self._random = random or Randomness(os.urandom)
        self._entries: dict[str, Entry] = {}
        self._ended: OrderedDict[str, Token] = OrderedDict()
        self.refused = {Refusal.UNAUTHORIZED: 0, Refusal.CONFLICT: 0, Refusal.GONE: 0}

    def __len__(self) -> int:
        return len(self._entries)

    def mint(self, invocation: str, worker: str, exchange: "Exchange") -> bytes:
        """A new single-use token for an invocation that was given to `worker`."""
        text, token = tokens.mint(self.receiver, invocation, self._random(tokens.SECRET_BYTES))
        self._entries[invocation] = Entry(token, worker, exchange)
        return text

    def check(self, text: bytes) -> Entry:
        """The entry of a token that could be used now; uses nothing up. For the upgrade request. Raises Refused."""
        return self._find(text)

    def take(self, text: bytes, worker: str) -> Entry:
        """Use a token up, on a socket that belongs to `worker`; empty: to nobody yet. Raises Refused."""
        entry = self._find(text)
        if worker and entry.worker != worker:
            self._refuse(Refusal.UNAUTHORIZED)
        entry.attached = True
        return entry

    def end(self, invocation: str) -> None:
        """The invocation is over, or nobody waits for it any more: its token opens nothing now."""
        entry = self._entries.pop(invocation, None)
        if entry is None:
            return
        self._ended[invocation] = entry.token
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def _find(self, text: bytes) -> Entry:
        token = tokens.parse(text)
        if token is None or token.receiver != self.receiver:
            self._refuse(Refusal.UNAUTHORIZED)
        entry = self._entries.get(token.invocation)
        known = entry.token if entry is not None else self._ended.get(token.invocation, _NOBODY)
        if not tokens.same_secret(token, known):
            self._refuse(Refusal.UNAUTHORIZED)
        if entry is None:
            self._refuse(Refusal.GONE)
        if entry.attached:
            self._refuse(Refusal.CONFLICT)
        return entry

    def _refuse(self, code: Refusal) -> NoReturn:
        self.refused[code] += 1
        raise Refused(code)
