"""A worker's command line, environment and launch configuration, built from nothing.

**Environment.** Nothing of the platform's own is inherited: no PYTHONPATH, no proxies, no credentials. A worker gets
the function's ``[env]``, AWS Lambda's names and the numbers of two descriptors. What the platform sets
(`platform_variables`) cannot be overridden by a function, and a deployment that tries is refused; PATH, TZ and LANG
can. Secrets are not in it: anybody who may look into ``/proc`` reads the environment that a process was started with.
They stand in the configuration, and the bridge sets them before it imports the function.

**Interpreter.** ``-P`` keeps the working folder off ``sys.path`` while the bridge itself is imported: a function's own
``queue.py``, ``types.py`` or ``websockets.py`` would otherwise replace the standard library's or the bridge's. The
bridge puts the code folder (``LAMBDA_TASK_ROOT``) first once it is loaded. ``-s`` leaves out the per-user site
folder. ``-E`` is not given: with an environment made from nothing, the only PYTHON* variables are those the function
asked for. ``-u`` loses no last words in a crash.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dialback_invoker.launchers.base import WorkerControl, WorkerSpec
from dialback_invoker.platform_variables import set_by_platform

OPTIONS = ("-s", "-u")
COMMAND = (sys.executable, "-P", "-s", "-u", "-m", "dialback_bridge", "worker")
CONTROL_VERSION = 1


def command(spec: WorkerSpec, own: Sequence[str]) -> tuple[str, ...]:
    """What runs a worker: ``own`` in the platform's Python, the bridge's folder in an environment's.

    A folder that is run is first on ``sys.path`` and the working folder is not on it at all, so that ``-P``, which
    Python 3.10 does not have, is not needed.
    """
    if spec.python is None:
        return tuple(own)
    return (str(spec.python.executable), *OPTIONS, str(spec.python.bridge), "worker")


def environment(spec: WorkerSpec, worker_id: str, code: Path, tmp: Path) -> dict[str, str]:
    """The whole environment, but for the descriptors' numbers."""
    own = {name: value for name, value in spec.env.items() if not set_by_platform(name) and name not in spec.secrets}
    python = Path(sys.executable) if spec.python is None else spec.python.executable
    version = f"{sys.version_info.major}.{sys.version_info.minor}" if spec.python is None else spec.python.version
    search = os.pathsep.join(dict.fromkeys((str(python.parent), "/usr/local/bin", "/usr/bin", "/bin")))
    return {
        "PATH": search,
        "TZ": "UTC",
        "LANG": "C.UTF-8",
        **own,
        "HOME": str(tmp),
        "TMPDIR": str(tmp),
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": spec.entry,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_python{'.'.join(version.split('.')[:2])}",
        "AWS_LAMBDA_FUNCTION_NAME": spec.function,
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(spec.memory_mb),
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{spec.function}",
        "AWS_LAMBDA_LOG_STREAM_NAME": worker_id,
    }


def with_descriptors(env: Mapping[str, str], control_fd: int, log_fd: int, *, closed: bool = False) -> dict[str, str]:
    """The environment with the two descriptors that the worker finds its configuration and its log on. ``closed``: it
    is to shut its entry in ``/proc`` before it reads the configuration, which has secrets.
    """
    shut = {"DIALBACK_CLOSED": "1"} if closed else {}
    return {**env, **shut, "DIALBACK_CONTROL_FD": str(control_fd), "DIALBACK_LOG_FD": str(log_fd)}


def configuration(spec: WorkerSpec, control: WorkerControl, runtime_socket: Path) -> bytes:
    """The one line of JSON that a worker reads from its control descriptor."""
    value = {
        "version": CONTROL_VERSION,
        "worker": control.worker_id,
        "secret": control.secret,
        "runtime_socket": str(runtime_socket),
        "entry": spec.entry,
        "kind": spec.kind,
        "concurrency": spec.concurrency,
        "callback_socket": spec.callback_socket,
        "event_loop": spec.event_loop,
        "allow": [url.as_dict() for url in spec.allow],
        "dial_timeout": spec.dial_timeout,
        "cancel_grace": spec.cancel_grace,
        "function": spec.function,
        "memory_mb": spec.memory_mb,
        **({"debugging": dict(spec.debugging)} if spec.debugging else {}),
        **({"secrets": dict(spec.secrets)} if spec.secrets else {}),
    }
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
