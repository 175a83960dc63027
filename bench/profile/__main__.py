"""`python -m bench.profile`: CPU microseconds a request by process, package and function."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import interrupts
from bench.__main__ import RESULTS, count
from bench.machine import machine
from bench.profile.hops import profile
from bench.profile.tables import tables
from bench.session import say
from bench.subjects import SUBJECTS, Missing
from bench.visit import LoadFailed

DEFAULT = ("nginx", "dialback", "dialback-tunnel", "dialback-up", "dialback-up-tunnel")


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.profile",
        description="Where a microsecond goes: the CPU time of `hello` by process, package and function.",
        epilog="The first table is measured with nothing in the way; the others share it out by samples.",
    )
    parser.add_argument(
        *("--subject", "-s"),
        action="append",
        choices=SUBJECTS,
        metavar="SUBJECT",
        help=f"this server (repeatable); else {', '.join(DEFAULT)}",
    )
    parser.add_argument("--clients", type=count, default=32, help="requests at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each round (%(default)s)")
    parser.add_argument("--rounds", type=count, default=3, help="the median counts (%(default)s)")
    parser.add_argument("--top", type=count, default=12, help="functions of each process (%(default)s)")
    parser.add_argument(
        "--json", type=Path, default=RESULTS / "profile.json", help="where the result goes (%(default)s)"
    )
    return parser.parse_args(words)


def main() -> int:
    options = arguments()
    interrupts.install()
    about, begun = machine(), time.time()
    profiles, missing = [], {}
    try:
        for name in options.subject or DEFAULT:
            say(f"  {name}")
            try:
                profiles.append(profile(name, options.clients, options.seconds, options.rounds))
            except (Missing, LoadFailed) as failure:
                missing[name] = str(failure)
                say(f"\n*** MISSING: {name}: {failure}\n")
    except interrupts.Interrupted as interrupted:
        return 128 + interrupted.number
    result = {
        "made_at": begun,
        "machine": about,
        "clients": options.clients,
        "missing": missing,
        "profiles": [one.as_json() for one in profiles],
    }
    text = tables(profiles, missing, options.top)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    options.json.with_suffix(".md").write_text(text + "\n")
    print(text)
    say(f"\n{time.time() - begun:.0f} s; {options.json}")
    return int(bool(missing))


if __name__ == "__main__":
    sys.exit(main())
