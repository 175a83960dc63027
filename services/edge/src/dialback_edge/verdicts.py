"""How the upstream's last word becomes a status for the client and a code in the log."""

from dialback_wire.messages import End, Verdict

_STATUS = {
    Verdict.TIMEOUT: 504,
    Verdict.OVERLOAD: 503,
    Verdict.UNAVAILABLE: 503,
}
# Who and in which phase, for what an END can say only by its code.
_BLAMED = {
    "handler_error": "F",
    "function_failed": "F",
    "init_error": "F",
    "short_body": "F",
    "internal_error": "I",
    "token_refused": "I",
}
_PHASES = {
    "timeout_start": "L",
    "init_error": "L",
    "worker_exited": "L",
    "launch_failed": "L",
    "oom": "L",
    "receiver_unreachable": "W",
    "token_refused": "W",
}
_WHO = {"C": "client", "c": "client", "F": "function", "S": "worker", "s": "function"}
_BEFORE_HEAD = {
    Verdict.TIMEOUT: "sH",
    Verdict.OVERLOAD: "RQ",
    Verdict.UNAVAILABLE: "KQ",
    Verdict.PROTOCOL: "PH",
    Verdict.CANCELLED: "KH",
}
_AFTER_HEAD = {
    Verdict.TIMEOUT: "sD",
    Verdict.PROTOCOL: "PD",
    Verdict.CANCELLED: "KD",
    Verdict.OVERLOAD: "RD",
    Verdict.UNAVAILABLE: "KD",
}
_MESSAGES = {
    404: "There is no such function here.",
    413: "The request's body is too large.",
    500: "The function failed.",
    502: "The function's worker ended before it answered.",
    503: "The function cannot take this request now.",
    504: "The function did not answer in time.",
}


def error_of(end: End) -> tuple[int, str, str]:
    """Status, machine-readable word and message for an END that came before any head."""
    status = end.status if 400 <= end.status <= 599 else _STATUS.get(end.verdict, 502)
    code = end.code or end.verdict.name.lower()
    return status, code, end.detail or _MESSAGES.get(status, "The request could not be served.")


def log_code(end: End, *, head_sent: bool) -> str:
    """Who ended it and in which phase, for an END that is not OK."""
    if head_sent:
        return _AFTER_HEAD.get(end.verdict) or _BLAMED.get(end.code, "S") + "D"
    if end.status == 404:
        return "LR"
    if 400 <= end.status < 500:
        return "PR"
    code = _BEFORE_HEAD.get(end.verdict) or _BLAMED.get(end.code, "S") + "H"
    return code[0] + _PHASES.get(end.code, code[1])


def ended_by(code: str, *, upstream: bool) -> str:
    """Which part ended it: `client`, `edge`, `invoker`, `worker` or `function`. `upstream`: the invoker said so."""
    who = "worker" if code in ("sL", "sW") else _WHO.get(code[0])
    return who or ("invoker" if upstream else "edge")
