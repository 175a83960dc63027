"""A request handler class that leaves evidence."""

import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

EVIDENCE = Path(os.environ["EVIDENCE"])


class handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"5\r\npart\n\r\n")
        except BrokenPipeError:
            with open(EVIDENCE / parse_qs(urlsplit(self.path).query)["tag"][0], "a") as file:
                file.write("closed\n")

    def do_POST(self):
        size = 0
        while part := self.rfile.read(65536):
            size += len(part)
        self.send_response(200)
        self.send_header("Content-Length", str(len(str(size))))
        self.end_headers()
        self.wfile.write(str(size).encode())
