"""What is wrong, taken from errors and tracebacks, and how it looks on the terminal and in a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from dialback.dev.pages import ErrorPages, page
from dialback.dev.problem import Problem, of_save, of_start
from dialback.dev.problem_view import problem_view
from dialback.dev.state import State
from dialback.dev.tracebacks import begins, own_file, parse
from dialback.errors import CliError, Refused, UsageProblem
from dialback_invoker.errors import Overloaded
from dialback_invoker.launchers.base import LaunchFailed
from dialback_invoker.runtime_api import FunctionError

CODE = "/tmp/dialback-0-aa/workers/w_0123456789ab/code"
APP = (
    "import json\n\n\ndef load(text):\n    return json.loads(text)\n\n\n"
    "def handler(event, context):\n\treturn load(event)\n"
)
TRACE = f"""Traceback (most recent call last):
  File "{CODE}/app.py", line 9, in handler
    return load(event)
           ^^^^^^^^^^^
  File "{CODE}/app.py", line 5, in load
    return json.loads(text)
           ^^^^^^^^^^^^^^^^
  File "/usr/lib/python3.11/json/__init__.py", line 339, in loads
    raise TypeError(f'the JSON object must be str, not {{s}}')
TypeError: the JSON object must be str, not dict""".splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def seen(problem: Problem, folder: str = "") -> str:
    console = Console(width=120, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(problem_view(problem, folder), soft_wrap=True)
    return captured.get()


def test_a_traceback_is_reduced_to_the_users_own_frames(root: Path) -> None:
    trace = parse(TRACE, root)
    assert trace.title == "TypeError: the JSON object must be str, not dict"
    assert [(place.file, place.line, place.function) for place in trace.places] == [
        ("app.py", 9, "handler"),
        ("app.py", 5, "load"),
    ]
    deepest = trace.places[-1]
    assert (deepest.column, deepest.end) == (11, 27)
    assert trace.places[0].column == 8, "the file is indented with a tab, the traceback was not"


def test_of_a_chain_the_last_exception_counts(root: Path) -> None:
    lines = [*TRACE, "The above exception was the direct cause of the following exception:", TRACE[0]]
    lines += [f'  File "{CODE}/app.py", line 1, in <module>', "    import json", "ValueError: worse", "  second line"]
    trace = parse(lines, root)
    assert trace.title == "ValueError: worse"
    assert [place.line for place in trace.places] == [1]
    assert trace.problem().kind == "request"


def test_what_is_no_traceback_has_no_places(root: Path) -> None:
    assert parse([], root).title == ""
    assert parse(["just words"], root).title == "just words"
    assert begins(TRACE[0])
    assert not begins(TRACE[1])


def test_installed_packages_and_other_places_are_not_the_users_own() -> None:
    assert own_file(f"{CODE}/pkg/mod.py") == "pkg/mod.py"
    assert own_file(f"{CODE}/.venv/lib/site-packages/x.py") is None
    assert own_file("/usr/lib/python3.11/json/__init__.py") is None


def test_a_frame_whose_file_is_gone_has_a_line_without_source(root: Path) -> None:
    trace = parse([TRACE[0], f'  File "{CODE}/gone.py", line 3, in f', "    f()", "    ^^^", "E: e"], root)
    assert (trace.places[0].file, trace.places[0].line, trace.places[0].lines) == ("gone.py", 3, ())


def test_a_syntax_error_points_at_the_column_that_python_means(root: Path) -> None:
    (root / "app.py").write_text("x = (1,\n     2\ny = = 3\n")
    error = Refused("SyntaxError: invalid syntax", status=400, code="syntax_error", file="app.py", line=1, source="x")
    assert of_save(error, root).places[0].column == 4
    (root / "app.py").write_text("a = 1\nb = 2 +* 3\n")
    problem = of_save(Refused("SyntaxError: invalid syntax", status=400, file="app.py", line=2), root)
    text = seen(problem, "fn")
    assert "--> fn/app.py:2" in text
    assert "> 2 | b = 2 +* 3" in text
    assert text.splitlines()[-1].rstrip() == "      |        ^"


def test_other_errors_underline_the_line(root: Path) -> None:
    problem = of_save(UsageProblem("unknown key 'x'", file=root / "app.py", line=5, hint="did you mean y?"), root)
    text = seen(problem)
    assert "--> app.py:5" in text
    assert "    ^^^^^^^^^^^^^^^^^^^^^^^" in text
    assert text.rstrip().endswith("hint: did you mean y?")
    assert problem.as_dict()["source"] == "    return json.loads(text)"


def test_an_error_without_a_place_shows_all_that_was_said() -> None:
    problem = of_save(CliError("no resolution\n  because a\n  because b"), Path("/nowhere"))
    assert (problem.title, problem.details) == ("no resolution", ("  because a", "  because b"))
    assert "because b" in seen(problem)
    elsewhere = of_save(CliError("bad", file="/etc/hosts.toml", line=1, source="x = "), Path("/nowhere"))
    assert "--> /etc/hosts.toml:1" in seen(elsewhere, "fn")


def test_a_start_that_failed_shows_the_function_s_frames_or_the_worker_s_last_words(root: Path) -> None:
    failed = LaunchFailed("fn failed", function_error=FunctionError("Dialback.EntryError", "x", tuple(TRACE)))
    problem = of_start(failed, root)
    assert problem.title.startswith("TypeError")
    assert problem.place is not None
    assert problem.place.line == 5
    died = of_start(LaunchFailed("the worker exited with status 3\nlast words", code="worker_exited"), root)
    assert (died.title, died.details, died.code) == (
        "the worker exited with status 3",
        ("last words",),
        "worker_exited",
    )
    assert of_start(Overloaded("full"), root).title == "full"


def test_a_page_shows_source_and_carets_and_escapes_everything(root: Path) -> None:
    (root / "app.py").write_text(APP.replace("text)\n\n", "text)  # <script>\n\n"))
    text = page(parse(TRACE, root).problem(), 500, "id<", "d_1", 0).decode()
    assert "app.py:5 in load" in text
    assert "<i>^^^^^^^^^^^^^^^^</i>" in text
    assert "# &lt;script&gt;" in text
    assert "<code>id&lt;</code>" in text
    bare = page(Problem("save", "no room", details=("because",)), 500, "x", "", 2).decode()
    assert "<details open>" in bare
    assert 'data-problem="2"' in bare


def test_pages_are_the_edge_s_own_where_dev_knows_nothing_more() -> None:
    pages = ErrorPages(State())
    head, body = pages(404, "not_found", "There is nothing here.", "x")
    assert head.status == 404
    assert b"not_found" in body
    head, body = pages(502, "worker_died", "It died.", "x", accept=b"text/html")
    assert b"client.js" in body
    assert dict(head.fields)[b"content-length"] == b"%d" % len(body)
    assert b"script-src 'self'" in dict(head.fields)[b"content-security-policy"]
    state = State()
    state.change("d_1", Problem("save", "broken"))
    head, _ = ErrorPages(state)(404, "function_not_found", "m", "x")
    assert head.status == 404, "a good version goes on, so its errors are its own"
