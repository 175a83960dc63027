"""The health check of both services: exit code 0 when `http://HOST:PORT/_dialback/health` answers 200.

    python -I -S health.py HOST PORT

No import beyond the socket's: it runs every few seconds beside a service that is to have the processor for itself.
"""

import socket
import sys


def main(host: str, port: str) -> int:
    request = f"GET /_dialback/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout=3) as connection:
            connection.sendall(request.encode())
            answer = b""
            while part := connection.recv(65536):
                answer += part
    except OSError as failure:
        print(f"{host}:{port}: {failure.strerror or failure}")
        return 1
    head, _, body = answer.partition(b"\r\n\r\n")
    print(body.decode(errors="replace").strip())
    return 0 if head.split()[1:2] == [b"200"] else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
