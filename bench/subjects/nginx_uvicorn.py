"""nginx, Debian's package, in front of uvicorn: the yardstick. A child with its own files, never the service."""

import resource
import shutil

from bench.processes import Process, tree
from bench.subjects.base import Missing, Subject
from bench.subjects.ports import on_a_free_port
from bench.subjects.uvicorn_direct import uvicorn_command, uvicorn_url

# Debian's nginx opens its compiled-in error log before it reads -e, and says so: harmless.
CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections {files}; }}
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
    files_per_client = 2  # the client's socket and the upstream's

    def launch(self) -> str:
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            raise Missing("there is no nginx here: apt-get install nginx-light")
        upstream = self.run(uvicorn_command()).wait_for(uvicorn_url)
        config = self.folder / "nginx.conf"

        def start(port: int) -> Process:
            values = {"folder": self.folder, "upstream": upstream.removeprefix("http://"), "port": port}
            files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            config.write_text(CONFIG.format(more=self.more, files=files, **values))
            return self.run([program, "-p", str(self.folder), "-e", "stderr", "-c", str(config)])

        def give_up(process: Process) -> None:
            self.processes.remove(process)
            process.stop()

        return f"http://127.0.0.1:{on_a_free_port(start, give_up)}"

    def parts(self) -> dict[str, list[int]]:
        uvicorn, nginx = self.processes
        return {"nginx": list(tree([nginx.pid])), "uvicorn": list(tree([uvicorn.pid]))}


class NginxTuned(NginxUvicorn):
    name = "nginx-tuned"
    title = "nginx with proxy_buffer_size 128k → uvicorn"
    # nginx wants the other two to fit; with proxy_buffering off only the first is used.
    more = "proxy_buffer_size 128k; proxy_buffers 4 128k; proxy_busy_buffers_size 128k;"
