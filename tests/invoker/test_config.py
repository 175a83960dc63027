"""dialback.toml: defaults, and every mistake with its file, its line and what to do."""

from pathlib import Path

import pytest

from dialback_invoker.errors import ConfigError, InvalidInput
from dialback_invoker.function_config import FunctionConfig, Timeouts, load_config, parse_config
from dialback_invoker.names import check_name
from dialback_invoker.toml_places import key_lines, line_of


def refused(text: str | bytes) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text.encode() if isinstance(text, str) else text)
    assert caught.value.file == "dialback.toml"
    assert caught.value.http_status == 400
    return caught.value


def test_no_file_means_the_defaults(tmp_path: Path) -> None:
    config = load_config(tmp_path)
    assert config == FunctionConfig()
    assert (config.mode, config.callback_socket, config.max_workers, config.memory_mb) == ("callback", "keep", 4, 256)
    assert config.timeouts == Timeouts(start=10, head=60, idle=0, total=0)
    assert (config.on_disconnect, config.linger_seconds, config.idle_seconds) == ("cancel", 30, 300)


def test_every_documented_key_is_taken(tmp_path: Path) -> None:
    (tmp_path / "dialback.toml").write_text(
        'name = "chat"\nruntime = "python"\nlauncher = "process"\nentry = "app:app"\nmode = "buffered"\n'
        'callback_socket = "each"\nconcurrency = 7\nmax_workers = 2\nmemory_mb = 128\nidle_seconds = 1.5\n'
        'on_disconnect = "linger"\nlinger_seconds = 5\nlimits = "none"\n'
        '[timeouts]\nstart = 1\nhead = 2\nidle = 3\ntotal = 4\n[env]\nGREETING = "hello"\n'
    )
    config = load_config(tmp_path)
    assert config.env == {"GREETING": "hello"}
    assert config.timeouts.total == 4
    assert config.concurrency_for(blocks=True) == 7


def test_handlers_that_block_serve_fewer_at_once_unless_told_otherwise() -> None:
    assert FunctionConfig().concurrency_for(blocks=False) == 100
    assert FunctionConfig().concurrency_for(blocks=True) == 10


def test_an_unknown_key_is_refused_with_its_line_and_a_suggestion() -> None:
    error = refused('# a comment\nname = "a"\nconcurency = 3\n')
    assert (error.line, error.source) == (3, "concurency = 3")
    assert "unknown key 'concurency'; did you mean 'concurrency'?" in error.message


def test_an_unknown_key_in_a_table_is_found_behind_multi_line_values() -> None:
    error = refused('[env]\nA = """\n[timeouts]\nhead = 1\n"""\n\n[timeouts]\nstart = 1\n  hed = 2\n')
    assert (error.line, error.source) == (9, "hed = 2")
    assert "did you mean 'head'?" in error.message


def test_an_unknown_key_without_a_near_one_gets_no_suggestion() -> None:
    assert refused("zzzzzz = 1").message == "unknown key 'zzzzzz'"


def test_an_unknown_table_is_found_at_its_header() -> None:
    error = refused('name = "a"\n\n[deploy]\nx = 1\n')
    assert error.line == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("concurrency = 0", "concurrency = 0: should be greater than or equal to 1"),
        ("max_workers = 1001", "less than or equal to 1000"),
        ("memory_mb = 1", "memory_mb = 1"),
        ("memory_mb = true", "memory_mb = true"),
        ('memory_mb = "256"', "memory_mb = '256'"),
        ("idle_seconds = -1", "idle_seconds = -1"),
        ("idle_seconds = nan", "idle_seconds = nan"),
        ("timeouts.start = 0", "timeouts.start = 0: should be greater than 0"),
        ("timeouts = 3", "timeouts = 3"),
        ('env = {"1A" = "x"}', "not a name of an environment variable"),
        ('env = {DIALBACK_X = "x"}', "env.DIALBACK_X: is set by the platform and cannot be given in [env]"),
        ('env = {HOME = "x"}', "env.HOME: is set by the platform"),
        ('env = {TMPDIR = "x"}', "set by the platform"),
        ('env = {LAMBDA_TASK_ROOT = "x"}', "set by the platform"),
        ('env = {AWS_LAMBDA_FUNCTION_NAME = "x"}', "set by the platform"),
        ('env = {A = "\\u0000"}', "NUL"),
        ("env = {A = 1}", "env.A: should be a valid string"),
        ('entry = "app.py:app:x"', 'must read "module:attribute"'),
        ('on_disconnect = "stop"', '"cancel" or "linger" or "finish"'),
        ('on_disconnect = "cancle"', 'did you mean \'cancel\'?'),
        ("mode = 1", "must be a string"),
        (f'name = "{"x" * 65}"', "65 characters"),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_refused_with_its_line(text: str, part: str) -> None:
    error = refused(f"# first\n{text}\n")
    assert part in error.message
    assert error.line == 2


@pytest.mark.parametrize(
    "line",
    [
        'runtime = "node"',
        'runtime = "python3.12"',
        'launcher = "docker"',
        'launcher = "lambda"',
        'limits = "vercel-edge"',
    ],
)
def test_a_value_that_is_planned_says_that_it_is_not_served_yet(line: str) -> None:
    assert "is not served by this version of Dialback yet" in refused(line).message


def test_of_several_mistakes_the_first_is_shown_and_the_others_counted() -> None:
    error = refused("x1 = 1\nmax_workers = 0\nx2 = 2\n")
    assert error.line == 1
    assert error.message.endswith("(and 2 more)")


def test_a_syntax_error_gives_its_line() -> None:
    error = refused('name = "a"\nmode = callback\n')
    assert (error.code, error.line, error.source) == ("config_syntax", 2, "mode = callback")
    assert str(error).startswith("dialback.toml:2: not valid TOML: ")
    assert refused('name = "a"\nmode = [').line == 2


def test_what_cannot_be_read_at_all_is_refused(tmp_path: Path) -> None:
    assert refused(b'name = "a"\nmode = "\xff"').line == 2
    assert "larger than" in refused(b"#" * 70_000).message
    assert "nested too deeply" in refused("a = " + "[" * 20_000).message
    (tmp_path / "dialback.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)


def test_lambda_s_names_that_the_platform_does_not_set_are_the_function_s_own() -> None:
    assert parse_config(b'[env]\nAWS_REGION = "eu-west-1"\nLAMBDA_X = "1"').env == {
        "AWS_REGION": "eu-west-1",
        "LAMBDA_X": "1",
    }


def test_a_secret_in_env_is_not_repeated_in_the_message() -> None:
    assert "hunter2" not in refused('[env]\nA-B = "hunter2"').message


def test_places_of_arrays_of_tables_and_dotted_keys() -> None:
    places = key_lines('a.b = 1\n[[c]]\nd = 2\n[e.f]\ng = {h = 1}\n')  # fmt: skip
    assert places[("a", "b")] == 1
    assert places[("c", "d")] == 3
    assert places[("e", "f", "g", "h")] == 5
    assert line_of(places, ("a", "b", "zz")) == 1
    assert line_of(places, ("nowhere",)) is None


def test_places_are_given_up_after_a_statement_of_hundreds_of_lines() -> None:
    assert key_lines("a = 1\nb = [\n" + "1,\n" * 300 + "]\nc = 1\n") == {("a",): 1}


@pytest.mark.parametrize("name", ["a", "A-b_9", "_x", "9", "x" * 64])
def test_lambdas_names_are_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-v", "../x", "a/b", "a b", "a\n", "ａ", "é", "x" * 10_000, "a.b", "a%", "-v/:/h"]
)
def test_anything_else_is_no_name_and_the_message_stays_short(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_name(name)
    assert caught.value.http_status == 400
    assert len(caught.value.message) < 160
