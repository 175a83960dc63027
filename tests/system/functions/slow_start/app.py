"""A function whose second import takes for ever: the first one is the deployment's inspection."""

import os
import threading
from pathlib import Path

marker = Path(os.environ.get("EVIDENCE", "/nonexistent")) / "imported"
if "EVIDENCE" in os.environ and "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    threading.Event().wait(3600)


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
