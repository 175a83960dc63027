"""What Linux can be told about this process alone (prctl(2)), and Python has no word for."""

from __future__ import annotations

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, argument: int) -> bool:
    """Tell it; whether it was taken. Raises ImportError where this Python has no ctypes, AttributeError on systems that
    are not Linux.
    """
    # Imported where it is needed: most workers need none of this, and a start counts in milliseconds.
    import ctypes

    return int(ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)) == 0
