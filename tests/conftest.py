"""What holds for every test: nothing skipped where CI is set, and Ctrl-C means what it means in a terminal."""

import os
import signal
from collections.abc import Generator

import pytest

# A shell's background job, as some CI starts one, ignores SIGINT, and so would every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
