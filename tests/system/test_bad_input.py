"""Every kind of bad input, through the real command: a clear message, a failure, nothing half-done, nothing harmed."""

import io
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .platform import COMMAND, Platform

pytestmark = pytest.mark.system

GOOD = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"the good version"})
"""


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """One platform, whose function `good` must answer after everything that is tried here."""
    platform = Platform()
    try:
        platform.start()
        folder = platform.root / "good"
        folder.mkdir()
        (folder / "app.py").write_text(GOOD)
        platform.command("deploy", str(folder))
        yield platform
    finally:
        platform.destroy()


class Attempt:
    """A folder that is deployed over the running function `good`."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.folder = folder
        self.write("app.py", GOOD)
        self.before = self.state()

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def state(self) -> tuple[object, ...]:
        functions = self.platform.control("/v1/functions")["functions"]
        bundles = sorted(path.name for path in (self.platform.data / "bundles").iterdir())
        return functions and [(one["name"], one["deployment"]) for one in functions], bundles  # type: ignore[index,union-attr]

    def refused(self, *arguments: str) -> str:
        """What the command says when it refuses; and that nothing has changed."""
        arguments = arguments or ("deploy", str(self.folder), "--name", "good")
        done = self.platform.command(*arguments, check=False)
        said = done.stdout + done.stderr
        assert done.returncode != 0, said
        assert "Traceback (most recent call last)" not in said or "app.py" in said, said
        self.unharmed()
        return " ".join(said.split())

    def unharmed(self) -> None:
        assert self.state() == self.before
        assert self.platform.get("/@good/").text == "the good version"


@pytest.fixture
def attempt(platform: Platform, tmp_path: Path) -> Attempt:
    folder = tmp_path / "good"
    folder.mkdir()
    return Attempt(platform, folder)


# --- dialback.toml --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('moed = "callback"', ["unknown key 'moed'", "'mode'"]),
        ("[timeouts]\nhaed = 5", ["unknown key 'timeouts.haed'", "'head'"]),
        ("concurrency = 0", ["concurrency = 0", "greater than or equal to 1"]),
        ("max_workers = 100000", ["max_workers = 100000"]),
        ("memory_mb = 1", ["memory_mb = 1"]),
        ("idle_seconds = -1", ["idle_seconds = -1"]),
        ("[timeouts]\ntotal = nan", ["timeouts.total"]),
        ('concurrency = "many"', ["concurrency = 'many'"]),
        ('launcher = "lambda"', ["lambda", "not served by this version"]),
        ('runtime = "node"', ["node", "not served by this version"]),
        ('limits = "aws-lambda"', ["aws-lambda", "not served by this version"]),
        ('mode = "sideways"', ["sideways", '"buffered" or "callback" or "tunnel"']),
        ('on_disconnect = "panic"', ["panic"]),
        ('[env]\nDIALBACK_X = "1"', ["DIALBACK_X", "set by the platform"]),
        ('name = "../x"', ["name"]),
        ("mode = ", ["not valid TOML"]),
        ('mode = "callback"\nmode = "callback"', ["not valid TOML"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_file_and_line(attempt: Attempt, line: str, said: list[str]) -> None:
    attempt.write("dialback.toml", f"# a comment\n{line}\n")
    answer = attempt.refused()
    for words in said:
        assert words in answer
    wrong = 2 + line.count("\n")
    assert f"dialback.toml:{wrong}" in answer or f"dialback.toml:{wrong + 1}" in answer


# --- the code -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"app.py": "def app(:\n    pass\n"}, ["app.py:1", "invalid syntax"]),
        ({"app.py": "import nothing_of_this_name\n" + GOOD}, ["app.py:1", "nothing_of_this_name"]),
        ({"app.py": "\n\nraise RuntimeError('while loading')\n"}, ["app.py:3", "while loading"]),
        ({"app.py": "import other\n", "other.py": "\n1 / 0\n"}, ["other.py:2", "ZeroDivisionError"]),
        ({"app.py": "import sys\nsys.exit(3)\n"}, ["exit"]),
        ({"app.py": "import os\nos._exit(3)\n"}, ["3"]),
        ({"app.py": "x = 1\n"}, ["app"]),
        ({"app.py": GOOD, "dialback.toml": 'entry = "app:missing"\n'}, ["missing"]),
        ({"app.py": GOOD, "dialback.toml": 'entry = "nowhere:app"\n'}, ["nowhere"]),
        ({"app.py": GOOD, "dialback.toml": 'entry = "../app:app"\n'}, ["entry"]),
        ({"app.py": "app = 5\n"}, ["app"]),
    ],
    ids=[
        *("syntax", "import", "raises", "raises-elsewhere", "exits", "exits-hard"),
        *("no-entry", "no-attribute", "no-module", "no-grammar", "no-app"),
    ],
)
def test_code_that_cannot_be_loaded_is_refused_with_its_place(
    attempt: Attempt, files: dict[str, str], said: list[str]
) -> None:
    for name, text in files.items():
        attempt.write(name, text)
    answer = attempt.refused()
    for words in said:
        assert words in answer, answer


def test_a_folder_without_any_entry_says_which_names_are_looked_for(attempt: Attempt) -> None:
    (attempt.folder / "app.py").rename(attempt.folder / "something.py")
    attempt.write("another.py", GOOD)  # a single file needs no name
    answer = attempt.refused()
    assert "app.py" in answer


def test_a_folder_that_is_not_there_or_empty_is_refused(attempt: Attempt, tmp_path: Path) -> None:
    assert "nowhere" in attempt.refused("deploy", str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    attempt.refused("deploy", str(tmp_path / "empty"))


# --- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["a/b", "..", ".", "../../etc", "-v", "--name", "a" * 10_240, "", "a b", "naïve", "a\n", "a%2fb", "con.x"]
)
def test_a_name_outside_the_grammar_is_not_deployed(attempt: Attempt, name: str) -> None:
    attempt.refused("deploy", str(attempt.folder), f"--name={name}")


@pytest.mark.parametrize("command", ["rm", "invoke", "logs"])
@pytest.mark.parametrize("name", ["../good", "-v", "a" * 10_240])
def test_a_name_outside_the_grammar_is_refused_by_every_command(attempt: Attempt, command: str, name: str) -> None:
    attempt.refused(command, "--", name)


def test_a_name_outside_the_grammar_is_a_4xx_at_the_control_api(attempt: Attempt) -> None:
    for name in ("..%2fx", "%2e%2e", "-v", "a" * 10_240, "a%00b", "%ff"):
        answer = httpx.post(
            f"{attempt.platform.control_url}/v1/functions/{name}/deployments",
            content=packed({"app.py": GOOD.encode()}),
            headers={"authorization": f"Bearer {attempt.platform.token}", "content-type": "application/gzip"},
            timeout=20,
        )
        assert 400 <= answer.status_code < 500, (name, answer.status_code, answer.text)
    attempt.unharmed()


# --- bundles --------------------------------------------------------------------------------------------------------


def packed(files: dict[str, bytes], change: Callable[[tarfile.TarInfo], None] = lambda info: None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            change(info)
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def link_to(target: str) -> Callable[[tarfile.TarInfo], None]:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname, info.size = tarfile.SYMTYPE, target, 0

    return change


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


BUNDLES: dict[str, Callable[[], bytes]] = {
    "bomb.zip": lambda: zipped({"app.py": GOOD.encode(), "zeros": bytes(80 * 1024 * 1024)}),
    "bomb.tar.gz": lambda: packed({"app.py": GOOD.encode(), "zeros": bytes(80 * 1024 * 1024)}),
    "escapes.tar.gz": lambda: packed({"../escaped.py": b"x"}),
    "absolute.tar.gz": lambda: packed({"/tmp/dialback-escaped.py": b"x"}),
    "escapes.zip": lambda: zipped({"../escaped.py": b"x"}),
    "link.tar.gz": lambda: packed({"app.py": b""}, link_to("/etc/passwd")),
    "cut.tar.gz": lambda: packed({"app.py": os.urandom(100_000)})[:-40_000],
    "cut.zip": lambda: zipped({"app.py": os.urandom(100_000)})[:-40_000],
    "noise.tar.gz": lambda: b"\x1f\x8b" + bytes(1000),
    "noise.zip": lambda: b"PK\x03\x04" + bytes(1000),
    "empty.tar.gz": lambda: packed({}),
}


@pytest.mark.parametrize("name", BUNDLES)
def test_a_hostile_bundle_is_a_4xx_and_leaves_nothing(attempt: Attempt, name: str) -> None:
    kind = "application/zip" if name.endswith("zip") else "application/gzip"
    answer = httpx.post(
        f"{attempt.platform.control_url}/v1/functions/good/deployments",
        content=BUNDLES[name](),
        headers={"authorization": f"Bearer {attempt.platform.token}", "content-type": kind},
        timeout=50,
    )
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]
    attempt.unharmed()
    assert not list(attempt.platform.root.rglob("*escaped*"))
    assert not Path("/tmp/dialback-escaped.py").exists()


@pytest.mark.parametrize("name", ["bomb.zip", "escapes.tar.gz", "noise.zip"])
def test_the_command_refuses_such_a_file_too(attempt: Attempt, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BUNDLES[name]())
    assert len(attempt.refused("deploy", str(path), "--name", "good")) > 20


# --- the platform itself --------------------------------------------------------------------------------------------


def test_a_wrong_control_token_is_refused(attempt: Attempt) -> None:
    wrong = dict(attempt.platform.environ, DIALBACK_CONTROL_TOKEN="wrong")
    for command in (["ls"], ["deploy", str(attempt.folder), "--name", "good"], ["rm", "good"]):
        done = subprocess.run([COMMAND, *command], env=wrong, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode != 0
        assert "token" in (done.stdout + done.stderr).lower()
    attempt.unharmed()


def fails_to_start(platform: Platform, *arguments: str) -> str:
    done = subprocess.run(
        [COMMAND, *arguments], env=platform.environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_a_second_up_on_the_same_data_folder_is_refused(attempt: Attempt) -> None:
    said = fails_to_start(attempt.platform, "up", "--port", "0", "--control-port", "0")
    assert str(attempt.platform.data) in said
    attempt.unharmed()


@pytest.fixture
def fresh() -> Iterator[Platform]:
    """A platform that is not started."""
    platform = Platform()
    yield platform
    platform.destroy()


@pytest.mark.parametrize("flag", ["--port", "--control-port"])
def test_a_port_in_use_is_named(fresh: Platform, flag: str) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        other = "--control-port" if flag == "--port" else "--port"
        said = fails_to_start(fresh, "up", flag, port, other, "0")
        assert f"port {port} on 127.0.0.1 is in use; choose another with {flag}, 0 for any" in said
    assert list((fresh.root / "run").iterdir()) == []


@pytest.mark.parametrize("kind", ["noise", "cut"])
def test_a_corrupt_database_is_named_and_kept(fresh: Platform, kind: str) -> None:
    fresh.start()
    fresh.deploy_probe()
    fresh.stop()
    database = fresh.data / "dialback.db"
    whole = database.read_bytes()
    damaged = b"no database" * 5000 if kind == "noise" else whole[:100] + bytes(len(whole) - 100)
    for path in fresh.data.glob("dialback.db-*"):
        path.unlink()
    database.write_bytes(damaged)
    said = fails_to_start(fresh, "up", "--port", "0", "--control-port", "0")
    assert str(database) in said
    assert database.read_bytes() == damaged
    assert list((fresh.root / "run").iterdir()) == []
    database.write_bytes(whole)
    fresh.start()
    assert fresh.get("/@probe/hello").text == "Hello world\n", "once it is mended all is there"


def test_unknown_flags_variables_and_keys_of_the_platform_are_refused(fresh: Platform, tmp_path: Path) -> None:
    assert "--prot" in fails_to_start(fresh, "up", "--prot", "1")
    fresh.environ["DIALBACK_CONTROL_PROT"] = "1"
    assert "DIALBACK_CONTROL_PROT" in fails_to_start(fresh, "up")
    del fresh.environ["DIALBACK_CONTROL_PROT"]
    config = tmp_path / "platform.toml"
    config.write_text("prot = 1\n")
    said = fails_to_start(fresh, "up", "--config", str(config))
    assert "platform.toml:1" in said
    assert "prot" in said
    assert "70000" in fails_to_start(fresh, "up", "--port", "70000")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        skip_loudly("root is missing")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if done.returncode:
        skip_loudly(done.stderr.decode().strip())
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def skip_loudly(why: str) -> None:
    message = f"{why}: the full disk is NOT tested"
    pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)


def test_a_full_disk_refuses_deployments_and_serves_what_it_has(fresh: Platform, small_disk: Path) -> None:
    fresh.data = small_disk / "data"
    fresh.environ["DIALBACK_DATA_DIR"] = str(fresh.data)
    fresh.start()
    fresh.deploy_probe()
    assert fresh.get("/@probe/hello").text == "Hello world\n"
    before = sorted(path.name for path in (fresh.data / "bundles").iterdir())
    large = fresh.root / "large"
    large.mkdir()
    (large / "app.py").write_text(GOOD)
    (large / "noise").write_bytes(os.urandom(7 * 1024 * 1024))
    done = fresh.command("deploy", str(large), check=False)
    assert done.returncode != 0
    assert "no space left" in " ".join((done.stdout + done.stderr).split())
    filler = small_disk / "filler"
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(16 * 1024 * 1024))
    for _ in range(50):
        assert fresh.get("/@probe/hello").text == "Hello world\n"
    done = fresh.command("deploy", str(large), check=False)
    assert done.returncode != 0
    assert sorted(path.name for path in (fresh.data / "bundles").iterdir()) == before
    filler.unlink()
    fresh.deploy_probe("again")
    assert fresh.get("/@again/hello").text == "Hello world\n"
    assert fresh.stop() == (0, 0)


def test_a_data_folder_that_cannot_be_used_is_named(fresh: Platform) -> None:
    fresh.data.write_text("a file")
    assert str(fresh.data) in fails_to_start(fresh, "up", "--port", "0", "--control-port", "0")


def test_the_command_as_a_module_behaves_the_same(platform: Platform) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dialback", "--version"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
