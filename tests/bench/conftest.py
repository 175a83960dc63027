import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # bench is no package that anybody installs


@pytest.fixture(scope="session")
def uvicorn_url() -> Iterator[str]:
    """bench/app.py under uvicorn."""
    from bench.subjects.uvicorn_direct import UvicornDirect

    subject = UvicornDirect()
    try:
        yield subject.start()
    finally:
        subject.stop()


@pytest.fixture
def load(uvicorn_url: str) -> Callable[..., list[dict[str, object]]]:
    """Run the load generator as the benchmark does, on uvicorn or another URL; its reports."""
    import json
    import subprocess

    def run(name: str, options: dict[str, object], url: str = uvicorn_url, timeout: float = 20):
        order = json.dumps({"load": name, "url": url, "options": options, "timeout": timeout})
        command = [sys.executable, "-m", "bench.load", order]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert not done.stderr, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return run
