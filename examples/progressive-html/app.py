"""A page whose shell is there at once, and whose parts follow as they are ready, whatever their order.

Each part comes as a `<template>` and one line of script that puts it where it belongs. GET / takes `speed` (1).
"""

import asyncio
import html

from dialback_bridge import Response, merge

PARTS = {"headline": 1.6, "weather": 0.5, "stocks": 1.0}

SHELL = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Parts, as they are ready</title>
<meta name="viewport" content="width=device-width"><style>
body { font: 1.1rem/1.5 system-ui; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
section { border: 1px solid #8888; border-radius: .5rem; padding: 1rem; margin: 1rem 0 }
.waiting { opacity: .5 }
</style>
<h1>Parts, as they are ready</h1>
<script>
function show(name) {
  const part = document.querySelector(`template[data-part=${name}]`);
  document.getElementById(name).replaceChildren(part.content);
  document.getElementById(name).className = "";
}
</script>
"""


def GET(request):
    speed = float(request.query.get("speed", 1))
    return Response(page(speed), headers={"content-type": "text/html; charset=utf-8", "cache-control": "no-transform"})


async def page(speed):
    sections = [f'<section id="{name}" class="waiting">{name} is on its way ...</section>\n' for name in PARTS]
    yield SHELL + "".join(sections)
    async for name, text in merge(*(part(name, seconds / speed) for name, seconds in PARTS.items())):
        yield f'<template data-part="{name}">{html.escape(text)}</template><script>show("{name}")</script>\n'
    yield "</html>\n"


async def part(name, seconds):
    """Stands for a slow query."""
    await asyncio.sleep(seconds)
    return name, f"The {name} took {seconds:.2g} s to come."
