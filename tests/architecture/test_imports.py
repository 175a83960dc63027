"""Who may import whom, and what the bridge weighs."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
BRIDGE = ROOT / "services/bridge/src"


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def imported(path: Path) -> set[str]:
    """Top names of every module that a file imports from outside its own package, at any depth of the code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize(("package", "allowed"), [("dialback_wire", set()), ("dialback_bridge", {"websockets"})])
def test_the_bridge_imports_websockets_and_the_standard_library_only(package: str, allowed: set[str]) -> None:
    for path in (BRIDGE / package).rglob("*.py"):
        foreign = imported(path) - sys.stdlib_module_names - allowed - {package, "dialback_wire"}
        assert not foreign, path


def test_the_wire_does_no_io_and_reads_no_clock() -> None:
    never = {
        "asyncio",
        "io",
        "logging",
        "os",
        "random",
        "secrets",
        "select",
        "socket",
        "subprocess",
        "threading",
        "time",
    }
    for path in (BRIDGE / "dialback_wire").rglob("*.py"):
        assert not imported(path) & never, path


def test_a_running_bridge_has_loaded_nothing_heavy() -> None:
    program = "import sys, dialback_bridge.worker, dialback_bridge.__main__\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)
    tops = {name.partition(".")[0] for name in done.stdout.split()}
    heavy = {"aiohttp", "docker", "httptools", "httpx", "msgspec", "pydantic", "requests", "rich", "typer", "uvloop"}
    assert not tops & heavy
    assert {"dialback_bridge", "dialback_wire"} <= tops


def test_every_package_is_typed_and_says_so() -> None:
    packages = [path.parent for path in (ROOT / "services").glob("*/src/*/__init__.py")]
    assert len(packages) == 5
    for package in packages:
        assert (package / "py.typed").exists(), package


def test_no_line_of_the_wire_is_left_out_of_its_coverage() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        left_out = tomllib.load(file)["tool"]["coverage"]["report"]["exclude_also"]
    never = re.compile("|".join([*left_out, "pragma: no"]))
    for path in (BRIDGE / "dialback_wire").rglob("*.py"):
        hidden = [line for line in path.read_text().splitlines() if never.search(line)]
        assert not hidden, path
