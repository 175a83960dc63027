"""Closes this process's entry in `/proc` to other processes of the same user: environment, memory, descriptors.

Linux alone knows it (prctl(2), PR_SET_DUMPABLE); elsewhere nothing is done. Root sees everything all the same, a
program that is executed afterwards is open again, and a debugger needs root to attach.
"""

from __future__ import annotations

import sys

PR_SET_DUMPABLE = 4


def seclude() -> bool:
    """Do it; whether it was done."""
    if not sys.platform.startswith("linux"):
        return False
    # Imported where it is needed: most workers have no secrets, and a start counts in milliseconds.
    import ctypes

    return int(ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0
