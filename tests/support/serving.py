"""A real `corpusmill serve` on loopback, and the requests of a client that misbehaves."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

CLIENT = httpx.Client(verify=False, timeout=60, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


@dataclass
class Server:
    """A process that serves."""

    process: "subprocess.Popen[str]"
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def post(self, path: str, **body: Any) -> httpx.Response:
        return CLIENT.post(f"{self.url}{path}", json=body)

    def get(self, path: str) -> httpx.Response:
        return CLIENT.get(f"{self.url}{path}")

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        lines = re.findall(rf"^corpusmill_{name}(?:{{.*}})? (\S+)$", self.get("/metrics").text, re.MULTILINE)
        return sum(map(float, lines))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def memory(self) -> int:
        """Return its resident bytes."""
        with open(f"/proc/{self.process.pid}/statm") as stream:
            return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(runs: Sequence[str], *options: str, setup: str = "") -> Generator[Server]:
    """Start a server on a free port, with one thread; `setup` is run in its process before."""
    code = f"{setup}\nimport sys\nfrom flows.commands.main import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "serve", *runs, "--port", "0", "--threads", "1", *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=None, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            port = None
            for line in process.stdout:
                if (found := re.search(r"at http://127\.0\.0\.1:(\d+)", line)) is not None:
                    port = int(found[1])
                    break
            assert port is not None, f"the server did not start: exit code {process.wait()}"
            yield Server(process, port)
        finally:
            process.kill()


def head(path: str, length: int, *more: str) -> bytes:
    """Return the head of a POST."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {length}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def request(path: str, **body: Any) -> bytes:
    """Return a whole POST."""
    content = json.dumps(body).encode()
    return head(path, len(content)) + content


def waited_for(what: Callable[[], bool], seconds: float = 60) -> bool:
    """Return whether something becomes true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False


def read_all(connection: socket.socket) -> bytes:
    """Return what arrives until the other side closes."""
    parts: list[bytes] = []
    try:
        while part := connection.recv(1 << 16):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)
