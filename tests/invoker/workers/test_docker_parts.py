"""The parts of the docker launcher that need no engine: what it would say to one, and where files are for it."""

from __future__ import annotations

import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from dialback_invoker.deploy.inspect import BridgeInspector
from dialback_invoker.errors import ConfigError
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerSpec
from dialback_invoker.launchers.docker import worker_environment
from dialback_invoker.launchers.docker_container import ContainerSpec, options
from dialback_invoker.launchers.docker_engine import Engine, EngineFailed, Surroundings
from dialback_invoker.launchers.docker_images import WorkerImage, checkout, context
from dialback_invoker.launchers.docker_paths import HostPaths, find_surroundings, own_container
from dialback_invoker.launchers.docker_reaper import Reaper
from dialback_invoker.launchers.docker_site import Site, make_readable
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.launching import Launchers, identity
from dialback_invoker.paths import data_folder, run_folder
from dialback_invoker.settings import InvokerSettings

OWN = "f" * 64
MOUNTINFO = f"""\
700 600 0:50 / / rw,relatime - overlay overlay rw
711 700 254:1 /var/lib/docker/containers/{OWN}/resolv.conf /etc/resolv.conf rw - ext4 /dev/vda1 rw
"""


def test_a_container_finds_its_own_id_and_a_machine_has_none() -> None:
    assert own_container(MOUNTINFO) == OWN
    assert own_container("25 1 254:1 / / rw - ext4 /dev/vda1 rw\n") is None


async def test_outside_of_containers_nobody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text("25 1 254:1 / / rw - ext4 /dev/vda1 rw\n")
    engine = Engine(f"unix://{tmp_path}/nothing.sock")
    assert await find_surroundings(engine, tmp_path / "mountinfo") is None
    assert await find_surroundings(engine, tmp_path / "missing") is None
    await engine.close()


def test_paths_on_volumes_are_translated_and_others_refused() -> None:
    paths = HostPaths([("/data", "/var/lib/docker/volumes/d/_data"), ("/data/inner", "/srv/inner"), ("/run/d", "/r")])
    assert paths.outside(Path("/data/bundles/x")) == "/var/lib/docker/volumes/d/_data/bundles/x"
    assert paths.outside(Path("/data/inner/y")) == "/srv/inner/y"
    assert paths.outside(Path("/run/d")) == "/r"
    assert HostPaths().outside(Path("/anything")) == "/anything"
    with pytest.raises(EngineFailed, match="put the data folder and the run folder") as caught:
        paths.outside(Path("/database"))
    assert caught.value.code == "not_on_a_volume"


def container(**more: Any) -> dict[str, dict[str, Any]]:
    spec = {
        "image": "image",
        "door": "/doors/w_1",
        "code": "/bundles/x",
        "memory_mb": 128,
        "cpus": 0.5,
        "network": "none",
        "runtime": None,
        "labels": {"dialback.platform": "p"},
    }
    return options(ContainerSpec(**{**spec, **more}))


def test_a_container_is_made_with_every_restriction() -> None:
    made = container()
    host = made["host"]
    assert host["read_only"] is True
    assert host["cap_drop"] == ["ALL"]
    assert host["security_opt"] == ["no-new-privileges:true"]
    assert host["network_mode"] == "none"
    assert host["mem_limit"] == host["memswap_limit"] == 128 * 1024 * 1024
    assert host["nano_cpus"] == 500_000_000
    assert host["pids_limit"] == 256
    assert {mount["Target"]: mount["ReadOnly"] for mount in host["mounts"]} == {
        "/run/dialback": True,
        "/var/task": True,
    }
    assert "runtime" not in host
    assert not {"privileged", "binds", "devices", "cap_add", "pid_mode"} & set(host)
    assert made["container"]["user"] == "10001:10001"
    assert "environment" not in made["container"]
    assert container(runtime="runsc")["host"]["runtime"] == "runsc"


def test_the_workers_image_is_built_from_the_bridge_and_its_hash_follows_its_content(tmp_path: Path) -> None:
    root = checkout()
    assert root is not None
    packed, digest = context(root)
    with tarfile.open(fileobj=BytesIO(packed)) as tar:
        names = tar.getnames()
    assert "Dockerfile" in names
    assert "services/bridge/src/dialback_bridge/door.py" in names
    assert not any(name.endswith(".pyc") for name in names)
    assert context(root)[1] == digest
    for name in ("deploy/worker/Dockerfile", "requirements/uv.txt", "requirements/worker.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (tmp_path / "services/bridge/src").mkdir(parents=True)
    assert context(tmp_path)[1] != digest


def test_the_code_can_be_read_by_the_containers_user_and_keeps_what_can_be_run(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    (bundle / "inner").mkdir(parents=True, mode=0o700)
    (bundle / "inner" / "run.sh").write_text("")
    (bundle / "inner" / "run.sh").chmod(0o500)
    (bundle / "app.py").write_text("")
    (bundle / "app.py").chmod(0o400)
    make_readable(bundle)
    modes = {path.name: path.stat().st_mode & 0o777 for path in [bundle, *bundle.rglob("*")]}
    assert modes == {"bundle": 0o755, "inner": 0o755, "run.sh": 0o555, "app.py": 0o444}


def test_the_search_path_is_the_images_unless_the_function_says() -> None:
    spec = WorkerSpec("hello", "d_1", Path("/bundle"), "app:app", env={"A": "b"})
    made = worker_environment(spec, "w_1")
    assert "PATH" not in made
    assert (made["A"], made["HOME"], made["LAMBDA_TASK_ROOT"]) == ("b", "/tmp", "/var/task")
    own = WorkerSpec("hello", "d_1", Path("/bundle"), "app:app", env={"PATH": "/mine"})
    assert worker_environment(own, "w_1")["PATH"] == "/mine"


class Away(Engine):
    """An engine that is away for a while."""

    def __init__(self, away: int) -> None:
        super().__init__("unix:///nothing.sock")
        self.away = away
        self.removed: list[str] = []

    async def remove(self, container: str) -> None:
        self.away -= 1
        if self.away >= 0:
            raise EngineFailed("away")
        self.removed.append(container)

    async def surroundings(self, container: str) -> Surroundings:
        return Surroundings([], {"com.docker.compose.project": "demo"})


async def test_what_cannot_be_removed_now_is_removed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dialback_invoker.launchers.docker_reaper.FIRST_PAUSE", 0.001)
    engine = Away(3)
    reaper = Reaper(engine)
    await reaper.remove("one")
    await reaper.remove("two")
    assert reaper.left == 2
    assert reaper._task is not None
    await reaper._task
    assert sorted(engine.removed) == ["one", "two"]
    assert reaper.left == 0
    await reaper.close()
    await engine.close()


async def test_in_a_compose_project_containers_belong_to_it(tmp_path: Path) -> None:
    engine = Away(0)

    async def receiver() -> Path:
        return tmp_path

    site = Site(tmp_path / "doors", platform="p", receiver=receiver, engine=engine, image=WorkerImage(engine))
    site._join_project({"com.docker.compose.project": "demo", "else": "x"})
    assert site.container_labels == {
        "dialback.platform": "p",
        "com.docker.compose.project": "demo",
        "com.docker.compose.service": "worker",
        "com.docker.compose.oneoff": "True",
        "com.docker.compose.config-hash": "worker",
    }
    assert site.network_labels == {"dialback.platform": "p", "com.docker.compose.project": "demo"}
    await engine.close()


def launchers(tmp_path: Path, launcher: str, **more: bool) -> Launchers:
    data = data_folder(tmp_path / "data")
    data.create()

    async def receiver() -> Path:
        return tmp_path

    run = run_folder(data, {"XDG_RUNTIME_DIR": str(tmp_path)})
    process = ProcessLauncher(run.root) if launcher == "process" else None
    settings = InvokerSettings(launcher=launcher)  # type: ignore[arg-type]
    return Launchers(settings, data, run, process, BridgeInspector(), receiver, **more)


@pytest.mark.parametrize(
    ("platform", "config", "words"),
    [
        ("docker", {"launcher": "process"}, "runs functions in containers alone"),
        ("process", {"sandbox": "runsc"}, 'sandbox = "runsc": that takes containers'),
        ("process", {"idle": "pause"}, 'idle = "pause": that takes containers'),
    ],
)
async def test_what_a_platform_does_not_run_is_refused(
    tmp_path: Path, platform: str, config: dict[str, str], words: str
) -> None:
    made = launchers(tmp_path, platform)
    with pytest.raises(ConfigError, match=words):
        await made.inspect(tmp_path, FunctionConfig.model_validate(config))
    await made.close()


async def test_a_function_is_launched_as_it_says_and_else_as_the_platform_does(tmp_path: Path) -> None:
    made = launchers(tmp_path, "process")
    made.dial("unix:///receiver", ())
    assert made.launching(FunctionConfig()).launcher.name == "process"
    contained = made.launching(FunctionConfig.model_validate({"launcher": "docker"}))
    assert (contained.launcher.name, contained.callback_url) == ("docker", "unix:///run/dialback/receiver.sock")
    async with made.provided(tmp_path, FunctionConfig(), lambda _: None) as taken:
        assert taken is False
    assert await made.remove_unused([]) == []
    await made.close()


async def test_under_dev_every_function_is_a_process(tmp_path: Path) -> None:
    made = launchers(tmp_path, "process", development=True)
    made.dial("unix:///receiver", ())
    config = FunctionConfig.model_validate({"launcher": "docker", "idle": "pause"})
    assert made.launching(config).launcher.name == "process"
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "app.py").write_text("def handler(event, context): ...\n")
    assert (await made.inspect(tmp_path / "code", config)).kind == "lambda"
    await made.close()


def test_a_data_folder_keeps_its_mark(tmp_path: Path) -> None:
    data = data_folder(tmp_path)
    data.create()
    first = identity(data)
    assert len(first) == 12
    assert identity(data) == first
    assert identity(data_folder(tmp_path)) == first
