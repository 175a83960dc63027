"""What a worker's container is allowed: one pure function, so that all of its hardening can be read in one place.

Nothing of the function's stands in what the engine is told: no variable, no secret, no entry. Its code and the
platform's sockets are read-only mounts, everything else comes through the door (`docker_door`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

DEFAULT_IMAGE: Final = "dialback/worker-python:0.1.0"
DOOR_PLACE: Final = "/run/dialback"
RECEIVER: Final = f"{DOOR_PLACE}/receiver.sock"
CALLBACK_URL: Final = f"unix://{RECEIVER}"
"""What a worker in a container dials back to."""
CODE_PLACE: Final = "/var/task"
FIRST_PROGRAM: Final = ("/opt/dialback/bin/python", "-I", "-S", "/opt/dialback/door.py")
USER: Final = "10001:10001"
PIDS: Final = 256
"""Processes and threads of one worker."""
OPEN_FILES: Final = 4096
EARLY_WORDS: Final = {"max-size": "64k", "max-file": "1"}
"""What the engine keeps of a container's own output: only what precedes the door, an interpreter that cannot start."""

PLATFORM_LABEL: Final = "dialback.platform"
WORKER_LABEL: Final = "dialback.worker"
FUNCTION_LABEL: Final = "dialback.function"
DEPLOYMENT_LABEL: Final = "dialback.deployment"


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """One container, places being those of the engine's machine."""

    image: str
    door: str
    code: str
    memory_mb: int
    cpus: float
    network: str
    """``none``, or the id of a network."""
    runtime: str | None
    """None: the engine's default."""
    labels: dict[str, str]


def options(spec: ContainerSpec) -> dict[str, dict[str, Any]]:
    """Arguments of the `docker` package's ``create_container`` and ``create_host_config``."""
    memory = spec.memory_mb * 1024 * 1024
    host: dict[str, Any] = {
        "read_only": True,
        "cap_drop": ["ALL"],
        # seccomp's default profile applies by itself; naming one would replace it
        "security_opt": ["no-new-privileges:true"],
        "cgroupns": "private",
        "network_mode": spec.network,
        "ipc_mode": "private",
        "pids_limit": PIDS,
        "mem_limit": memory,
        "memswap_limit": memory,  # memory and swap together, so none of it is swap
        "nano_cpus": round(spec.cpus * 1e9),
        "oom_score_adj": 500,
        "shm_size": memory // 4,
        "ulimits": [
            {"Name": "core", "Soft": 0, "Hard": 0},
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
        ],
        # half of the memory, which it counts towards: a full /tmp is an error that the function sees, not its death
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,exec,mode=1777,size={memory // 2}"},
        "mounts": [_read_only(spec.door, DOOR_PLACE), _read_only(spec.code, CODE_PLACE)],
        "log_config": {"Type": "json-file", "Config": EARLY_WORDS},
        "init": True,  # reaps what the function's children leave
        "restart_policy": {"Name": "no"},
    }
    if spec.runtime is not None:
        host["runtime"] = spec.runtime
    return {
        "host": host,
        "container": {
            "image": spec.image,
            "entrypoint": list(FIRST_PROGRAM),
            "command": [],
            "user": USER,
            "working_dir": CODE_PLACE,
            "hostname": "worker",
            "labels": spec.labels,
            "stdin_open": False,
            "tty": False,
        },
    }


def _read_only(source: str, target: str) -> dict[str, Any]:
    """A bind mount that fails when its source is not there, where `-v` would make an empty folder."""
    return {
        "Type": "bind",
        "Source": source,
        "Target": target,
        "ReadOnly": True,
    }
