"""The workers' image in a checkout: one of another version of the bridge is built anew, whoever made it."""

from __future__ import annotations

import io
import secrets
import tarfile
from collections.abc import AsyncIterator
from typing import Any

import pytest

from dialback_invoker.launchers import docker_images
from dialback_invoker.launchers.docker_engine import Engine
from dialback_invoker.launchers.docker_images import (
    BASE_LABEL,
    SOURCE_FILE,
    SOURCE_LABEL,
    WorkerImage,
    checkout,
    context,
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine()
    yield made
    await made.close()


@pytest.fixture
async def name(client: Any, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A name for the image that nobody else uses."""
    name = f"dialback/worker-python:{secrets.token_hex(6)}"
    monkeypatch.setattr(docker_images, "DEFAULT_IMAGE", name)
    yield name
    await engine.remove_image(name)


def derived(base: str, lines: str) -> bytes:
    """What an image is built from that changes another."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        text = f"FROM {base}\nUSER root\n{lines}\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text))
    return archive.getvalue()


async def test_an_image_that_somebody_else_built_is_taken_while_it_is_of_this_bridge_and_replaced_after(
    engine: Engine, name: str
) -> None:
    root = checkout()
    assert root is not None
    packed, source = context(root)
    await engine.build(packed, name, {}, {})  # as compose does, without our label
    assert SOURCE_LABEL not in await engine.image_labels(name)
    assert (await engine.file_of(name, SOURCE_FILE, {})).decode().strip() == source
    theirs = await engine.image_id(name)
    assert await WorkerImage(engine, name, root).identity() == theirs
    base = (await engine.image_labels(name))[BASE_LABEL]
    await engine.build(derived(name, f"RUN echo stale > {SOURCE_FILE}"), name, {}, {})
    stale = await engine.image_id(name)
    assert await WorkerImage(engine, name, root).identity() not in (stale, theirs)
    labels = await engine.image_labels(name)
    assert (labels[SOURCE_LABEL], labels[BASE_LABEL]) == (source, base)
    ours = await engine.image_id(name)
    assert await WorkerImage(engine, name, root).identity() == ours
    await engine.build(derived(name, f"LABEL {SOURCE_LABEL}=\nRUN rm {SOURCE_FILE}"), name, {}, {})
    assert await WorkerImage(engine, name, root).identity() != await engine.image_id(theirs)
    assert (await engine.file_of(name, SOURCE_FILE, {})).decode().strip() == source, "one that says nothing is replaced"


async def test_an_image_of_somebody_s_own_is_left_as_it_is(engine: Engine, client: Any) -> None:
    own = f"somebody/own:{secrets.token_hex(6)}"
    await engine.build(derived(docker_images.DEFAULT_IMAGE, f"RUN echo stale > {SOURCE_FILE}"), own, {}, {})
    try:
        before = await engine.image_id(own)
        assert await WorkerImage(engine, own, checkout()).identity() == before
    finally:
        await engine.remove_image(own)


async def test_to_look_into_an_image_leaves_no_container(engine: Engine, client: Any) -> None:
    mark = secrets.token_hex(6)
    assert await engine.file_of(docker_images.DEFAULT_IMAGE, "/nowhere", {"dialback.platform": mark}) == b""
    assert client.containers(all=True, filters={"label": f"dialback.platform={mark}"}) == []
