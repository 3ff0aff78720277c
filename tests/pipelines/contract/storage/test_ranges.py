"""Reading an object: the bytes are right wherever a reader goes, and the requests are few."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract import files
from pipelines.contract.storage import ranges
from pipelines.contract.storage.ranges import Ranges

CONTENT = bytes(number * 7 % 251 for number in range(4000))


class Counted:
    """A file in memory that notes its ranges."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content, self.asked = content, list[tuple[int, int]]()

    def size(self) -> int:
        return len(self.content)

    def read_at(self, size: int, offset: int) -> bytes:
        self.asked.append((offset, size))
        return self.content[offset : offset + size]

    def close(self) -> None:
        self.asked.append((-1, -1))


@pytest.fixture(autouse=True, scope="module")
def small() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranges, "SMALLEST", 64)
        patch.setattr(ranges, "LARGEST", 512)
        yield


def test_whoever_reads_on_gets_ever_larger_ranges() -> None:
    file = Counted()
    with io.BufferedReader(Ranges(file), 16) as stream:
        assert b"".join(iter(lambda: stream.read(10), b"")) == CONTENT
    sizes = [64, 128, 256, *[512] * 6, 480]
    assert file.asked == [(sum(sizes[:number]), size) for number, size in enumerate(sizes)] + [(-1, -1)]


def test_whoever_jumps_gets_small_ones_and_whoever_wants_more_gets_it() -> None:
    file = Counted()
    stream = io.BufferedReader(Ranges(file), 16)
    for place in (3000, 100, 3990):
        stream.seek(place)
        assert stream.read(20) == CONTENT[place : place + 20]
    stream.seek(0)
    assert stream.read(800) == CONTENT[:800]
    assert file.asked == [(3000, 64), (100, 64), (3990, 10), (0, 800)]


@given(st.lists(st.tuples(st.integers(0, 4100), st.integers(0, 700)), max_size=12), st.booleans())
def test_the_bytes_are_those_of_the_file(steps: list[tuple[int, int]], from_end: bool) -> None:
    ours, theirs = io.BufferedReader(Ranges(Counted()), 16), io.BytesIO(CONTENT)
    for place, size in steps:
        where = (-min(place, 4000), io.SEEK_END) if from_end else (place, io.SEEK_SET)
        assert ours.seek(*where) == theirs.seek(*where)
        assert (ours.read(size), ours.tell()) == (theirs.read(size), theirs.tell())


def test_an_empty_file_is_empty() -> None:
    assert io.BufferedReader(Ranges(Counted(b""))).read() == b""


def test_an_object_is_read_with_few_requests(s3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "SMALLEST", 2**18)
    monkeypatch.setattr(ranges, "LARGEST", 2**23)
    uri, content = f"{s3.make('ranges')}/x", CONTENT * 3000
    with files.writing(uri) as out:
        out.write(content)
    s3.fail(0)  # counts anew
    with files.reading(uri) as stream:
        assert b"".join(iter(lambda: stream.read(2**16), b"")) == content
    assert s3.requests() == 1 + 6  # its size; 256 KB to 4 MB, and the rest of 12 MB
