"""`dialback dev` as a person starts it: a process in a terminal, with somebody who types and reads."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from ..platform import COMMAND

PATIENCE = 30.0
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Session:
    """The process, its terminal, its function's folder. `text` is what was shown and not yet read past."""

    def __init__(self, files: Mapping[str, str], *flags: str, folder: Path | None = None, **variables: str) -> None:
        # Short, because the paths of Unix sockets are.
        self._place = tempfile.TemporaryDirectory(prefix="db-", dir="/tmp")
        root = Path(self._place.name)
        self.folder = folder or root / "fn"
        self.write(files)
        self.run = root / "run"
        self.run.mkdir(mode=0o700)
        self.text = ""
        self.raw = b""
        """All of it, as the terminal got it."""
        self._screen, theirs = pty.openpty()
        kept = ("PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        self.process = subprocess.Popen(
            [COMMAND, "dev", str(self.folder), "--port", "0", *flags],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=root,
            env=environment
            | {
                "HOME": str(root),
                "XDG_RUNTIME_DIR": str(self.run),
                "TERM": "xterm",
                "COLUMNS": "140",
                "LANG": "C.UTF-8",
            }
            | variables,
            start_new_session=True,
        )
        os.close(theirs)
        self.url = self.until("http://127.0.0.1:", keep=True) and self._url()
        self.until("✓ running")

    def _url(self) -> str:
        found = re.search(r"http://127\.0\.0\.1:\d+", self.text + self.until("/"))
        assert found is not None
        return found[0]

    def write(self, files: Mapping[str, str]) -> None:
        """Save them, each in one step."""
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.draft")
            draft.write_text(text)
            draft.replace(path)

    def until(self, words: str, seconds: float = PATIENCE, *, keep: bool = False) -> str:
        """What was shown before `words`, without colours; `words` themselves are read past unless kept."""
        end = time.monotonic() + seconds
        while words not in self.text:
            self._read(end, words)
        before, _, rest = self.text.partition(words)
        self.text = words + rest if keep else rest
        return before

    def _read(self, end: float, wanted: str) -> None:
        readable, _, _ = select.select([self._screen], [], [], max(0, end - time.monotonic()))
        assert readable, f"no {wanted!r} in {self.text!r}"
        try:
            data = os.read(self._screen, 65536)
        except OSError:
            data = b""
        assert data, f"it ended before {wanted!r}: {self.text!r}"
        self.raw += data
        self.text = _COLOURS.sub("", self.text + data.decode(errors="replace")).replace("\r\n", "\n")

    def type(self, line: str) -> None:
        os.write(self._screen, line.encode() + b"\n")

    def interrupt(self) -> tuple[int, float]:
        """Ctrl-C; the exit code, and the seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(PATIENCE)
        return code, time.monotonic() - begun

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._screen)
        self._place.cleanup()
