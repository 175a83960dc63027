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

BLAMED = ("worker", "platform")
"""Causes of an error that are not the function."""

NO_FUNCTION = "LR"
NOT_FOUND = ("✗", "yellow", "no such function")


def verdict_words(verdict: str, cause: str, code: str) -> tuple[str, str, str]:
    """Sign, style and words: what happened, and who caused it. Words of later versions are shown as they are."""
    if code == NO_FUNCTION:
        return NOT_FOUND
    sign, style, words = VERDICTS.get(verdict.lower(), ("?", "yellow", safe(verdict)))
    by = CAUSES.get(cause, safe(cause))
    if verdict.lower() == "error" and cause in BLAMED:
        return sign, style, f"{by} failed"
    # "the function failed, by the function" says nothing more.
    return sign, style, f"{words}, by {by}" if by and not words.startswith(by) else words


WHO = {
    "C": "the client left",
    "c": "the client was too slow",
    "F": "the function failed",
    "S": "the worker failed",
    "s": "the function took too long",
    "P": "not allowed",
    "R": "no room",
    "I": "the platform failed",
    "K": "the platform was stopped",
}
"""The first letter of a log code."""
WHERE = {
    "R": "while its request was read",
    "Q": "while it waited for a worker",
    "L": "while its worker started",
    "W": "before its worker dialled back",
}
"""The second letter, where it says more than status and bytes do."""


def code_words(code: str) -> str:
    """A log code in words; empty when nothing went wrong, the code itself when it is of a later version."""
    if code == NO_FAULT:
        return ""
    if code == NO_FUNCTION:
        return NOT_FOUND[2]
    who, phase = WHO.get(code[:1]), code[1:]
    if who is None:
        return safe(code)
    if code == "SL":
        return "the worker failed to start"
    if phase == "D":
        return f"cut short, {who}"
    return f"{who} {WHERE[phase]}" if phase in WHERE and code[0] in "CcFSsK" else who
