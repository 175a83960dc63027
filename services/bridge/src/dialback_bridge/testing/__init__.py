"""Call a function in the tests of its author: any handler style, in this process, with the standard library alone.

    from dialback_bridge.testing import TestClient

    def test_it_streams():
        client = TestClient(app)                       # or a folder: TestClient(Path("functions/chat"))
        response = client.get("/")
        assert (response.status, response.text) == (200, "hello")
        assert len(response.chunks) == 3               # each with its time: response.chunks[0].at

    def test_it_stops_when_its_client_leaves():
        with client.stream("GET", "/events") as response:
            assert response.read_chunk()
            response.leave()
            assert response.wait_over() == "cancelled"

The function runs behind the very code that a worker has, streams, credit and verdicts included; only the platform is
played by the client. Its loop runs in a thread of its own, so the calls here are ordinary, blocking ones.
"""

from __future__ import annotations

from .client import TestClient
from .response import Chunk, StreamedResponse

__all__ = ["Chunk", "StreamedResponse", "TestClient"]
