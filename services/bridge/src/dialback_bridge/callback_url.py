"""Which addresses the bridge may dial. A payload names one; only the launch configuration's own list counts.

A URL is parsed once, strictly, and compared field by field with the list; what is then dialled is the list's entry, not
the payload's text. Nothing is normalised: `127.1`, `2130706433`, `[::ffff:127.0.0.1]`, user info, a query, an
upper-case host or a trailing dot simply equal no entry. Nothing is redirected, and proxies named by the environment
are not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dialback_wire.payload import CALLBACK_PATH

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_UNIX = re.compile(r"unix://(/[\x21-\x7e]+)")
_TCP = re.compile(r"(wss?)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(/[\x21-\x7e]*)?")
_FORBIDDEN = frozenset("?#\\@%")


class CallbackNotAllowed(Exception):
    """The payload's callback URL is not one that this worker may dial. Nothing was dialled."""


@dataclass(frozen=True)
class Target:
    """A receiver's address.

    `scheme` is `ws`, `wss` or `unix`. For `unix`, `path` is the socket's path in the file system and host and
    port are empty; for the others it is the path of the upgrade request, and an empty one in the allow-list stands for
    Dialback's own, `/callback/v1`.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def request_path(self) -> str:
        """The path that the upgrade request asks for; of no use to a Unix socket."""
        return self.path or CALLBACK_PATH

    @property
    def authority(self) -> str:
        """What the Host field says."""
        return f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.scheme == "unix" else f"{self.scheme}://{self.authority}{self.path}"


def parse_target(url: str) -> Target:
    """`url` taken apart. Raises ValueError for anything but a plain `unix:`, `ws:` or `wss:` URL."""
    if len(url) <= 2048 and not _FORBIDDEN & set(url):
        unix = _UNIX.fullmatch(url)
        if unix is not None:
            return Target("unix", path=unix.group(1))
        tcp = _TCP.fullmatch(url)
        if tcp is not None:
            scheme, host, port, path = tcp.groups()
            number = _DEFAULT_PORTS[scheme] if port is None else int(port)
            if 0 < number < 65536:
                return Target(scheme, host, number, path or "")
    raise ValueError(
        "a callback URL is ws://HOST[:PORT][/PATH], wss://HOST[:PORT][/PATH] or unix:///PATH, nothing more"
    )


class AllowList:
    """The receivers of the launch configuration."""

    def __init__(self, targets: Iterable[Target]) -> None:
        self._targets = tuple(targets)

    def pick(self, url: str) -> Target:
        """The entry that `url` equals in scheme, host, port and path. Raises CallbackNotAllowed when there is none."""
        try:
            asked = parse_target(url)
        except ValueError as error:
            raise CallbackNotAllowed(str(error)) from None
        for target in self._targets:
            same_place = (asked.scheme, asked.host, asked.port) == (target.scheme, target.host, target.port)
            if same_place and asked.path in (target.path, target.request_path):
                return target
        raise CallbackNotAllowed("the callback URL is not in the worker's allow-list")
