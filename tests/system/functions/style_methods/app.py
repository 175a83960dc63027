"""Functions named after methods that leave evidence."""

import os
from pathlib import Path

from dialback_bridge import Response

EVIDENCE = Path(os.environ["EVIDENCE"])


def GET(request):
    return Response(parts(request.query["tag"]), headers={"content-type": "text/plain"})


async def POST(request):
    return str(len(await request.body()))


async def parts(tag):
    try:
        while True:
            yield "part\n"
    finally:
        with open(EVIDENCE / tag, "a") as file:
            file.write("closed\n")
