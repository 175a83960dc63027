"""uvicorn with uvloop and httptools, nothing in front: what the function costs without any platform."""

import re
import sys

from bench.subjects.base import BENCH, Subject


def uvicorn_command(port: int = 0) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "app:app", "--app-dir", str(BENCH), "--port", str(port)]
    return [*command, "--loop", "uvloop", "--http", "httptools", "--no-access-log", "--timeout-graceful-shutdown", "1"]


def uvicorn_url(line: str) -> str | None:
    found = re.search(r"running on (http://[\d.]+:\d+)", line)
    return found[1] if found else None


class UvicornDirect(Subject):
    name = "uvicorn"
    title = "uvicorn"

    def launch(self) -> str:
        return self.run(uvicorn_command()).wait_for(uvicorn_url)
