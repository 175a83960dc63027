"""What a process keeps of the memory that it frees."""

import platform
import subprocess
import sys

import pytest

FREED = """
from pathlib import Path
from dialback_wire.freed_memory import BLOCK, keep_freed_memory

def heap():
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(number for number, line in enumerate(lines) if line.endswith("[heap]"))
    return int(lines[at + 1].split()[1]) * 1024

keep_freed_memory()
before = heap()
blocks = [bytes(64 * 1024) for _ in range(20)]
blocks.clear()
assert heap() - before > BLOCK // 2, heap() - before
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has other rules")
def test_memory_of_bulk_data_is_kept_for_the_next() -> None:
    subprocess.run([sys.executable, "-c", FREED], check=True)
