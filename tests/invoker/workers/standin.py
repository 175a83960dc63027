"""A worker for the tests: a plain script that speaks the control descriptor and the runtime API, as the bridge does.

The entry says how it starts, each payload (`{"do": ...}`) what an invocation does. No package of ours is imported.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

control = int(os.environ.pop("DIALBACK_CONTROL_FD"))
log_fd = int(os.environ.pop("DIALBACK_LOG_FD"))
config = json.loads(os.read(control, 65536))
entry = config["entry"]
go = threading.Event()


def watchdog():
    while os.read(control, 1):
        pass
    if entry != "outlives":
        os.killpg(0, signal.SIGKILL)


class Runtime:
    """One connection to the runtime API."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(config["runtime_socket"])
        self.file = self.socket.makefile("rb")

    def call(self, method, path, body=b""):
        head = (
            f"{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: runtime\r\n"
            f"Authorization: Bearer {config['secret']}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)
        status = int(self.file.readline().split()[1])
        fields = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.partition(b":")
            fields[name.lower()] = value.strip()
        return status, fields, self.file.read(int(fields[b"content-length"]))


def grandchild(detached):
    """Forks twice and, when detached, leaves group, session and parent behind; answers the grandchild's pid."""
    read, write = os.pipe()
    if os.fork() == 0:
        if detached:
            os.setsid()
        if os.fork() == 0:
            os.write(write, str(os.getpid()).encode())
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    return int(os.read(read, 32))


def runner():
    """A process that is a new one every moment: it forks and exits, for ten seconds, in a session of its own."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if os.fork():
            os._exit(0)
    os._exit(0)


def act(command):
    what = command.get("do", "echo")
    if what == "echo":
        return command
    if what == "look":
        fds = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                fds[name] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:
                pass
        return {
            "env": dict(os.environ),
            "fds": fds,
            "control": control,
            "log": log_fd,
            "cwd": os.getcwd(),
            "files": sorted(os.listdir(".")),
            "group": os.getpgrp(),
            "session": os.getsid(0),
            "pid": os.getpid(),
            "config": config,
        }
    if what == "run":
        runner()
        return {}
    if what == "hold":
        go.wait()
        return {}
    if what == "go":
        go.set()
        return {}
    if what == "grandchild":
        return {"pid": grandchild(command["detached"])}
    if what == "say":
        for line in command.get("lines", ()):
            os.write(log_fd, line.encode() + b"\n")
        os.write(1, command.get("out", "").encode() * command.get("times", 1))
        os.write(2, command.get("err", "").encode())
        return {}
    if what == "write":
        os.mkdir("made")
        with open("made/file", "w") as file:
            file.write("x")
        os.chmod("made", 0)
        return {}
    if what == "eat":
        hoard = []
        for _ in range(command["megabytes"]):
            hoard.append(b"x" * 1024 * 1024)
            time.sleep(0.001)
        go.wait()
    if what == "exit":
        os.write(2, b"these are my last words\n")
        os._exit(command["code"])
    raise ValueError("no such command: " + what)


def serve():
    runtime = Runtime()
    while True:
        status, fields, body = runtime.call("GET", "invocation/next")
        if status == 410:
            os._exit(0)
        name = fields[b"lambda-runtime-aws-request-id"].decode()
        try:
            answer, kind = act(json.loads(body)), "response"
        except Exception as error:
            answer = {"errorType": type(error).__name__, "errorMessage": str(error), "stackTrace": ["here"]}
            kind = "error"
        runtime.call("POST", f"invocation/{name}/{kind}", json.dumps(answer).encode())


threading.Thread(target=watchdog, daemon=True).start()
if entry == "crash":
    sys.stderr.write("ImportError: no module named nothing\n")
    sys.exit(3)
if entry == "init_error":
    failure = {"errorType": "ImportError", "errorMessage": "no module named nothing", "stackTrace": ["app.py, line 1"]}
    Runtime().call("POST", "init/error", json.dumps(failure).encode())
    sys.exit(1)
if entry == "init_error_stays":
    Runtime().call("POST", "init/error", b"nonsense")
    signal.pause()
if entry == "hang":
    signal.pause()
if entry == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    Runtime().call("GET", "invocation/next")
    while True:  # whatever it was told
        signal.pause()
pollers = [threading.Thread(target=serve, daemon=True) for _ in range(min(config["concurrency"], 4))]
for poller in pollers:
    poller.start()
for poller in pollers:
    poller.join()
while entry == "outlives":
    signal.pause()
