"""How the bridge gets into an environment that holds a function's own packages: its code by path, its needs by a wheel.

The code is this platform's, whatever an environment was built by: a folder that a Python can run, copied from where the
bridge is installed and named after its content. The wheel has no code. It names the bridge and what it needs
(``websockets``, from 12 on), so that the resolver weighs that against what the function pins, and explains a conflict;
and it stands in for ``dialback-bridge`` where a function requires that by name.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import zipfile
from pathlib import Path
from typing import Final

from dialback_invoker.errors import PlatformFailure

PACKAGES: Final = ("dialback_bridge", "dialback_wire")
DISTRIBUTION: Final = "dialback-bridge"
PREFIX: Final = "bridge-"

_MAIN: Final = """\
import runpy

runpy.run_module("dialback_bridge", run_name="__main__", alter_sys=True)
"""


def bridge_folder(environments: Path) -> Path:
    """The folder to run as ``python FOLDER worker``; made when it is not there, those of other versions removed.

    Blocks. Raises PlatformFailure when the bridge is not installed, OSError.
    """
    files = _files()
    total = hashlib.sha256(_MAIN.encode())
    for name, path in files.items():
        total.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    folder = environments / f"{PREFIX}{total.hexdigest()[:16]}"
    for other in environments.glob(f"{PREFIX}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    if not folder.is_dir():
        draft = environments / f"{PREFIX}draft-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        for name, path in files.items():
            target = draft / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        (draft / "__main__.py").write_text(_MAIN)
        draft.rename(folder)
    return folder


def write_wheel(folder: Path) -> Path:
    """A wheel that requires what the bridge requires, and has nothing in it."""
    version = _version()
    info = f"dialback_bridge-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {DISTRIBUTION}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {each}" for each in requires()]
    content = {
        f"{info}/METADATA": "\n".join(metadata) + "\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: dialback\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = f"{info}/RECORD"
    content[record] = "".join(f"{name},,\n" for name in [*content, record])
    path = folder / f"dialback_bridge-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in content.items():
            # A fixed time: the same wheel has the same bytes.
            wheel.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), text)
    return path


def requires() -> tuple[str, ...]:
    """What the bridge needs of others."""
    try:
        return tuple(importlib.metadata.requires(DISTRIBUTION) or ())
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing() from error


def _version() -> str:
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError as error:
        raise _missing() from error


def _files() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise _missing()
        root = Path(next(iter(spec.submodule_search_locations)))
        for path in sorted(root.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                found[f"{package}/{path.relative_to(root).as_posix()}"] = path
    return found


def _missing() -> PlatformFailure:
    return PlatformFailure("the bridge (dialback-bridge) is not installed beside Dialback", code="bridge_missing")
