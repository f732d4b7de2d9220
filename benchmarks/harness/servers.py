"""
Two servers in place of the platform: nginx, which is fast, and one of our own, which adds a delay.

nginx has one worker on one core, or as many as the client has processes. It answers the token request and the
download-url request by itself.

The reply follows the contract: about 400 bytes of JSON with the requested file in `fileName` and in the URL's path, and
a correlation id like a Genesys reply's. It has no `inin-ratelimit-*` headers: Genesys has announced their removal, and
nginx cannot count all requests together, so that they would be wrong.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from .environment import PROJECT, module_command
from .machine import TICKS, pinned

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from .environment import Environment

START_TIMEOUT = 10.0
NO_NGINX = "nginx was not found: apt-get install nginx."

FILE_ID = "FILE_ID"
REPLY = (
    f'{{"url":"https://media.example.com/recordings/{FILE_ID}/audio.wav?X-Amz-Algorithm=AWS4-HMAC-SHA256'
    "&X-Amz-Date=20260101T000000Z&X-Amz-Expires=3600&X-Amz-SignedHeaders=host"
    "&X-Amz-Signature=5d41402abc4b2a76b9719d911017c592ae2f1c3b7d6e5f4a9b8c7d6e5f4a3b2c"
    f'","expiresIn":3600,"fileName":"{FILE_ID}.wav","contentType":"audio/wav"}}'
)
TOKEN_REPLY = f'{{"access_token":"{"t" * 86}","token_type":"bearer","expires_in":86400}}'

_CONFIGURATION = Template(
    """
    daemon off;
    pid $folder/nginx.pid;
    error_log stderr error;
    worker_processes $workers;
    worker_rlimit_nofile 16384;
    events { worker_connections 8192; multi_accept on; }
    http {
        access_log off;
        client_body_temp_path $folder/body;
        proxy_temp_path $folder/proxy;
        fastcgi_temp_path $folder/fastcgi;
        uwsgi_temp_path $folder/uwsgi;
        scgi_temp_path $folder/scgi;
        keepalive_timeout 600s;
        keepalive_requests 1000000000;
        tcp_nodelay on;
        server_tokens off;
        default_type application/json;
        add_header ININ-Correlation-Id $$request_id;
        server {
            listen 127.0.0.1:$port backlog=4096 $ssl;
            location = /oauth/token {
                return 200 '$token_reply';
            }
            location ~ ^/api/v2/media/storage/files/(?<file_id>[A-Za-z0-9._-]+)/download-url$$ {
                return 200 '$reply';
            }
            location / { return 404 '{"code":"not.found","message":"Not found."}'; }
        }
    }
    """
)


class Nginx:
    """The fast server, on a free port of 127.0.0.1, while the context is open."""

    def __init__(
        self, cores: frozenset[int], certificate: tuple[Path, Path] | None = None, *, workers: int = 1
    ) -> None:
        self._cores = cores
        self._workers = workers
        self._certificate = certificate
        self._folder = tempfile.TemporaryDirectory()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"
        self.token_url = f"{self.url}/oauth/token"

    def __enter__(self) -> Self:
        program = find_nginx()
        if program is None:
            raise SystemExit(NO_NGINX)
        file = Path(self._folder.name) / "nginx.conf"
        file.write_text(self._configuration())
        with pinned(self._cores):
            command = [program, "-p", self._folder.name, "-e", "stderr", "-c", str(file)]
            self._process = subprocess.Popen(command)
        wait_until_open(self.port, self._process)
        return self

    def _configuration(self) -> str:
        ssl = ""
        if self._certificate is not None:
            chain, key = self._certificate
            ssl = f"ssl; ssl_certificate {chain}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3"
        return _CONFIGURATION.substitute(
            folder=self._folder.name,
            workers=self._workers,
            port=self.port,
            ssl=ssl,
            token_reply=TOKEN_REPLY,
            reply=REPLY.replace(FILE_ID, "$file_id"),
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        self._folder.cleanup()


class SlowServer:
    """The server that delays its replies, in a process of its own, on a free port, while the context is open."""

    def __init__(self, environment: Environment, cores: frozenset[int], delay: float) -> None:
        self._environment = environment
        self._cores = cores
        self._delay = delay
        self._process: subprocess.Popen[bytes] | None = None
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.token_url = f"{self.url}/oauth/token"

    def __enter__(self) -> Self:
        arguments = ("--port", str(self._port), "--delay", str(self._delay))
        command = module_command(self._environment.python, "harness.slow_server", *arguments)
        with pinned(self._cores):
            self._process = subprocess.Popen(command, cwd=PROJECT)
        wait_until_open(self._port, self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server has used so far."""
        assert self._process is not None
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS


def find_nginx() -> str | None:
    """Return the path of nginx; Debian installs it where only root's PATH leads."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the port accepts connections. Ends the benchmark if the process has ended or takes too long."""
    gives_up_at = time.monotonic() + START_TIMEOUT
    while time.monotonic() < gives_up_at and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    process.kill()
    raise SystemExit("The server did not start; its output is above.")
