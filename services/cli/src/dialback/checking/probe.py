"""The probe function: deployed on the running platform for the time of a check."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from dialback.bundle import pack
from dialback.checking.session import PROBE
from dialback.control_client import ControlClient
from dialback.deploying import deploy_bundle

FOLDER = Path(__file__).parents[1] / "templates" / "probe"


@contextmanager
def deployed_probe(client: ControlClient, base: str) -> Iterator[tuple[str, str]]:
    """Its address below `base`, and below the platform's own public address. Removed afterwards."""
    with closing(pack(FOLDER, PROBE)) as bundle:
        deploy_bundle(client, bundle)
    try:
        yield f"{base.rstrip('/')}/@{PROBE}/", f"{client.platform().public_url}/@{PROBE}/"
    finally:
        client.remove(PROBE)
