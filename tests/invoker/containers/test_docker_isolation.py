"""What a worker can do to others from inside its container, and what the engine knows of it: nothing."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import pytest

from dialback_invoker.launchers.docker_container import PIDS

from .conftest import Containers

TRY = """
def attempt(family, address):
    try:
        with socket.socket(family) as dialled:
            dialled.settimeout(2)
            dialled.connect(address)
            return "connected"
    except OSError as error:
        return type(error).__name__
"""


async def test_the_engine_is_told_nothing_of_the_function(containers: Containers) -> None:
    pool = containers.pool(spec={"env": {"API_KEY": "sesame-4711"}})
    assert await containers.run(pool, "result = os.environ['API_KEY']") == "sesame-4711"
    said = json.dumps(containers.inspected())
    assert "sesame-4711" not in said
    assert "app:handler" not in said
    assert "secret" not in said.lower().replace("secretreference", "")


async def test_the_engine_keeps_no_output(containers: Containers) -> None:
    pool = containers.pool()
    await containers.run(pool, "print('for the platform alone')")
    await containers.until(lambda: containers.lines)
    assert containers.client.logs(containers.found()[0]["Id"]) == b""


async def test_the_container_is_hardened(containers: Containers) -> None:
    pool = containers.pool()
    found = await containers.run(
        pool,
        """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
result = {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups(), "capabilities": status["CapEff"],
          "bounding": status["CapBnd"], "seccomp": status["Seccomp"], "no_new": status["NoNewPrivs"],
          "processes": sum(name.isdecimal() for name in os.listdir("/proc")),
          "interfaces": sorted(os.listdir("/sys/class/net"))}
""",
    )
    assert found["uid"] == found["gid"] == 10001
    assert set(found["groups"]) <= {10001}
    assert int(found["capabilities"], 16) == int(found["bounding"], 16) == 0
    assert (found["seccomp"].strip(), found["no_new"].strip()) == ("2", "1")
    assert found["processes"] <= 4
    assert found["interfaces"] == ["lo"]
    host = containers.inspected()["HostConfig"]
    assert (host["ReadonlyRootfs"], host["Privileged"], host["PidsLimit"]) == (True, False, PIDS)
    assert host["Memory"] == host["MemorySwap"] == 128 * 1024 * 1024
    assert host["NanoCpus"] == 1_000_000_000


@pytest.mark.parametrize("place", ["/var/task/x", "/run/dialback/x", "/opt/dialback/x", "/etc/x", "/var/tmp/x", "/x"])
async def test_nothing_but_tmp_can_be_written(containers: Containers, place: str) -> None:
    pool = containers.pool()
    assert (await containers.run(pool, f"open({place!r}, 'w')"))["raised"] in ("OSError", "PermissionError")
    assert await containers.run(pool, "result = open('/tmp/x', 'w').write('fine')") == 4


async def test_a_full_tmp_is_an_error_that_the_function_sees(containers: Containers) -> None:
    pool = containers.pool()
    filled = await containers.run(pool, "open('/tmp/big', 'wb').write(bytes(80 * 1024 * 1024))")
    assert filled["raised"] == "OSError"
    assert "No space left" in filled["text"]
    assert await containers.run(pool, "os.unlink('/tmp/big'); result = 'well'") == "well"


async def test_a_bomb_of_processes_meets_its_limit_and_the_worker_lives(containers: Containers) -> None:
    pool = containers.pool()
    bombed = await containers.run(
        pool,
        """
made = []
try:
    while len(made) < 1000:
        made.append(subprocess.Popen(["sleep", "60"]))
except OSError as error:
    result = [type(error).__name__, len(made)]
for each in made:
    each.kill()
for each in made:
    each.wait()
""",
    )
    assert bombed[0] == "BlockingIOError"
    assert 100 < bombed[1] < PIDS
    assert await containers.run(pool, "result = 'well'") == "well"


async def test_zombies_are_reaped(containers: Containers) -> None:
    pool = containers.pool()
    left = await containers.run(
        pool,
        "subprocess.run(['/bin/sh', '-c', 'for i in 1 2 3 4 5; do (sleep 0.01 &) ; done'])\n"
        "deadline = time.monotonic() + 5\n"
        "def zombies():\n"
        "    states = []\n"
        "    for pid in filter(str.isdecimal, os.listdir('/proc')):\n"
        "        try: states.append(open(f'/proc/{pid}/stat').read().rpartition(')')[2].split()[0])\n"
        "        except OSError: pass\n"
        "    return len(states) > 2 or 'Z' in states\n"
        "while zombies() and time.monotonic() < deadline: time.sleep(0.02)\n"
        "result = zombies()",
    )
    assert left is False


async def test_a_worker_reaches_neither_the_engine_nor_a_port_of_the_machine_nor_a_sibling(
    containers: Containers,
) -> None:
    listener = socket.create_server(("0.0.0.0", 0))
    try:
        port = listener.getsockname()[1]
        first, second = containers.pool(), containers.pool(spec={"function": "other"})
        await containers.run(second, "result = 1")
        found: dict[str, Any] = await containers.run(
            first,
            TRY
            + f"""
addresses = ["127.0.0.1", "172.17.0.1", "10.0.0.1"]
result = {{address: attempt(socket.AF_INET, (address, {port})) for address in addresses}}
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"):
    result[path] = attempt(socket.AF_UNIX, path)
result["sockets"] = sorted(os.listdir("/run/dialback"))
""",
        )
        assert "connected" not in [value for key, value in found.items() if key != "sockets"]
        assert found["sockets"] == ["receiver.sock", "runtime.sock"]
    finally:
        listener.close()


async def test_workers_that_may_go_outside_do_not_see_each_other(containers: Containers) -> None:
    pools = [containers.pool(spec={"function": name, "network": "outside"}) for name in ("one", "two")]
    serve = (
        "served = socket.create_server(('0.0.0.0', 7000))\n"
        "import builtins\nbuiltins.kept = served\n"
        "result = socket.gethostbyname(socket.gethostname())"
    )
    address = await containers.run(pools[0], serve)
    siblings = await containers.lease(pools[0])  # holds the first worker, so that a second one of the same is started
    try:
        same = await containers.run(pools[0], TRY + f"result = attempt(socket.AF_INET, ({address!r}, 7000))")
    finally:
        siblings.release()
    other = await containers.run(pools[1], TRY + f"result = attempt(socket.AF_INET, ({address!r}, 7000))")
    assert "connected" not in (same, other)
    assert await containers.run(pools[1], "result = sorted(os.listdir('/sys/class/net'))") == ["eth0", "lo"]


async def test_the_secret_of_the_runtime_api_is_needed_inside_too(containers: Containers) -> None:
    pool = containers.pool()
    said = await containers.run(
        pool,
        "dialled = socket.socket(socket.AF_UNIX)\n"
        "dialled.connect('/run/dialback/runtime.sock')\n"
        "dialled.sendall(b'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')\n"
        "result = dialled.recv(100).decode()",
    )
    assert " 403 " in said.splitlines()[0]
    assert await containers.run(pool, "result = os.path.exists('/run/dialback/door.sock')") is False


async def test_a_sandbox_that_the_engine_does_not_have_is_refused_by_name(containers: Containers) -> None:
    from dialback_invoker.launchers.base import LaunchFailed

    if "runsc" in (await asyncio.to_thread(containers.client.info))["Runtimes"]:
        pytest.skip("this engine has runsc")
    pool = containers.pool(spec={"sandbox": "runsc"})
    with pytest.raises(LaunchFailed, match="no runtime 'runsc'"):
        await containers.lease(pool)
