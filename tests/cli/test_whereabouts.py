from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from command import Run
from fake_platform import TOKEN, FakePlatform

from dialback.errors import Unreachable, UsageProblem
from dialback.settings import resolve
from dialback.whereabouts import Running, Whereabouts, locate, read_running, remove_running, write_running

ENDED = 2**22 + 1
"""A pid that no Linux process has by default."""


def find(data: Path, *, control: str | None = None, token: str | None = None, **said: str) -> Whereabouts:
    return locate(control, token, resolve({"data_dir": str(data)}, {}, data), said)


def test_a_running_platform_is_found_through_its_data_folder(environment: Path) -> None:
    write_running(environment, Running("http://127.0.0.1:4000", "http://127.0.0.1:4001", os.getpid()))
    (environment / "control.token").write_text("token\n")
    assert stat.S_IMODE((environment / "platform.json").stat().st_mode) == 0o600
    where = find(environment)
    assert (where.control_url, where.token) == ("http://127.0.0.1:4000", "token")
    assert where.token_origin == str(environment / "control.token")
    remove_running(environment, os.getpid())
    assert find(environment).control_url == "http://127.0.0.1:8081"


def test_what_is_said_comes_before_what_is_found(environment: Path) -> None:
    write_running(environment, Running("http://127.0.0.1:4000", "", os.getpid()))
    said = {"DIALBACK_CONTROL_URL": "http://b:1", "DIALBACK_CONTROL_TOKEN": "two"}
    assert find(environment, **said).control_url == "http://b:1"
    where = find(environment, control="http://a:1", token="one", **said)
    assert (where.control_url, where.url_origin, where.token, where.token_origin) == (
        *("http://a:1", "--control"),
        *("one", "--token"),
    )


def test_the_file_of_a_platform_that_died_is_ignored(environment: Path) -> None:
    write_running(environment, Running("http://127.0.0.1:4000", "", ENDED))
    assert read_running(environment) is None
    remove_running(environment, ENDED)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"control_url": "nope", "public_url": "", "pid": 1}', '{"control_url":3}']
)
def test_a_damaged_file_is_ignored(environment: Path, text: str) -> None:
    (environment / "platform.json").write_text(text)
    assert read_running(environment) is None


def test_pids_that_are_none_are_not_alive(environment: Path) -> None:
    for pid in (0, -1, 2**80):
        (environment / "platform.json").write_text(f'{{"control_url": "http://a:1", "public_url": "", "pid": {pid}}}')
        assert read_running(environment) is None


def test_another_platforms_file_is_not_removed(environment: Path) -> None:
    write_running(environment, Running("http://a:1", "", os.getppid()))
    remove_running(environment, os.getpid())
    assert read_running(environment) is not None


def test_the_settings_of_the_control_port_are_the_default(environment: Path) -> None:
    settings = resolve({"control_host": "0.0.0.0", "control_port": "9", "data_dir": str(environment)}, {}, environment)
    assert locate(None, "t", settings, {}).control_url == "http://127.0.0.1:9"


def test_no_token_anywhere_means_that_nothing_was_started(environment: Path) -> None:
    with pytest.raises(Unreachable, match="no platform has been started") as caught:
        find(environment)
    assert "dialback up" in caught.value.hint


@pytest.mark.parametrize("token", ["", " \n", "a b", "tökén", "a\nb"])
def test_a_token_that_cannot_be_one_is_refused(environment: Path, token: str) -> None:
    (environment / "control.token").write_text(token)
    with pytest.raises(UsageProblem, match="holds no control token"):
        find(environment)


def test_a_token_that_cannot_be_read_is_said(environment: Path) -> None:
    (environment / "control.token").mkdir()
    with pytest.raises(UsageProblem, match="cannot read the control token"):
        find(environment)


def test_an_address_that_is_none_is_refused(environment: Path) -> None:
    with pytest.raises(UsageProblem, match="--control: 'nowhere'"):
        find(environment, control="nowhere", token="t")


def test_a_platform_that_is_not_running_is_exit_code_3_with_a_hint(run: Run) -> None:
    result = run("ls", "--control", "http://127.0.0.1:1", "--token", "t")
    assert result.exit_code == 3
    assert "cannot reach the platform at http://127.0.0.1:1" in result.stderr
    assert "is `dialback up` running?" in result.stderr


def test_a_wrong_token_names_where_it_came_from(run: Run, platform: FakePlatform, environment: Path) -> None:
    (environment / "control.token").write_text("wrong")
    result = run("ls", "--control", platform.control_url)
    assert result.exit_code == 1
    assert str(environment / "control.token") in result.stderr
    result = run("ls", "--control", platform.control_url, "--token", "wrong")
    assert "came from --token" in result.stderr


def test_something_else_at_the_address_is_no_platform(run: Run, platform: FakePlatform) -> None:
    result = run("ls", "--control", platform.public_url, "--token", TOKEN)
    assert result.exit_code == 3
    assert "is not a Dialback control API: it answered 404" in result.stderr
