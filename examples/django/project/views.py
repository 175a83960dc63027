"""Asynchronous views that stream: a table as CSV, and the progress of a job as server-sent events."""

import asyncio
import csv
import io

from django.http import HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.urls import reverse
from django.utils.html import format_html

from dialback_bridge import event_stream

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Django that streams</title>
<p><a href="{}">export.csv</a>, <a href="{}">progress</a></p></html>
"""


async def index(request):
    return HttpResponse(format_html(PAGE, reverse("export"), reverse("progress")))


async def export(request):
    rows = request.GET.get("rows", "100")
    if not rows.isdecimal():
        return HttpResponseBadRequest("rows is a number\n", content_type="text/plain")
    headers = {"content-disposition": 'attachment; filename="export.csv"', "cache-control": "no-transform"}
    # Under ASGI the iterator has to be asynchronous: of a synchronous one Django would collect everything first.
    return StreamingHttpResponse(table(int(rows)), content_type="text/csv; charset=utf-8", headers=headers)


async def table(rows):
    """In a real project: `async for row in Order.objects.values_list(...).aiterator()`."""
    sent = 0
    try:
        yield line("number", "square")
        for number in range(1, rows + 1):
            await asyncio.sleep(0.01)
            yield line(number, number * number)
            sent = number
    finally:
        print(f"{sent} of {rows} rows were exported")


def line(*cells):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


async def progress(request):
    events = event_stream(job())
    return StreamingHttpResponse(aiter(events), headers=events.headers)


async def job():
    for percent in range(0, 101, 10):
        yield {"percent": percent}
        await asyncio.sleep(0.1)
