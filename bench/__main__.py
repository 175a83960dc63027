"""The command: which servers, which workloads, where the result goes."""

import argparse
import json
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import dev_save, interrupts
from bench.machine import machine
from bench.report import report
from bench.runs import DEFAULT_RUN, RUNS
from bench.session import Session, plan, say
from bench.subjects import SUBJECTS
from bench.targets import judge
from bench.workloads import WORKLOADS

ALL = (*WORKLOADS, dev_save.NAME)
RESULTS = Path(__file__).parent / "results"


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure Dialback and its peers: every server is visited once a round, ratios are taken inside it.",
        epilog=f"workloads: {', '.join(ALL)}. subjects: {', '.join(SUBJECTS)}. runs: {', '.join(RUNS)}. "
        "bench/README.md explains them.",
    )
    parser.add_argument("--quick", action="store_true", help="about two minutes: fewer workloads, shorter visits")
    parser.add_argument(
        "--run", choices=RUNS, default=DEFAULT_RUN, metavar="RUN", help="a choice of both that has a name (%(default)s)"
    )
    parser.add_argument(
        *("--only", "-o"),
        action="append",
        choices=ALL,
        metavar="WORKLOAD",
        help="this workload (repeatable)",
    )
    parser.add_argument(
        *("--subject", "-s"),
        action="append",
        choices=SUBJECTS,
        metavar="SUBJECT",
        help="this server, and those that the ratios need (repeatable)",
    )
    parser.add_argument("--rounds", type=count, help="visits of each server per workload, instead of the usual number")
    parser.add_argument(
        "--json", type=Path, help="where the result goes (bench/results/RUN.json; part.json with -o or -s)"
    )
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed or not measured")
    options = parser.parse_args(words)
    # What is only a part of a run does not take the whole one's place.
    name = "part" if options.only or options.subject else options.run
    options.json = options.json or RESULTS / f"{name}.json"
    return options


def _left_out(name: str, options: argparse.Namespace) -> bool:
    """When quick, everything is not quite everything; a run that was named is."""
    return options.run == DEFAULT_RUN and (name == dev_save.NAME or not WORKLOADS[name].quick_rounds)


def count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("a number from 1 on")
    return int(text)


def main() -> int:
    options = arguments()
    interrupts.install()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    run = RUNS[options.run]
    workloads = options.only or [name for name in run.workloads if not (options.quick and _left_out(name, options))]
    if workloads == [dev_save.NAME]:
        return _dev_save_alone(options)
    chosen = [workload for workload in WORKLOADS.values() if workload.name in workloads]
    visits = plan(chosen, options.subject or run.subjects, options.quick)
    about, begun = machine(), time.time()
    say(f"{about['cpu']}, {about['cores']} cores, load {about['load_average_before']:.2f}")
    try:
        with Session(visits, options.quick, options.rounds or run.rounds) as session:
            for workload in chosen:
                session.measure(workload)
        saved = _dev_save(options) if dev_save.NAME in workloads else None
    except interrupts.Interrupted as interrupted:
        say("interrupted; every server was stopped")
        return 128 + interrupted.number
    verdicts = judge(session.results, workloads)
    text = report(session.results, verdicts) + (f"\n\n{saved.report()}" if saved else "")
    result = {
        "made_at": begun,
        "seconds": time.time() - begun,
        "machine": about,
        **session.results.as_json(),
        "targets": [
            {"text": one.target.text, "subject": one.subject, "value": one.value, "verdict": one.word}
            for one in verdicts
        ],
        **({"dev_save": saved.as_json()} if saved else {}),
    }
    _write(options.json, result, text)
    missed = not all(verdict.met for verdict in verdicts) or (saved is not None and not saved.met)
    return int(options.check and missed)


def _dev_save(options: argparse.Namespace) -> dev_save.DevSave:
    say("saving under `dialback dev`")
    return dev_save.measure(options.rounds or (5 if options.quick else 15))


def _dev_save_alone(options: argparse.Namespace) -> int:
    """Without peers, which have no such thing."""
    about, begun = machine(), time.time()
    try:
        saved = _dev_save(options)
    except interrupts.Interrupted as interrupted:
        return 128 + interrupted.number
    seconds = time.time() - begun
    result = {"made_at": begun, "seconds": seconds, "machine": about, "dev_save": saved.as_json()}
    _write(options.json, result, saved.report())
    return int(options.check and not saved.met)


def _write(path: Path, result: dict[str, Any], text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    path.with_suffix(".md").write_text(text + "\n")
    print(text)
    say(f"\n{result['seconds']:.0f} s; {path}")


if __name__ == "__main__":
    sys.exit(main())
