"""Runs a service to its end: hands it the settings, and when it is ready deploys what was named and says so. What was
named as `later` is deployed after that, one by one; a failure there is said, and stops nothing.

The services themselves are composed in `dialback.platform`, which this module imports late. Each of its functions is

    async def run_platform(settings: Settings, ready: OnReady) -> int
    async def run_edge(settings: Settings, ready: OnReady) -> int
    async def run_invoker(settings: Settings, ready: OnReady) -> int

It calls `ready` once, from the loop's thread, when its ports are open, and gets a future: until that is done nothing
else may be written to standard output, and its result says whether a person reads there. It handles SIGINT and SIGTERM
itself; returns the exit code; raises CliError (StartProblem) for what a person can mend; and stops at once when its
task is cancelled.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

import uvloop

from dialback import service_log
from dialback.bundle import Bundle
from dialback.control_client import ControlClient
from dialback.control_models import Function
from dialback.deploying import deploy_bundle
from dialback.errors import Refused, Unreachable, UsageProblem
from dialback.ready import Ready, addresses, ready_event, ready_view
from dialback.report import print_note, report
from dialback.settings import Settings
from dialback.terminal import output_console, print_json
from dialback.whereabouts import Running, Whereabouts, remove_running, write_running

OnReady = Callable[[Ready], "asyncio.Future[bool]"]
Service = Callable[[Settings, OnReady], Coroutine[None, None, int]]


def service(kind: str) -> Service:
    """The composition of `platform`, `edge` or `invoker`."""
    found: Service = getattr(importlib.import_module("dialback.platform"), f"run_{kind}")
    return found


@dataclass(slots=True)
class Serving:
    """One run of a service. `bundles` are deployed when it is ready; the banner follows, and then `later`. With
    `only_new` those are left out whose names are taken already.
    """

    settings: Settings
    title: str
    json: bool
    bundles: Sequence[Bundle] = ()
    later: Sequence[Bundle] = ()
    only_new: bool = False
    _ready: Ready = field(default_factory=Ready)

    def run(self, run: Service) -> int:
        """The exit code of the service, or 1 when a bundle could not be deployed."""
        service_log.install()
        return uvloop.run(self._main(run))

    async def _main(self, run: Service) -> int:
        opened = asyncio.Event()
        announced: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def ready(said: Ready) -> asyncio.Future[bool]:
            self._ready = said
            opened.set()
            return announced

        running = asyncio.create_task(run(self.settings, ready))
        announcing = asyncio.create_task(self._announce(opened))
        following: asyncio.Task[None] | None = None
        try:
            await asyncio.wait((running, announcing), return_when=asyncio.FIRST_COMPLETED)
            if announcing.done() and (failure := announcing.exception()) is not None:
                code = report(failure)
                await _stop(running)
                return code
            if announcing.done() and not announced.done():
                announced.set_result(not self.json and sys.stdout.isatty())
                if self.later:
                    following = asyncio.create_task(asyncio.to_thread(self._deploy_later))
            return await running
        finally:
            await _stop(announcing)
            await _stop(running)
            if following is not None:
                await asyncio.wait((following,))  # its control port is gone, so it ends by itself
            if self._ready.control_url:
                remove_running(self.settings.data_dir, os.getpid())

    async def _announce(self, opened: asyncio.Event) -> None:
        await opened.wait()
        functions: Sequence[Function] = ()
        if self._ready.control_url:
            running = Running(self._ready.control_url, self._ready.public_url, os.getpid())
            write_running(self.settings.data_dir, running)
            functions = await asyncio.to_thread(self._deploy)
        if self.json:
            print_json(ready_event(self._ready, functions), compact=True)
        else:
            console = output_console()
            console.print(ready_view(self._ready, functions, self.title, console.width), soft_wrap=True)

    def _client(self) -> ControlClient:
        """A client of the control API, as everybody has it."""
        return ControlClient(
            Whereabouts(self._ready.control_url, "this platform", self._ready.control_token, "this platform")
        )

    def _deploy(self) -> Sequence[Function]:
        """Deploy; then ask what there is."""
        with self._client() as client:
            if self.only_new:
                self._deploy_new(client)
            else:
                for bundle in self.bundles:
                    deploy_bundle(client, bundle)
            return client.functions().functions

    def _deploy_new(self, client: ControlClient) -> None:
        """One that is refused keeps neither the others nor what was deployed before from being served: it is reported,
        and tried again at the next start. Raises Refused when nothing would be served at all.
        """
        refusals: list[Refused] = []
        for bundle in self._not_there(client, self.bundles):
            try:
                deploy_bundle(client, bundle)
            except Refused as refusal:
                refusal.message = f"{bundle.name} is not deployed: {refusal.message}"
                refusals.append(refusal)
        if refusals and not client.functions().functions:
            raise refusals[0]
        for refused in refusals:
            report(refused)

    @staticmethod
    def _not_there(client: ControlClient, bundles: Sequence[Bundle]) -> list[Bundle]:
        """Those whose names are not taken; names are unique ignoring case."""
        taken = {function.name.lower() for function in client.functions().functions}
        return [bundle for bundle in bundles if bundle.name.lower() not in taken]

    def _deploy_later(self) -> None:
        """Deploy what the platform did not wait for, and say what became of each, on standard error."""
        with self._client() as client:
            for bundle in self.later:
                try:
                    if self.only_new and not self._not_there(client, (bundle,)):
                        continue
                    deploy_bundle(client, bundle)
                except Unreachable:
                    return  # it is this very platform: it is stopping
                except Exception as failure:
                    print_note(f"{bundle.name} was not deployed, the platform goes on:")
                    report(failure)
                else:
                    url = addresses(self._ready.public_url, bundle.name)[0] if self._ready.public_url else ""
                    print_note(f"deployed {bundle.name}   {url}".rstrip())


async def _stop(task: asyncio.Task[int] | asyncio.Task[None]) -> None:
    """Cancel it and wait; what it still raises was either reported or is not news."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    if not task.cancelled():
        task.exception()


def refuse_twins(bundles: Sequence[Bundle]) -> None:
    """UsageProblem when two of them would be the same function; names are unique ignoring case."""
    seen: dict[str, Bundle] = {}
    for bundle in bundles:
        twin = seen.setdefault(bundle.name.lower(), bundle)
        if twin is not bundle:
            raise UsageProblem(
                f"{twin.source} and {bundle.source} are both named {bundle.name}",
                hint="set another `name` in one of their dialback.toml",
            )
