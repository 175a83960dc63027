"""What a worker in a function's own environment is started with."""

from pathlib import Path

from dialback_invoker.launchers import environment
from dialback_invoker.launchers.base import WorkerPython, WorkerSpec

OWN = ("/platform/python", "-P", "-m", "dialback_bridge", "worker")
PYTHON = WorkerPython(Path("/data/environments/k/bin/python"), "3.12.4", Path("/data/environments/bridge-1"))


def spec(python: WorkerPython | None) -> WorkerSpec:
    return WorkerSpec(function="chat", deployment="d_1", bundle=Path("/b"), entry="app:app", python=python)


def test_a_function_without_an_environment_runs_in_the_platforms_python() -> None:
    assert environment.command(spec(None), OWN) == OWN


def test_a_function_with_one_runs_the_bridges_folder_in_its_own_python() -> None:
    command = environment.command(spec(PYTHON), OWN)
    assert command == ("/data/environments/k/bin/python", "-s", "-u", "/data/environments/bridge-1", "worker")


def test_its_programs_come_first_and_its_version_is_told() -> None:
    made = environment.environment(spec(PYTHON), "w_1", Path("/code"), Path("/tmp/w"))
    assert made["PATH"].startswith("/data/environments/k/bin:")
    assert made["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.12"
