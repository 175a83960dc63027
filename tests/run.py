"""The whole suite, as `make test` runs it: first what runs in this process, measured, then the platform from outside.

    python tests/run.py [PYTEST ARGUMENTS ...]

Branch coverage must be 100 % for the wire and 90 % for every other package. Whatever is skipped is said at the end, and
is a failure where CI is set. Without a Docker Engine nothing of containers is tested, and that code is not counted.
What failed, and what was unsteady, is said in the last lines (`phases.py`).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from phases import Run, say

ROOT = Path(__file__).resolve().parent.parent
LEAST = {
    "dialback_wire": 100.0,
    "dialback_bridge": 90.0,
    "dialback_invoker": 90.0,
    "dialback_edge": 90.0,
    "dialback": 90.0,
}


NEEDS_AN_ENGINE = ("/launchers/docker", "/deploy/inspect_container.py")

WORKERS = "3"
"""Processes of pytest at a time: one more than the cores of a small machine, for most tests wait most of their time."""


def main(arguments: list[str]) -> int:
    os.chdir(ROOT)
    if arguments:
        return subprocess.call([sys.executable, "-m", "pytest", *arguments])
    run = Run(ROOT)
    engine = engine_answers()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVERAGE_FILE"] = str(Path(folder) / "coverage")
        run.phase("unit", ["-n", WORKERS, "-m", "not system and not browser"], measured=True)
        missed = coverage_missed(measured(Path(folder) / "coverage.json"), () if engine else NEEDS_AN_ENGINE)
        del os.environ["COVERAGE_FILE"]
    # Chromium gives requests up when an interface comes or goes, as with every container that has a network: what it
    # looks at is tested before containers are.
    run.phase("browser", ["-m", "browser", *files_with("browser")])
    apart = ["-n", WORKERS, "--dist", "loadscope", "--no-loadscope-reorder"]
    run.phase("system", [*apart, "-m", "system and not browser", "--durations=10", *files_with("system")])
    if not engine:
        say("NOT TESTED: functions in containers, for no Docker Engine answers (set DOCKER_HOST, or start one)")
    return run.summary([f"coverage: {line}" for line in missed])


def files_with(mark: str) -> list[str]:
    """The files in which a test can have the mark, for collecting all the others takes a quarter of a minute."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if f"mark.{mark}" in file.read_text()]


def measured(report: Path) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """The coverage of all processes together."""
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.call([*coverage, "combine", "--quiet"])
    subprocess.call([*coverage, "json", "--quiet", "-o", str(report)])
    read: dict[str, dict[str, dict[str, dict[str, int]]]] = json.loads(report.read_text())
    return read


def engine_answers() -> bool:
    """Whether there is a Docker Engine to test with."""
    import docker
    import docker.errors

    asking = docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="1.41", timeout=10)
    try:
        return bool(asking.ping())
    except (docker.errors.DockerException, OSError):
        return False
    finally:
        asking.close()


def coverage_missed(
    report: dict[str, dict[str, dict[str, dict[str, int]]]], left_out: tuple[str, ...] = ()
) -> list[str]:
    """Prints each package's branch coverage; returns what falls short."""
    missed = []
    for package, least in LEAST.items():
        covered = total = 0
        lines = []
        for name, file in sorted(report["files"].items()):
            if f"/src/{package}/" not in name or any(part in name for part in left_out):
                continue
            summary = file["summary"]
            covered += summary["covered_lines"] + summary["covered_branches"]
            total += summary["num_statements"] + summary["num_branches"]
            if summary["covered_lines"] < summary["num_statements"] or summary["missing_branches"]:
                lines.append(f"    {name}: lines {file['missing_lines']}, {summary['missing_branches']} branches")
        percent = 100.0 * covered / total if total else 0.0
        print(f"coverage of {package}: {percent:.1f} % of lines and branches")
        if percent < least:
            missed.append(f"{package} has {percent:.2f} %, {least:g} % is the least")
            print("\n".join(lines))
    return missed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
