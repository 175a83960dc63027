"""The control token: made at the first start, in a file for its owner, and kept by the platform as a hash only."""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from dialback_invoker.paths import from_os_error
from dialback_invoker.store.port import Store

_log = logging.getLogger(__name__)
_SETTING: Final = "control_token_sha256"
_TOKEN = re.compile(r"dbc_[A-Za-z0-9_-]{43}", re.ASCII)


class ControlToken:
    """Knows the hash of the one token that opens the control API."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    @classmethod
    async def load(cls, path: Path, store: Store) -> ControlToken:
        """The token in the file at ``path``, made when it is missing, malformed, or others could have read it.

        So, removing the file and starting again gives a new token; the old one opens nothing any more.
        """
        token = _read(path)
        if token is None:
            token = f"dbc_{secrets.token_urlsafe(32)}"
            _write(path, token)
        digest = hashlib.sha256(token.encode())
        if await store.setting(_SETTING) != digest.hexdigest():
            await store.set_setting(_SETTING, digest.hexdigest())
        return cls(digest.digest())

    def opens(self, authorization: str | None) -> bool:
        """Whether an Authorization header's value carries the token; takes the same time whatever it carries."""
        scheme, _, token = (authorization or "").partition(" ")
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(shown, self._digest) and scheme.lower() == "bearer"


def _read(path: Path) -> str | None:
    try:
        with open(
            os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), encoding="ascii", errors="replace"
        ) as file:
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


def _write(path: Path, token: str) -> None:
    """Beside and renamed, so that nobody ever reads half a token."""
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(token + "\n")
        beside.replace(path)
    except OSError as error:
        raise from_os_error(error, f"the control token {path} cannot be written") from error
