"""A hub on loopback: what huggingface_hub asks of it to create a repository and to commit files, large ones by git-lfs.

Of Hugging Face's it has the paths, the answers and the rules that an upload can break: the token, contents that are what their
hash says, commits of large files that were uploaded before. It has no Xet storage, revisions or quotas.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SMALL = 2048  # bytes of a file that is part of the commit itself
TOKEN = "hf_writes"


@dataclass
class Hub:
    """What the hub holds, and how often it fails from now on."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)  # files by path
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)  # large files by sha256
    failures: int = 0  # uploads of large files that get 503
    uploads: int = 0  # of large files, that were taken
    unknown: list[str] = field(default_factory=list)  # requests that it does not know


def _of_git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Answers(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/api/validate-yaml":
            self._say(200, {"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._say(401, {"error": "Invalid username or password."})
        elif self.path == "/api/repos/create":
            self._create(json.loads(body))
        else:
            name = next((n for n in self.hub.repositories if self.path.startswith((f"/api/models/{n}/", f"/{n}.git/"))), None)
            what = None if name is None else self.path.split(name, 1)[1].removeprefix(".git").strip("/")
            if name is not None and what == "preupload/main":
                self._preupload(name, json.loads(body))
            elif name is not None and what == "info/lfs/objects/batch":
                self._batch(json.loads(body))
            elif name is not None and what == "commit/main":
                self._commit(name, [json.loads(line) for line in body.splitlines()])
            else:
                self._missing()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sha256 = self.path.removeprefix("/lfs/")
        if self.hub.failures:
            self.hub.failures -= 1
            self._say(503, {"error": "come again"})
        elif hashlib.sha256(content).hexdigest() != sha256:
            self._say(400, {"error": "another content than its hash says"})
        else:
            self.hub.stored[sha256], self.hub.uploads = content, self.hub.uploads + 1
            self._say(200, {})

    def do_GET(self) -> None:
        self._missing()

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.hub.repositories:
            self._say(409, {"error": "You already created this model repo", "url": f"{self.hub.url}/{name}"})
            return
        self.hub.repositories[name] = {}
        self.hub.private[name] = asked.get("visibility") == "private" or asked.get("private", False)
        self._say(200, {"url": f"{self.hub.url}/{name}"})

    def _preupload(self, name: str, asked: dict[str, Any]) -> None:
        def answer(file: dict[str, Any]) -> dict[str, Any]:
            content = self.hub.repositories[name].get(file["path"])
            kind = "regular" if file["size"] <= SMALL else "lfs"
            oid = None if content is None else hashlib.sha256(content).hexdigest() if kind == "lfs" else _of_git(content)
            return {"path": file["path"], "uploadMode": kind, "shouldIgnore": False, "oid": oid}

        self._say(200, {"files": [answer(file) for file in asked["files"]]})

    def _batch(self, asked: dict[str, Any]) -> None:
        def answer(file: dict[str, Any]) -> dict[str, Any]:
            upload = {"upload": {"href": f"{self.hub.url}/lfs/{file['oid']}"}}
            return {**file, **({} if file["oid"] in self.hub.stored else {"actions": upload})}

        self._say(200, {"transfer": "basic", "objects": [answer(file) for file in asked["objects"]]})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files: dict[str, bytes] = {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in self.hub.stored:
                    self._say(400, {"error": f"{value['path']} was not uploaded"})
                    return
                files[value["path"]] = self.hub.stored[value["oid"]]
        self.hub.repositories[name] |= files
        oid = f"{len(self.hub.repositories[name]):040x}"
        self._say(200, {"commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"})

    def _missing(self) -> None:
        self.hub.unknown.append(f"{self.command} {self.path}")
        self._say(404, {"error": "not here"})

    def _say(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def hub() -> Generator[Hub]:
    """Run a hub on loopback."""
    held = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (_Answers,), {"hub": held}))
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
