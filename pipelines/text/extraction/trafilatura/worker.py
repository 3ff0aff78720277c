"""The process in which trafilatura works: pages in, texts out, over pipes. `process` starts it and says what the limits do.

A message is its length in 8 bytes and the bytes: to here a page in UTF-8, from here "+" and the text or "-" and what went
wrong. The first message from here, before any page, says that trafilatura is loaded, or why not.

This file runs by itself, without our packages: it imports the standard library and trafilatura only.
"""

import importlib
import resource
import signal
import sys
from collections.abc import Callable
from typing import IO

DONE, FAILED = b"+", b"-"
_LENGTH_BYTES = 8


def send(stream: IO[bytes], message: bytes) -> None:
    """Write one message."""
    stream.write(len(message).to_bytes(_LENGTH_BYTES, "little"))
    stream.write(message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message; None at the end of the stream, or where it breaks off."""
    head = stream.read(_LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    message = stream.read(length) if len(head) == _LENGTH_BYTES else b""
    return message if len(head) == _LENGTH_BYTES and len(message) == length else None


def main(memory_bytes: int, cpu_seconds: float) -> None:
    """Extract pages until the input ends. The process is killed by SIGVTALRM if a page takes too much CPU time of its own."""
    pages, texts = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what a library prints must not get between the messages
    extract = _loaded(texts)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (page := receive(pages)) is not None:
        signal.setitimer(signal.ITIMER_VIRTUAL, cpu_seconds)
        message = _extracted(extract, page)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        send(texts, message)


def _loaded(texts: IO[bytes]) -> Callable[[str], str | None]:
    try:
        extract = importlib.import_module("trafilatura").extract
    except ImportError as error:
        send(texts, FAILED + str(error).encode())
        sys.exit(1)
    send(texts, DONE)
    return extract


def _extracted(extract: Callable[[str], str | None], page: bytes) -> bytes:
    try:
        return DONE + (extract(page.decode("utf-8", "surrogatepass")) or "").encode("utf-8", "surrogatepass")
    except MemoryError:
        return FAILED + b"more memory than its limit"
    except Exception as error:  # any page may bring a bug of trafilatura's to light; the page is a counted drop that names it
        return FAILED + f"{type(error).__name__}: {error}"[:500].encode("utf-8", "replace")


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
