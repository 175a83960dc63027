"""What runs before the services in compose: secrets are made once, and the host gets its copy."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from dialback import compose_setup, whereabouts
from dialback.settings import resolve
from dialback.whereabouts import locate

CONTROL, PUBLIC = "http://127.0.0.1:9001", "http://127.0.0.1:9000"


@dataclass
class Folders:
    data: Path
    link: Path
    host: Path

    def set_up(self) -> int:
        return compose_setup.main(
            [
                *(f"--data={self.data}", f"--link={self.link}", f"--host={self.host}"),
                *(f"--control-url={CONTROL}", f"--public-url={PUBLIC}"),
            ]
        )


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    monkeypatch.setattr(compose_setup, "SERVICE_ID", os.getuid())
    monkeypatch.setattr(compose_setup, "_give", lambda path, user, group: None)
    made = Folders(tmp_path / "volume", tmp_path / "link", tmp_path / "host")
    for path in (made.data, made.link, made.host):
        path.mkdir()
    return made


def test_the_host_gets_a_copy_of_the_token_that_only_its_owner_can_read(folders: Folders) -> None:
    assert folders.set_up() == 0
    token = (folders.data / "control.token").read_text()
    assert (folders.host / "control.token").read_text() == token
    assert len((folders.link / "link.key").read_text().strip()) == 64
    for folder, name in (
        *((folders.data, "control.token"), (folders.link, "link.key")),
        *((folders.host, "control.token"), (folders.host, "platform.json")),
    ):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600, name


def test_a_second_start_keeps_the_secrets(folders: Folders) -> None:
    assert folders.set_up() == 0
    first = [path.read_text() for path in (folders.data / "control.token", folders.link / "link.key")]
    (folders.host / "control.token").write_text("an old one")
    assert folders.set_up() == 0
    assert [path.read_text() for path in (folders.data / "control.token", folders.link / "link.key")] == first
    assert (folders.host / "control.token").read_text() == first[0]


def test_files_get_the_owner_that_they_are_for(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(compose_setup, "_give", lambda path, user, group: given.update({str(path): (user, group)}))
    compose_setup.set_up(folders.data, folders.link, folders.host, CONTROL, PUBLIC, owner=4711)
    owner = folders.host.stat()
    for path in (folders.data, folders.link, folders.data / "control.token", folders.link / "link.key"):
        assert given[str(path)] == (4711, 4711)
    for name in ("control.token", "platform.json"):
        assert given[str(folders.host / name)] == (owner.st_uid, owner.st_gid)


def test_what_belongs_to_the_right_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "chown", lambda _path, user, group, **_: changed.append((user, group)))
    found = tmp_path.stat()
    compose_setup._give(tmp_path, found.st_uid, found.st_gid)
    compose_setup._give(tmp_path, 4711, 4712)
    assert changed == [(4711, 4712)]


def test_a_folder_that_is_missing_is_named(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    folders.host.rmdir()
    assert folders.set_up() == 1
    said = capsys.readouterr().err
    assert str(folders.host) in said
    assert "No such file or directory" in said


def test_a_token_that_cannot_be_read_is_named(folders: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    (folders.data / "control.token").symlink_to(folders.host)
    assert folders.set_up() == 1
    assert f"the control token {folders.data / 'control.token'} cannot be read" in capsys.readouterr().err


def test_the_command_line_finds_the_platform_in_compose(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folders.set_up() == 0
    monkeypatch.setattr(whereabouts, "COMPOSE_FOLDER", folders.host)
    environment = {"XDG_DATA_HOME": str(tmp_path / "home")}
    where = locate(None, None, resolve({}, environment, tmp_path), environment)
    assert (where.control_url, where.token) == (CONTROL, (folders.data / "control.token").read_text().strip())
    assert where.url_origin == str(folders.host / "platform.json")
    said = json.loads((folders.host / "platform.json").read_text())
    assert said == {"control_url": CONTROL, "public_url": PUBLIC}


def test_a_data_folder_that_was_asked_for_comes_before_compose(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folders.set_up() == 0
    monkeypatch.setattr(whereabouts, "COMPOSE_FOLDER", folders.host)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "control.token").write_text("mine")
    where = locate(None, None, resolve({"data_dir": "mine"}, {}, tmp_path), {})
    assert where.token == "mine"
