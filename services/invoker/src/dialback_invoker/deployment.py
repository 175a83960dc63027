"""One immutable version of a function: what the hot path, the launchers and the control API know of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from dialback_invoker.function_config import FunctionConfig

_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def new_deployment_id() -> str:
    """``d_`` and twelve random characters of [0-9a-z], 62 bits."""
    return "d_" + "".join(secrets.choice(_ALPHABET) for _ in range(12))


@dataclass(frozen=True, slots=True)
class Deployment:
    """A version of a function that was accepted: its code by content hash, and how to run it."""

    id: str
    function: str
    """the function's name, in the case in which it was first deployed"""
    bundle: str
    """SHA-256 of the content, in hex; the name of its folder under ``bundles/``"""
    kind: str
    """what the entry is: ``asgi``, ``wsgi``, ``http``, ``fetch`` or ``lambda``"""
    entry: str
    """``module:attribute``"""
    config: FunctionConfig
    created_at: float
    """Unix time in seconds"""
    blocks: bool = False
    """whether the handler is synchronous, so that each invocation holds a thread"""
    environment: str = ""
    """the key of its environment; empty: it runs in the platform's own Python"""
    size: int = 0
    """bytes of its code, unpacked"""

    @property
    def concurrency(self) -> int:
        """Invocations that one worker of this deployment serves at once."""
        return self.config.concurrency_for(self.blocks)
