"""`tests/run.py` runs pytest in phases: what fails has a second try, and the last lines say all."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = Path(__file__).resolve().parent.parent


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("phases", TESTS / "phases.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["phases"] = module  # dataclasses look it up
    spec.loader.exec_module(module)
    return module


phases = load()

STEADY = "def test_steady():\n    pass\n"
BROKEN = "def test_broken():\n    assert 1 == 2\n"
UNSTEADY = """
from pathlib import Path
import pytest

class TestPlace:
    @pytest.mark.parametrize("how", ["a::b", "c@d"])
    def test_unsteady(self, how):
        been = Path(__file__).with_name(f"been {how.replace(':', '')}")
        if not been.exists():
            been.touch()
            raise TimeoutError("not within 5 seconds")
"""
TEARDOWN = """
from pathlib import Path
import pytest

@pytest.fixture
def folder():
    yield
    been = Path(__file__).with_name("been")
    if not been.exists():
        been.touch()
        raise OSError("busy")

def test_whose_fixture_fails_once(folder):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    for name in [name for name in os.environ if name.startswith(("COVERAGE", "PYTEST_XDIST"))]:
        monkeypatch.delenv(name)
    return tmp_path


def runs(folder: Path, *arguments: str, **files: str) -> tuple[int, "phases.Run"]:
    """The exit code after one phase of these files."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    run = phases.Run(folder, patience=60)
    run.phase("unit", ["-p", "no:cacheprovider", *arguments])
    return run.summary([]), run


def last_lines(capfd: pytest.CaptureFixture[str]) -> list[str]:
    return capfd.readouterr().out.rpartition("= the whole run =")[2].splitlines()[1:]


def test_what_passes_is_counted_in_the_very_last_line(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, run = runs(folder, a=STEADY, b=STEADY)
    run.phase("browser", ["test_a.py"])
    assert run.summary([]) == code == 0
    lines = last_lines(capfd)
    assert [line.rpartition(" in ")[0] for line in lines] == [
        "unit:     2 passed",
        "browser:  1 passed",
        "PASSED: 3 passed",
    ]


def test_what_fails_twice_is_named_with_its_error(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = runs(folder, a=STEADY, b=BROKEN)
    said = capfd.readouterr().out
    assert code == 1
    assert "A second try, alone: test_b.py::test_broken" in said
    assert said.count("FAILED test_b.py::test_broken") == 2  # pytest itself says so, twice
    assert "FAILED    unit: test_b.py::test_broken - assert 1 == 2" in said
    assert said.splitlines()[-1].startswith("FAILED: 1 passed, 1 failed in 0 min ")


@pytest.mark.parametrize("arguments", [(), ("-p", "xdist", "-p", "xdist.looponfail", "-n", "2", "--dist", "loadscope")])
def test_what_passes_at_the_second_try_is_shouted_and_fails_nothing(
    folder: Path, capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, _ = runs(folder, *arguments, a=STEADY, b=UNSTEADY, c=TEARDOWN)
    lines = last_lines(capfd)
    assert code == 0
    assert "! UNSTEADY: failed, and passed when run again alone. It has to be mended. !" in lines[0]
    assert sorted(lines[1:4]) == [
        "UNSTEADY  unit: test_b.py::TestPlace::test_unsteady[a::b] - TimeoutError: not within 5 seconds",
        "UNSTEADY  unit: test_b.py::TestPlace::test_unsteady[c@d] - TimeoutError: not within 5 seconds",
        'UNSTEADY  unit: test_c.py::test_whose_fixture_fails_once - failed on teardown with "OSError: busy"',
    ]
    assert lines[-1].startswith("PASSED, BUT UNSTEADY: ")
    assert "3 UNSTEADY" in lines[-1]


def test_when_many_fail_nothing_is_tried_again(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    many = "import pytest\n@pytest.mark.parametrize('n', range(12))\ndef test_broken(n):\n    assert n < 0\n"
    code, _ = runs(folder, a=many, b=UNSTEADY)
    said = capfd.readouterr().out
    assert code == 1
    assert "second try" not in said
    assert "FAILED    and 6 more: see the phases" in said
    assert len(said.rpartition("= the whole run =")[2].splitlines()) <= 20
    assert said.splitlines()[-1].startswith("FAILED: 0 passed, 14 failed in ")


def test_a_file_that_cannot_be_read_fails_at_once(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code, _ = runs(folder, a=STEADY, b="import nothing_of_this_name\n")
    said = capfd.readouterr().out
    assert code == 1
    assert "FAILED    unit: test_b.py - collection failure" in said
    assert "second try" not in said


@pytest.mark.parametrize(("file", "code"), [("import os\nos._exit(7)\n", 7), ("", 5)])
def test_a_pytest_that_does_not_do_its_work_is_a_failure(
    folder: Path, capfd: pytest.CaptureFixture[str], file: str, code: int
) -> None:
    assert runs(folder, a=file)[0] == 1
    assert f"FAILED    unit: pytest itself - its exit code was {code}" in capfd.readouterr().out


def test_a_phase_that_hangs_is_interrupted_and_is_a_failure(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (folder / "test_a.py").write_text(STEADY + "def test_hangs():\n    import select\n    select.poll().poll()\n")
    run = phases.Run(folder, patience=4)
    run.phase("unit", [])
    assert run.summary([]) == 1
    said = capfd.readouterr().out
    assert "pytest is not done after 4 seconds: it is interrupted" in said
    assert "FAILED    unit: pytest itself - its exit code was " in said
    assert said.splitlines()[-1].startswith("FAILED: ")


def test_faults_that_no_test_shows_count_too(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, run = runs(folder, a=STEADY)
    assert run.summary(["coverage: dialback_wire has 99.9 %, 100 % is the least"]) == 1
    assert "FAILED    coverage: dialback_wire has 99.9 %, 100 % is the least" in last_lines(capfd)


def test_a_long_error_is_told_by_its_beginning_and_its_end(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    long = "def test_long():\n    raise AssertionError('begin ' + 'and more\\n' * 400 + '2 failed in 3 s')\n"
    runs(folder, a=long)
    (line,) = [line for line in last_lines(capfd) if line.startswith("FAILED    ")]
    assert line.startswith("FAILED    unit: test_a.py::test_long - AssertionError: begin and more")
    assert line.endswith("2 failed in 3 s")
    assert len(line) < 400


def test_interrupts_reach_what_tests_start_even_where_a_shell_ignores_them(folder: Path) -> None:
    (folder / "conftest.py").write_text((TESTS / "conftest.py").read_text())
    (folder / "test_interrupt.py").write_text(
        "import signal, subprocess, sys\n\ndef test_it():\n"
        "    command = [sys.executable, '-c', 'import signal; signal.raise_signal(signal.SIGINT)']\n"
        "    assert subprocess.run(command, stderr=subprocess.DEVNULL).returncode == -signal.SIGINT\n"
    )
    command = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stdout


def test_the_tests_of_a_file_stay_in_one_process_and_so_do_all_of_the_engine(folder: Path) -> None:
    (folder / "tests/system/compose").mkdir(parents=True)
    (folder / "tests/conftest.py").write_text((TESTS / "conftest.py").read_text())
    for file in ("system/test_a", "system/test_b", "system/test_c", "system/compose/test_d"):
        kinds = ["x"] if file.endswith("a") else ["docker"] if file.endswith("b") else ["x", "docker-x"]
        (folder / f"tests/{file}.py").write_text(
            f"import os, pathlib, pytest\n\n@pytest.mark.parametrize('n', range(3))\n"
            f"@pytest.mark.parametrize('kind', {kinds})\ndef test_it(kind, n):\n"
            f"    name = 'engine' if 'docker' in kind or 'compose' in __file__ else '{file[-1]}'\n"
            f"    pathlib.Path(name + ' ' + os.environ['PYTEST_XDIST_WORKER']).touch()\n"
        )
    apart = ["-p", "xdist", "-p", "xdist.looponfail", "-n", "3", "--dist", "loadscope", "--no-loadscope-reorder"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *apart]
    subprocess.run(command, check=True, cwd=folder, capture_output=True, timeout=50)
    assert sorted(path.name[:-4] for path in folder.glob("* gw*")) == ["a", "c", "engine"]
