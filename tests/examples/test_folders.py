"""What every example must be: its code, its README of three lines, nothing to install that it does not name."""

import ast
import re
import sys
from pathlib import Path

import pytest
import tomllib

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__")


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name)
def folder(request):
    return request.param


def test_the_readme_shows_runs_and_points(folder):
    lines = (folder / "README.md").read_text().splitlines()
    assert [line.split(":**")[0] for line in lines] == ["- **Shows", "- **Run", "- **Look at"]


def required(folder):
    """The packages that the example's requirements.txt names, as they are imported; pydantic is FastAPI's own."""
    file = folder / "requirements.txt"
    named = {re.match(r"[\w-]+", line)[0] for line in file.read_text().splitlines()} if file.exists() else set()
    return named | ({"pydantic"} if "fastapi" in named else set())


def test_it_imports_what_is_there_and_what_it_requires(folder):
    own = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
    allowed = sys.stdlib_module_names | {"dialback_bridge"} | required(folder) | own
    imported = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            imported |= {name.split(".")[0] for name in names}
    assert imported <= allowed
    assert required(folder) <= imported, "something is required that nobody uses"


def test_the_readme_and_the_table_know_its_name(folder):
    config = folder / "dialback.toml"
    name = (tomllib.loads(config.read_text()) if config.exists() else {}).get("name", folder.name)
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert f"/@{name}/" in (folder / "README.md").read_text()
    assert f"dialback deploy examples/{folder.name}" in (folder / "README.md").read_text()
    assert f"[{folder.name}]({folder.name})" in (EXAMPLES / "README.md").read_text()
