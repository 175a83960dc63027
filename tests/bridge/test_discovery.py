"""Finding a function's entry, and saying what is wrong when there is none."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialback_bridge.discovery import find_entry
from dialback_bridge.entry import EntryError, Kind, classify
from dialback_bridge.inspection import describe

ASGI = "async def app(scope, receive, send): pass\n"
LAMBDA = "def handler(event, context): pass\n"
NAMES = ("app", "main", "index", "function", "handler", "lambda_function", "asgi", "hello", "pkg", "other")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A function's folder; what was imported from it is forgotten afterwards."""
    before, path = set(sys.modules), list(sys.path)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


@pytest.mark.parametrize(
    ("source", "name", "kind", "blocks"),
    [
        (ASGI, "app:app", Kind.ASGI, False),
        (
            "class A:\n    async def __call__(self, scope, receive, send): pass\napplication = A()",
            "app:application",
            Kind.ASGI,
            False,
        ),
        ("def app(scope, receive, send): return None", "app:app", Kind.ASGI, False),
        ("async def app(*args): pass", "app:app", Kind.ASGI, False),
        (LAMBDA, "app:handler", Kind.LAMBDA, True),
        ("async def lambda_handler(event, context): pass", "app:lambda_handler", Kind.LAMBDA, False),
        ("async def handler(event, context):\n    yield 1", "app:handler", Kind.LAMBDA, False),
        ("def handler(event, context=None): yield 1", "app:handler", Kind.LAMBDA, True),
        ("def handler(event, context, extra=1): yield 1", "app:handler", Kind.LAMBDA, True),
        ("def app(event, context): pass", "app:app", Kind.LAMBDA, True),
        (
            "import functools\ndef f(x, event, context): pass\nhandler = functools.partial(f, 1)",
            "app:handler",
            Kind.LAMBDA,
            True,
        ),
        ("async def handler(scope, receive, send): pass", "app:handler", Kind.ASGI, False),
        ("app = 3\n" + LAMBDA, "app:handler", Kind.LAMBDA, True),
        ("def app(environ, start_response): pass", "app:app", Kind.WSGI, True),
        ("def application(a, b): pass", "app:application", Kind.WSGI, True),
        ("class A:\n    def __call__(self, env, sr): pass\napp = A()", "app:app", Kind.WSGI, True),
        ("def handler(environ, start_response): pass", "app:handler", Kind.WSGI, True),
        ("app = dict.fromkeys", "app:app", Kind.WSGI, True),
        (
            "from http.server import BaseHTTPRequestHandler\nclass handler(BaseHTTPRequestHandler): pass",
            "app:handler",
            Kind.HTTP,
            True,
        ),
        ("async def fetch(request): pass", "app:fetch", Kind.FETCH, False),
        ("def fetch(): pass", "app:fetch", Kind.FETCH, True),
        ("async def GET(request): pass\nasync def POST(request): pass", "app:GET", Kind.FETCH, False),
        ("async def GET(request): pass\ndef DELETE(request): pass", "app:GET", Kind.FETCH, True),
        (ASGI + "def fetch(request): pass\ndef GET(request): pass", "app:app", Kind.ASGI, False),
    ],
)
def test_the_style_is_seen_in_what_is_exported(folder: Path, source: str, name: str, kind: Kind, blocks: bool) -> None:
    write(folder, app=source)
    entry = find_entry(folder)
    assert (entry.name, entry.kind, entry.blocks) == (name, kind, blocks)


@pytest.mark.parametrize("file", ["app", "main", "index", "function", "handler", "lambda_function", "asgi", "hello"])
def test_the_file_is_found_by_its_name_or_because_it_is_alone(folder: Path, file: str) -> None:
    write(folder, **{file: LAMBDA})
    assert find_entry(folder).name == f"{file}:handler"


def test_the_first_of_the_known_names_is_meant(folder: Path) -> None:
    write(folder, main=LAMBDA, app=ASGI, other="raise SystemExit")
    assert find_entry(folder).name == "app:app"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("other:run", "other:run"),
        ("other.run", "other:run"),
        ("other.py", "other:app"),
        ("other", "other:app"),
        ("other:nested.inner", "other:nested.inner"),
        ("pkg/module.handler", "pkg.module:handler"),
        ("pkg.module:handler", "pkg.module:handler"),
    ],
)
def test_an_explicit_entry_is_taken_at_its_word(folder: Path, given: str, name: str) -> None:
    nested = "class nested:\n    async def inner(scope, receive, send): pass\n"
    write(folder, other=f"def run(event, context): pass\n{ASGI}{nested}", app="raise RuntimeError")
    (folder / "pkg").mkdir()
    (folder / "pkg" / "module.py").write_text(LAMBDA)
    assert find_entry(folder, given).name == name


def test_an_explicit_kind_is_taken_at_its_word(folder: Path) -> None:
    write(folder, app="def run(a, b): pass\n" + LAMBDA)
    assert find_entry(folder, "app:run", "lambda").kind is Kind.LAMBDA
    with pytest.raises(EntryError, match="`handler` is lambda, not asgi"):
        find_entry(folder, kind="asgi")
    with pytest.raises(EntryError, match="unknown kind of handler 'cgi'"):
        find_entry(folder, kind="cgi")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1", "it exports none of app, application, handler, lambda_handler, fetch"),
        ("class app: pass", "`app` is a class"),
        ("app = 'x'", "`app` is a str, which cannot be called"),
        ("def app(): pass", "if it makes an application, call it"),
        ("def handler(request): pass", "`handler` takes 1 arguments"),
        ("def fetch(a, b): pass", "`fetch` takes 2 arguments: it gets one, the request"),
        ("def GET(request): pass\ndef POST(a, b): pass", "`POST` takes 2 arguments"),
        ("app = type('X', (), {'__call__': 1, '__signature__': 1})()", "the parameters of `app` cannot be told"),
    ],
)
def test_what_cannot_be_an_entry_is_told_with_the_reason(folder: Path, source: str, message: str) -> None:
    write(folder, app=source)
    with pytest.raises(EntryError) as caught:
        find_entry(folder)
    assert message in str(caught.value)
    assert caught.value.file == "app.py"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("missing:app", "there is no module 'missing'"),
        ("app:missing", "module 'app' has no attribute 'missing'"),
        ("app:number", "`number` is a int"),
        ("json:loads", "one of Python's own modules"),
        ("../x:app", "neither MODULE:ATTRIBUTE nor MODULE.ATTRIBUTE"),
        ("app:a b", "neither MODULE:ATTRIBUTE nor MODULE.ATTRIBUTE"),
    ],
)
def test_a_wrong_explicit_entry_is_told(folder: Path, given: str, message: str) -> None:
    write(folder, app=ASGI + "number = 1\n")
    with pytest.raises(EntryError, match=message):
        find_entry(folder, given)


def test_a_folder_without_an_entry_says_what_was_looked_for(folder: Path) -> None:
    with pytest.raises(EntryError, match=r"none of app.py, main.py.*there is no Python file"):
        find_entry(folder)
    write(folder, one="", two="")
    with pytest.raises(EntryError, match=r"there are one.py, two.py"):
        find_entry(folder)
    with pytest.raises(EntryError, match="is not a folder"):
        find_entry(folder / "nowhere")


def test_a_syntax_error_names_its_line(folder: Path) -> None:
    write(folder, app="x = 1\nif x\n    pass\n")
    with pytest.raises(EntryError) as caught:
        find_entry(folder)
    assert (caught.value.file, caught.value.line, caught.value.source) == ("app.py", 2, "if x")
    assert str(caught.value).startswith("app.py:2: SyntaxError: ")


def test_a_failing_import_names_the_deepest_line_of_the_users_own(folder: Path) -> None:
    write(folder, app="import other\n", other="import json\n\njson.loads('{')\n")
    with pytest.raises(EntryError) as caught:
        find_entry(folder)
    assert (caught.value.file, caught.value.line, caught.value.source) == ("other.py", 3, "json.loads('{')")
    assert "JSONDecodeError" in caught.value.message


def test_a_missing_dependency_names_the_import(folder: Path) -> None:
    write(folder, app="\nimport no_such_package_at_all\n")
    description, status = describe(folder, None)
    assert status == 3
    assert description == {
        "error": {
            "code": "import_failed",
            "message": "ModuleNotFoundError: No module named 'no_such_package_at_all'",
            "file": "app.py",
            "line": 2,
            "source": "import no_such_package_at_all",
        }
    }


def test_code_that_exits_at_import_is_no_function(folder: Path) -> None:
    write(folder, app="import sys\nsys.exit('bye')\n")
    with pytest.raises(EntryError, match="SystemExit: bye"):
        find_entry(folder)


def test_an_error_in_a_dependency_has_no_place_of_the_users_own_beyond_the_import(folder: Path) -> None:
    packages = folder / "lib" / "site-packages"
    packages.mkdir(parents=True)
    (packages / "broken_dependency.py").write_text("1 / 0\n")
    write(folder, app=f"import sys\nsys.path.append({str(packages)!r})\nimport broken_dependency\n")
    with pytest.raises(EntryError) as caught:
        find_entry(folder)
    assert (caught.value.file, caught.value.line) == ("app.py", 3)


def test_built_in_callables_have_no_parameters_to_look_at() -> None:
    assert "cannot be told" in str(classify("handler", getattr))


def inspect(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "dialback_bridge", "inspect", "--dir", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)


def test_inspect_prints_one_line_of_json_whatever_the_user_prints(folder: Path) -> None:
    noise = "import os, sys\nprint('noise')\nos.write(1, b'more\\n')\nos.system('echo child')\n"
    late = "import atexit\natexit.register(print, 'late')\n"
    stubborn = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    write(folder, app=noise + late + stubborn + ASGI)
    result = inspect(folder)
    assert result.returncode == 0
    assert json.loads(result.stdout) == {"entry": "app:app", "kind": "asgi", "blocks": False}
    assert result.stdout.count("\n") == 1
    assert "noise" in result.stderr
    assert not (folder / "__pycache__").exists()


def test_inspect_exits_with_3_and_the_place(folder: Path) -> None:
    write(folder, hello="def handler(event context): pass\n")
    result = inspect(folder)
    assert result.returncode == 3
    error = json.loads(result.stdout)["error"]
    assert (error["code"], error["file"], error["line"]) == ("syntax_error", "hello.py", 1)
    write(folder, hello="")
    assert json.loads(inspect(folder).stdout)["error"]["code"] == "entry_missing"


def test_a_users_module_does_not_hide_pythons_own_from_the_bridge(folder: Path) -> None:
    write(folder, app=LAMBDA, argparse="raise SystemExit('shadowed')", signal="1/0", asyncio="1/0", json="1/0")
    result = inspect(folder, "--entry", "app.handler")
    assert (result.returncode, json.loads(result.stdout)["kind"]) == (0, "lambda"), result.stderr


def test_an_entry_named_after_a_method_means_all_such_functions(folder: Path) -> None:
    write(folder, app="def POST(request): pass\ndef GET(request): pass\nPUT = 3\n")
    entry = find_entry(folder, "app:POST")
    assert (entry.name, list(entry.target)) == ("app:GET", ["GET", "POST"])
    assert find_entry(folder, "app", "fetch").name == "app:GET"
    with pytest.raises(EntryError, match="functions named after methods are fetch, not wsgi"):
        find_entry(folder, kind="wsgi")
