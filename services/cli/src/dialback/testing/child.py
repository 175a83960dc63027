"""`python -m dialback.testing.child FOLDER COMMAND...`: `dialback` as a child that ends with its parent, whose pipe its
standard input is. A parent that went without a word leaves its FOLDER to us.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time

PATIENCE = 5.0
"""Seconds between the two signals that stop a platform, and before it is killed."""


class ParentWatch:
    """Stops this process when standard input ends."""

    def __init__(self) -> None:
        self.ended = False

    def start(self) -> None:
        """In a thread, so that nothing that runs here can hold it up."""
        threading.Thread(target=self._watch, name="parent-watch", daemon=True).start()

    def _watch(self) -> None:
        while os.read(0, 4096):
            pass
        self.ended = True
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            os.kill(os.getpid(), number)
            time.sleep(PATIENCE)


def main() -> None:
    """The command, watched."""
    folder = sys.argv.pop(1)
    watch = ParentWatch()
    watch.start()
    from dialback.main import main as command

    try:
        command()
    finally:
        if watch.ended:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
