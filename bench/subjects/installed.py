"""Peers that come from registries: installed by their locks, once, into a cache folder outside of the repository.

`$XDG_CACHE_HOME/dialback-bench/KIND-HASH`, where HASH is that of the lock: another lock gets another folder.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.subjects.base import BENCH, ROOT, Missing

PEERS = BENCH / "peers"
SECONDS = 300
LAST_WORDS = 400


def node_modules() -> Path:
    """The folder that holds the peers from npm. Raises Missing."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise Missing("there is no node and npm here: apt-get install nodejs npm")

    def install(folder: Path) -> None:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(PEERS / name, folder)
        _run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], folder)

    return _once("npm", PEERS / "package-lock.json", install) / "node_modules"


def python_environment() -> Path:
    """The `bin` folder of the environment that holds the peers from PyPI. Raises Missing."""
    lock = ROOT / "requirements/peers.txt"
    uv = str(Path(sys.executable).parent / "uv")

    def install(folder: Path) -> None:
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
        target = ["--python", str(folder / "venv/bin/python")]
        _run([uv, "pip", "install", "--system-certs", "--quiet", *target, "--require-hashes", "-r", str(lock)], folder)

    return _once("python", lock, install) / "venv/bin"


def cache() -> Path:
    """Where all of them are."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dialback-bench"


def _once(kind: str, lock: Path, install: Callable[[Path], None]) -> Path:
    """The folder of this lock, made by `install` when it is not there: under another name first, so never half."""
    folder = cache() / f"{kind}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        print(f"  installing the peers of {lock.relative_to(ROOT)} into {folder}", file=sys.stderr, flush=True)
        cache().mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{kind}-", dir=cache()))
        try:
            install(draft)
            draft.rename(folder)
        except OSError as error:
            if not folder.exists():  # else another run was quicker
                raise Missing(f"{kind} peers could not be installed: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise Missing(f"{Path(command[0]).name} was not over after {SECONDS} s") from error
    except OSError as error:
        raise Missing(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()[-LAST_WORDS:]
        raise Missing(f"{Path(command[0]).name} ended with {done.returncode}: {words}")
