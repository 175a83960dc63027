"""What holds for every test: nothing skipped where CI is set, Ctrl-C means what it means in a terminal, and which
tests several processes of pytest leave to one of them.
"""

import os
import re
import signal
from collections.abc import Generator
from typing import Any

import pytest

ENGINE = "the Docker Engine"
WITH_AN_ENGINE = ("tests/system/compose/", "tests/system/containers/", "tests/invoker/containers/")
OF_DOCKER = re.compile(r"\[(.*-)?docker(-.*)?\]$", re.DOTALL)
"""A test of the platform that is run with containers."""

# A shell's background job, as some CI starts one, ignores SIGINT, and so would every command that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What makes rich colour and frame its output although nobody's terminal shows it; tests that want it say so.
for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "GITHUB_ACTIONS", "COLUMNS", "LINES"):
    os.environ.pop(name, None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `--dist loadscope` a process has all tests of a file, and one has all of the Docker Engine, for some of them
    remove what others need.
    """
    if config.getoption("dist") != "loadscope":
        return None
    from xdist.scheduler.loadscope import LoadScopeScheduling

    class Together(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those of the Docker Engine begin, for they take longest."""
    items.sort(key=lambda item: _group(item.nodeid) != ENGINE)


def _group(nodeid: str) -> str:
    contained = nodeid.startswith(WITH_AN_ENGINE) or (nodeid.startswith("tests/system/") and OF_DOCKER.search(nodeid))
    return ENGINE if contained else nodeid.partition("::")[0]


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
