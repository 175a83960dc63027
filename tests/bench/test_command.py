"""The command as a reader types it."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.__main__ import _left_out, arguments
from bench.processes import tree
from bench.runs import RUNS
from bench.session import plan
from bench.subjects import SUBJECTS
from bench.workloads import WORKLOADS

from bench import dev_save

ROOT = Path(__file__).resolve().parents[2]


def test_a_short_run_measures_prints_and_writes(tmp_path):
    result = tmp_path / "result.json"
    words = ["--quick", "--only", "hello1", "--subject", "uvicorn", "--rounds", "1", "--json", str(result)]
    command = [sys.executable, "-m", "bench", *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "### hello1: 12 bytes, 1 client, 1 round" in done.stdout
    made = json.loads(result.read_text())
    assert made["workloads"]["hello1"]["subjects"]["uvicorn"]["rounds"][0]["p50_ms"] > 0
    assert made["machine"]["cores"] >= 1
    assert result.with_suffix(".md").read_text().strip() == done.stdout.strip()


@pytest.mark.parametrize(
    "words", [["--only", "nothing"], ["--subject", "apache"], ["--run", "slowly"], ["--rounds", "0"], ["--rounds", "x"]]
)
def test_a_word_that_is_not_known_is_refused(words, capsys):
    with pytest.raises(SystemExit) as exit_:
        arguments(words)
    assert exit_.value.code == 2


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_interrupted_stops_its_servers(tmp_path, number, status):
    command = [sys.executable, "-m", "bench", "--only", "hello1", "--subject", "uvicorn", "--json", str(tmp_path / "r")]
    run = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert run.stderr is not None
    try:
        assert any("uvicorn at http" in line for line in run.stderr)
        family = tree([run.pid])
        assert len(family) >= 2
        run.send_signal(number)
        run.communicate(timeout=120)
        assert run.returncode == status
    finally:
        run.kill()
        run.communicate()
    assert tree(family) == {}
    assert not (tmp_path / "r").exists()


def test_the_readme_knows_every_workload():
    text = (ROOT / "bench/README.md").read_text()
    assert all(f"`{name}`" in text for name in (*WORKLOADS, *SUBJECTS, *RUNS))


def test_every_run_names_what_there_is():
    for run in RUNS.values():
        assert set(run.workloads) <= {*WORKLOADS, dev_save.NAME}
        assert set(run.subjects) <= set(SUBJECTS)


def test_the_ratios_partners_are_visited_whoever_is_asked_for():
    quick = plan(list(WORKLOADS.values()), ["dialback"], quick=True)
    assert quick["hello32"] == ["nginx", "dialback"]
    assert quick["bulk"] == ["nginx", "nginx-tuned", "dialback"]
    assert quick["upload"] == ["nginx", "uvicorn", "dialback"]
    assert quick["cold-bare"] == ["dialback"]


@pytest.mark.parametrize(
    ("words", "file"),
    [([], "latest.json"), (["--run", "cold", "--quick"], "cold.json"), (["--only", "dev-save"], "part.json")],
)
def test_a_part_of_a_run_does_not_take_its_place(words, file):
    assert arguments(words).json.name == file


def test_quick_leaves_workloads_out_that_are_not_asked_for():
    assert _left_out("mixed", arguments(["--quick"]))
    assert not _left_out("mixed", arguments(["--quick", "--run", "mixed"]))
    assert not _left_out("hello32", arguments(["--quick"]))


def test_saves_are_measured_without_peers(tmp_path):
    result = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "--only", "dev-save", "--rounds", "1", "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "### dev-save: from a save to the new code's first answer" in done.stdout
    saves = json.loads(result.read_text())["dev_save"]["saves_ms"]
    assert {name: len(values) for name, values in saves.items()} == dict.fromkeys(saves, 1)
    assert len(saves) == 3
