"""The inspection of a function that will run in containers: in such a container, since it runs the function's code."""

from __future__ import annotations

from pathlib import Path

from dialback_invoker.deploy.inspect import Inspected, environment, verdict
from dialback_invoker.errors import InspectTimeout
from dialback_invoker.function_config import FunctionConfig
from dialback_invoker.launchers.base import WorkerSpec
from dialback_invoker.launchers.docker import DockerLauncher
from dialback_invoker.launchers.docker_container import CODE_PLACE
from dialback_invoker.secrets.book import NOTHING, Surroundings
from dialback_invoker.secrets.redaction import Redactor


class ContainerInspector:
    """Runs the bridge's ``inspect`` in a container. ``time_limit``: seconds for the import alone, without the image."""

    def __init__(self, launcher: DockerLauncher, time_limit: float = 10.0) -> None:
        self._launcher = launcher
        self._time_limit = time_limit

    async def inspect(self, folder: Path, config: FunctionConfig, surroundings: Surroundings = NOTHING) -> Inspected:
        """As `deploy.inspect.Inspector` says; LaunchFailed when no container could be started."""
        arguments = ["-P", "-m", "dialback_bridge", "inspect", "--watch-stdin", "--dir", CODE_PLACE]
        if config.entry is not None:
            arguments += ["--entry", config.entry]
        spec = WorkerSpec(
            function="inspection",
            deployment="",
            bundle=folder,
            entry="",
            memory_mb=config.memory_mb,
            network=config.network,
            sandbox=config.sandbox,
            cpus=config.cpus,
        )
        # It goes through the container's door, so secrets may be in it: the engine does not see it.
        env = environment(Path("/tmp"), {**config.env, **surroundings.plain, **surroundings.secrets})
        if "PATH" not in config.env:
            del env["PATH"]
        try:
            ran = await self._launcher.run_once(spec, arguments, env, self._time_limit)
        except TimeoutError as error:
            raise InspectTimeout(f"importing the function took longer than {self._time_limit:g} seconds") from error
        code = 128 - ran.status if ran.status > 128 else ran.status
        redact = Redactor()
        redact.know(surroundings.secrets)
        return verdict(code, ran.out, ran.err, redact)
