"""A worker that does nothing by itself: it tells a test what it was given, and posts what the test says.

Whoever runs this has what any worker has: its launch configuration, its secret and real payloads. PUPPETEER names the
Unix socket of the test; both sides speak lines of JSON.
"""

import contextlib
import http.client
import json
import os
import socket
import sys
import threading

ROOT = "/2018-06-01/runtime/"


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def main():
    control = int(os.environ["DIALBACK_CONTROL_FD"])
    with open(control, "rb", buffering=0, closefd=False) as file:
        config = json.loads(file.readline())
    authorization = {"Authorization": f"Bearer {config['secret']}"}
    strings = socket.socket(socket.AF_UNIX)
    strings.connect(os.environ["PUPPETEER"])
    lock = threading.Lock()
    open_ones = set()
    retired = threading.Event()

    def tell(**what):
        with lock:
            strings.sendall(json.dumps(what).encode() + b"\n")

    def poll():
        runtime = Unix(config["runtime_socket"])
        while True:
            runtime.request("GET", ROOT + "invocation/next", headers=authorization)
            answer = runtime.getresponse()
            body = answer.read()
            if answer.status != 200:
                retired.set()
                tell(retired=answer.status)
                if not open_ones:
                    os._exit(0)
                return
            open_ones.add(answer.headers["lambda-runtime-aws-request-id"])
            tell(payload=json.loads(body), headers=dict(answer.getheaders()))

    tell(config=config, pid=os.getpid())
    commands = strings.makefile("rb")
    if config["function"] != "never-ready":
        threading.Thread(target=poll, daemon=True).start()
    for line in commands:
        command = json.loads(line)
        if "print" in command:
            print(command["print"], flush=True)
            continue
        if "exit" in command:
            os._exit(command["exit"])
        runtime = Unix(config["runtime_socket"])
        headers = authorization if command.get("secret") is None else {"Authorization": f"Bearer {command['secret']}"}
        # Who is refused by the head may find that nobody takes the body any more; the answer is there all the same.
        with contextlib.suppress(BrokenPipeError):
            runtime.request(command.get("method", "POST"), ROOT + command["path"], command["body"].encode(), headers)
        answer = runtime.getresponse()
        tell(status=answer.status, body=answer.read().decode())
        runtime.close()
        open_ones.difference_update(command["path"].split("/"))
        if retired.is_set() and not open_ones:
            os._exit(0)
    sys.exit(0)


main()
