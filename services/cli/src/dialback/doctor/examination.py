"""All looks, in the order in which they are shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from dialback.doctor import machine, setup
from dialback.doctor.findings import Finding
from dialback.settings import Settings


def examine(settings: Settings, note: Callable[[str], None]) -> list[Finding]:
    """Look at everything; `note` is told at what."""
    environ = os.environ
    looks: tuple[tuple[str, Callable[[], Finding]], ...] = (
        ("the system", machine.system),
        ("Python", machine.own_python),
        ("other Pythons", partial(machine.other_pythons, environ)),
        ("uv", partial(machine.uv, environ)),
        ("Docker", partial(setup.engine, settings, environ)),
        ("the public port", partial(setup.port, "public port", settings.public, settings)),
        ("the control port", partial(setup.port, "control port", settings.control, settings)),
        ("the data folder", partial(setup.data_dir, settings)),
        ("the run folder", partial(setup.run_dir, settings)),
        ("open files", machine.open_files),
        ("memory limits", machine.memory_limits),
        ("names", machine.localhost_names),
        ("proxies", partial(machine.proxies, environ)),
        ("shell completion", partial(machine.completion, environ)),
        ("Chromium", machine.chromium),
        ("nginx", machine.nginx),
    )
    found = []
    for what, look in looks:
        note(what)
        found.append(look())
    return found
