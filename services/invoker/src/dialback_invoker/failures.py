"""What failures on a request's way mean to its client, to its record and to its worker."""

import logging

from dialback_invoker.errors import DialbackError, NotFound, Overloaded
from dialback_invoker.exchange import HANDLER_ERROR, Exchange
from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.lease import WorkerDied
from dialback_invoker.outcome import Failure
from dialback_invoker.runtime_api import FunctionError
from dialback_invoker.upload import UploadBroken
from dialback_wire import payload
from dialback_wire.messages import Reason, Verdict

log = logging.getLogger("dialback.dispatch")


def failure_of(error: Exception, exchange: Exchange) -> Failure:
    """What an exception on the way to the worker becomes. One that is nobody's but ours is logged with its traceback.

    A worker's start is explained in the log, not to the client.
    """
    if isinstance(error, UploadBroken):
        return Failure(Verdict.TRUNCATED, "C", 400, "upload_broken", str(error), Reason.CLIENT_GONE)
    if not isinstance(error, DialbackError):
        log.error("invocation %s failed", exchange.request.id, exc_info=error)
        return Failure(Verdict.ERROR, "I", 500, "internal_error", type(error).__name__, Reason.KILLED)
    message = exchange.redact(error.message)
    if isinstance(error, Overloaded):
        return Failure(Verdict.OVERLOAD, "R", 503, error.code, message, Reason.KILLED, max(1, error.retry_after))
    if isinstance(error, LaunchFailed):
        log.error("%s: %s", exchange.request.id, message.partition("\n")[0])
        if error.code == "start_timeout":
            return Failure(Verdict.TIMEOUT, "s", 504, "timeout_start", message, Reason.TIMEOUT_START)
        detail = "the function's worker could not be started; the function's log says why"
        # A function that cannot be imported is to blame itself, anything else is its worker.
        who = "F" if error.code == "init_error" else "S"
        return Failure(Verdict.ERROR, who, 502, error.code, detail, Reason.KILLED, error.retry_after)
    who = "L" if isinstance(error, NotFound) else "P" if error.http_status < 500 else "I"
    return Failure(Verdict.ERROR, who, error.http_status, error.code, message, Reason.KILLED)


def unanswered(answer: FunctionError | WorkerDied) -> Failure:
    """A worker that gave no response: what its error, or its death, means."""
    if isinstance(answer, WorkerDied):
        return Failure(Verdict.ERROR, "S", 502, *death(answer), Reason.KILLED)
    if answer.type == payload.UNREACHABLE:
        detail = "the worker could not reach the receiver; the handler was not called"
        return Failure(Verdict.TIMEOUT, "s", 504, "receiver_unreachable", detail, Reason.KILLED)
    if answer.type == payload.REFUSED:
        return Failure(Verdict.ERROR, "I", 502, "token_refused", answer.message, Reason.KILLED)
    return Failure(Verdict.ERROR, "F", 500, HANDLER_ERROR, f"{answer.type}: {answer.message}", Reason.KILLED)


def death(died: WorkerDied) -> tuple[str, str]:
    """A short word and a sentence for a worker's death."""
    return "out_of_memory" if died.oom else "worker_died", f"the worker {died.reason}"
