"""Looks at the machine: system, Python, uv, files, memory limits, names, proxies."""

from __future__ import annotations

import glob
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from dialback.doctor.findings import Finding, Grade
from dialback_invoker.launchers import cgroup

ENOUGH_FILES = 4096
PYTHONS = tuple(f"python3.{minor}" for minor in range(10, 15))
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
SECONDS = 5.0


def system() -> Finding:
    """Linux is what it is made for."""
    name = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() == "Linux":
        return Finding("system", Grade.OK, name)
    return Finding(
        "system", Grade.WARN, name, "made for Linux; the launcher `process` works elsewhere as far as it can"
    )


def own_python() -> Finding:
    """The one that runs Dialback and, unless they choose another, functions."""
    return Finding("Python", Grade.OK, f"{platform.python_version()} ({sys.executable})")


def other_pythons(environ: Mapping[str, str]) -> Finding:
    """Those that a function could choose."""
    found = [name for name in PYTHONS if shutil.which(name, path=environ.get("PATH"))]
    if found:
        return Finding("other Pythons", Grade.OK, ", ".join(found))
    return Finding(
        "other Pythons", Grade.NOTE, "none in PATH", "functions run on Dialback's own; uv can install others"
    )


def uv(environ: Mapping[str, str]) -> Finding:
    """What installs the dependencies of functions: in PATH, or beside our interpreter."""
    search = os.pathsep.join((str(Path(sys.executable).parent), environ.get("PATH", "")))
    found = shutil.which("uv", path=search)
    said = _first_line([found, "--version"]) if found else ""
    if said:
        return Finding("uv", Grade.OK, said)
    return Finding("uv", Grade.WARN, "not found", "pip install uv: functions' dependencies are installed with it")


def open_files() -> Finding:
    """Each client, each worker and each stream takes some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    many = soft == resource.RLIM_INFINITY or soft >= ENOUGH_FILES
    shown = "no limit" if soft == resource.RLIM_INFINITY else f"{soft:,} at once"
    if many:
        return Finding("open files", Grade.OK, shown)
    most = "as many as you like" if hard == resource.RLIM_INFINITY else f"up to {hard:,}"
    return Finding(
        "open files", Grade.WARN, shown, f"ulimit -n allows {most}; the edge takes as many clients as it has"
    )


def memory_limits() -> Finding:
    """Whether the kernel can hold a worker's memory limit."""
    base = cgroup.find_base(None)
    if base is not None and base.memory:
        return Finding("memory limits", Grade.OK, f"by the kernel (cgroup v{base.version})")
    return Finding(
        "memory limits",
        Grade.NOTE,
        "watched: no cgroup can be written here",
        "a worker beyond its limit is killed within moments; systemd's Delegate=yes gives a cgroup",
    )


def localhost_names() -> Finding:
    """Whether NAME.localhost leads here; curl and browsers know it by themselves."""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo("probe.localhost", 80, type=socket.SOCK_STREAM)}
    except OSError:
        return Finding(
            "*.localhost",
            Grade.NOTE,
            "not resolved by the system",
            "browsers and curl do it themselves; other programs use http://127.0.0.1:PORT/@NAME/",
        )
    if found <= {"127.0.0.1", "::1"}:
        return Finding("*.localhost", Grade.OK, "resolved")
    return Finding("*.localhost", Grade.WARN, f"leads to {', '.join(sorted(found))}", "look at the name server")


def proxies(environ: Mapping[str, str]) -> Finding:
    """Clients may send even local requests through these."""
    said = {name for name in environ if name.lower() in PROXIES and environ[name]}
    if not said:
        return Finding("proxies", Grade.OK, "none in the environment")
    exempt = re.split(r"[,\s]+", environ.get("no_proxy") or environ.get("NO_PROXY") or "")
    if "*" in exempt or {"127.0.0.1", "localhost"} <= set(exempt):
        return Finding("proxies", Grade.OK, f"{', '.join(sorted(said))}; local addresses are exempt")
    return Finding(
        "proxies",
        Grade.WARN,
        f"{', '.join(sorted(said))} would take local requests, too",
        "export NO_PROXY=localhost,127.0.0.1,.localhost; a proxy may also buffer streams",
    )


def chromium() -> Finding:
    """For the browser tests of Dialback itself."""
    return _tool("Chromium", ("chromium", "chromium-browser", "google-chrome"), "only Dialback's own tests use it")


def nginx() -> Finding:
    """For the tests and the benchmark of Dialback itself."""
    return _tool("nginx", ("nginx",), "only Dialback's own tests and benchmark use it")


def completion(environ: Mapping[str, str]) -> Finding:
    """Whether the shell completes our commands."""
    home = Path(environ.get("HOME", "/nonexistent"))
    places = (home / ".bash_completions/dialback.sh", home / ".zfunc/_dialback")
    fish = home / ".config/fish/completions/dialback.fish"
    if any(place.exists() for place in (*places, fish)):
        return Finding("shell completion", Grade.OK, "installed")
    return Finding("shell completion", Grade.NOTE, "not installed", "dialback --install-completion")


def _tool(what: str, names: tuple[str, ...], why: str) -> Finding:
    found = next((path for name in names if (path := shutil.which(name, path=_with_sbin()))), None)
    return Finding(what, Grade.OK, found) if found else Finding(what, Grade.NOTE, "not found", why)


def _with_sbin() -> str:
    return os.pathsep.join((os.environ.get("PATH", ""), *glob.glob("/usr/*bin"), "/usr/local/sbin"))


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else ""
