"""Workers that are forked, on a whole platform: what a user sees of it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from .platform import Platform, eventually

pytestmark = pytest.mark.system

SOURCE = """
import os
BEGUN = os.getpid()
async def fetch(request):
    from dialback_bridge import Response
    return Response(f"{os.getpid()} {os.getppid()} {BEGUN} {__file__ == os.path.join(os.getcwd(), 'app.py')}")
"""


def imported(platform: Platform) -> bool:
    headers = {"authorization": f"Bearer {platform.token}"}
    text = httpx.get(f"{platform.control_url}/metrics", headers=headers).text
    return 'dialback_zygotes{imported="function"} 1' in text


def test_a_killed_worker_s_successor_is_forked_and_a_killed_zygote_is_a_line_in_the_log(
    make: Callable[..., Platform], tmp_path: Path
) -> None:
    platform = make()
    source = tmp_path / "source"
    source.mkdir()
    (source / "app.py").write_text(SOURCE)
    platform.deploy(source, "forked")
    first, keeper, begun, own = platform.get("/@forked/").text.split()
    assert (first, own) == (begun, "True"), "the first worker imports the function itself"
    eventually(lambda: imported(platform) or None, 60, "nothing is imported in advance")
    os.kill(int(first), signal.SIGKILL)
    eventually(lambda: platform.get("/@forked/").status_code == 200 or None, 30, "no worker comes")
    second, parent, zygote, own = platform.get("/@forked/").text.split()
    assert (parent, own) == (keeper, "True")
    assert zygote not in (first, second), "what it has imported, another process imported"
    os.kill(int(zygote), signal.SIGKILL)
    told = "its zygote was killed by SIGKILL"
    eventually(lambda: told in platform.command("logs", "forked").stdout or None, 30, "the log does not tell")
    assert platform.get("/@forked/").text.split()[0] == second, "workers that run notice nothing"
    os.kill(int(second), signal.SIGKILL)
    eventually(lambda: platform.get("/@forked/").status_code == 200 or None, 30, "no worker comes")
