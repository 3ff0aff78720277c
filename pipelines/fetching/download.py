"""Downloads over HTTP(S) that resume where they stopped; a file appears under its name only when complete and verified.

During the download a file is called `.NAME.part`; `.NAME.part.json` beside it records which version of the file the server
was sending. The part is locked: if two processes want the same file, the second waits and then finds it complete.

Limits: POSIX file locks (no Windows); a server that sends a byte every few seconds is never abandoned.
"""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import random
import re
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from io import BufferedRandom
from pathlib import Path

from pipelines.contract import files
from pipelines.contract.errors import UserError

OnProgress = Callable[[int, int | None], None]  # bytes received, bytes in all (None: unknown)

_CHUNK_BYTES = 2**18
# Common Crawl answers 403 and 503 to clients that send requests too fast (cc_net #35, #45, #49, #53); 408, 425 and 429 are
# temporary, too.
_TEMPORARY_STATUSES = frozenset({403, 408, 425, 429, 500, 502, 503, 504})


class FetchError(UserError):
    """A file could not be fetched; the message says what was tried, what came back and what to do."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Number of attempts, waits and time-outs."""

    attempts: int = 5  # in a row without new data, for each URL
    first_wait_seconds: float = 1.0  # doubles with every attempt
    longest_wait_seconds: float = 120.0  # if a server demands a longer pause, the next URL is tried
    timeout_seconds: float = 30.0  # to connect, and between two chunks of data


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The file to fetch, and how to verify it."""

    target: Path
    sha256: str | None
    size: int | None
    on_progress: OnProgress

    @property
    def part(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part")

    @property
    def note(self) -> Path:
        return self.target.with_name(f".{self.target.name}.part.json")


class _TryAgain(Exception):
    """This attempt failed; another may succeed."""

    def __init__(self, why: str, wait_seconds: float | None = None) -> None:
        super().__init__(why)
        self.wait_seconds = wait_seconds  # the pause that the server demands


class _GiveUp(Exception):
    """This URL cannot give the file."""


def fetch(
    urls: str | Sequence[str],
    target: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_progress: OnProgress = lambda _here, _total: None,
    patience: Patience | None = None,
) -> Path:
    """Download a file to `target`, unless it is there already.

    Args:
        urls: One URL, or several mirrors of the same file in the order to try them.
        target: The path of the file; its folders are made. An incomplete file never has this name.
        sha256: The file's, in hexadecimal. An existing file with another hash is replaced.
        size: The file's, in bytes.
        on_progress: Called after every chunk of data.
        patience: Attempts, waits and time-outs.

    Returns:
        The path of the file.

    Raises:
        FetchError: No URL gave the file. The data received is kept, and the next call resumes there.
    """
    urls = [urls] if isinstance(urls, str) else list(urls)
    assert urls, "fetch needs a URL"
    wanted = _Wanted(Path(target), sha256.lower() if sha256 else None, size, on_progress)
    if _is_here(wanted):
        return wanted.target
    wanted.target.parent.mkdir(parents=True, exist_ok=True)
    with _locked_part(wanted) as part:
        if part is None:
            return wanted.target
        failures: list[str] = []
        for url in urls:
            try:
                _fetch_from(url, wanted, part, patience or Patience())
            except _GiveUp as failure:
                failures.append(f"  {_without_secrets(url)}: {failure}")
                continue
            _publish(wanted, part)
            return wanted.target
        if _size(part) == 0:
            _remove_part(wanted)
    tried = "\n".join(failures)
    raise FetchError(
        f"{wanted.target}: could not be fetched:\n{tried}\n"
        "Run the same command again to resume where it stopped, or put the file there by hand."
    )


def _is_here(wanted: _Wanted) -> bool:
    """Return whether the target exists and is the wanted file; remove any other file of that name."""
    if not wanted.target.is_file():
        return False
    fits = wanted.size is None or wanted.target.stat().st_size == wanted.size
    if fits and (wanted.sha256 is None or files.sha256(str(wanted.target)) == wanted.sha256):
        return True
    wanted.target.unlink(missing_ok=True)
    return False


@contextmanager
def _locked_part(wanted: _Wanted) -> Generator[BufferedRandom | None]:
    """Yield the open part, locked by this process, or None if another process has completed the file in the meantime."""
    while True:
        with wanted.part.open("ab+") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_here(wanted):
                _remove_part(wanted)
                yield None
                return
            # The process that held the lock may have renamed or removed the part; then this is no longer the file of that name.
            if wanted.part.exists() and os.path.samestat(os.fstat(part.fileno()), wanted.part.stat()):
                yield part
                return


def _fetch_from(url: str, wanted: _Wanted, part: BufferedRandom, patience: Patience) -> None:
    """Fill the part from one URL; only attempts without new data count towards the limit."""
    random_waits = random.Random(f"{url} {wanted.target.name}")  # seeded, so that a run can be repeated
    failed, furthest, may_start_over = 0, _size(part), True
    while True:
        resumed = _size(part) > 0
        try:
            _attempt(url, wanted, part, patience)
            problem = _problem(wanted, part)
            if problem is None:
                return
            _start_over(wanted, part)
            # The resumed part may be of another version of the file; only a download in one go proves the URL wrong.
            if not (resumed and may_start_over):
                raise _GiveUp(f"{problem}; it was removed")
            may_start_over = False
        except _TryAgain as failure:
            failed = 0 if _size(part) > furthest else failed + 1
            furthest = max(furthest, _size(part))
            wait = patience.first_wait_seconds * 2 ** max(failed - 1, 0) * random_waits.uniform(0.5, 1.5)
            wait = min(wait, patience.longest_wait_seconds)
            if failure.wait_seconds is not None:
                wait = max(wait, failure.wait_seconds)
            if failed >= patience.attempts:
                raise _GiveUp(f"{failure} (after {failed} attempts)") from failure
            if wait > patience.longest_wait_seconds:
                raise _GiveUp(f"{failure} (it demands a pause of {wait:.0f} s)") from failure
            time.sleep(wait)


@dataclass(slots=True)
class _Answer:
    """What the response announces."""

    start: int  # first byte
    total: int | None  # of the whole file
    validator: str | None = field(default=None)  # names this version of the file


def _attempt(url: str, wanted: _Wanted, part: BufferedRandom, patience: Patience) -> None:
    """Send one request and append the missing bytes to the part, as far as they arrive."""
    here = _size(part) if _may_resume(url, wanted) else _start_over(wanted, part)
    request = _request(url)
    if here:
        request.add_header("Range", f"bytes={here}-")
        if validator := _noted(wanted).get(url):
            request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=patience.timeout_seconds) as response:
            answer = _parse_response(response, here)
            if answer.start != here:
                here = _start_over(wanted, part)
            wanted.note.write_text(json.dumps({url: answer.validator}), "utf-8")
            _receive(response, wanted, part, here, answer.total)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and here:
                _judge_416(error, wanted, part, here)
                return
            _judge_status(error)
    except ssl.SSLCertVerificationError as error:
        raise _GiveUp(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        _judge_connection(error)


def _request(url: str) -> urllib.request.Request:
    """Return a request for the file as stored; a user name and password in the URL go into the Authorization header."""
    request = urllib.request.Request(_without_secrets(url))
    request.add_header("User-Agent", "corpusmill")
    request.add_header("Accept-Encoding", "identity")
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    return request


def _may_resume(url: str, wanted: _Wanted) -> bool:
    """Return whether a part may be resumed: with a sha256 always, else only if the server can tell that the file is unchanged."""
    return wanted.sha256 is not None or _noted(wanted).get(url) is not None


def _noted(wanted: _Wanted) -> dict[str, str | None]:
    try:
        return json.loads(wanted.note.read_text("utf-8"))
    except (OSError, ValueError):
        return {}  # no note, or an incomplete one: start over


def _parse_response(response: http.client.HTTPResponse, here: int) -> _Answer:
    """Return where in the file the body starts and how long the file is. Raise _GiveUp if it is not the requested range."""
    etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    validator = etag if etag and not etag.startswith("W/") else modified
    if response.status == 206:
        content_range = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if content_range is None or int(content_range[1]) != here:
            raise _GiveUp(f"requested the bytes from {here:,}, got {response.headers.get('Content-Range')!r}")
        return _Answer(here, None if content_range[3] == "*" else int(content_range[3]), validator)
    if response.status != 200:
        raise _GiveUp(f"HTTP {response.status} {response.reason}")
    length = response.headers.get("Content-Length")
    return _Answer(0, int(length) if length else None, validator)


def _receive(response: http.client.HTTPResponse, wanted: _Wanted, part: BufferedRandom, here: int, total: int | None) -> None:
    """Append the body to the part. Raise _TryAgain if it is shorter than announced."""
    if wanted.size is not None and total is not None and total != wanted.size:
        raise _GiveUp(f"has {total:,} bytes, not {wanted.size:,}")
    while here != total and (chunk := response.read1(_CHUNK_BYTES)):  # read() would lose the data received before a time-out
        part.write(chunk)
        part.flush()
        here += len(chunk)
        wanted.on_progress(here, total)
    if total is not None and here < total:
        raise _TryAgain(f"the connection ended after {here:,} of {total:,} bytes")


def _judge_416(error: urllib.error.HTTPError, wanted: _Wanted, part: BufferedRandom, here: int) -> None:
    """Handle 'Range not satisfiable': the part is the whole file already, or from a longer version of it."""
    if error.headers.get("Content-Range", "").strip() != f"bytes */{here}":
        _start_over(wanted, part)
        raise _TryAgain(f"HTTP 416: the file is shorter than the {here:,} bytes of the part") from error


def _judge_status(error: urllib.error.HTTPError) -> None:
    why = f"HTTP {error.code} {error.reason}"
    if error.code not in _TEMPORARY_STATUSES:
        raise _GiveUp(why) from error
    raise _TryAgain(why, _seconds(error.headers.get("Retry-After"))) from error


def _judge_connection(error: Exception) -> None:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise _GiveUp(f"{reason}; if a proxy signs the traffic, set SSL_CERT_FILE to its certificate") from error
    if isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN:
        raise _GiveUp(f"no such host ({reason})") from error
    if isinstance(reason, str) or (isinstance(error, OSError) and error.errno == 28):
        raise _GiveUp(str(reason)) from error  # an unknown scheme; no space left
    raise _TryAgain(f"{type(reason).__name__}: {reason}") from error


def _seconds(retry_after: str | None) -> float | None:
    """Return the seconds of a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    with suppress(ValueError):
        when = parsedate_to_datetime(retry_after)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def _problem(wanted: _Wanted, part: BufferedRandom) -> str | None:
    """Return why the complete part is not the wanted file; None if it is."""
    if wanted.size is not None and _size(part) != wanted.size:
        return f"has {_size(part):,} bytes, not {wanted.size:,}"
    if wanted.sha256 is None:
        return None
    part.seek(0)
    digest = hashlib.file_digest(part, "sha256").hexdigest()
    return None if digest == wanted.sha256 else f"its sha256 is {digest}, not {wanted.sha256}"


def _publish(wanted: _Wanted, part: BufferedRandom) -> None:
    part.flush()
    os.fsync(part.fileno())
    wanted.note.unlink(missing_ok=True)
    wanted.part.replace(wanted.target)


def _remove_part(wanted: _Wanted) -> None:
    wanted.part.unlink(missing_ok=True)
    wanted.note.unlink(missing_ok=True)


def _start_over(wanted: _Wanted, part: BufferedRandom) -> int:
    part.truncate(0)
    wanted.note.unlink(missing_ok=True)
    return 0


def _size(part: BufferedRandom) -> int:
    part.flush()
    return os.fstat(part.fileno()).st_size


def _without_secrets(url: str) -> str:
    """Return the URL without user name and password."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)
