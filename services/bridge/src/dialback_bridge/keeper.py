"""The process that keeps a function's workers: it has imported the bridge, forks workers, and knows how they end.

It runs nothing of the function's. What has imported the function, too, is the zygote: a fork of this process that
forks workers in its turn (`zygote`). They are all children of this one, which adopts them: a zygote may be ended, or
die, and nobody but the next start notices.

It is asked on a socket, one question after the other, each a line of JSON (`handover`):

- `fork`: a worker; answered with its `pid`. With `later`, one that is told what it is to be when somebody wants it, on
  a socket that is passed
- `preload`: a zygote; answered with its `pid`, or `problem`
- `reap`: answered with the exit `status` of a worker that has ended, negative for a signal, null when nobody knows

A worker that has ended is reaped when that is asked for and not before: until then its number is nobody else's. The
process ends when the socket does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import NoReturn

from . import forking, zygote
from .handover import Told, become, begin_anew, is_shadowed, receive
from .process_control import PR_SET_CHILD_SUBREAPER, prctl

WORKERS_OWN = ("dialback_bridge.worker", "dialback_bridge.stream_socket", "dialback_bridge.watchdog", "uvloop")
"""What every worker imports, early or late."""


def keep(fd: int) -> None:
    """Answer on `fd`. Returns in a worker that was forked, ready to be one, and nowhere else."""
    own = frozenset(sys.modules)
    for name in WORKERS_OWN:
        try:
            importlib.import_module(name)
        except ImportError:
            pass  # the function knows how to do without
    imported = frozenset(sys.modules) - own
    gc.collect()
    gc.freeze()
    try:
        Keeper(socket.socket(fileno=fd), imported).run()
    except zygote.Forked:
        pass


class Keeper:
    """Forks, adopts, and reaps."""

    def __init__(self, turn: socket.socket, imported: frozenset[str]) -> None:
        self._turn = turn
        self._imported = imported
        self._kept: set[int] = set()
        """Children whose end somebody will ask for."""
        self._zygotes: set[int] = set()
        self._births, self._births_write = os.pipe()
        self._alarm, self._alarm_write = os.pipe()
        for handle in (self._births, self._alarm, self._alarm_write):
            os.set_blocking(handle, False)

    def run(self) -> None:
        """Until the socket's end; returns in a worker."""
        signal.set_wakeup_fd(self._alarm_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        waiting = select.poll()
        for handle in (self._turn.fileno(), self._alarm):
            waiting.register(handle, select.POLLIN)
        while True:
            ready = {handle for handle, _ in waiting.poll()}
            if self._alarm in ready:
                os.read(self._alarm, 4096)
                self._bury()
            if self._turn.fileno() in ready:
                received = receive(self._turn)
                if received is None:
                    self._end()
                told, descriptors = received
                if self._answer(told, descriptors):
                    return

    def _answer(self, told: Told, descriptors: list[int]) -> bool:
        """True in a worker."""
        answer: dict[str, object]
        try:
            if told["do"] == "reap":
                answer = {"status": self._reap(told["pid"])}
            elif told["do"] == "preload":
                answer = self._preload(told, descriptors)
            else:
                pid = forking.fork()
                if pid == 0:
                    self._leave()
                    told, descriptors = zygote.await_order(told, descriptors)
                    passed = become(told, descriptors)
                    if is_shadowed(told["folder"], self._imported):
                        begin_anew(told, passed)
                    zygote.settle(told["from"], told["name"])
                    return True
                self._kept.add(pid)
                answer = {"pid": pid}
        except OSError as error:
            answer = {"problem": error.strerror or str(error)}
        for descriptor in descriptors:
            os.close(descriptor)
        try:
            self._turn.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:
            self._end()
        return False

    def _preload(self, told: Told, descriptors: list[int]) -> dict[str, object]:
        if is_shadowed(told["folder"], self._imported):
            return {"problem": "it has a module of the name of one that the bridge uses"}
        if not _adopt():
            return {"problem": "this Python has no ctypes"}
        ours = os.getpid()
        pid = forking.fork()
        if pid == 0:
            self._leave(but=self._births_write)
            zygote.run(told, descriptors, self._births_write, ours)
        self._kept.add(pid)
        self._zygotes.add(pid)
        return {"pid": pid}

    def _reap(self, pid: int) -> int | None:
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            return None
        finally:
            self._kept.discard(pid)
            self._zygotes.discard(pid)
            self._bury()
        return os.waitstatus_to_exitcode(status)

    def _bury(self) -> None:
        """Reap whom workers left behind, and nobody will ask for."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            self._learn()
            if found is None or found.si_pid in self._kept:
                return  # those behind it are found when it has been asked for
            os.waitpid(found.si_pid, 0)

    def _learn(self) -> None:
        """Whom the zygotes forked."""
        try:
            while records := os.read(self._births, 4096 - 4096 % forking.PID_BYTES):
                self._kept.update(map(int, records.split()))
        except BlockingIOError:
            pass

    def _leave(self, but: int = -1) -> None:
        """In a fork: nothing of the keeper's stays."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._turn.close()
        for handle in {self._births, self._births_write, self._alarm, self._alarm_write} - {but}:
            os.close(handle)

    def _end(self) -> NoReturn:
        for pid in self._zygotes:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                pass
        os._exit(0)


def _adopt() -> bool:
    """Become the parent of descendants that lose theirs (prctl(2)); whether that can be."""
    try:
        return prctl(PR_SET_CHILD_SUBREAPER, 1)
    except (ImportError, OSError, AttributeError):
        return False
