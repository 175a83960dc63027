"""Images have locks of their own: each must hold all that its process imports, whatever else is composed there."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

OPTIONAL = {"click", "setuptools", "coverage"}
"""Imported where they happen to be installed, or because the tests measure themselves."""
LOCKS = Path(__file__).resolve().parents[2] / "requirements"
PROGRAM = """
import sys
import dialback.commands.serve, dialback.platform, dialback.serving, dialback.compose_setup
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def locked(name: str) -> set[str]:
    """The distributions of a lock, by their normalised names."""
    return set(re.findall(r"^([a-z0-9-]+)==", (LOCKS / name).read_text(), re.MULTILINE))


def imported() -> set[str]:
    """The distributions that a service's process has loaded before it serves, our own left out."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=True)
    owners = importlib.metadata.packages_distributions()
    names = {owner for module in done.stdout.split() for owner in owners.get(module, ())}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names if not name.startswith("dialback")}


def test_the_image_of_the_edge_has_all_that_its_process_imports() -> None:
    found = imported()
    assert "httptools" in found
    assert found - OPTIONAL <= locked("edge.txt"), "add it to requirements/edge.in, then `make lock`"


def test_the_image_of_the_invoker_has_all_that_its_process_imports() -> None:
    assert imported() - OPTIONAL <= locked("invoker.txt"), "add it to requirements/invoker.in, then `make lock`"


def test_both_images_run_the_same_versions_as_everybody_else() -> None:
    def versions(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (LOCKS / name).read_text(), re.MULTILINE))

    for name in ("edge.txt", "invoker.txt", "worker.txt"):
        assert versions(name) <= versions("run.txt"), name
