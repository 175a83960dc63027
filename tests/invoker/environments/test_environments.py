"""Environments: built by the real uv from local wheels, shared, bounded, and never half there."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dialback_invoker.environments import bridge_kit, program
from dialback_invoker.environments.builder import BuildLimits, sweep
from dialback_invoker.environments.environment import RECORD
from dialback_invoker.environments.environments import Environments
from dialback_invoker.environments.interpreters import Interpreter
from dialback_invoker.environments.program import Finished, find_uv, uv_environment
from dialback_invoker.environments.resolver_words import failure
from dialback_invoker.errors import (
    BuildFailed,
    BuildTimeout,
    BuildTooLarge,
    NoPython,
    PathProblem,
    PlatformFailure,
    RequirementsError,
)
from dialback_invoker.function_config import FunctionConfig

BOUND = 30.0


def names(folder: Path) -> list[str]:
    """What is in the folder of environments, but for the bridge's code."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("bridge-"))


def run(python: Path, code: str) -> str:
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def script(path: Path, text: str) -> Callable[[], str]:
    """A program in uv's place."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return lambda: str(path)


def failing(path: Path, words: Path) -> Callable[[], str]:
    return script(path, f'if [ "$1" = pip ]; then cat {words} >&2; exit 1; fi')


# --- what comes out ---------------------------------------------------------------------------------------------------


async def test_a_function_without_requirements_needs_no_environment(environments, function) -> None:
    assert await function.provided(environments) is None
    assert await function.write("requirements.txt", "# none yet\n").provided(environments) is None
    assert environments.python_of("") is None
    assert function.said == []


async def test_what_a_requirements_file_asks_for_is_installed(environments, function) -> None:
    made = await function.write("requirements.txt", "greeting\nwebsockets==12.0\n").provided(environments)
    assert [(each.name, each.version) for each in made.packages] == [
        ("greeting", "1.0"),
        ("websockets", "12.0"),
        ("words", "2.0"),
    ]
    assert (made.python, made.source) == (".".join(map(str, sys.version_info[:3])), "requirements.txt")
    assert made.size > 0
    assert run(made.executable, "import greeting; print(greeting.TEXT)") == "hello"
    assert function.said[0].startswith("installing requirements.txt for Python 3.")
    assert any("greeting==1.0" in line for line in function.said)
    assert names(environments.folder) == [made.key]


async def test_the_bridge_runs_there_and_the_platforms_packages_are_not_seen(environments, function) -> None:
    made = await function.write("requirements.txt", "greeting\n").provided(environments)
    python = environments.python_of(made.key)
    assert python.executable == made.executable
    function.write("app.py", "import greeting\ndef handler(event, context):\n    return greeting.TEXT\n")
    command = [python.executable, "-s", python.bridge, "inspect", "--dir", function.folder]
    told = subprocess.run(command, capture_output=True, text=True, check=True, cwd=function.folder)
    assert '"entry": "app:handler"' in told.stdout
    assert run(made.executable, "import importlib.util as u; print(u.find_spec('aiohttp'))") == "None"
    assert [each.version for each in made.packages if each.name == "websockets"] == ["99.0"]


async def test_a_project_and_a_script_are_installed_too(environments, function) -> None:
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["greeting"]\n'
    made = await function.write("pyproject.toml", project).provided(environments)
    assert (made.source, "greeting" in [each.name for each in made.packages]) == ("pyproject.toml", True)
    (function.folder / "pyproject.toml").unlink()
    text = '# /// script\n# requires-python = ">=3.10"\n# dependencies = ["words"]\n# ///\n'
    made = await function.write("app.py", text).provided(environments)
    assert (made.source, [each.name for each in made.packages]) == ("app.py", ["websockets", "words"])


async def test_local_packages_and_constraints_are_found_from_the_functions_folder(environments, function) -> None:
    function.write("lib/pyproject.toml", '[project]\nname = "lib"\nversion = "1"\n')
    function.write("deps/limits.txt", "websockets<99\n")
    function.write("deps/more.txt", "words\n")
    function.write("requirements.txt", "-c deps/limits.txt\n-r deps/more.txt\n")
    made = await function.provided(environments)
    assert [(each.name, each.version) for each in made.packages] == [("websockets", "12.0"), ("words", "2.0")]


async def test_a_function_may_require_the_bridge_by_name(environments, function) -> None:
    made = await function.write("requirements.txt", "dialback-bridge\nwords\n").provided(environments)
    assert [each.name for each in made.packages] == ["websockets", "words"]


async def test_a_file_where_every_requirement_must_have_a_hash(environments, function, index: Path) -> None:
    digest = hashlib.sha256((index / "words-2.0-py3-none-any.whl").read_bytes()).hexdigest()
    text = f"--require-hashes\nwords==2.0 --hash=sha256:{digest}\n"
    made = await function.write("requirements.txt", text).provided(environments)
    assert [each.name for each in made.packages] == ["websockets", "words"]
    function.write("requirements.txt", text.replace(digest, "0" * 64))
    with pytest.raises(BuildFailed, match=r"[Hh]ash"):
        await function.provided(environments)


async def test_a_lock_is_followed_and_must_fit_its_project(environments, function, index: Path) -> None:
    project = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.10"\ndependencies = ["words"]\n'
    function.write("pyproject.toml", project)
    environ = {**uv_environment(environments._environ, index), "UV_PYTHON": sys.executable}
    subprocess.run([find_uv(), "lock", "-q"], cwd=function.folder, env=environ, check=True)
    made = await function.provided(environments)
    assert [each.name for each in made.packages] == ["websockets", "words"]
    function.write("pyproject.toml", project.replace('"words"', '"words", "greeting"'))
    with pytest.raises(BuildFailed, match=r"lockfile.*needs to be updated"):
        await function.provided(environments)


# --- sharing ----------------------------------------------------------------------------------------------------------


async def test_the_same_requirements_are_installed_once(environments_with, function) -> None:
    environments = await environments_with()
    made = await function.write("requirements.txt", "words\n").provided(environments)
    function.said.clear()
    function.write("app.py", "app = 2\n").write("requirements.txt", "words  # a comment\n")
    assert await function.provided(environments) is made
    assert function.said == []
    again = await environments_with()  # after a restart
    assert await function.provided(again) == made
    assert function.said == []


async def test_two_at_once_build_once_and_both_are_told(environments, function) -> None:
    function.write("requirements.txt", "words\n")
    first, second = await asyncio.gather(function.provided(environments), function.provided(environments))
    assert first is second
    assert len([line for line in function.said if line.startswith("installing")]) == 2
    assert names(environments.folder) == [first.key]


async def test_one_who_leaves_does_not_end_what_another_waits_for(environments_with, function, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    wait = f'if [ "$1" = pip ]; then cat {go} > /dev/null; fi\nexec {find_uv()} "$@"'
    environments = await environments_with(uv=script(tmp_path / "uv", wait))
    function.write("requirements.txt", "words\n")
    leaves = asyncio.create_task(function.provided(environments))
    stays = asyncio.create_task(function.provided(environments))
    handle = await asyncio.wait_for(asyncio.to_thread(open, go, "w"), BOUND)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    handle.close()
    assert (await asyncio.wait_for(stays, BOUND)).usable


# --- failures ---------------------------------------------------------------------------------------------------------


async def test_the_resolver_says_why_and_nothing_is_left(environments, function) -> None:
    function.write("requirements.txt", "greeting\nwords<2\n")
    with pytest.raises(BuildFailed) as caught:
        await function.provided(environments)
    error = caught.value
    assert (error.http_status, error.code, error.file) == (400, "build_failed", "requirements.txt")
    assert error.message.startswith("requirements.txt cannot be installed: ")
    assert "words<2" in error.message
    assert (error.line, error.source) == (2, "words<2")
    assert ".staging" not in error.message
    assert names(environments.folder) == []


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("Because nowhere-to-be-found was not found", 3),
        ("Because you require six==1.16 and six==99", 4),
        ("error: the disk is full", None),
        ("failed to build `uvicorn`", 5),
    ],
)
def test_the_line_is_the_one_that_the_resolver_speaks_of(tmp_path: Path, said: str, line: int | None) -> None:
    (tmp_path / "source").mkdir()
    written = "# six\n\nNowhere_to.be-found >= 2  # why\nsix == 1.16\nuvicorn[standard]\nsix==99\n"
    (tmp_path / "source" / "requirements.txt").write_text(written)
    assert failure("requirements.txt", Finished(1, b"", (said,)), tmp_path).line == line


@pytest.mark.parametrize(
    ("line", "words"),
    [("greeting==  # oops", "Unexpected end of version specifier"), ("--bogus", "Unexpected '-'")],
)
async def test_a_line_that_is_no_requirement_is_named(environments, function, line: str, words: str) -> None:
    function.write("deps/more.txt", "words\n")
    function.write("requirements.txt", f"# first\n-r deps/more.txt\n\n{line}\n")
    with pytest.raises(BuildFailed) as caught:
        await function.provided(environments)
    error = caught.value
    assert words in error.message
    assert "position" not in error.message
    assert (error.file, error.line, error.source) == ("requirements.txt", 4, line)


async def test_a_line_of_an_included_file_is_told_in_uvs_words(environments, function) -> None:
    function.write("deps/more.txt", "words==\n")
    function.write("requirements.txt", "-r deps/more.txt\n")
    with pytest.raises(BuildFailed, match="Unexpected end of version specifier") as caught:
        await function.provided(environments)
    assert (caught.value.file, caught.value.line) == ("requirements.txt", None)


async def test_an_old_websockets_is_refused_with_the_reason(environments, function) -> None:
    function.write("requirements.txt", "websockets==11.0\n")
    with pytest.raises(BuildFailed) as caught:
        await function.provided(environments)
    assert "dialback-bridge" in caught.value.message
    assert "websockets>=12" in caught.value.message


async def test_packages_that_hide_what_the_bridge_needs_are_refused(environments, function, make_wheel) -> None:
    make_wheel(function.folder, "websockets", "13.0", {"websockets/__init__.py": ""})
    function.write("requirements.txt", "./websockets-13.0-py3-none-any.whl\n")
    with pytest.raises(BuildFailed, match="the bridge cannot be loaded beside these packages: ModuleNotFoundError"):
        await function.provided(environments)
    assert names(environments.folder) == []


async def test_what_is_wrong_with_a_requirement_is_found_before_anything_runs(environments, function) -> None:
    with pytest.raises(RequirementsError, match=r"requirements\.txt:1: \.\./x leaves"):
        await function.write("requirements.txt", "../x\n").provided(environments)


async def test_credentials_of_an_index_are_not_told(environments_with, function, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text(
        "Using Python 3.11.7 environment at: x\nerror: cannot fetch https://me:secret1@example.org/simple/x\n"
        "  cause: https://example.org/y?api_token=secret2&z=1\n"
    )
    environments = await environments_with(uv=failing(tmp_path / "uv", words))
    with pytest.raises(BuildFailed) as caught:
        await function.write("requirements.txt", "x\n").provided(environments)
    assert caught.value.message == (
        "requirements.txt cannot be installed: cannot fetch https://***@example.org/simple/x\n"
        "  cause: https://example.org/y?api_token=***&z=1"
    )
    assert not any("secret" in line for line in function.said)


async def test_a_long_failure_is_told_with_its_beginning_and_its_end(environments_with, function, tmp_path) -> None:
    words = tmp_path / "words"
    words.write_text("\n".join(f"line {number}" for number in range(1000)) + "\nlast")
    environments = await environments_with(uv=failing(tmp_path / "uv", words))
    with pytest.raises(BuildFailed) as caught:
        await function.write("requirements.txt", "x\n").provided(environments)
    lines = caught.value.message.splitlines()
    assert lines[20] == "..."
    assert lines[-1] == "last"
    assert len(lines) == 41


@pytest.mark.parametrize(("end", "words"), [("exit 7", "uv ended with 7"), ("kill -9 $$", "killed by signal 9")])
async def test_an_installer_that_dies_without_a_word(
    environments_with, function, tmp_path, end: str, words: str
) -> None:
    environments = await environments_with(uv=script(tmp_path / "uv", end))
    with pytest.raises(BuildFailed, match=words):
        await function.write("requirements.txt", "x\n").provided(environments)


async def test_an_installation_that_takes_too_long_is_ended_with_all_that_it_started(
    environments_with, function, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    text = f'if [ "$1" = pip ]; then setsid sleep 600 & echo $! > {pids}; wait; fi'
    environments = await environments_with(BuildLimits(seconds=5.0), uv=script(tmp_path / "uv", text))
    with pytest.raises(BuildTimeout, match="longer than 5 seconds") as caught:
        await function.write("requirements.txt", "x\n").provided(environments)
    assert caught.value.http_status == 504
    assert names(environments.folder) == []
    await gone(int(pids.read_text()))


async def test_an_installation_that_is_given_up_is_ended(environments_with, function, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    text = f'if [ "$1" = pip ]; then sleep 600 & echo $! > {started}; wait; fi'
    environments = await environments_with(uv=script(tmp_path / "uv", text))
    task = asyncio.create_task(function.write("requirements.txt", "x\n").provided(environments))
    pid = int(await asyncio.wait_for(asyncio.to_thread(started.read_text), BOUND))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert names(environments.folder) == []
    await gone(pid)


async def test_closing_ends_what_is_being_built(environments_with, function, tmp_path: Path) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    text = f'if [ "$1" = pip ]; then echo go > {started}; sleep 600; fi'
    environments = await environments_with(uv=script(tmp_path / "uv", text))
    task = asyncio.create_task(function.write("requirements.txt", "x\n").provided(environments))
    await asyncio.wait_for(asyncio.to_thread(started.read_text), BOUND)
    await environments.close()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_more_than_may_be_installed_is_refused(environments_with, function, tmp_path: Path) -> None:
    text = 'if [ "$1" = pip ]; then for n in 1 2 3 4; do head -c 500000 /dev/zero > ../tmp/$n; done; sleep 600; fi'
    environments = await environments_with(BuildLimits(size=1_000_000), uv=script(tmp_path / "uv", text))
    with pytest.raises(BuildTooLarge, match="larger than 1000000 bytes") as caught:
        await function.write("requirements.txt", "x\n").provided(environments)
    assert caught.value.http_status == 413
    assert names(environments.folder) == []


async def test_without_uv_functions_with_requirements_are_refused(
    environments, function, monkeypatch: pytest.MonkeyPatch
) -> None:
    import uv

    def missing() -> str:
        raise FileNotFoundError("uv")

    monkeypatch.setattr(uv, "find_uv_bin", missing)
    with pytest.raises(PlatformFailure, match="uv is not installed beside Dialback"):
        await function.write("requirements.txt", "words\n").provided(environments)


async def test_a_uv_that_cannot_be_started_is_named(environments_with, function, tmp_path: Path) -> None:
    environments = await environments_with(uv=lambda: str(tmp_path / "no-uv"))
    with pytest.raises(PlatformFailure, match="no-uv cannot be started"):
        await function.write("requirements.txt", "words\n").provided(environments)


async def test_a_bridge_that_is_not_installed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge_kit, "PACKAGES", ("dialback_nowhere",))
    with pytest.raises(PlatformFailure, match="the bridge"):
        bridge_kit.bridge_folder(tmp_path)
    monkeypatch.setattr(bridge_kit, "DISTRIBUTION", "dialback-nowhere")
    for work in (bridge_kit.requires, lambda: bridge_kit.write_wheel(tmp_path)):
        with pytest.raises(PlatformFailure, match="the bridge"):
            work()


# --- Pythons ----------------------------------------------------------------------------------------------------------


async def test_a_function_gets_the_python_that_it_asks_for(environments_with, function) -> None:
    here = ".".join(map(str, sys.version_info[:3]))
    # As if the platform ran on another one, so that this one has to be found.
    base = Path(os.path.realpath(sys.executable)).parent
    environments = await environments_with(
        own=Interpreter((3, 99, 0), Path(sys.executable)), environ={"PATH": f"{base}:/usr/bin:/bin"}
    )
    made = await function.provided(environments, python=here)
    assert (made.python, made.source) == (here, "")
    assert [each.name for each in made.packages] == ["websockets"]
    assert run(made.executable, "import sys; print(sys.version_info[:2])") == str(sys.version_info[:2])
    function.said.clear()
    function.write(
        "pyproject.toml", '[project]\nname = "p"\nversion = "1"\nrequires-python = "==HERE"\n'.replace("HERE", here)
    )
    assert (await function.provided(environments)).key == made.key
    assert function.said == []


async def test_a_python_that_is_nowhere_is_said_with_those_that_are(environments, function) -> None:
    with pytest.raises(NoPython, match=r'python = "3\.98": no such Python is on this machine; there are: 3\.'):
        await function.provided(environments, python="3.98")


async def test_a_list_of_pythons_that_cannot_be_had(environments_with, function, tmp_path: Path) -> None:
    environments = await environments_with(uv=script(tmp_path / "uv", "echo broken >&2; exit 1"))
    with pytest.raises(PlatformFailure, match="cannot list the Pythons of this machine: broken"):
        await function.provided(environments, python="3.98")


async def test_an_environment_whose_python_is_gone_is_built_again(environments, function) -> None:
    made = await function.write("requirements.txt", "words\n").provided(environments)
    made.executable.unlink()
    assert environments.of(made.key) is None
    again = await function.provided(environments)
    assert again.key == made.key
    assert again.usable


# --- what is removed --------------------------------------------------------------------------------------------------


async def test_what_nobody_uses_is_removed_and_what_somebody_holds_is_not(environments, function) -> None:
    kept = await function.write("requirements.txt", "words\n").provided(environments)
    unused = await function.write("requirements.txt", "greeting\n").provided(environments)
    async with environments.provided(function.folder, FunctionConfig(), function.said.append):
        assert environments.remove_unused({kept.key})() == []
    assert environments.remove_unused({kept.key})() == [unused.key]
    assert names(environments.folder) == [kept.key]
    assert environments.of(unused.key) is None
    assert environments.python_of(unused.key).executable == unused.executable  # and its start names the path


async def test_what_a_crash_left_does_not_count(environments_with, function) -> None:
    environments = await environments_with()
    made = await function.write("requirements.txt", "words\n").provided(environments)
    (made.folder / RECORD).write_text("{")
    (environments.folder / ".staging-1").mkdir()
    (environments.folder / "bridge-0").mkdir()
    again = await environments_with()
    assert again.of(made.key) is None
    assert names(again.folder) == [made.key]
    assert not (again.folder / "bridge-0").exists()
    assert (await function.provided(again)).usable


async def test_a_build_that_outlived_a_crash_is_ended(environments_with) -> None:
    environments = await environments_with()
    staging = environments.folder / ".staging-1"
    (staging / "tmp").mkdir(parents=True)
    build = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600"],
        env={"PATH": "/usr/bin:/bin", "TMPDIR": f"{staging}/tmp"},
        start_new_session=True,
    )
    other = subprocess.Popen(["sleep", "600"], env={"PATH": "/usr/bin:/bin", "TMPDIR": str(staging.parent)})
    try:
        await environments_with()
        assert await asyncio.to_thread(build.wait, BOUND) == -9
        assert other.poll() is None
        assert not staging.exists()
    finally:
        for process in (build, other):
            process.kill()
            process.wait()


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PathProblem, match="file cannot be used"):
        await Environments(tmp_path / "file").open()


# --- what uv may know -------------------------------------------------------------------------------------------------


def test_builds_find_no_credentials_of_the_platform(tmp_path: Path) -> None:
    environ = {
        "PATH": "/bin",
        "HOME": str(tmp_path),
        "AWS_SECRET_ACCESS_KEY": "x",
        "DIALBACK_CONTROL_TOKEN": "x",
        "PYTHONPATH": "/x",
        "UV_PYTHON": "3.9",
        "UV_INDEX_URL": "https://example.org",
        "https_proxy": "http://proxy",
    }
    found = uv_environment(environ, tmp_path / "own")
    assert {"PATH", "HOME", "UV_INDEX_URL", "https_proxy"} <= set(found)
    assert not {"AWS_SECRET_ACCESS_KEY", "DIALBACK_CONTROL_TOKEN", "PYTHONPATH", "UV_PYTHON"} & set(found)
    assert (found["UV_SYSTEM_CERTS"], found["UV_PYTHON_DOWNLOADS"]) == ("1", "never")
    assert "UV_CACHE_DIR" not in found  # the usual one can be written
    assert uv_environment({**environ, "UV_SYSTEM_CERTS": "0"}, tmp_path)["UV_SYSTEM_CERTS"] == "0"


def test_who_has_no_cache_gets_one_in_the_data_folder(tmp_path: Path) -> None:
    own = tmp_path / "own"
    assert uv_environment({"HOME": "/nonexistent"}, own)["UV_CACHE_DIR"] == str(own)
    assert uv_environment({"XDG_CACHE_HOME": "/dev/null/nothing"}, own)["UV_CACHE_DIR"] == str(own)
    assert uv_environment({"UV_CACHE_DIR": "/mine"}, own)["UV_CACHE_DIR"] == "/mine"


async def test_lines_are_told_as_they_come_and_bounded(tmp_path: Path) -> None:
    path = script(tmp_path / "talks", "printf 'one\\rtwo\\n\\n' >&2; head -c 50000 /dev/zero | tr '\\0' x >&2")()
    said: list[str] = []
    done = await program.Program(path, {"PATH": "/usr/bin:/bin"}).run([], cwd=tmp_path, on_line=said.append)
    assert done.code == 0
    assert said[:2] == ["one", "two"]
    assert [len(line) for line in said[2:]] == [4000]


async def test_who_holds_the_pipe_open_is_not_waited_for(tmp_path: Path) -> None:
    staging = tmp_path / "staging"
    (staging / "tmp").mkdir(parents=True)
    path = script(tmp_path / "forks", "setsid sleep 600 & echo bye >&2; echo out")()
    run = program.Program(path, {"PATH": "/usr/bin:/bin", "TMPDIR": f"{staging}/tmp"}).run([], cwd=tmp_path)
    done = await asyncio.wait_for(run, BOUND)
    assert (done.code, done.output, done.said) == (0, b"out\n", ("bye",))
    await asyncio.to_thread(sweep, staging)
    assert not staging.exists()


async def gone(pid: int) -> None:
    """Wait until a process is no more, or but a corpse that nobody has buried yet."""
    async with asyncio.timeout(BOUND):
        while True:
            try:
                if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                    return
            except OSError:
                return
            await asyncio.sleep(0.01)
