"""What is told of an exception out of the user's code: to the client, to the log, to the runtime API."""

from __future__ import annotations

from traceback import clear_frames

from .exchange import ClientGone
from .handlers.base import HandlerFailed

MAX_DETAIL = 500
"""Characters of a handler's exception that go into END; the whole traceback is in the log."""


def follows_from_leaving(error: BaseException) -> bool:
    """Whether `error` came of a ClientGone, as when a framework puts its own exception in that one's place."""
    return any(isinstance(each, ClientGone) for each in _chain(error))


def let_go(error: BaseException) -> None:
    """Forget what the frames of `error` held, now that it was told.

    A framework may have left a generator suspended in them, whose `finally` runs when nobody holds it any more; without
    this, that would be when Python next looks for rings.
    """
    for each in _chain(error):
        clear_frames(each.__traceback__)


def _chain(error: BaseException) -> list[BaseException]:
    """`error` and what it came of."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:  # `raise error from error` makes a ring
        chain.append(following)
        following = following.__cause__ or following.__context__
    return chain


def cause(error: BaseException) -> BaseException:
    """What the user's code raised."""
    return error.__cause__ if isinstance(error, HandlerFailed) and error.__cause__ is not None else error


def describe(error: BaseException) -> str:
    """What the client may be told of it, in proper Unicode."""
    shown = cause(error)
    text = str(shown) if isinstance(shown, HandlerFailed) else f"{type(shown).__name__}: {shown}".removesuffix(": ")
    return text[:MAX_DETAIL].encode("utf-8", "replace").decode()
