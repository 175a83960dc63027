"""Samples the process that it is loaded into: SIGUSR1 begins, SIGUSR2 ends and writes FOLDER/PID.json.

    python bench/profile/sampler.py FOLDER -m MODULE ARGS...     runs a module under the sampler
    import sampler; sampler.install("FOLDER")                    in a process that is ours anyway

SIGPROF comes after each interval of CPU time (the kernel's tick, mostly 4 ms, is the least) and the interpreter handles
it at its next chance, so what a C function used is counted for the Python function that called it. A function that has
only just been entered is not to blame for the time before: its caller is, or the event loop when that is C.
"""

import collections
import dis
import json
import os
import runpy
import signal
import sys
import time
from types import FrameType

INTERVAL = 0.001
LOOP = "the event loop and its system calls"
_ENTERED = {dis.opmap[name] for name in ("RESUME", "SEND", "YIELD_VALUE") if name in dis.opmap}
_LOOPS = ("asyncio/runners.py", "asyncio/base_events.py", "uvloop/__init__.py", "selectors.py")

alone: collections.Counter[str] = collections.Counter()
"""Samples by the function that was running."""
below: collections.Counter[str] = collections.Counter()
"""Samples by each function that was on the stack."""
folder = ""
begun = 0.0


def install(where: str) -> None:
    """Be ready for both signals; until the first nothing is done. A fork is ready too."""
    global folder
    folder = where
    signal.signal(signal.SIGUSR1, _begin)
    signal.signal(signal.SIGUSR2, _end)
    signal.signal(signal.SIGPROF, _sample)


def _begin(_number: int, _frame: FrameType | None) -> None:
    global begun
    alone.clear()
    below.clear()
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    result = {"seconds": time.process_time() - begun, "alone": dict(alone), "below": dict(below)}
    draft = os.path.join(folder, f".{os.getpid()}")
    with open(draft, "w") as file:
        json.dump(result, file)
    os.rename(draft, os.path.join(folder, f"{os.getpid()}.json"))


def _sample(_number: int, frame: FrameType | None) -> None:
    while frame is not None and frame.f_lasti >= 0 and frame.f_code.co_code[frame.f_lasti] in _ENTERED:
        frame = frame.f_back
    alone[_name(frame)] += 1
    seen = set()
    while frame is not None:
        seen.add(_name(frame))
        frame = frame.f_back
    below.update(seen)


def _name(frame: FrameType | None) -> str:
    """`package/module.py:Class.function`, shortened to what tells it from others."""
    if frame is None:
        return LOOP
    path = frame.f_code.co_filename
    if path.endswith(_LOOPS):
        return LOOP
    for mark in ("/site-packages/", "/src/", f"/python3.{sys.version_info[1]}/"):
        _, found, rest = path.rpartition(mark)
        if found:
            path = rest
            break
    else:
        path = "/".join(path.split("/")[-2:])
    return f"{path}:{frame.f_code.co_qualname}"  # Python 3.11 has it


if __name__ == "__main__":
    where, _, module = sys.argv[1:4]
    sys.argv = [module, *sys.argv[4:]]
    sys.path[0] = ""  # not this folder: its names are not meant to be imported
    sys.path.remove("")
    install(where)
    runpy.run_module(module, run_name="__main__", alter_sys=True)
