"""The process that has imported a function and forks its workers.

It is a fork of the keeper. What it is to import, and whether it may, `preload` knows; when it may not, it says why and
ends, and workers are forked by the keeper, which has the bridge alone. It has a folder of its own, as a worker has;
each worker that it forks is given its own (`remembered`).

On a socket of its own it says `{"ready": true}`, or `{"unfit": reason, "told": whether workers tell of it}`, and is
then asked there to `fork`. It ends with that socket, and with the keeper.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from . import forking, log_capture, remembered
from .handover import Told, become, receive
from .launch import read_line
from .preload import Failed, Unfit, preload
from .process_control import PR_SET_PDEATHSIG, prctl
from .seclusion import seclude


class Forked(BaseException):
    """Raised in a worker, through everything that keeper and zygote were doing."""


def run(told: Told, descriptors: list[int], births: int, keeper: int) -> NoReturn:
    """Be a zygote. Raises Forked in a worker."""
    try:
        _end_with(keeper)
        turn_fd, control, log = descriptors
        with socket.socket(fileno=turn_fd) as turn:
            _serve(told, turn, control, log, births)
    except Forked:
        raise
    except BaseException as error:
        os.write(2, "".join(traceback.format_exception(error)).encode("utf-8", "backslashreplace"))
        os._exit(1)
    os._exit(0)


def _serve(told: Told, turn: socket.socket, control: int, log: int, births: int) -> None:
    name: str = told["name"]
    if told["closed"]:
        seclude()
    os.environ.update(json.loads(read_line(control)))
    os.close(control)
    os.chdir(told["folder"])
    sink = log_capture.install(log)
    try:
        preload(Path(told["folder"]), told["entry"], told["kind"], insists=told["insists"])
        places = remembered.find(name)
        if places.problems and not told["insists"]:
            raise Unfit(f"keeps the path of its folder in {places.problems[0]}")
    except Unfit as unfit:
        _say(turn, {"unfit": str(unfit), "told": isinstance(unfit, Failed)})
        return
    sink.close_outside()
    gc.collect()
    # Pages that no collection writes to stay shared.
    gc.freeze()
    _say(turn, {"ready": True})
    while (received := receive(turn)) is not None:
        order, descriptors = received
        answer: dict[str, Any]
        try:
            pid = forking.fork(detached=True, births=births)
        except OSError as error:
            answer = {"problem": error.strerror or str(error)}
        else:
            if pid == 0:
                turn.close()
                os.close(births)
                os.close(log)
                order, descriptors = await_order(order, descriptors)
                passed = become(order, descriptors)
                sink.redirect(passed[-1])
                places.rename(name, order["name"])
                settle(name, order["name"])
                log_capture.inherit(sink)
                raise Forked
            answer = {"pid": pid}
        for descriptor in descriptors:
            os.close(descriptor)
        _say(turn, answer)


def await_order(told: Told, descriptors: list[int]) -> tuple[Told, list[int]]:
    """In a worker that was forked before it was known what for: what it is to be, from a socket of its own."""
    if not told.get("later"):
        return told, descriptors
    with socket.socket(fileno=descriptors[0]) as turn:
        received = receive(turn)
    if received is None:
        os._exit(0)
    return received


def settle(old: str, new: str) -> None:
    """In a worker that was forked by `old`: the rest of what it shares with nobody."""
    sys.argv[1:] = ["worker"]
    sys.path[:] = [entry.replace(old, new) for entry in sys.path]
    remembered.forget_places(old)
    forking.rename(old, new)
    forking.reseed()


def _say(turn: socket.socket, answer: dict[str, Any]) -> None:
    turn.sendall(json.dumps(answer).encode() + b"\n")


def _end_with(keeper: int) -> None:
    """Die when the keeper does, even in the middle of an import."""
    prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))  # the keeper has made sure that this can be told
    if os.getppid() != keeper:
        os._exit(1)
