"""Which Python a function gets: what it asks for, what is there, and what is said when they do not meet."""

import json
from pathlib import Path

import pytest

from dialback_invoker.environments.interpreters import Interpreter, Wish, choose, read_list, search_path
from dialback_invoker.errors import NoPython

HERE = [
    Interpreter(version, Path(f"/opt/{number}/bin/python"))
    for number, version in enumerate([(3, 9, 18), (3, 10, 13), (3, 12, 1), (3, 12, 4), (3, 13, 0)])
]


@pytest.mark.parametrize(
    ("wish", "version"),
    [
        (Wish("3.12"), "3.12.4"),
        (Wish("3.12.1"), "3.12.1"),
        (Wish(None, ">=3.10,<3.13", "pyproject.toml"), "3.12.4"),
        (Wish(None, ">=3.8", "pyproject.toml"), "3.13.0"),
        (Wish("3.10", ">=3.9", "app.py"), "3.10.13"),
        (Wish("3.12", "!=3.12.4", "app.py"), "3.12.1"),
    ],
)
def test_the_newest_that_fits_is_chosen(wish: Wish, version: str) -> None:
    assert choose(wish, HERE).text == version


@pytest.mark.parametrize(
    ("wish", "words", "file"),
    [
        (Wish("3.14"), 'python = "3.14": no such Python is on this machine; there are: 3.10.13, 3.12', "dialback.toml"),
        (Wish(None, ">=4", "pyproject.toml"), 'requires-python = ">=4": no such Python', "pyproject.toml"),
        (Wish(None, "<3.10", "app.py"), "no such Python", "app.py"),
        (Wish("3.12", "<3.12", "app.py"), 'python = "3.12" in dialback.toml is none that app.py takes', None),
        (Wish("3.12.4", "!=3.12.4", "app.py"), "is none that app.py takes", None),
        (Wish(None, "nonsense", "app.py"), "'nonsense' is no version specifier", "app.py"),
    ],
)
def test_a_wish_that_cannot_be_met_is_said_with_what_there_is(wish: Wish, words: str, file: str | None) -> None:
    with pytest.raises(NoPython) as caught:
        choose(wish, HERE)
    assert words in caught.value.message
    assert (caught.value.file, caught.value.http_status) == (file, 400)


def test_a_machine_without_any_says_so() -> None:
    with pytest.raises(NoPython, match="there are: none"):
        choose(Wish("3.12"), [])


def test_only_usual_cpythons_of_a_list_count_and_each_version_once() -> None:
    items = [
        {"version": "3.12.1", "path": "/a/python", "implementation": "cpython", "variant": "default"},
        {"version": "3.12.1", "path": "/b/python", "implementation": "cpython", "variant": "default"},
        {"version": "3.13.0", "path": "/c/python", "implementation": "cpython", "variant": "freethreaded"},
        {"version": "3.10.1", "path": "/d/python", "implementation": "pypy", "variant": "default"},
        {"version": "3.15.0a2", "path": "/e/python", "implementation": "cpython", "variant": "default"},
        {"version": "3.11.0", "path": None, "implementation": "cpython", "variant": "default"},
    ]
    assert read_list(json.dumps(items).encode()) == [Interpreter((3, 12, 1), Path("/a/python"))]


def test_pyenvs_versions_are_looked_through_and_its_shims_are_not(tmp_path: Path) -> None:
    for version in ("3.10.13", "3.12.1"):
        (tmp_path / "versions" / version / "bin").mkdir(parents=True)
    environ = {"PYENV_ROOT": str(tmp_path), "PATH": f"/usr/bin:{tmp_path}/shims:/bin"}
    path = search_path(environ, Path("/venv/bin/python")).split(":")
    installed = [f"{tmp_path}/versions/{version}/bin" for version in ("3.10.13", "3.12.1")]
    assert path == ["/venv/bin", "/usr/bin", "/bin", *installed]
    assert search_path({"HOME": str(tmp_path / "nobody"), "PATH": "/bin"}, Path("/venv/bin/python")) == "/venv/bin:/bin"
