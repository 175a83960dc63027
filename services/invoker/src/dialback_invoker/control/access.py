"""The control token: made at the first start, in a file for its owner, and kept by the platform as a hash only."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path
from typing import Final

from dialback_invoker.secret_files import ensure_token
from dialback_invoker.store.port import Store

_SETTING: Final = "control_token_sha256"


class ControlToken:
    """Knows the hash of the one token that opens the control API."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest

    @classmethod
    async def load(cls, path: Path, store: Store) -> ControlToken:
        """The token in the file at ``path``, made when it is missing, malformed, or others could have read it.

        So, removing the file and starting again gives a new token; the old one opens nothing any more.
        """
        token = ensure_token(path)
        digest = hashlib.sha256(token.encode())
        if await store.setting(_SETTING) != digest.hexdigest():
            await store.set_setting(_SETTING, digest.hexdigest())
        return cls(digest.digest())

    def opens(self, authorization: str | None) -> bool:
        """Whether an Authorization header's value carries the token; takes the same time whatever it carries."""
        scheme, _, token = (authorization or "").partition(" ")
        shown = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(shown, self._digest) and scheme.lower() == "bearer"
