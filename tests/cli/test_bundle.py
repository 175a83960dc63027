from __future__ import annotations

import os
import socket
import tarfile
from pathlib import Path

import pytest

from dialback import bundle as bundles
from dialback.bundle import default_name, pack
from dialback.errors import CliError, UsageProblem
from dialback.ignore import Ignore


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "My Function!"
    made.mkdir()
    (made / "app.py").write_text("app = 1\n")
    (made / "lib").mkdir()
    (made / "lib/part.py").write_text("x = 1\n")
    return made


def names(source: Path) -> list[str]:
    made = pack(source)
    with tarfile.open(fileobj=made.body) as archive:
        found = archive.getmembers()
    made.close()
    assert all(member.isreg() and member.uid == member.gid == 0 and member.mtime == bundles.EPOCH for member in found)
    return [member.name for member in found]


def refusal(source: Path) -> UsageProblem:
    with pytest.raises(UsageProblem) as caught:
        pack(source).close()
    return caught.value


def test_a_folder_becomes_a_sorted_archive_named_after_it(folder: Path) -> None:
    assert names(folder) == ["app.py", "lib/part.py"]
    assert default_name(folder) == "My-Function"


def test_the_same_files_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = pack(folder)
    copy = tmp_path / "copy"
    (copy / "lib").mkdir(parents=True)
    (copy / "lib/part.py").write_text("x = 1\n")
    (copy / "app.py").write_text("app = 1\n")
    os.utime(copy / "app.py", (1, 1))
    second = pack(copy)
    assert first.body.read() == second.body.read()
    assert first.length == second.length
    first.close()
    second.close()


def test_what_tools_leave_behind_stays_out(folder: Path) -> None:
    for junk in (
        ".git/config",
        "__pycache__/a.pyc",
        ".venv/x",
        "venv/x",
        "node_modules/x",
        "a.pyc",
        "lib/b.pyc",
        ".dialback/x",
    ):
        (folder / junk).parent.mkdir(exist_ok=True)
        (folder / junk).write_text("junk")
    assert names(folder) == ["app.py", "lib/part.py"]


def test_an_ignore_file_leaves_out_and_takes_back(folder: Path) -> None:
    (folder / ".dialbackignore").write_text("# notes\n*.md\n!README.md\n/data/\nlib/**/deep.txt\n\n")
    for file in ("a.md", "README.md", "data/x", "lib/data/x", "lib/a/b/deep.txt", "deep.txt"):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x")
    assert names(folder) == ["README.md", "app.py", "deep.txt", "lib/data/x", "lib/part.py"]


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("a?c", "x/abc", True),
        ("a?c", "a/c", False),
        ("[!a]x", "bx", True),
        ("[!a]x", "ax", False),
        ("[a-c]", "b", True),
        ("a/*.txt", "a/b.txt", True),
        ("a/*.txt", "z/a/b.txt", False),
        ("**/b", "a/c/b", True),
        ("a/**", "a/b/c", True),
        (r"\#x", "#x", True),
        ("b+", "b+", True),
    ],
)
def test_patterns_mean_what_they_mean_in_gitignore(tmp_path: Path, pattern: str, path: str, out: bool) -> None:
    (tmp_path / ".dialbackignore").write_text(pattern + "\n")
    assert Ignore.of(tmp_path).leaves_out(path, folder=False) is out


@pytest.mark.parametrize("pattern", ["[z-a]", "!", "///"])
def test_a_pattern_that_is_none_is_shown_with_its_line(folder: Path, pattern: str) -> None:
    (folder / ".dialbackignore").write_text("ok\n" + pattern + "\n")
    wrong = refusal(folder)
    assert (wrong.line, wrong.source) == (2, pattern)


def test_an_ignore_file_must_be_text(folder: Path) -> None:
    (folder / ".dialbackignore").write_bytes(b"\xff")
    assert "UTF-8" in refusal(folder).message


def test_a_link_inside_the_folder_is_packed_as_what_it_points_to(folder: Path) -> None:
    (folder / "again.py").symlink_to("app.py")
    (folder / "more").symlink_to(folder / "lib")
    assert names(folder) == ["again.py", "app.py", "lib/part.py", "more/part.py"]


def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (folder / "lib/stolen").symlink_to("../../secret")
    wrong = refusal(folder)
    assert "leaves the folder" in wrong.message
    assert "lib/stolen" in wrong.hint
    (folder / ".dialbackignore").write_text("stolen")
    assert "lib/stolen" not in names(folder)


def test_links_to_nothing_and_circles_are_refused(folder: Path) -> None:
    (folder / "loop").symlink_to(".")
    assert "a folder that it is in" in refusal(folder).message
    (folder / "loop").unlink()
    (folder / "gone").symlink_to("nowhere")
    assert "link to nothing" in refusal(folder).message


def test_a_socket_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        assert "neither a file nor a folder" in refusal(folder).message
        assert "neither a file nor a folder" in refusal(folder / "s").message


def test_a_single_file_becomes_a_module_and_gives_the_name(tmp_path: Path) -> None:
    for file, packed, name in (("ticker.py", "ticker.py", "ticker"), ("say hello.py", "say_hello.py", "say-hello")):
        (tmp_path / file).write_text("app = 1")
        assert names(tmp_path / file) == [packed]
        assert default_name(tmp_path / file) == name
    (tmp_path / "2fa.py").write_text("app = 1")
    assert names(tmp_path / "2fa.py") == ["_2fa.py"]


def test_a_file_that_is_called_like_every_entry_is_named_after_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ticker").mkdir()
    for file in ("app.py", "main.py", "index.py", "function.py", "handler.py"):
        (tmp_path / "ticker" / file).write_text("")
        assert default_name(tmp_path / "ticker" / file) == "ticker"
    monkeypatch.chdir(tmp_path / "ticker")
    assert default_name(Path("app.py")) == "ticker"
    assert default_name(Path("/app.py")) == "app"


@pytest.mark.parametrize("name", ["-dash", "--force", "-.py"])
def test_a_leading_dash_makes_no_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "app.py").write_text("app = 1\n")
    with pytest.raises(UsageProblem, match="begins with a -") as caught:
        default_name(tmp_path / name)
    assert caught.value.hint == "give one with --name"


@pytest.mark.parametrize("file", ["notes.txt", "app", "app.js"])
def test_a_file_that_is_no_python_is_refused_with_what_can_be_deployed(tmp_path: Path, file: str) -> None:
    (tmp_path / file).write_text("x")
    wrong = refusal(tmp_path / file)
    assert wrong.message.endswith(f"{file} is no Python file")
    assert "a folder, a .py file or an archive (.zip" in wrong.hint


def test_an_archive_is_sent_as_it_is(tmp_path: Path) -> None:
    for name, kind in (("f.zip", "application/zip"), ("f.tar.gz", "application/gzip")):
        (tmp_path / name).write_bytes(b"bytes")
        made = pack(tmp_path / name)
        assert (made.media_type, made.body.read(), made.length, made.name) == (kind, b"bytes", 5, "f")
        made.close()


def test_the_permission_to_run_is_kept(folder: Path) -> None:
    (folder / "app.py").chmod(0o700)
    made = pack(folder)
    with tarfile.open(fileobj=made.body) as archive:
        assert [member.mode for member in archive] == [0o755, 0o644]
    made.close()


def test_the_name_of_the_configuration_comes_first(folder: Path) -> None:
    (folder / "dialback.toml").write_text('name = "chat"\n')
    for given, name in ((None, "chat"), ("other", "other")):
        made = pack(folder, given)
        assert made.name == name
        made.close()


@pytest.mark.parametrize("text", ["name = 3", 'name = "../up"', f'name = "{"n" * 10_000}"', "name = '-x'", "name = "])
def test_a_bad_name_in_the_configuration_is_shown_with_its_line(folder: Path, text: str) -> None:
    (folder / "dialback.toml").write_text("# function\n" + text + "\n")
    wrong = refusal(folder)
    assert wrong.file == str(folder / "dialback.toml")
    assert wrong.line == 2


def test_a_configuration_without_a_name_leaves_it_to_the_folder(folder: Path) -> None:
    (folder / "dialback.toml").write_text("concurrency = 3\n")
    assert default_name(folder) == "My-Function"


def test_a_dot_is_the_folder_that_one_is_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder / "lib")
    assert default_name(Path()) == "lib"
    assert default_name(Path("..")) == "My-Function"


def test_a_path_of_which_no_name_can_be_made_asks_for_one(tmp_path: Path) -> None:
    (tmp_path / "äöü").mkdir()
    assert "--name" in refusal(tmp_path / "äöü").hint


def test_nothing_to_pack_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "no files" in refusal(tmp_path / "empty").message
    assert "no such file" in refusal(tmp_path / "missing").message


def test_too_much_is_refused_and_the_largest_are_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "model.bin").write_bytes(b"x" * 3000)
    monkeypatch.setattr(bundles, "MOST_BYTES", 2048)
    wrong = refusal(folder)
    assert "model.bin (2.9 KiB)" in wrong.message
    assert ".dialbackignore" in wrong.hint
    monkeypatch.setattr(bundles, "MOST_FILES", 2)
    assert "3 files" in refusal(folder).message


def test_names_that_an_archive_cannot_hold_are_refused(folder: Path) -> None:
    (folder / "APP.py").write_text("")
    assert "differ only in case" in refusal(folder).message
    (folder / "APP.py").unlink()
    (folder / "new\nline").write_text("")
    assert "cannot hold this name" in refusal(folder).message


def test_a_file_that_changes_under_the_packer_is_noticed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_bytes", lambda path: b"now much longer than before")
    with pytest.raises(CliError, match="changed while it was packed"):
        pack(folder)
