"""The keys that close secrets at rest: a file beside the database, for its owner alone, made when first needed.

    secrets.key     one key a line, 32 random bytes as base64url; the first closes, all of them open

A closed secret reads ``v1.<key>.<sealed>``: which key, and AES-256-GCM's nonce and output. Function and variable are
its associated data, so that one cannot be put in the place of another. With the database alone, or a backup of it,
nobody opens anything; who can read the key file too can open everything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dialback_invoker.errors import PathProblem, SecretUnreadable
from dialback_invoker.paths import from_os_error

FORMAT: Final = "v1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12  # NIST SP 800-38D 8.2.1
_LARGEST_FILE: Final = 65_536  # bytes


class KeyRing:
    """The keys of a data folder, read when first needed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._keys: list[bytes] = []

    def seal(self, value: str, function: str, variable: str) -> str:
        """``value`` closed with the first key, which is made if there is none. Raises PathProblem, DiskFull."""
        if not self._load():
            self._write([secrets.token_bytes(KEY_BYTES)])
        key, nonce = self._keys[0], secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(key).encrypt(nonce, value.encode(), _place(function, variable))
        return ".".join((FORMAT, _name(key), _text(nonce + sealed)))

    def open(self, sealed: str, function: str, variable: str) -> str:
        """What was sealed. Raises SecretUnreadable when the key is not here, or the text was changed or moved."""
        form, _, rest = sealed.partition(".")
        name, _, text = rest.partition(".")
        key = next((key for key in self._load() if _name(key) == name), None)
        if form != FORMAT or key is None:
            raise SecretUnreadable(
                f"the secret {variable} of {function} cannot be opened: its key is not in {self.path.name};"
                " restore that file, or set the secret again"
            )
        try:
            raw = base64.b64decode(text, b"-_", validate=True)
            return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], _place(function, variable)).decode()
        except (ValueError, InvalidTag) as error:
            raise SecretUnreadable(
                f"the secret {variable} of {function} cannot be opened: it was damaged or changed; set it again"
            ) from error

    def add_key(self) -> None:
        """Closes with a new key from now on; the old ones still open."""
        self._write([secrets.token_bytes(KEY_BYTES), *self._load()])

    def drop_old_keys(self) -> None:
        """Forgets all keys but the first."""
        self._write(self._load()[:1])

    def _load(self) -> list[bytes]:
        if not self._keys:
            self._keys = _read(self.path)
        return self._keys

    def _write(self, keys: list[bytes]) -> None:
        """Beside and renamed, and on the disk before anything depends on it."""
        beside = self.path.with_name(self.path.name + ".new")
        try:
            beside.unlink(missing_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
                file.writelines(_text(key) + "\n" for key in keys)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as error:
            raise from_os_error(error, f"the key file {self.path} cannot be written") from error
        self._keys = keys


def _read(path: Path) -> list[bytes]:
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read(_LARGEST_FILE).split()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise from_os_error(error, f"the key file {path} cannot be read") from error
    if stat.S_IMODE(mode) & 0o077:
        raise PathProblem(f"others can read the key file {path}: chmod 600, then `dialback env rotate` for a new key")
    try:
        keys = [base64.b64decode(line, b"-_", validate=True) for line in lines]
    except binascii.Error as error:
        raise PathProblem(f"the key file {path} is damaged: a line is not base64") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise PathProblem(f"the key file {path} is damaged: a key has {KEY_BYTES} bytes")
    return keys


def _name(key: bytes) -> str:
    """What a sealed text calls its key by; tells nothing of it."""
    return hashlib.sha256(b"dialback secret key\0" + key).hexdigest()[:16]


def _place(function: str, variable: str) -> bytes:
    return f"{function.lower()}\0{variable}".encode()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode()
