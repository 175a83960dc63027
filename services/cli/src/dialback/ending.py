"""How an invocation ended, in words: for the waterfall and for the lines of the access log."""

from __future__ import annotations

from dialback.terminal import safe

NO_FAULT = "--"
"""The log code of an invocation in which nothing went wrong."""

VERDICTS = {
    "ok": ("✓", "green", "ended well"),
    "error": ("✗", "red", "the function failed"),
    "truncated": ("✗", "red", "cut short"),
    "cancelled": ("–", "yellow", "cancelled"),
    "timeout": ("✗", "red", "timed out"),
    "protocol": ("✗", "red", "broke the protocol"),
    "overload": ("✗", "yellow", "refused: too much to do"),
    "unavailable": ("✗", "yellow", "unavailable"),
}
"""Sign, style and words of a verdict that a trace knows."""

CAUSES = {
    "function": "the function",
    "client": "the client",
    "worker": "the worker",
    "policy": "a limit",
    "platform": "the platform",
    "killed": "a stop of the platform",
    "resources": "a lack of room",
}

NO_FUNCTION = "LR"
NOT_FOUND = ("✗", "yellow", "no such function")


def verdict_words(verdict: str, cause: str, code: str) -> tuple[str, str, str]:
    """Sign, style and words: what happened, and who caused it. Words of later versions are shown as they are."""
    if code == NO_FUNCTION:
        return NOT_FOUND
    sign, style, words = VERDICTS.get(verdict.lower(), ("?", "yellow", safe(verdict)))
    by = CAUSES.get(cause, safe(cause))
    # "the function failed, by the function" says nothing more.
    return sign, style, f"{words}, by {by}" if by and not words.startswith(by) else words
