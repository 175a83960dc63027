from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_platform import ID, FakePlatform, fault

from conftest import COMMAND, Process, Run

Spawn = Callable[..., Process]
Start = Callable[..., "subprocess.Popen[bytes]"]


def test_the_body_goes_to_stdout_byte_by_byte(spawn: Spawn, reachable: FakePlatform) -> None:
    done = spawn("invoke", "chat", "binary")
    assert (done.code, done.stdout, done.stderr) == (0, bytes(range(256)) * 4, "")


def test_chunks_are_written_as_they_come(start: Start, reachable: FakePlatform) -> None:
    process = start("invoke", "chat", "/gated")
    assert process.stdout is not None
    assert process.stdout.readline() == b"first\n"
    reachable.gate.set()
    assert process.stdout.read() == b"second\n"
    assert process.wait(10) == 0


def test_head_and_body_can_both_be_seen(run: Run, reachable: FakePlatform) -> None:
    stdout = run("invoke", "chat", "-i").stdout.replace("\r\n", "\n")
    head, _, body = stdout.partition("\n\n")
    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "X-Mixed: a" in head
    assert body == "hello\n"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "/@chat/"),
        ("", "/@chat/"),
        ("a/../b//c", "/@chat/a/../b//c"),
        ("/a%2Fb?q=1&r=%20#part", "/@chat/a%2Fb?q=1&r=%20"),
        ("/x y/é", "/@chat/x%20y/%C3%A9"),
        ("?q=[1]", "/@chat/?q=[1]"),
    ],
)
def test_the_path_arrives_as_it_was_typed(run: Run, reachable: FakePlatform, path: str, target: str) -> None:
    assert run("invoke", "chat", path).exit_code == 0
    assert reachable.requests[0][1] == target


def test_method_headers_and_body_are_sent(run: Run, reachable: FakePlatform) -> None:
    run("invoke", "chat", "-X", "PUT", "-H", "x-one: 1", "-H", "Cookie:a=b", "-d", "text é")
    [(method, _, headers, body)] = reachable.requests
    assert (method, headers["x-one"], headers["Cookie"], body) == ("PUT", "1", "a=b", "text é".encode())
    assert headers["User-Agent"] == "dialback"


def test_head_has_no_body(run: Run, reachable: FakePlatform) -> None:
    result = run("invoke", "chat", "-X", "HEAD", "-i", "-H", "user-agent: me")
    assert result.stdout.endswith("\r\n\r\n") or result.stdout.endswith("\n\n")
    assert reachable.requests[0][2]["User-Agent"] == "me"


def test_a_body_comes_from_a_file_or_from_standard_input(spawn: Spawn, reachable: FakePlatform) -> None:
    Path("upload").write_bytes(b"x" * 300_000)
    assert spawn("invoke", "chat", "-d", "@upload").code == 0
    assert spawn("invoke", "chat", "-d", "@-", stdin=b"from a pipe").code == 0
    assert spawn("invoke", "chat", "-d", "").code == 0
    [(_, _, first, file), (_, _, second, pipe), (method, _, third, nothing)] = reachable.requests
    assert (len(file), first["Content-Length"]) == (300_000, "300000")
    assert (pipe, second["Transfer-Encoding"]) == (b"from a pipe", "chunked")
    assert (method, nothing, third["Content-Length"]) == ("POST", b"", "0")


def test_standard_input_that_is_a_file_has_a_length(reachable: FakePlatform) -> None:
    Path("upload").write_bytes(b"abc")
    with Path("upload").open("rb") as file:
        subprocess.run([COMMAND, "invoke", "chat", "-d", "@-"], stdin=file, check=True, timeout=30, capture_output=True)
    assert reachable.requests[0][2]["Content-Length"] == "3"


def test_an_answer_is_read_while_the_body_is_sent(start: Start, reachable: FakePlatform) -> None:
    process = start("invoke", "chat", "/echo", "-d", "@-")
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == line
    process.stdin.close()
    assert process.stdout.read() == b""
    assert process.wait(10) == 0


def test_megabytes_go_both_ways_at_once(spawn: Spawn, reachable: FakePlatform) -> None:
    body = os.urandom(8 << 20)
    assert spawn("invoke", "chat", "/echo", "-d", "@-", stdin=body).stdout == body


def test_an_answer_that_comes_before_the_body_was_sent_is_shown(spawn: Spawn, reachable: FakePlatform) -> None:
    done = spawn("invoke", "chat", "/refuse", "-d", "@-", stdin=b"x" * (16 << 20))
    assert (done.code, done.stdout) == (1, b"too large\n")
    assert done.stderr == "error: chat answered 413 Request Entity Too Large\n"


def test_a_body_that_nobody_wants_does_not_hide_the_answer(run: Run, reachable: FakePlatform) -> None:
    Path("large").write_bytes(b"x" * (16 << 20))
    result = run("invoke", "chat", "/refuse", "-d", "@large")
    assert (result.exit_code, result.stdout) == (1, "too large\n")


def test_an_error_of_the_function_is_a_failure_with_its_body_and_its_trace(run: Run, reachable: FakePlatform) -> None:
    result = run("invoke", "chat", "/fail")
    assert (result.exit_code, result.stdout) == (1, "broken\n")
    assert result.stderr == f"error: chat answered 502 Bad Gateway\nhint: `dialback trace {ID}` shows what happened\n"


def events(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_for_programs_head_pieces_and_end_are_events_with_their_times(run: Run, reachable: FakePlatform) -> None:
    result = run("invoke", "chat", "--json")
    head, piece, end = events(result.stdout)
    assert (result.exit_code, result.stderr) == (0, "")
    assert (head["event"], head["status"], head["id"]) == ("head", 200, ID)
    assert ["X-Mixed", "a"] in head["headers"]
    assert (piece["event"], piece["text"], piece["chunk_complete"]) == ("data", "hello\n", True)
    assert (end["event"], end["bytes"], end["chunks"], end["complete"]) == ("end", 6, 1, True)
    assert 0 < head["at_ms"] <= piece["at_ms"] <= end["at_ms"]


def test_events_of_an_answer_that_is_no_text_are_base64(run: Run, reachable: FakePlatform) -> None:
    pieces = [event for event in events(run("invoke", "chat", "binary", "--json").stdout) if event["event"] == "data"]
    assert b"".join(base64.b64decode(piece["base64"]) for piece in pieces) == bytes(range(256)) * 4


def test_events_tell_that_an_answer_was_cut_short_or_an_error(run: Run, reachable: FakePlatform) -> None:
    short = run("invoke", "chat", "/short", "--json")
    end = events(short.stdout)[-1]
    assert (short.exit_code, end["complete"], end["bytes"]) == (1, False, 10)
    assert "cut short after 10 bytes" in end["error"]
    failed = run("invoke", "chat", "/fail", "--json")
    assert (failed.exit_code, events(failed.stdout)[0]["status"]) == (1, 502)
    assert events(failed.stdout)[-1]["complete"]


def test_an_answer_that_was_cut_short_is_a_failure(spawn: Spawn, reachable: FakePlatform) -> None:
    done = spawn("invoke", "chat", "/short")
    assert (done.code, done.stdout) == (1, b"only this\n")
    assert "cut short after 10 bytes" in done.stderr


def test_no_answer_at_all_is_no_platform(run: Run, reachable: FakePlatform) -> None:
    result = run("invoke", "chat", "/nothing")
    assert result.exit_code == 3
    assert "gave no answer" in result.stderr


def test_what_answers_without_http_is_no_platform(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-x\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        result = run("invoke", "chat", "--public-url", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread.join(10)
    assert result.exit_code == 3
    assert "gave no answer" in result.stderr


def test_the_public_address_can_be_named_and_no_token_is_needed(run: Run, platform: FakePlatform) -> None:
    assert run("invoke", "chat", "--public-url", platform.public_url).stdout == "hello\n"
    assert platform.asked == []
    assert run("invoke", "chat", "--public-url", "http://127.0.0.1:1").exit_code == 3
    assert "only http://" in run("invoke", "chat", "--public-url", "https://h").stderr


@pytest.mark.parametrize("mode", ["buffered", "callback", "tunnel"])
@pytest.mark.parametrize("named", [False, True])
def test_one_request_can_run_in_another_mode(run: Run, reachable: FakePlatform, mode: str, named: bool) -> None:
    address = ["--public-url", reachable.public_url] if named else []
    result = run("invoke", "chat", "--mode", mode, "-H", "x-one: 1", "-d", "body", *address)
    assert (result.exit_code, result.stdout) == (0, "hello\n")
    [(method, _, headers, body)] = reachable.requests
    assert (method, headers["x-one"], body) == ("POST", "1", b"body")
    assert reachable.tickets == {headers["x-dialback-run"]: mode}


def test_without_a_mode_there_is_no_ticket(run: Run, reachable: FakePlatform) -> None:
    assert run("invoke", "chat").exit_code == 0
    assert "x-dialback-run" not in reachable.requests[0][2]
    assert reachable.tickets == {}


def test_a_mode_that_is_none_reaches_nobody(run: Run, reachable: FakePlatform) -> None:
    result = run("invoke", "chat", "--mode", "fast")
    assert (result.exit_code, result.stderr) == (2, "error: --mode: 'fast' is not one of buffered, callback, tunnel\n")
    assert (reachable.asked, reachable.requests) == ([], [])


def test_a_ticket_that_is_refused_sends_no_request(run: Run, reachable: FakePlatform) -> None:
    reachable.answer = lambda request: fault(404, "no_such_function", "there is no function 'chat'")
    result = run("invoke", "chat", "--mode", "tunnel", "--public-url", reachable.public_url)
    assert result.exit_code == 1
    assert "there is no function 'chat'" in result.stderr
    assert reachable.requests == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-H", "no colon"], "is not a header"),
        (["-H", "bad name: 1"], "is not a header"),
        (["-H", "host: elsewhere"], "host follows from the address"),
        (["-H", "Content-Length: 5"], "cannot be set"),
        (["-H", "x: a\r\ny: b"], "cannot be sent"),
        (["-X", "GET IT"], "is not a method"),
        (["-d", "@missing"], "cannot read 'missing'"),
        (["-d", "@."], "is a folder"),
        (["-d", "@nul\0"], "cannot read"),
    ],
)
def test_a_request_that_cannot_be_made_is_refused(
    run: Run, platform: FakePlatform, arguments: list[str], words: str
) -> None:
    result = run("invoke", "chat", "--public-url", platform.public_url, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert platform.requests == []


def test_a_file_that_shrinks_while_it_is_sent_is_noticed(platform: FakePlatform) -> None:
    from dialback.errors import UsageProblem
    from dialback.exchange import Exchange, FileBody, Outgoing

    Path("body").write_bytes(b"short")
    with Path("body").open("rb") as file:
        request = Outgoing(b"POST", b"/@chat/", (), FileBody(file.fileno(), 10))
        with pytest.raises(UsageProblem, match="became shorter"):
            list(Exchange(platform.public_url, request).run())


@pytest.mark.parametrize("arguments", [["invoke", "chat", "/endless"], ["logs", "chat", "--json"], ["logs", "chat"]])
def test_a_pipe_whose_reader_left_is_no_error_message(reachable: FakePlatform, arguments: list[str]) -> None:
    reachable.log_lines = [{"line": "x" * 1000}] * 2000
    process = subprocess.Popen([COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(20) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_a_pipe_to_head_in_a_shell_is_quiet_and_the_function_notices(reachable: FakePlatform) -> None:
    done = subprocess.run(
        f"{COMMAND} invoke chat /endless | head -n 1", shell=True, capture_output=True, timeout=30, check=False
    )
    assert (done.stdout, done.stderr) == (b"line\n", b"")
    assert reachable.client_left.wait(10)


@pytest.mark.parametrize("arguments", [["invoke", "chat", "/silent"], ["logs", "chat", "-f"]])
def test_an_interrupt_ends_it_quietly_and_closes_the_connection(
    start: Start, reachable: FakePlatform, arguments: list[str]
) -> None:
    reachable.log_lines = [{"line": "begun"}]
    process = start(*arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    assert b"begun" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert process.stderr.read() == b""
    assert reachable.client_left.wait(10)


def test_a_terminal_is_told_what_it_saw(reachable: FakePlatform) -> None:
    master, slave = os.openpty()
    done = subprocess.run([COMMAND, "invoke", "chat"], stdin=slave, stdout=slave, stderr=slave, timeout=30, check=False)
    os.close(slave)
    seen = os.read(master, 65536)
    os.close(master)
    assert done.returncode == 0
    assert b"hello\r\n" in seen
    assert b"200 \xc2\xb7 6 B in" in seen
    assert f"dialback trace {ID}".encode() in seen


def test_colours_are_for_terminals_that_want_them(spawn: Spawn, reachable: FakePlatform) -> None:
    assert b"\x1b[" not in spawn("trace").stdout
    assert b"\x1b[" in spawn("trace", FORCE_COLOR="1").stdout
    assert b"\x1b[3" not in spawn("trace", FORCE_COLOR="1", NO_COLOR="1").stdout


def test_the_module_is_the_command_too(reachable: FakePlatform) -> None:
    python = COMMAND.with_name("python")
    done = subprocess.run([python, "-m", "dialback", "version"], capture_output=True, timeout=30, check=True)
    assert done.stdout.startswith(b"dialback ")
