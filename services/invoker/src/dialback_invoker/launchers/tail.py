"""The end of what a process writes to a pipe, read as it comes, so that nobody has to wait for the pipe's end."""

from __future__ import annotations

import asyncio
import os
from typing import Final

MOST: Final = 65_536
"""Bytes that are kept."""


class Tail:
    """Reads ``handle``, which stays its owner's.

    Not asyncio's own pipes: with those, waiting for a process waits for whoever else holds the pipe open.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._kept = b""
        os.set_blocking(handle, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(handle, self._read)

    def text(self) -> bytes:
        """What is there by now; a pipe holds less than two reads, so somebody who goes on writing is not waited for."""
        if self._read():
            self._read()
        return self._kept

    def close(self) -> None:
        """Reads no more; the handle stays open."""
        self._loop.remove_reader(self._handle)

    def _read(self) -> bool:
        try:
            piece = os.read(self._handle, MOST)
        except BlockingIOError:
            return False
        if not piece:
            self._loop.remove_reader(self._handle)
        self._kept = (self._kept + piece)[-MOST:]
        return bool(piece)
