"""A WSGI application that leaves evidence."""

import os
from pathlib import Path
from urllib.parse import parse_qs

EVIDENCE = Path(os.environ["EVIDENCE"])


def app(environ, start_response):
    tag = EVIDENCE / parse_qs(environ["QUERY_STRING"])["tag"][0]
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Script-Name", environ["SCRIPT_NAME"])])
    if environ["PATH_INFO"] == "/upload":
        size = 0
        while part := environ["wsgi.input"].read(65536):
            size += len(part)
        return [str(size).encode()]
    return Parts(tag)


class Parts:
    def __init__(self, tag):
        self.tag = tag

    def __iter__(self):
        return self

    def __next__(self):
        return b"part\n"

    def close(self):
        with open(self.tag, "a") as file:
            file.write("closed\n")
