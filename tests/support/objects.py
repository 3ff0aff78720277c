"""Object stores that tests start: an S3 server (moto's), with the environment that leads corpusmill to it."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pyarrow.fs as pafs
from places import ROOT

SECONDS = 60  # to start


@dataclass(frozen=True)
class S3:
    """A running server; `environment` is what a user would set for it."""

    address: str
    environment: dict[str, str]

    def make(self, bucket: str) -> str:
        """Make a bucket; return its URI."""
        self.client().create_dir(bucket)
        return f"s3://{bucket}"

    def client(self) -> pafs.S3FileSystem:
        """A client that is not ours."""
        host = self.address.removeprefix("http://")
        keys = {"access_key": "test", "secret_key": "test", "region": "us-east-1"}
        return pafs.S3FileSystem(endpoint_override=host, scheme="http", allow_bucket_creation=True, **keys)

    def fail(self, times: int, status: int = 503, after: int = 0) -> None:
        """Let so many requests fail, after some others."""
        self._ask("POST", f"/-/fail?times={times}&status={status}&after={after}")

    def fill(self, bucket: str, prefix: str, number: int) -> None:
        """Make this many objects of one byte."""
        self._ask("POST", f"/-/fill?{urlencode({'bucket': bucket, 'prefix': prefix, 'number': number})}")

    def requests(self) -> int:
        """The number of requests since the last call of `fail`."""
        return int(self._ask("GET", "/-/requests"))

    def _ask(self, method: str, path: str) -> str:
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()


@contextmanager
def gs_server(folder: Path) -> Iterator[str]:
    """Run an emulator of Google's store during the block; yield its address. It has the bucket "bucket"."""
    program = (
        "import sys, threading; from pathlib import Path; from gcp_storage_emulator.server import create_server\n"
        "server = create_server('127.0.0.1', 0, in_memory=True, default_bucket='bucket'); server.start()\n"
        "unfinished = Path(sys.argv[1] + '.tmp'); unfinished.write_text(str(server._api._httpd.server_address[1]))\n"
        "unfinished.rename(sys.argv[1]); threading.Event().wait()\n"
    )
    announced = folder / "port"
    process = subprocess.Popen([sys.executable, "-c", program, str(announced)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + SECONDS
        while not announced.exists():
            assert process.poll() is None and time.monotonic() < end, "the emulator did not start"
            time.sleep(0.05)
        yield f"http://127.0.0.1:{announced.read_text()}"
    finally:
        process.kill()
        process.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[S3]:
    """Run a server during the block; it keeps its objects in memory."""
    announced = folder / "address"
    process = subprocess.Popen([sys.executable, str(ROOT / "tests" / "support" / "s3_server.py"), str(announced)])
    try:
        end = time.monotonic() + SECONDS
        while not announced.exists():
            assert process.poll() is None and time.monotonic() < end, "the S3 server did not start"
            time.sleep(0.05)
        address = announced.read_text()
        yield S3(
            address,
            {
                "AWS_ENDPOINT_URL": address,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
                "AWS_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            },
        )
    finally:
        process.kill()
        process.wait()
