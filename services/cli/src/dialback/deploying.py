"""Packing, uploading and waiting for a deploy, with progress where it takes more than a moment."""

from __future__ import annotations

from pathlib import Path

from dialback.bundle import Bundle, pack
from dialback.control_client import ControlClient
from dialback.control_models import Deployed
from dialback.terminal import progress


def pack_shown(source: Path, name: str | None = None) -> Bundle:
    """`bundle.pack` with a progress bar."""
    with progress(count=True) as shown:
        task = shown.add_task(f"packing {source}", total=None)
        return pack(source, name, packed=lambda count: shown.advance(task, count))


def deploy_bundle(client: ControlClient, bundle: Bundle) -> Deployed:
    """Upload, then wait while the platform loads the function once. Raises what the client raises."""
    with progress(count=True) as shown:
        task = shown.add_task(f"uploading {bundle.name}", total=bundle.length)
        done = 0

        def sent(count: int) -> None:
            nonlocal done
            done += count
            waiting = done >= bundle.length
            shown.update(task, completed=done, description=f"{'starting' if waiting else 'uploading'} {bundle.name}")

        return client.deploy(bundle, sent)
