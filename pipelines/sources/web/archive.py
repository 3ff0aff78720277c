"""Open a web archive: WARC or ARC, plain or compressed, judged by its first bytes.

Limits: of a bzip2, xz or zstd file, and of a compressed ARC file, the content is written to a temporary file first, and offsets
are places in it.
"""

import io
import tempfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from pipelines.contract.storage.compressed import BrokenStreamError, compression, pieces
from pipelines.sources.web import arc, warc
from pipelines.sources.web.warc import Broken, WholeRecord

_HEAD_BYTES = 1024


@dataclass(slots=True)
class Archive:
    """An open archive."""

    stream: BinaryIO  # seekable
    size: int  # of the stream
    are_stored: bool  # offsets are places in the stored file
    problem: BrokenStreamError | None = None  # why the content ends before the file does

    def records(self) -> Iterator[WholeRecord | Broken]:
        """Yield all records and broken stretches, in order."""
        has_end = False
        for item in self._records():
            if isinstance(item, Broken) and item.is_end and self.problem:
                item.detail, item.is_cut_stream, has_end = f"{item.detail}: {self.problem}", self.problem.is_cut_off, True
            yield item
        if self.problem and not has_end:
            yield Broken(self.size, str(self.problem), is_end=True, is_cut_stream=self.problem.is_cut_off)

    def _records(self) -> Iterator[WholeRecord | Broken]:
        beginning = self.stream.read(len(arc.BEGINNING))
        self.stream.seek(0)
        if beginning != arc.BEGINNING:
            yield from warc.records(self.stream, self.size)
            return
        lines = io.BufferedReader(cast(Any, self.stream))  # pyarrow's streams of remote files cannot read lines
        try:
            yield from arc.records(lines)
        finally:
            lines.detach()


@contextmanager
def opened(stored: BinaryIO, size: int) -> Generator[Archive]:
    """Open the archive in a stored file of `size` bytes."""
    head = stored.read(_HEAD_BYTES)
    stored.seek(0)
    packed = compression(head)
    if packed is None or (packed == "gzip" and not _is_packed_arc(head)):
        yield Archive(stored, size, are_stored=True)
        return
    with tempfile.TemporaryFile() as content:
        problem = None
        try:
            for piece in pieces(stored.read):
                content.write(piece)
        except BrokenStreamError as error:
            problem = error
        whole = content.tell()
        content.seek(0)
        yield Archive(content, whole, are_stored=False, problem=problem)


def _is_packed_arc(head: bytes) -> bool:
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, len(arc.BEGINNING)) == arc.BEGINNING
    except zlib.error:
        return False
