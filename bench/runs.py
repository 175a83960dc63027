"""Choices of workloads and subjects that have a name, because the documentation has a table of each."""

from collections.abc import Mapping
from dataclasses import dataclass

from bench import dev_save
from bench.workloads import WORKLOADS

DEFAULT_RUN = "latest"


@dataclass(frozen=True, slots=True)
class Run:
    """`subjects` empty: the workload's own choice; `rounds` None: the workload's own number."""

    title: str
    workloads: tuple[str, ...]
    subjects: tuple[str, ...] = ()
    rounds: int | None = None


SHORT = ("hello32", "hello1", "stream", "bulk")

RUNS: Mapping[str, Run] = {
    DEFAULT_RUN: Run("Everything", (*WORKLOADS, dev_save.NAME)),
    "cold": Run("Cold starts, with and without a zygote", ("cold-bare", "cold-fastapi")),
    "mixed": Run("Small requests while 200 streams run", ("mixed",), rounds=3),
    "sse10k": Run("Ten thousand streams", ("sse10k",), rounds=1),
    "memory": Run(
        "Memory: a thousand streams, and a gigabyte in each direction",
        ("sse", "download", "upload"),
        ("uvicorn", "nginx", "dialback", "dialback-tunnel", "dialback-up", "dialback-up-tunnel"),
        rounds=1,
    ),
    "modes": Run(
        "Each mode",
        ("hello32", "hello1"),
        (
            *("dialback-buffered", "dialback", "dialback-tunnel"),
            *("dialback-up-buffered", "dialback-up", "dialback-up-tunnel"),
        ),
    ),
    "sockets": Run(
        "A callback socket that is kept, and one for each invocation",
        SHORT,
        ("dialback", "dialback-each", "dialback-up", "dialback-up-each"),
    ),
    "launchers": Run(
        "Workers as processes and in containers",
        SHORT,
        ("dialback", "dialback-docker", "dialback-tunnel", "dialback-docker-tunnel"),
    ),
}
