"""Files that hold a secret: for their owner alone, never half written, made when they are missing."""

from __future__ import annotations

import logging
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from dialback_invoker.paths import from_os_error

_log = logging.getLogger(__name__)
_TOKEN: Final = re.compile(r"dbc_[A-Za-z0-9_-]{43}", re.ASCII)


def write_private(path: Path, text: str) -> None:
    """Write the file beside and rename it, with mode 0600, so that nobody ever reads half of it. Raises OSError."""
    beside = path.with_name(path.name + ".new")
    beside.unlink(missing_ok=True)
    with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text)
    beside.replace(path)


def ensure_token(path: Path) -> str:
    """The control token in the file; made when it is missing, malformed, or others could read it.

    Raises PathProblem or DiskFull with the path.
    """
    token = _read_token(path)
    if token is None:
        token = f"dbc_{secrets.token_urlsafe(32)}"
        try:
            write_private(path, token + "\n")
        except OSError as error:
            raise from_os_error(error, f"the control token {path} cannot be written") from error
    return token


def ensure_key(path: Path) -> None:
    """Make the link's key, 256 random bits in hexadecimal digits, unless the file is there. Raises OSError."""
    if not path.exists():
        write_private(path, secrets.token_hex(32) + "\n")


def _read_token(path: Path) -> str | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, encoding="ascii", errors="replace") as file:
            mode = os.fstat(file.fileno()).st_mode
            token = file.read(256).strip()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise from_os_error(error, f"the control token {path} cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        _log.warning("others could read %s, so there is a new control token", path)
        return None
    return token if _TOKEN.fullmatch(token) else None
