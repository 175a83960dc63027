"""The bridge's wheel, built from this tree and installed alone: what travels inside every function."""

import json
import os
import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = ROOT / "services/bridge"

pytestmark = pytest.mark.timeout(300)


def run(*command: str | Path) -> None:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env=os.environ, timeout=150, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, PROJECT)
    (built,) = folder.glob("*.whl")
    return built


def locked(name: str) -> str:
    """A package at the version that the locks name."""
    found = re.search(rf"^{name}==(\S+)", (ROOT / "requirements/run.txt").read_text(), re.MULTILINE)
    assert found is not None
    return f"{name}=={found[1]}"


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an empty environment into which the wheel was installed."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin/python"
    uv = Path(sys.executable).with_name("uv")
    run(uv, "pip", "install", "--quiet", "--python", python, wheel, locked("websockets"))
    return python


def alone(python: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs something there, with nothing of this environment around it."""
    return subprocess.run(
        [python, "-I", *arguments], capture_output=True, text=True, env={}, cwd="/", timeout=120, check=False
    )


def test_it_holds_the_two_packages_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"dialback_bridge", "dialback_wire"}
    assert {"dialback_bridge/py.typed", "dialback_wire/py.typed"} <= set(names)
    assert not [name for name in names if "tests" in name.split("/") or name.endswith(".pyc")]
    assert wheel.stat().st_size < 200_000


def test_it_asks_for_websockets_alone() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert [re.split(r"[<>=~!]", one)[0] for one in project["dependencies"]] == ["websockets"]
    assert project["requires-python"] == ">=3.10"


def test_installed_alone_everything_in_it_can_be_imported(python: Path) -> None:
    program = """
import importlib, json, pkgutil, warnings
warnings.simplefilter("error")
loaded = []
for name in ("dialback_wire", "dialback_bridge"):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, name + "."):
        if not found.name.endswith("__main__"):
            loaded.append(importlib.import_module(found.name).__name__)
print(json.dumps([loaded, importlib.import_module("dialback_bridge").__file__]))
"""
    done = alone(python, "-c", program)
    assert done.returncode == 0, done.stderr
    loaded, file = json.loads(done.stdout)
    assert len(loaded) > 30
    assert file.startswith(str(python.parents[1])), "from the wheel, not from this tree"


def test_installed_alone_there_is_nothing_but_websockets_beside_it(python: Path) -> None:
    program = """
from importlib import metadata
print(*sorted({found.metadata["Name"] for found in metadata.distributions()}))
"""
    assert alone(python, "-c", program).stdout.split() == ["dialback-bridge", "websockets"]


def test_installed_alone_its_command_says_what_it_needs(python: Path) -> None:
    done = alone(python, "-m", "dialback_bridge", "worker")
    assert done.returncode != 0
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
