"""A line for each request, behind the ready line; and what standard error says of a link and of a stop."""

import json
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from .platform import Platform, Service, eventually

pytestmark = pytest.mark.system


def next_line(service: Service) -> dict[str, object]:
    assert service.process.stdout is not None
    line = json.loads(service.process.stdout.readline())
    assert isinstance(line, dict)
    return line


def test_edge_and_invoker_write_one_line_each(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    assert platform.edge.ready["link"] == "ready"
    identity = platform.get("/@probe/hello?secret=1").headers["x-dialback-id"]
    edge, invoker = next_line(platform.edge), next_line(platform.invoker)
    assert (edge["id"], edge["path"], edge["code"]) == (identity, "/@probe/hello", "--")
    assert (invoker["id"], invoker["function"], invoker["mode"]) == (identity, "probe", "callback")
    assert (invoker["path"], invoker["code"], invoker["bytes_out"]) == ("/@probe/hello", "--", 12)


def test_up_writes_json_where_no_person_reads_and_nothing_when_it_is_told_so(
    make: Callable[..., Platform], tag: str
) -> None:
    platform = make()
    assert platform.stop() == (0, 0)
    words = ["up", "--port", "0", "--control-port", "0"]
    platform.edge = Service("up", words, platform.environ, platform.root / "up.log")
    assert platform.get("/@nobody/").status_code == 404
    line = next_line(platform.edge)
    assert (line["path"], line["status"], line["code"], line["by"]) == ("/@nobody/", 404, "LR", "invoker")
    assert platform.edge.stop() == 0
    platform.edge = Service("up", [*words, "--log-format", "pretty"], platform.environ, platform.root / "up.log")
    assert platform.get("/@nobody/").status_code == 404
    assert platform.edge.process.stdout is not None
    assert b" 404 GET /@nobody/ " in platform.edge.process.stdout.readline()
    assert platform.edge.stop() == 0
    platform.edge = Service("up", [*words, "--no-access-log"], platform.environ, platform.root / "up.log")
    assert platform.get("/@nobody/").status_code == 404
    platform.edge.signal(signal.SIGTERM)
    assert platform.edge.process.stdout is not None
    assert platform.edge.process.stdout.read() == b""
    assert platform.edge.wait() == 0


def test_a_stop_says_what_it_waits_for(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.deploy_probe()
    with ThreadPoolExecutor() as pool:
        running = pool.submit(platform.get, f"/@probe/stream?tag={tag}&n=10&gap=0.1")
        platform.await_note(tag, "called")
        platform.invoker.signal(signal.SIGTERM)
        said = "stopping: waiting for 1 request to finish, 30 s at most; Ctrl-C again stops at once"
        eventually(lambda: said in platform.invoker.log.read_text(), 30.0, "the stop says nothing")
        assert running.result(20).text.endswith("line 9\n")
    assert platform.invoker.wait() == 0
    lost = "warning: no link to the invoker at "
    eventually(lambda: lost in platform.edge.log.read_text(), 30.0, "the edge says nothing of its lost link")


def test_a_wrong_key_is_said_at_the_edge(make: Callable[..., Platform], tag: str) -> None:
    platform = make()
    platform.edge.stop()
    wrong = platform.root / "wrong.key"
    wrong.write_text("another key\n")
    wrong.chmod(0o600)
    words = ["serve", "edge", "--port", "0", "--link-key-file", str(wrong)]
    platform.edge = Service("edge", words, platform.environ, platform.root / "wrong.log")
    assert platform.edge.ready["link"] == "connecting"
    assert "does not know the key of this link\n" in platform.edge.log.read_text()
