"""nginx, Debian's package, in front of uvicorn: the yardstick. A child with its own files, never the service."""

import shutil
import socket
import time

from bench.processes import Process, StartError, tree
from bench.subjects.base import Missing, Subject
from bench.subjects.uvicorn_direct import uvicorn_command, uvicorn_url

# Debian's nginx opens its compiled-in error log before it reads -e, and says so: harmless.
CONFIG = """\
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    client_max_body_size 0;
    upstream function {{
        server {upstream};
        keepalive 64;
        keepalive_requests 100000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location / {{
            proxy_pass http://function;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_buffering off;
            proxy_request_buffering off;
            {more}
        }}
    }}
}}
"""


class NginxUvicorn(Subject):
    name = "nginx"
    title = "nginx → uvicorn"
    more = ""

    def launch(self) -> str:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            raise Missing("there is no nginx here: apt-get install nginx-light")
        upstream = self.run(uvicorn_command()).wait_for(uvicorn_url)
        for attempt in range(3):
            port = _free_port()
            config = self.folder / "nginx.conf"
            values = {"folder": self.folder, "upstream": upstream.removeprefix("http://"), "port": port}
            config.write_text(CONFIG.format(more=self.more, **values))
            nginx = self.run([program, "-p", str(self.folder), "-e", "stderr", "-c", str(config)])
            try:
                _wait_until_it_listens(nginx, port)
            except StartError as error:
                if attempt == 2:
                    raise StartError(f"{error}: {nginx.last_words()}") from error
                self.processes.remove(nginx)
                nginx.stop()
            else:
                break
        return f"http://127.0.0.1:{port}"

    def parts(self) -> dict[str, list[int]]:
        uvicorn, nginx = self.processes
        return {"nginx": list(tree([nginx.pid])), "uvicorn": list(tree([uvicorn.pid]))}


class NginxTuned(NginxUvicorn):
    name = "nginx-tuned"
    title = "nginx tuned → uvicorn"
    # nginx wants the other two to fit; with proxy_buffering off only the first is used.
    more = "proxy_buffer_size 128k; proxy_buffers 4 128k; proxy_busy_buffers_size 128k;"


def _free_port() -> int:
    """nginx cannot choose a port by itself. Another may take it in between: hence the attempts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _wait_until_it_listens(nginx: Process, port: int, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (status := nginx.popen.poll()) is not None:
            raise StartError(f"nginx ended with {status}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise StartError(f"nginx does not listen after {seconds:g} s")
