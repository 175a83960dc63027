"""The first thing that runs in compose: makes the secrets that the services share, and gives the host its copy.

    python -m dialback.compose_setup --data DIR --link DIR --host DIR --control-url URL --public-url URL

data   the invoker's data folder: gets `control.token`, unless it has one
link   the folder that edge and invoker share: gets `link.key`, unless it has one
host   a folder of the host's: gets `control.token` and `platform.json`, by which the command line finds the platform

Every file has the mode 0600. Those in `data` and `link` belong to the user of the services; the host's belong to
whoever owns the host's folder. Changing owners is why this runs as root: once, with three
capabilities and without a network.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dialback.errors import CliError
from dialback.report import report
from dialback.terminal import print_line
from dialback.whereabouts import PLATFORM_FILE, TOKEN_FILE
from dialback_invoker.errors import DialbackError
from dialback_invoker.secret_files import ensure_key, ensure_token, write_private

HINT = "it must be a folder that the containers' root may write to"
SERVICE_ID = 10001
"""User and group of the services, as the Dockerfiles make them."""


def set_up(data: Path, link: Path, host: Path, control_url: str, public_url: str, owner: int = SERVICE_ID) -> None:
    """Make what is missing and bring the host's copy up to date. CliError names the path that is the trouble."""
    try:
        token = ensure_token(data / TOKEN_FILE)
        ensure_key(link / "link.key")
        for path in (data, data / TOKEN_FILE, link, link / "link.key"):
            _give(path, owner, owner)
        theirs = host.stat()
        addresses = {"control_url": control_url, "public_url": public_url}
        for name, text in ((TOKEN_FILE, token + "\n"), (PLATFORM_FILE, json.dumps(addresses) + "\n")):
            write_private(host / name, text)
            _give(host / name, theirs.st_uid, theirs.st_gid)
    except DialbackError as error:
        raise CliError(str(error)) from error
    except OSError as error:
        raise CliError(f"cannot prepare {error.filename}: {error.strerror}", hint=HINT) from error


def _give(path: Path, user: int, group: int) -> None:
    """Change the owner unless it is the right one already."""
    found = path.lstat()
    if (found.st_uid, found.st_gid) != (user, group):
        os.chown(path, user, group, follow_symlinks=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="dialback.compose_setup")
    for name in ("data", "link", "host"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("control-url", "public-url"):
        parser.add_argument(f"--{name}", required=True)
    said = parser.parse_args(arguments)
    try:
        set_up(said.data, said.link, said.host, said.control_url, said.public_url)
    except Exception as failure:
        return report(failure)
    print_line("the control token is in deploy/.dialback/control.token, for its owner alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
