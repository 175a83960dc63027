"""`docker compose up` from a clean checkout: examples, page, the command line of the host, and who may talk to whom."""

import json
import os
import re
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from ..platform import eventually
from .composed import ROOT, UP_SECONDS, Composed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(3 * UP_SECONDS + 400)]

EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))
QUICK = [folder for folder in EXAMPLES if not (folder / "requirements.txt").exists()]
"""Those that the invoker deploys first, since nothing has to be installed for them."""


def examples(platform: Composed, folders: list[Path]) -> set[str]:
    """The names of the functions, once as many as these examples are there."""

    def names() -> set[str] | None:
        functions = platform.control("/v1/functions")["functions"]
        assert isinstance(functions, list)
        found = {str(function["name"]) for function in functions}
        return found if len(found) >= len(folders) else None

    return eventually(names, 3 * UP_SECONDS, f"not every example was deployed: {platform.logs('invoker')[-3000:]}")


def test_it_starts_with_the_examples_and_the_log_leads_to_the_page(platform: Composed) -> None:
    found = set(platform.ready_with)
    assert {folder.name.replace("_", "-") for folder in QUICK} <= found, (
        "not every example was there when it was healthy"
    )

    def link() -> str | None:
        found = re.search(rf"{re.escape(platform.control_url)}/#token=(\S+)", platform.logs("invoker"))
        return found[1] if found else None

    assert eventually(link, 30, "no address of the page in the log") == platform.token
    page = httpx.get(platform.control_url, timeout=10)
    assert page.status_code == 200
    assert "Dialback" in page.text
    for name in found:
        assert f"{platform.url}/@{name}/" in platform.logs("invoker")


def test_the_host_deploys_every_example_and_each_streams_to_real_clients(platform: Composed) -> None:
    examples(platform, EXAMPLES)

    def deploy(folder: Path) -> str:
        if folder in QUICK:
            platform.command("rm", folder.name.replace("_", "-"))
        said = platform.command("deploy", str(folder.relative_to(ROOT))).stdout
        # The clients below look at when a stream's pieces come: a worker is there before they ask.
        with httpx.stream("GET", f"{platform.url}/@{folder.name.replace('_', '-')}/", timeout=60):
            return said

    with ThreadPoolExecutor(3) as pool:
        for folder, said in zip(EXAMPLES, pool.map(deploy, EXAMPLES), strict=True):
            assert (" is live" if folder in QUICK else " is unchanged") in said
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-n", "3", "-p", "no:cacheprovider", str(ROOT / "tests/examples")],
        env={**environ, "DIALBACK_EXAMPLES_URL": platform.url + "/@{name}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 40


def test_the_token_reaches_the_host_in_a_file_for_its_owner_alone(platform: Composed) -> None:
    folder = platform.checkout / "deploy/.dialback"
    for name in ("control.token", "platform.json"):
        found = (folder / name).stat()
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert (found.st_uid, found.st_gid) == (folder.stat().st_uid, folder.stat().st_gid)
    told = json.loads(platform.command("ls", "--json").stdout)
    assert platform.url in json.dumps(told)
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=platform.checkout, capture_output=True, text=True, check=True
    )
    assert status.stdout == "", "a start changed the checkout"


def test_a_function_of_the_host_s_own_streams(platform: Composed, tmp_path: Path) -> None:
    folder = tmp_path / "ticker"
    folder.mkdir()
    (folder / "app.py").write_text(
        "import asyncio\n\n\nasync def handler(event, context):\n    for number in range(4):\n"
        '        yield f"chunk {number}\\n"\n        await asyncio.sleep(0.3)\n'
    )
    platform.command("deploy", str(folder))
    platform.get("/@ticker/")  # the next one finds a worker
    moments = []
    with httpx.stream("GET", f"{platform.url}/@ticker/", timeout=30) as answer:
        for _ in answer.iter_lines():
            moments.append(time.monotonic())
    assert len(moments) == 4
    assert moments[-1] - moments[0] > 0.6, "the chunks came together"
    platform.command("rm", "ticker")


def test_the_page_s_runs_reach_the_edge(platform: Composed) -> None:
    examples(platform, QUICK)
    for mode in ("callback", "buffered"):
        events = run(platform, "hello", mode)
        assert events["head"]["status"] == 200
        assert events["end"]["ok"], events["end"]["error"]


def run(platform: Composed, function: str, mode: str) -> dict[str, dict[str, object]]:
    """The last event of each kind of a run that the page asks for."""
    events: dict[str, dict[str, object]] = {}
    name = ""
    with httpx.stream(
        "POST",
        f"{platform.control_url}/v1/runs",
        json={"function": function, "mode": mode},
        headers={"authorization": f"Bearer {platform.token}"},
        timeout=30,
    ) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events[name] = json.loads(line.removeprefix("data: "))
    return events


def test_both_ports_are_open_on_loopback_alone(platform: Composed) -> None:
    for service, port in (("edge", platform.port), ("invoker", platform.control_port)):
        bindings = platform.inspect(service)["HostConfig"]["PortBindings"]  # type: ignore[index]
        [(binding,)] = bindings.values()
        assert (binding["HostIp"], binding["HostPort"]) == ("127.0.0.1", str(port))


@pytest.mark.parametrize("service", ["edge", "invoker"])
def test_services_have_no_rights_and_no_room_to_write(platform: Composed, service: str) -> None:
    found = platform.inspect(service)
    host, config = found["HostConfig"], found["Config"]
    assert isinstance(host, dict)
    assert isinstance(config, dict)
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert not host["Privileged"]
    assert any("no-new-privileges" in option for option in host["SecurityOpt"])
    assert host["Memory"] > 0
    assert host["NanoCpus"] > 0
    assert host["PidsLimit"] > 0
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}
    assert config["StopTimeout"] == 40
    assert config["User"] == "10001:10001"
    assert platform.inside(service, "id", "-u").strip() == "10001"
    assert "Read-only file system" in platform.inside(service, "sh", "-c", "touch /opt/x 2>&1 || true")


def test_the_engine_s_socket_is_given_to_the_invoker_alone(platform: Composed) -> None:
    for service in ("setup", "edge", "invoker"):
        mounts = platform.inspect(service)["Mounts"]
        assert isinstance(mounts, list)
        sockets = [mount["Source"] for mount in mounts if mount["Source"] == platform.environ["DIALBACK_DOCKER_SOCKET"]]
        assert len(sockets) == (1 if service == "invoker" else 0)


def test_nothing_but_the_socket_belongs_to_a_group_of_the_invoker_s(platform: Composed) -> None:
    state = platform.inside("invoker", "cat", "/proc/1/status")
    groups = next(line.split()[1:] for line in state.splitlines() if line.startswith("Groups:"))
    assert len(groups) > 800
    theirs = platform.inside(
        *("invoker", "sh", "-c"),
        r"find / \( -path /proc -o -path /sys \) -prune -o -gid +99 ! -gid +999 -print 2>/dev/null || true",
    )
    assert set(theirs.split()) <= {"/run/docker.sock"}


def reaches(platform: Composed, service: str, address: str) -> bool:
    """Whether something in a service's container can connect to `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    program = f"import socket; socket.create_connection(({host!r}, {port}), 2)"
    return "reached" in platform.inside(
        service, "sh", "-c", f'/opt/dialback/bin/python -c "{program}" 2>/dev/null && echo reached || echo no'
    )


def test_the_edge_reaches_the_link_and_not_the_control_port(platform: Composed) -> None:
    networks = platform.inspect("invoker")["NetworkSettings"]["Networks"]  # type: ignore[index]
    addresses = {name.removeprefix(f"{platform.project}_"): each["IPAddress"] for name, each in networks.items()}
    assert sorted(addresses) == ["control", "link"]
    assert reaches(platform, "edge", f"{addresses['link']}:9000")
    assert not reaches(platform, "edge", f"{addresses['link']}:8081")
    assert not reaches(platform, "edge", f"{addresses['control']}:8081")


def test_images_say_what_they_are_and_hold_no_compiler_and_no_secret(platform: Composed) -> None:
    for service in ("edge", "invoker"):
        labels = platform.inspect(service)["Config"]["Labels"]  # type: ignore[index]
        assert labels["org.opencontainers.image.title"] == f"Dialback {service}"
        for name in ("description", "licenses", "version"):
            assert labels[f"org.opencontainers.image.{name}"]
        tools = platform.inside(service, "sh", "-c", "command -v gcc cc g++ make git || true")
        assert tools == "", "an image for running needs nothing for building"
        names = platform.inside(
            service, "find", "/opt", "-name", "*.token", "-o", "-name", "link.key", "-o", "-name", ".git"
        )
        assert names == ""
        environment = platform.inside(service, "env")
        assert platform.token not in environment
        assert "db1_" not in environment
