"""`dialback init`: what is written, and that nothing is overwritten."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from command import COMMAND, Run

from dialback.beginning import FOLDER, ORDER, template, templates, write


def test_every_folder_of_templates_is_listed() -> None:
    assert sorted(ORDER) == sorted(folder.name for folder in FOLDER.iterdir() if folder.is_dir())
    for each in templates():
        assert each.about, each.name
    assert [each.name for each in templates() if each.requires] == ["fastapi", "flask"]


def test_the_usual_template_is_written_and_the_next_step_is_said(run: Run) -> None:
    done = run("init", "my chat")
    assert done.exit_code == 0, done.output
    assert Path("my chat/app.py").read_bytes() == (FOLDER / "asgi/app.py").read_bytes()
    assert "dialback up 'my chat'" in done.stdout
    done = run("init", "-t", "flask", "--json")
    assert json.loads(done.stdout) == {"template": "flask", "files": ["app.py", "requirements.txt"]}
    assert "requirements.txt says" in run("init", "web", "-t", "fastapi").stdout


def test_no_file_is_overwritten_and_then_nothing_is_written(run: Run) -> None:
    Path("requirements.txt").write_text("mine\n")
    done = run("init", "-t", "flask")
    assert done.exit_code == 2
    assert "requirements.txt is there already; nothing was written" in done.stderr
    assert not Path("app.py").exists()
    Path("app.py").symlink_to("nowhere")
    assert "app.py and requirements.txt are there" in run("init", "-t", "flask").stderr
    Path("file").write_text("")
    assert "is not a folder" in run("init", "file").stderr


def test_what_was_begun_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = template("flask")
    real = Path.read_bytes

    def failing(path: Path) -> bytes:
        if path.name == "requirements.txt":
            raise OSError(28, "No space left on device")
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    with pytest.raises(OSError, match="No space"):
        write(chosen, tmp_path / "new")
    assert list((tmp_path / "new").iterdir()) == []


def test_an_unknown_template_is_refused_with_a_near_one(run: Run) -> None:
    done = run("init", "-t", "fastpi")
    assert done.exit_code == 2
    assert "did you mean 'fastapi'?" in done.stderr


def test_the_templates_are_listed(run: Run) -> None:
    assert [line.split()[0] for line in run("init", "--list").stdout.splitlines()] == list(ORDER)
    assert [each["name"] for each in json.loads(run("init", "--list", "--json").stdout)["templates"]] == list(ORDER)


def test_on_a_terminal_one_is_chosen(tmp_path: Path) -> None:
    terminal, ours = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "init", str(tmp_path / "new")], stdin=ours, stdout=ours, stderr=ours, start_new_session=True
    )
    os.close(ours)
    said = b""
    for answer in (b"99\n", b"3\n"):
        asked = said.count(b"Which one")
        while said.count(b"Which one") == asked or not said.rstrip(b" ").endswith(b":"):
            said += os.read(terminal, 4096)
        os.write(terminal, answer)
    try:
        while piece := os.read(terminal, 4096):
            said += piece
    except OSError:
        pass  # the other end is closed
    os.close(terminal)
    assert process.wait(30) == 0
    assert b"'99' is none of them" in said
    assert (tmp_path / "new/app.py").read_bytes() == (FOLDER / "sse/app.py").read_bytes()
