from __future__ import annotations

from pathlib import Path

import pytest

from dialback.address import TcpAddress, UnixAddress, parse_address
from dialback.errors import UsageProblem
from dialback.settings import Settings, resolve


def settle(tmp_path: Path, toml: str = "", flags: dict[str, str] | None = None, **environment: str) -> Settings:
    if toml:
        (tmp_path / "dialback-platform.toml").write_text(toml)
    return resolve(dict(flags or {}), environment, tmp_path)


def refusal(tmp_path: Path, toml: str = "", flags: dict[str, str] | None = None, **environment: str) -> UsageProblem:
    with pytest.raises(UsageProblem) as caught:
        settle(tmp_path, toml, flags, **environment)
    return caught.value


def test_nothing_said_gives_the_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = settle(tmp_path)
    assert (settings.public.host, settings.public.port, settings.control.port) == ("127.0.0.1", 8080, 8081)
    assert settings.data_dir == Path("/home/somebody/.local/share/dialback")
    assert settings.launcher == "process"
    assert settings.default is None
    assert settings.receiver == UnixAddress(None)
    assert settings.link.address == UnixAddress(None)
    assert settings.queue.limit == 1000


def test_a_flag_comes_before_a_variable_and_a_variable_before_the_file(tmp_path: Path) -> None:
    toml = "port = 1\ncontrol_port = 1\nhost = '0.0.0.0'\n"
    settings = settle(tmp_path, toml, {"port": "3"}, DIALBACK_PORT="2", DIALBACK_CONTROL_PORT="2")
    assert (settings.public.port, settings.control.port, settings.public.host) == (3, 2, "0.0.0.0")


def test_port_zero_is_allowed(tmp_path: Path) -> None:
    assert settle(tmp_path, flags={"port": "0"}).public.port == 0


def test_every_key_can_stand_in_the_file(tmp_path: Path) -> None:
    settings = settle(
        tmp_path,
        """
        host = "::1"
        port = 0
        control_host = "localhost"
        control_port = 9
        public_url = "https://functions.example.org/"
        data_dir = "data"
        launcher = "process"
        default = "hello"
        receiver = "tcp://10.0.0.1:0"
        link = "unix:/run/link.sock"
        link_key_file = "~/key"
        receiver_url = "ws://Receiver.example.org:9001/"
        trusted_proxies = ["10.0.0.0/8", "::1"]
        queue_limit = 1
        queue_timeout = 1.5
        in_flight = 20
        window_budget = 1_048_576
        drain_grace = 2
        drain_delay = 5
        access_log = false
        log_format = "json"
        metrics = "tcp://0.0.0.0:9464"
        [edge]
        authorities = ["functions.example.org"]
        early_hints = false
        [edge.limits]
        body = 1000
        [edge.timeouts]
        write_stall = 5
        """,
    )
    assert settings.receiver_url == "ws://receiver.example.org:9001"
    assert [str(network) for network in settings.edge.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert (settings.in_flight, settings.window_budget, settings.drain_delay, settings.access_log) == (
        20,
        1 << 20,
        5.0,
        False,
    )
    assert (settings.log_format, settings.metrics) == ("json", TcpAddress("0.0.0.0", 9464))
    assert (settings.edge.host, settings.edge.port, settings.edge.early_hints) == ("::1", 0, False)
    assert (settings.edge.authorities, settings.edge.limits.body) == (("functions.example.org",), 1000)
    assert settings.edge.timeouts.write_stall == 5.0
    assert settings.public_url == "https://functions.example.org"
    assert settings.data_dir == tmp_path / "data"
    assert settings.receiver == TcpAddress("10.0.0.1", 0)
    assert settings.link.address == UnixAddress(Path("/run/link.sock"))
    assert settings.link.key_file == Path.home() / "key"
    assert (settings.queue.timeout, settings.drain_grace) == (1.5, 2.0)


def test_an_unknown_key_is_refused_with_its_line_and_a_guess(tmp_path: Path) -> None:
    wrong = refusal(tmp_path, "host = 'localhost'\n\ncontrol-prot = 1 # oh\n")
    assert (wrong.line, wrong.source) == (3, "control-prot = 1 # oh")
    assert wrong.file == str(tmp_path / "dialback-platform.toml")
    assert "control_port" in wrong.hint


def test_an_unknown_table_is_refused_too(tmp_path: Path) -> None:
    assert refusal(tmp_path, "port = 1\n[zzz]\nport = 2\n").line == 2


def test_a_mistyped_variable_is_refused(tmp_path: Path) -> None:
    wrong = refusal(tmp_path, DIALBACK_CONTROL_PROT="1")
    assert "DIALBACK_CONTROL_PROT" in wrong.message
    assert "DIALBACK_CONTROL_PORT" in wrong.hint


def test_variables_that_are_no_setting_are_left_alone(tmp_path: Path) -> None:
    settle(tmp_path, DIALBACK_CONTROL_URL="http://x", DIALBACK_SOMETHING_ELSE_ENTIRELY="1", DIALBACK_PORT="")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"port": "70000"}, "--port: 70000 is out of range"),
        ({"port": "-1"}, "--port: -1 is out of range"),
        ({"port": "eighty"}, "--port: 'eighty' is not a whole number"),
        ({"control_port": ""}, "--control-port: '' is not a whole number"),
        ({"host": "a b"}, "--host: 'a b' is neither"),
        ({"host": "256.1.1.1"}, "--host: '256.1.1.1' is neither"),
        ({"host": ""}, "--host: it must not be empty"),
        ({"default": "../x"}, "--default: '../x' is not a function name"),
        ({"default": "n" * 65}, "at most 64"),
        (
            {"docker_host": "tcp://10.0.0.1:2375"},
            "--docker-host: 'tcp://10.0.0.1:2375' is not an engine on this machine",
        ),
        ({"worker_image": "-v/:/host"}, "--worker-image: '-v/:/host' is not an image's name"),
        ({"launcher": "lambda"}, "not served by this version yet"),
        ({"launcher": "proces"}, "did you mean 'process'?"),
        ({"receiver": "unix:/x"}, "--receiver: write unix"),
        ({"receiver": "http://x:1"}, "not an address"),
        ({"link": "tcp://x"}, "write tcp://host:port"),
        ({"link": "tcp://x:99999"}, "out of range"),
        ({"link": "tls://x"}, "write tls://host:port"),
        ({"link": "udp://x:1"}, "tcp://host:port or tls://host:port"),
        ({"receiver": "tls://x:1"}, "not an address"),
        ({"metrics": "tls://x:1"}, "not an address"),
        ({"link": "tcp://h:1", "link_tls_ca": "ca.pem"}, "link_tls_ca is set, but the link has no TLS"),
        ({"link_tls_cert": "c.pem", "link_tls_key": "k"}, "link_tls_cert is set, but the link has no TLS"),
        ({"link": "tls://h:1", "link_tls_cert": "c.pem"}, "a certificate needs its private key"),
        ({"link": "unix:relative"}, "unix:/absolute/path"),
        ({"link": "unix:/" + "x" * 200}, "at most 107 bytes"),
        ({"public_url": "functions.example.org"}, "write http://host:port"),
        ({"public_url": "http://h/path"}, "without path"),
        ({"public_url": "http://h:x"}, "--public-url"),
        ({"queue_timeout": "soon"}, "'soon' is not a number of seconds"),
        ({"queue_timeout": "nan"}, "out of range"),
        ({"build_timeout": "0"}, "--build-timeout: it must be more than 0 seconds"),
        ({"build_limit": "1000"}, "--build-limit: 1000 is out of range"),
        ({"keep_deployments": "0"}, "--keep-deployments: 0 is out of range"),
        ({"drain_grace": "-1"}, "out of range"),
        ({"drain_delay": "x"}, "--drain-delay: 'x' is not a number of seconds"),
        ({"queue_limit": "0"}, "--queue-limit: 0 is out of range (1 to 1000000)"),
        ({"trusted_proxies": "10.0.0.1/8"}, "'10.0.0.1/8' is no network, such as 10.0.0.0/8"),
        ({"access_log": "maybe"}, "--access-log: 'maybe' is neither true nor false"),
        ({"log_format": "jsom"}, "--log-format: 'jsom' is not a format (did you mean 'json'?)"),
        ({"metrics": "unix"}, "--metrics: 'unix' is a Unix socket: write tcp://host:port"),
        ({"metrics": "9464"}, "--metrics: '9464' is not an address"),
        ({"receiver": "tcp://h:1", "receiver_url": "ws://h"}, "names no port"),
        ({"receiver": "tcp://h:1", "receiver_url": "http://h:1"}, "write ws://host:port"),
        ({"receiver_url": "ws://h:1"}, "the receiver listens on a Unix socket"),
    ],
)
def test_a_bad_value_is_refused_with_its_flag(tmp_path: Path, flags: dict[str, str], words: str) -> None:
    assert words in refusal(tmp_path, flags=flags).message


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("port = true", "port: it must be a whole number, not a boolean"),
        ("port = 1.5", "not a number"),
        ("port = [1]", "not a list"),
        ("host = 3", "host: it must be text, not a number"),
        ("queue_timeout = true", "not a boolean"),
        ("host = 1979-05-27", "a date or time"),
        ("port = {a = 1}", "not a table"),
        ("trusted_proxies = 3", "trusted_proxies: it must be a list of networks, not a number"),
        ("trusted_proxies = [3]", "3 is no network"),
        ("edge = 3", "edge: it must be a table, [edge]"),
        ("edge.prot = 3", "unknown key 'edge.prot'"),
        ("edge.port = 3", "edge.port is no key of this table"),
        ("edge.limits.heads = 3", "unknown key 'edge.limits.heads'"),
        ("edge.limits.head = true", "edge.limits.head: it should be a valid integer"),
        ("edge.limits.head = 0", "edge.limits.head: it should be greater than 0"),
        ("edge.timeouts.idle = -1.5", "edge.timeouts.idle: it should be greater than or equal to 0"),
        ("edge.authorities = ['http://x']", "edge.authorities.0: "),
    ],
)
def test_a_bad_value_in_the_file_is_refused_with_its_line(tmp_path: Path, toml: str, words: str) -> None:
    wrong = refusal(tmp_path, "# settings\n" + toml)
    assert words in wrong.message
    assert (wrong.line, wrong.source) == (2, toml)


def test_a_wrong_key_of_the_edge_s_tables_is_found_at_its_own_line(tmp_path: Path) -> None:
    wrong = refusal(tmp_path, "port = 1\n[edge]\nearly_hints = true\n[edge.timeouts]\nidle = 1\nwrite_stal = 2\n")
    assert (wrong.line, wrong.source) == (6, "write_stal = 2")
    assert wrong.hint == "did you mean 'write_stall'?"


def test_lists_and_switches_can_be_said_in_the_environment(tmp_path: Path) -> None:
    settings = settle(tmp_path, DIALBACK_TRUSTED_PROXIES="10.0.0.0/8, ::1", DIALBACK_ACCESS_LOG="false")
    assert len(settings.edge.trusted_proxies) == 2
    assert not settings.access_log


def test_no_format_means_no_access_log(tmp_path: Path) -> None:
    assert settle(tmp_path).access_log
    assert not settle(tmp_path, DIALBACK_LOG_FORMAT="none").access_log


def test_a_bad_value_in_a_variable_names_it(tmp_path: Path) -> None:
    assert refusal(tmp_path, DIALBACK_PORT="x").message.startswith("DIALBACK_PORT: ")


def test_a_file_that_is_not_toml_is_shown_with_its_line(tmp_path: Path) -> None:
    wrong = refusal(tmp_path, "port = 1\nhost = \n")
    assert (wrong.line, wrong.source) == (2, "host = ")
    assert refusal(tmp_path, 'port = 1\nhost = "').line == 2


def test_a_named_file_must_be_there_and_be_text(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="cannot read it"):
        resolve({}, {}, tmp_path, Path("missing.toml"))
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageProblem, match="not UTF-8"):
        resolve({}, {"DIALBACK_CONFIG": "binary.toml"}, tmp_path)


def test_relative_paths_belong_to_where_they_were_said(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/p.toml").write_text("data_dir = 'data'")
    assert resolve({}, {}, tmp_path, Path("etc/p.toml")).data_dir == tmp_path / "etc/data"
    assert resolve({"data_dir": "here"}, {}, tmp_path, Path("etc/p.toml")).data_dir == tmp_path / "here"
    assert resolve({}, {"XDG_DATA_HOME": "/xdg"}, tmp_path).data_dir == Path("/xdg/dialback")


def test_addresses_are_printed_as_they_are_written() -> None:
    for text in ("unix", "unix:/run/x.sock", "tcp://localhost:80", "tcp://[::1]:80"):
        assert str(parse_address(text)) == text
    assert str(parse_address("unix:///run/x")) == "unix:/run/x"
