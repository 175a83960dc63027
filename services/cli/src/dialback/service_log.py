"""What the services say about themselves goes to standard error, a line each, so that stdout carries results alone."""

from __future__ import annotations

import logging
import sys

from dialback.terminal import safe

TOLD = ("dialback.edge.link",)
"""Loggers whose good news is told too."""


class ErrorLines(logging.Handler):
    """`warning: no link to the invoker at ...`; good news without the word before it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            if record.levelno > logging.INFO:
                text = f"{record.levelname.lower()}: {text}"
            sys.stderr.write(safe(text, keep="\t\n") + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # nobody reads standard error any more


def install() -> None:
    """Tell warnings of everything in this process, and the good news of a few."""
    root = logging.getLogger()
    if not any(isinstance(handler, ErrorLines) for handler in root.handlers):
        root.addHandler(ErrorLines())
    for name in TOLD:
        logging.getLogger(name).setLevel(logging.INFO)
