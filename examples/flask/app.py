"""Flask, unchanged: WSGI, synchronous code in threads, and a table of a report that streams row by row.

GET / is the report, which takes `rows` (20); GET /events the same rows as server-sent events.
"""

import time

from flask import Flask, Response, abort, render_template_string, request, stream_with_context, url_for

from dialback_bridge import event_stream

app = Flask(__name__)

HEAD = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>A report that streams</title>
<h1>A report that streams</h1><p>The same as <a href="{{ events }}">events</a>.</p>
<table><tr><th>row</th><th>square</th></tr>
"""
ROW = "<tr><td>{{ number }}</td><td>{{ square }}</td></tr>"


@app.get("/")
def report():
    rows = wanted()

    def page():
        yield render_template_string(HEAD, events=url_for("events", rows=rows))
        for number, square in squares(rows):
            yield render_template_string(ROW, number=number, square=square) + "\n"
        yield "</table></html>\n"

    return Response(stream_with_context(page()), mimetype="text/html", headers={"cache-control": "no-transform"})


@app.get("/events")
def events():
    stream = event_stream({"number": number, "square": square} for number, square in squares(wanted()))
    return Response(stream, headers=stream.headers)


def wanted():
    rows = request.args.get("rows", "20")
    return int(rows) if rows.isdecimal() else abort(400, "rows is a number")


def squares(rows):
    """Stands for a slow query."""
    number = 0
    try:
        for number in range(1, rows + 1):
            time.sleep(0.1)
            yield number, number * number
    finally:
        # When the client leaves, Flask's response is closed, and with it this generator, at its next yield.
        print(f"{number} of {rows} rows were made")
