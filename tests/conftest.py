"""What holds for every test: nothing skipped where CI is set, Ctrl-C means what it means in a terminal, and which
tests several processes of pytest leave to one of them.
"""

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
WITH_AN_ENGINE = tuple(TESTS / folder for folder in ("system/compose", "system/containers", "invoker/containers"))

# A shell's background job, as some CI starts one, ignores SIGINT, and so would every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `--dist loadgroup` one process has all tests of the Docker Engine, for some remove what others need, and it
    begins with them, for they take longest; another one has all that share a platform, or that are in one file.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=lambda item: _group(item) != "engine")


def _group(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)
    chosen = callspec.params if callspec else {}
    shared = chosen.get("shared")
    if "docker" in (shared, chosen.get("way")) or any(folder in item.path.parents for folder in WITH_AN_ENGINE):
        return "engine"
    return f"shared {shared}" if shared else str(item.path.relative_to(TESTS))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skip is a failure in CI, where everything that a test needs has been installed."""
    report = yield
    if report.skipped and os.environ.get("CI") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although CI is set: {report.longrepr}"
    return report
