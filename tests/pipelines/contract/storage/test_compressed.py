"""Streams of every compression give their content, all of it before any damage, whatever the size of the reads."""

import bz2
import gzip
import io
import lzma
import random
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
import zstandard

from pipelines.contract.storage.compressed import BrokenStreamError, Content, compression, pieces

Pack = Callable[[bytes], bytes]
TEXT = b"".join(b"The mill stood by the brook in the year %d.\n" % n for n in range(12_000))


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def streamed_zstd(data: bytes) -> bytes:
    """As `zstd` writes from a pipe: the frame does not say how long it is."""
    packed = zstandard.ZstdCompressor(write_checksum=True).compressobj()
    return packed.compress(data) + packed.flush()


def skippable(content: bytes, kind: int = 0) -> bytes:
    return bytes([0x50 + kind]) + b"\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


PACKS: dict[str, Pack] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd, "pipe": streamed_zstd}


def read_all(stored: bytes, step: int = 2**20) -> bytes:
    stream = io.BytesIO(stored)
    return b"".join(pieces(lambda size: stream.read(min(size, step))))


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
@pytest.mark.parametrize("step", [1000, 2**20])
def test_streams_in_a_row_with_padding_are_one_content(pack: Pack, step: int) -> None:
    stored = pack(TEXT) + pack(b"") + pack(b"x") + bytes(12)
    assert read_all(stored, step) == TEXT + b"x"
    assert read_all(pack(TEXT[:200]), 1) == TEXT[:200]


def test_the_first_bytes_tell() -> None:
    assert [compression(pack(b"x")) for pack in PACKS.values()] == ["gzip", "bzip2", "xz", "zstd", "zstd"]
    assert compression(skippable(b"")) == "zstd"
    assert read_all(TEXT, 999) == TEXT
    assert read_all(b"") == b"" and list(pieces(io.BytesIO(b"a").read)) == [b"a"]
    assert read_all(gzip.compress(TEXT) + zstd(b"x")) == TEXT + b"x"


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_what_comes_before_the_end_is_read_and_the_end_is_named(pack: Pack) -> None:
    first = pack(TEXT)
    read: list[bytes] = []
    with pytest.raises(BrokenStreamError, match=r"^the \w+ stream is cut off$") as error:
        read.extend(pieces(io.BytesIO(first + pack(TEXT)[:-9]).read))
    assert error.value.is_cut_off
    assert b"".join(read)[: len(TEXT)] == TEXT and all(read)
    nothing: list[bytes] = []
    with pytest.raises(BrokenStreamError):
        nothing.extend(pieces(io.BytesIO(first[:10]).read))
    assert nothing == []
    with pytest.raises(BrokenStreamError, match=r"^bytes that are no compressed stream follow one$") as error:
        read_all(first + b"<html>")
    assert not error.value.is_cut_off


@pytest.mark.parametrize("pack", PACKS.values(), ids=PACKS)
def test_damage_is_an_error_after_the_streams_before_it(pack: Pack) -> None:
    whole = pack(TEXT)
    damaged = bytearray(whole)
    damaged[len(damaged) // 2 : len(damaged) // 2 + 300] = bytes(300)
    read: list[bytes] = []
    with pytest.raises(BrokenStreamError, match=r"^damaged \w+ stream: "):
        read.extend(pieces(io.BytesIO(whole + bytes(damaged)).read))
    assert b"".join(read).startswith(TEXT)


@pytest.mark.parametrize("packed", [False, True])
def test_a_dictionary_in_the_first_frame_is_used(packed: bool) -> None:
    chance = random.Random(3)
    words = [b"w%d" % chance.randrange(10**6) for _ in range(500)]
    samples: list[Any] = [b" ".join(chance.choices(words, k=60)) for _ in range(2000)]
    dictionary = zstandard.train_dictionary(8000, samples)
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    held = dictionary.as_bytes()
    stored = skippable(zstd(held) if packed else held, 0x0D) + b"".join(map(packer.compress, samples))
    assert read_all(stored, 5000) == b"".join(samples)
    with pytest.raises(BrokenStreamError, match=r"^the zstd stream needs a dictionary that the file does not hold"):
        read_all(b"".join(map(packer.compress, samples)))


def test_other_frames_without_content_are_passed_over() -> None:
    assert read_all(skippable(b"a" * 100_000, 3) + zstd(b"x") + skippable(b"") + zstd(b"y"), 1000) == b"xy"
    with pytest.raises(BrokenStreamError, match=r"^a zstd dictionary of 4,294,967,295 bytes"):
        read_all(b"\x5d\x2a\x4d\x18\xff\xff\xff\xff" + bytes(100))


def test_a_window_of_128_mib_and_more_is_read() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, compression_level=1, write_content_size=False)
    packed = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    assert read_all(packed.compress(TEXT) + packed.flush()) == TEXT


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, gzip.compress, streamed_zstd])
def test_a_few_bytes_that_stand_for_many_are_read_in_pieces(pack: Pack) -> None:
    stored = pack(bytes(50 * 2**20))
    tracemalloc.start()
    total = sum(map(len, pieces(io.BytesIO(stored).read)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 50 * 2**20
    assert peak < (70 if pack is streamed_zstd else 16) * 2**20


def test_the_content_as_a_file() -> None:
    lines = list(io.BufferedReader(Content(io.BytesIO(bz2.compress(TEXT)))))
    assert (len(lines), b"".join(lines)) == (12_000, TEXT)
    with pytest.raises(BrokenStreamError):
        Content(io.BytesIO(bz2.compress(TEXT)[:-4])).read()
