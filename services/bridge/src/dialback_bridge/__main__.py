"""`python -m dialback_bridge worker`, `... inspect`, and `... spare`, which becomes one of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def _set_user_code_aside() -> None:
    """`python -m` puts the working directory first, where a user's `queue.py` would hide Python's own from the bridge.

    The function's folder comes back when its entry is imported.
    """
    if sys.path and os.path.realpath(sys.path[0] or ".") == os.path.realpath("."):
        del sys.path[0]


def main(arguments: list[str]) -> int:
    """Run a command; returns the exit status, 2 for a command line or launch that cannot be used."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m dialback_bridge", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    worker = commands.add_parser("worker", help="serve the function in the working directory, as its launcher says")
    worker.add_argument("--keep", type=int, metavar="FD", help="fork workers instead, as this socket says")
    inspect = commands.add_parser("inspect", help="print what a function's entry is, as one line of JSON")
    inspect.add_argument("--dir", type=Path, required=True, help="the function's folder")
    inspect.add_argument("--entry", help="the entry, where it cannot be found by its name")
    inspect.add_argument("--bytecode", action="store_true", help="let what is imported keep its compiled form")
    inspect.add_argument("--watch-stdin", action="store_true", help="end at once when standard input ends")
    inspect.add_argument("--secrets", action="store_true", help="standard input begins with a line of JSON: variables")
    spare = commands.add_parser("spare", help="wait to be told which of the two to be")
    spare.add_argument("--fd", type=int, required=True, help="the socket on which that is told")
    spare.add_argument("modules", nargs="*", help="what the function will import")
    options = parser.parse_args(arguments)
    if options.command == "spare":
        from .spare import wait

        return main(wait(options.fd, options.modules))
    if options.command == "inspect":
        if options.secrets:
            from .launch import read_secrets

            os.environ.update(read_secrets(0))
        if options.watch_stdin:
            from .watchdog import watch

            watch(0)
        from .inspection import inspect_function

        return inspect_function(options.dir, options.entry, options.bytecode)
    if options.keep is not None:
        from .keeper import keep

        keep(options.keep)  # back in each worker
    from .launch import LaunchError, read_launch
    from .watchdog import watch

    try:
        launch = read_launch()
    except LaunchError as error:
        sys.stderr.write(f"dialback_bridge: {error}\n")
        return 2
    if launch.control_fd is not None:
        watch(launch.control_fd)
    from .worker import run_worker

    return run_worker(launch, Path.cwd())


if __name__ == "__main__":
    _set_user_code_aside()
    status = main(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads that user code or a cancelled handler left behind must not keep a finished worker alive.
    os._exit(status)
