"""Which deployment serves a name, in memory: the hot path asks here for every request and never waits."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dialback_invoker.deployment import Deployment
from dialback_invoker.names import name_key

_log = logging.getLogger(__name__)

OnActivate = Callable[[Deployment | None, Deployment], None]
"""(the version that served until now, or None; the version that serves from now on)"""
OnRemove = Callable[[Deployment], None]


class Registry:
    """Names, ignoring case, to active deployments. All calls come on the event loop's thread."""

    def __init__(self) -> None:
        self._active: dict[str, Deployment] = {}
        self._on_activate: list[OnActivate] = []
        self._on_remove: list[OnRemove] = []

    def resolve(self, name: str) -> Deployment | None:
        """The active deployment of ``name``, or None."""
        return self._active.get(name_key(name))

    def all(self) -> list[Deployment]:
        """Every active deployment, by name."""
        return [self._active[key] for key in sorted(self._active)]

    def listen(self, on_activate: OnActivate | None = None, on_remove: OnRemove | None = None) -> None:
        """Be told of changes, after they happened. What a listener raises is logged and stops nobody."""
        if on_activate is not None:
            self._on_activate.append(on_activate)
        if on_remove is not None:
            self._on_remove.append(on_remove)

    def activate(self, deployment: Deployment) -> Deployment | None:
        """Let ``deployment`` serve its name; returns the one that did."""
        key = name_key(deployment.function)
        old = self._active.get(key)
        self._active[key] = deployment
        for listener in self._on_activate:
            try:
                listener(old, deployment)
            except Exception:
                _log.exception("a listener failed at the activation of %s", deployment.id)
        return old

    def remove(self, name: str) -> Deployment | None:
        """Let nothing serve ``name``; returns what did, or None."""
        old = self._active.pop(name_key(name), None)
        if old is not None:
            for listener in self._on_remove:
                try:
                    listener(old)
                except Exception:
                    _log.exception("a listener failed at the removal of %s", old.function)
        return old
