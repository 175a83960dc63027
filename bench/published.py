"""The results that the documentation tells: kept in bench/published, and the parts of a page that are made of them.

    python -m bench.published             takes what stands in bench/results, and writes the page's parts anew
    python -m bench.published --check     says whether the page says what the results say; writes nothing

A part stands between `<!-- bench: NAME -->` and `<!-- bench: end -->`. Figures are never typed there.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.profile.hops import Profile
from bench.profile.tables import by_package, by_process, tables
from bench.report import missing, notes, ratio_cell, report, table, targets, workload_table
from bench.results import Results
from bench.runs import DEFAULT_RUN, RUNS
from bench.subjects.base import BENCH, ROOT
from bench.targets import Verdict, judge
from bench.workloads import WORKLOADS

RESULTS = BENCH / "results"
PUBLISHED = BENCH / "published"
PAGE = ROOT / "docs/performance.md"
PROFILE = "profile"
NOT_MEASURED = "*Not measured yet.*"
_PART = re.compile(r"(<!-- bench: (?!end)([\w-]+) -->\n).*?(<!-- bench: end -->)", re.DOTALL)

# The servers' table: a workload's figure, the peer that the ratio is to, and the column's title.
COLUMNS = (
    ("hello32", "rate", "nginx", "hello, 32 clients, requests/s"),
    ("hello1", "p50_ms", "nginx", "hello, 1 client, p50"),
    ("stream", "first_byte_ms", "nginx", "first byte of a stream"),
    ("stream", "delay_ms", "nginx", "delay of a chunk"),
    ("spaced", "separate_share", "nginx", "chunks 5 ms apart that come alone"),
    ("bulk", "mb_per_s", "nginx", "bulk, default buffers"),
    ("bulk", "mb_per_s", "nginx-tuned", "bulk, `proxy_buffer_size 128k`"),
    ("tiny", "chunks_per_s", "nginx", "tiny chunks/s"),
    ("upload", "mb_per_s", "uvicorn", "upload, to uvicorn"),
)


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """The results in `folder`, by run."""
    paths = [folder / f"{name}.json" for name in (*RUNS, PROFILE)]
    return {path.stem: json.loads(path.read_text()) for path in paths if path.exists()}


def parts(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Each part of the page, as these results say it."""
    made: dict[str, str] = {}
    runs = {name: Results.from_json(found[name]) for name in RUNS if name in found}
    made["targets"] = _targets(runs)
    main = runs.get(DEFAULT_RUN)
    made["servers"] = _servers(main) if main else NOT_MEASURED
    made["notes"] = "\n\n".join(filter(None, (missing(main), notes(main)))) if main else NOT_MEASURED
    for name in RUNS:
        if name != DEFAULT_RUN:
            made[name] = _tables(runs[name]) if name in runs else NOT_MEASURED
    made[PROFILE] = _profile(found[PROFILE]) if PROFILE in found else NOT_MEASURED
    made["about"] = _about(found)
    return made


def _targets(runs: Mapping[str, Results]) -> str:
    """All targets; a server is judged on each by the first run that has measured it there."""
    found: dict[tuple[str, str], Verdict] = {}
    for results in runs.values():
        for verdict in judge(results, results.visits):
            key = verdict.target.text, verdict.subject
            if key not in found or found[key].value is None:
                found[key] = verdict
    return targets(list(found.values())) if found else NOT_MEASURED


def _servers(results: Results) -> str:
    columns = [column for column in COLUMNS if column[0] in results.visits]
    rows = []
    for name, title in results.subjects.items():
        row = [title]
        for workload, key, peer, _ in columns:
            figure = next(figure for figure in WORKLOADS[workload].figures if figure.key == key)
            if name in results.missing:
                row.append("MISSING")
            elif name in results.cannot.get(workload, {}):
                row.append("cannot")
            else:
                row.append(ratio_cell(results.ratio(workload, name, figure, peer), name == peer))
                if results.errors(workload, name):
                    row[-1] = f"FAILED {row[-1]}".strip()
        rows.append(row)
    return table(["server", *(title for *_, title in columns)], rows)


def _tables(results: Results) -> str:
    made = [missing(results), *(workload_table(results, WORKLOADS[name]) for name in results.visits), notes(results)]
    return "\n\n".join(part for part in made if part)


def _profile(found: Mapping[str, Any]) -> str:
    profiles = [Profile.from_json(one) for one in found["profiles"]]
    sampled = [one for one in profiles if one.sampled_rate]
    return "\n\n".join([by_process(profiles), *([by_package(sampled)] if sampled else [])])


def _about(found: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for name, result in found.items():
        machine = result["machine"]
        rows.append(
            [
                f"`{name}`",
                time.strftime("%Y-%m-%d", time.gmtime(result["made_at"])),
                "yes" if result.get("quick") else "",
                f"{machine['cpu']}, {machine['cores']} cores",
                f"{machine['load_average_before']:.1f}",
                machine["commit"],
            ]
        )
    if not rows:
        return NOT_MEASURED
    text = table(["run", "day", "quick", "machine", "load before", "commit"], rows)
    return f"{text}\n\n{_versions(next(iter(found.values()))['machine'])}"


def _versions(machine: Mapping[str, Any]) -> str:
    named = {"CPython": machine["python"], **machine["versions"], **machine.get("peers", {})}
    nginx = machine["nginx"].partition("nginx/")[2].split()
    node = machine.get("node", "").removeprefix("v")
    named |= {name: version for name, version in (("nginx", "".join(nginx[:1])), ("Node", node)) if version}
    return ", ".join(f"{name} {version}" for name, version in named.items()) + "."


def rewritten(page: str, made: Mapping[str, str]) -> str:
    """The page with its parts made anew. KeyError for a part that nobody makes."""

    def part(found: re.Match[str]) -> str:
        return f"{found[1]}{made[found[2]]}\n{found[3]}"

    return _PART.sub(part, page)


def full_report(name: str, found: Mapping[str, Any], top: int = 12) -> str:
    """The page of its own that a result has beside it."""
    if name == PROFILE:
        return tables([Profile.from_json(one) for one in found["profiles"]], found["missing"], top)
    results = Results.from_json(found)
    return f"# {RUNS[name].title}\n\n{report(results, judge(results, list(results.visits)))}"


def _files(found: Mapping[str, Mapping[str, Any]]) -> dict[Path, str]:
    """What is to stand in every file that is made of these results."""
    made = {PUBLISHED / f"{name}.md": full_report(name, result) + "\n" for name, result in found.items()}
    return {**made, PAGE: rewritten(PAGE.read_text(), parts(found))}


def differing(found: Mapping[str, Mapping[str, Any]]) -> list[Path]:
    """The files that say something else than these results."""
    return [path for path, text in _files(found).items() if not path.exists() or path.read_text() != text]


def main(words: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.published", description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="exit with 1 when the page and the results disagree")
    options = parser.parse_args(words)
    if not options.check:
        PUBLISHED.mkdir(exist_ok=True)
        for name, result in load(RESULTS).items():
            (PUBLISHED / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
            say(f"took {name}")
        for path, text in _files(load(PUBLISHED)).items():
            path.write_text(text)
    wrong = differing(load(PUBLISHED))
    for path in wrong:
        say(f"{path.relative_to(ROOT)} does not say what bench/published says: run python -m bench.published")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
