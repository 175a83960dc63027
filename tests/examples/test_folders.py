"""What every example must be: its code, its README of three lines, nothing to install."""

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


def test_it_imports_nothing_that_would_have_to_be_installed(folder):
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= sys.stdlib_module_names | {"dialback_bridge"}, path


def test_the_readme_and_the_table_know_its_name(folder):
    config = folder / "dialback.toml"
    name = tomllib.loads(config.read_text())["name"] if config.exists() else folder.name
    assert re.fullmatch(r"[a-z][a-z0-9-]*", name)
    assert f"/@{name}/" in (folder / "README.md").read_text()
    assert f"dialback deploy examples/{folder.name}" in (folder / "README.md").read_text()
    assert f"[{folder.name}]({folder.name})" in (EXAMPLES / "README.md").read_text()
