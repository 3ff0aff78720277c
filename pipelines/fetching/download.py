"""Downloads over HTTP(S) that carry on where they stopped, and are either whole and right or not there at all.

While it is fetched, a file is called `.NAME.part`; `.NAME.part.json` beside it notes which version of it the server was
sending. The part is locked, so that of two processes that want one file the second waits and finds it done.

Limits: POSIX file locks (no Windows); a server that sends a byte every few seconds is never given up on.
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

OnProgress = Callable[[int, int | None], None]  # bytes that are here, bytes in all (None: the server does not say)

_CHUNK_BYTES = 2**18
# Common Crawl answers 403 and 503 to those who ask too fast (cc_net #35, #45, #49, #53); 408, 425 and 429 ask for patience too.
_WORTH_ANOTHER_TRY = frozenset({403, 408, 425, 429, 500, 502, 503, 504})


class FetchError(UserError):
    """A file that could not be had; the message says what was tried, what came back and what to do."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to try."""

    attempts: int = 5  # in a row that bring nothing new, for each URL
    first_wait_seconds: float = 1.0  # doubles with every attempt
    longest_wait_seconds: float = 120.0  # a server that asks for a longer pause is left for the next URL
    timeout_seconds: float = 30.0  # to connect, and between two pieces of data


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be fetched, and how to know it."""

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
    """This attempt failed, another one may not."""

    def __init__(self, why: str, wait_seconds: float | None = None) -> None:
        super().__init__(why)
        self.wait_seconds = wait_seconds  # what the server asked for


class _GiveUp(Exception):
    """This URL will not do."""


def fetch(
    urls: str | Sequence[str],
    target: str | Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    on_progress: OnProgress = lambda _here, _total: None,
    patience: Patience | None = None,
) -> Path:
    """Download a file under the name `target`, unless it is there already.

    Args:
        urls: one URL or several mirrors of the same file, tried in this order.
        target: where the file goes; folders are made. Nothing incomplete ever has this name.
        sha256: of the file, in hexadecimal. A file that is there with another hash is replaced.
        size: of the file, in bytes.
        on_progress: called after every piece of data.
        patience: attempts, waits and time-outs.

    Returns:
        The path of the file.

    Raises:
        FetchError: no URL gave the file. What has arrived stays for the next call to continue.
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
        "Run the same command again to carry on where it stopped, or put the file there by hand."
    )


def _is_here(wanted: _Wanted) -> bool:
    """Whether the target exists and is what is wanted; one that is something else is removed."""
    if not wanted.target.is_file():
        return False
    fits = wanted.size is None or wanted.target.stat().st_size == wanted.size
    if fits and (wanted.sha256 is None or files.sha256(str(wanted.target)) == wanted.sha256):
        return True
    wanted.target.unlink(missing_ok=True)
    return False


@contextmanager
def _locked_part(wanted: _Wanted) -> Generator[BufferedRandom | None]:
    """The open part, held by this process alone; None when another process finished the file in the meantime."""
    while True:
        with wanted.part.open("ab+") as part:
            fcntl.flock(part, fcntl.LOCK_EX)
            if _is_here(wanted):
                _remove_part(wanted)
                yield None
                return
            # Whoever held the lock may have renamed or removed the part: then this is not the file of that name.
            if wanted.part.exists() and os.path.samestat(os.fstat(part.fileno()), wanted.part.stat()):
                yield part
                return


def _fetch_from(url: str, wanted: _Wanted, part: BufferedRandom, patience: Patience) -> None:
    """Fill the part from one URL, in as many attempts as bring something new and a few more."""
    random_waits = random.Random(f"{url} {wanted.target.name}")  # seeded: a run can be repeated
    failed, furthest, may_start_over = 0, _size(part), True
    while True:
        resumed = _size(part) > 0
        try:
            _attempt(url, wanted, part, patience)
            wrong = _what_is_wrong(wanted, part)
            if wrong is None:
                return
            _start_over(wanted, part)
            # Half of it may be from another version of the file: only a download in one go is proof.
            if not (resumed and may_start_over):
                raise _GiveUp(f"{wrong}; it was removed")
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
                raise _GiveUp(f"{failure} (it asks to wait {wait:.0f} s)") from failure
            time.sleep(wait)


@dataclass(slots=True)
class _Answer:
    """What the server is about to send."""

    start: int  # first byte
    total: int | None  # of the whole file
    validator: str | None = field(default=None)  # names this version of the file


def _attempt(url: str, wanted: _Wanted, part: BufferedRandom, patience: Patience) -> None:
    """One request: append what is missing to the part, as far as it comes."""
    here = _size(part) if _may_resume(url, wanted) else _start_over(wanted, part)
    request = _request(url)
    if here:
        request.add_header("Range", f"bytes={here}-")
        if validator := _noted(wanted).get(url):
            request.add_header("If-Range", validator)
    try:
        with urllib.request.urlopen(request, timeout=patience.timeout_seconds) as response:
            answer = _understood(response, here)
            if answer.start != here:
                here = _start_over(wanted, part)
            wanted.note.write_text(json.dumps({url: answer.validator}))
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
    """A request for the file as it is stored; a name and password in the URL go into the header that is made for them."""
    request = urllib.request.Request(_without_secrets(url))
    request.add_header("User-Agent", "corpusmill")
    request.add_header("Accept-Encoding", "identity")
    parts = urllib.parse.urlsplit(url)
    if parts.username is not None:
        secret = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(secret.encode()).decode()}")
    return request


def _may_resume(url: str, wanted: _Wanted) -> bool:
    """With a sha256 any part may be continued; without, only when the server can say that the file is still the same."""
    return wanted.sha256 is not None or _noted(wanted).get(url) is not None


def _noted(wanted: _Wanted) -> dict[str, str | None]:
    try:
        return json.loads(wanted.note.read_text())
    except (OSError, ValueError):
        return {}  # no note, or half a note: start over


def _understood(response: http.client.HTTPResponse, here: int) -> _Answer:
    """Where in the file the body starts, how long the file is; _TryAgain when the server sends another range than asked."""
    etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    validator = etag if etag and not etag.startswith("W/") else modified
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        if found is None or int(found[1]) != here:
            raise _GiveUp(f"asked for the bytes from {here:,} on, got {response.headers.get('Content-Range')!r}")
        return _Answer(here, None if found[3] == "*" else int(found[3]), validator)
    if response.status != 200:
        raise _GiveUp(f"HTTP {response.status} {response.reason}")
    length = response.headers.get("Content-Length")
    return _Answer(0, int(length) if length else None, validator)


def _receive(response: http.client.HTTPResponse, wanted: _Wanted, part: BufferedRandom, here: int, total: int | None) -> None:
    """Append the body to the part; _TryAgain when less comes than was announced."""
    if wanted.size is not None and total is not None and total != wanted.size:
        raise _GiveUp(f"has {total:,} bytes, not {wanted.size:,}")
    while here != total and (chunk := response.read1(_CHUNK_BYTES)):  # read() would lose what came before a time-out
        part.write(chunk)
        part.flush()
        here += len(chunk)
        wanted.on_progress(here, total)
    if total is not None and here < total:
        raise _TryAgain(f"the connection ended after {here:,} of {total:,} bytes")


def _judge_416(error: urllib.error.HTTPError, wanted: _Wanted, part: BufferedRandom, here: int) -> None:
    """'Range not satisfiable': the part is the whole file already, or of a longer version of it."""
    if error.headers.get("Content-Range", "").strip() != f"bytes */{here}":
        _start_over(wanted, part)
        raise _TryAgain(f"HTTP 416: the file is shorter than the {here:,} bytes of the part") from error


def _judge_status(error: urllib.error.HTTPError) -> None:
    why = f"HTTP {error.code} {error.reason}"
    if error.code not in _WORTH_ANOTHER_TRY:
        raise _GiveUp(why) from error
    raise _TryAgain(why, _seconds(error.headers.get("Retry-After"))) from error


def _judge_connection(error: Exception) -> None:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        raise _GiveUp(f"{reason}; set SSL_CERT_FILE where a proxy signs for others") from error
    if isinstance(reason, socket.gaierror) and reason.errno != socket.EAI_AGAIN:
        raise _GiveUp(f"there is no such host ({reason})") from error
    if isinstance(reason, str) or (isinstance(error, OSError) and error.errno == 28):
        raise _GiveUp(str(reason)) from error  # an unknown scheme; no space left
    raise _TryAgain(f"{type(reason).__name__}: {reason}") from error


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After holds seconds or a date (RFC 9110, 10.2.3)."""
    if retry_after is None:
        return None
    if retry_after.strip().isdigit():
        return float(retry_after)
    with suppress(ValueError):
        when = parsedate_to_datetime(retry_after)
        return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    return None


def _what_is_wrong(wanted: _Wanted, part: BufferedRandom) -> str | None:
    """Why the whole part is not the wanted file; None when it is."""
    if wanted.size is not None and _size(part) != wanted.size:
        return f"has {_size(part):,} bytes, not {wanted.size:,}"
    if wanted.sha256 is None:
        return None
    part.seek(0)
    found = hashlib.file_digest(part, "sha256").hexdigest()
    return None if found == wanted.sha256 else f"its sha256 is {found}, not {wanted.sha256}"


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
    """The URL without a user's name and password."""
    return re.sub(r"(?<=//)[^/@]*@", "", url)
