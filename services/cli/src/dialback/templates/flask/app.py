"""Flask with a streamed answer."""

import time

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
def index():
    return {"try": "/stream"}


@app.get("/stream")
def stream():
    def body():
        for number in range(1, 6):
            yield f"line {number}\n"
            time.sleep(0.5)

    return Response(body(), mimetype="text/plain")
