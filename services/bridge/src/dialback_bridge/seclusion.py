"""Closes this process's entry in `/proc` to other processes of the same user: environment, memory, descriptors.

Linux alone knows it (prctl(2), PR_SET_DUMPABLE); elsewhere nothing is done. Root sees everything all the same, a
program that is executed afterwards is open again, and a debugger needs root to attach.
"""

from __future__ import annotations

import sys

from .process_control import PR_SET_DUMPABLE, prctl


def seclude() -> bool:
    """Do it; whether it was done."""
    if not sys.platform.startswith("linux"):
        return False
    return prctl(PR_SET_DUMPABLE, 0)
