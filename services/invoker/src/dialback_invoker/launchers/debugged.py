"""The `process` launcher under `dialback dev`: workers get their debugging, and one debugger follows the newest."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dialback_invoker.launchers import proc, workspace
from dialback_invoker.launchers.base import WorkerControl, WorkerSpec
from dialback_invoker.launchers.process import ProcessLauncher
from dialback_invoker.launchers.process_worker import ProcessWorker
from dialback_invoker.launchers.start import Start

ADAPTER = (b"debugpy", b"adapter")


class DebuggedLauncher(ProcessLauncher):
    """``debugging`` goes into each worker's configuration as it is."""

    def __init__(self, run_dir: Path, command: Sequence[str], begin: Start, debugging: Mapping[str, str | int]) -> None:
        super().__init__(run_dir, command=command, begin=begin)
        self._debugging = debugging

    async def launch(self, spec: WorkerSpec, control: WorkerControl) -> ProcessWorker:
        """As `ProcessLauncher.launch`. The debugger of an earlier worker ends, for there is one port."""
        if self._debugging.get("port"):
            await asyncio.to_thread(free_port, self.run_dir)
        return await super().launch(replace(spec, debugging=self._debugging), control)


def free_port(run_dir: Path) -> None:
    """End what debugpy has started beside the workers that run: it holds the port. Blocks."""
    for process in proc.marked(workspace.workers_folder(run_dir)):
        try:
            command = (proc.PROC / str(process.pid) / "cmdline").read_bytes()
            if all(word in command for word in ADAPTER):
                os.kill(process.pid, signal.SIGKILL)
        except OSError:
            continue
