"""Every Python example in a container, streamed from by real clients: their own tests, through the platform."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ..platform import Platform

pytestmark = [pytest.mark.system, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[3]
FOLDERS = sorted(path.parent for path in (ROOT / "examples").glob("*/README.md"))


@pytest.mark.timeout(200)
def test_the_examples_own_tests_pass_with_containers(start: Callable[..., Platform]) -> None:
    platform = start()
    for folder in FOLDERS:
        platform.command("deploy", str(folder))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(ROOT / "tests/examples")],
        env={**os.environ, "DIALBACK_EXAMPLES_URL": platform.url + "/@{name}"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > 40
