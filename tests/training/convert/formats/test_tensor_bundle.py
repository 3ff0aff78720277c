"""The reader of TensorFlow's checkpoints: fixtures that TensorFlow wrote (tests/data/tensor_bundle/make.py), and damage."""

import shutil
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st
from places import FIXTURES

from training.convert.formats import sorted_table
from training.convert.formats.bundle_entries import slice_key
from training.convert.formats.sorted_table import masked_crc32c
from training.convert.formats.tensor_bundle import Bundle, find_prefix, open_bundle
from training.convert.rules import WeightsError

DATA = FIXTURES / "tensor_bundle"
NUMBERS, SLICES = str(DATA / "numbers" / "model.ckpt"), str(DATA / "slices" / "model.ckpt")
FLOAT, INT32, STRING, COMPLEX, BFLOAT = 1, 3, 7, 18, 14


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    found = b""
    while value >= 0x80:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def message(*fields: tuple[int, int | bytes]) -> bytes:
    """A protocol buffer of numbers and messages; field 6 of an entry is four bytes."""
    found = b""
    for number, value in fields:
        if isinstance(value, int):
            found += varint(number << 3) + varint(value)
        elif number == 6:
            found += varint(number << 3 | 5) + value
        else:
            found += varint(number << 3 | 2) + varint(len(value)) + value
    return found


def shape_of(*sizes: int) -> bytes:
    return message(*((2, message((1, size))) for size in sizes))


def entry(kind: int, shape: Sequence[int], data: bytes, *more: tuple[int, int | bytes]) -> bytes:
    sum_ = struct.pack("<I", masked_crc32c(data))
    return message((1, kind), (2, shape_of(*shape)), (5, len(data)), (6, sum_), *more)


def sliced(kind: int, shape: Sequence[int], *parts: Sequence[tuple[int, int]]) -> bytes:
    def extents(part: Sequence[tuple[int, int]]) -> bytes:
        return message(*((1, message((1, start), (2, length))) for start, length in part))

    return message((1, kind), (2, shape_of(*shape)), *((7, extents(part)) for part in parts))


HEADER = message((1, 1), (3, message((1, 1))))


def table(entries: Mapping[bytes, bytes], *, snappy: bool = False, per_block: int = 3) -> bytes:
    """A sorted table, as LevelDB lays it out."""
    out, handles = b"", list[tuple[bytes, bytes]]()

    def add(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
        nonlocal out
        content, last = b"", b""
        for key, value in pairs:
            shared = len(key) - len(key.removeprefix(last)) if key.startswith(last) else 0
            content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
            last = key
        content += struct.pack("<II", 0, 1)
        if snappy:
            content = pa.Codec("snappy").compress(content, asbytes=True)
        handle = varint(len(out)) + varint(len(content))
        content += bytes([int(snappy)])
        out += content + struct.pack("<I", masked_crc32c(content))
        return handle

    items = list(entries.items())
    for first in range(0, len(items), per_block):
        pairs = items[first : first + per_block]
        handles.append((pairs[-1][0], add(pairs)))
    footer = add([]) + add(handles)
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def written(folder: Path, entries: Mapping[bytes, bytes], data: bytes, *, header: bytes = HEADER, snappy: bool = False) -> str:
    """A checkpoint of one shard."""
    prefix = folder / "made.ckpt"
    Path(f"{prefix}.index").write_bytes(table({b"": header, **dict(sorted(entries.items()))}, snappy=snappy))
    Path(f"{prefix}.data-00000-of-00001").write_bytes(data)
    return str(prefix)


def copied(prefix: str, folder: Path) -> str:
    shutil.copytree(Path(prefix).parent, folder, dirs_exist_ok=True)
    return str(folder / Path(prefix).name)


@pytest.mark.parametrize(
    ("data", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the next two: RFC 3720, B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_checksums_are_those_of_the_rfc_masked(data: bytes, checksum: int) -> None:
    expected = ((checksum >> 15 | checksum << 17 & 0xFFFFFFFF) + 0xA282EAD8) % 2**32
    assert masked_crc32c(data) == expected
    assert masked_crc32c(np.frombuffer(data, np.uint8)) == expected


def test_every_dtype_is_what_tensorflow_wrote() -> None:
    bundle, values = open_bundle(NUMBERS), np.load(DATA / "numbers" / "values.npz")
    assert bundle.shards == 3
    assert len(bundle.names) == 138
    for name in set(values.files) - {"complex"}:
        found = bundle.read(name)
        assert found.dtype == values[name].dtype
        assert found.shape == values[name].shape == bundle.shapes[name]
        np.testing.assert_array_equal(found, values[name])
    assert bundle.dtypes == {
        **{name: "float32" for name in bundle.names},
        **{name: name for name in bundle.names if name[0] in "biu" or name.startswith("float")},
        "text": "string",
        "complex": "complex128",
    }
    assert [bundle.read(f"many/{n:03}").item() for n in range(120)] == list(range(120))


def test_partitioned_variables_are_whole() -> None:
    bundle, values = open_bundle(SLICES), np.load(DATA / "slices" / "values.npz")
    assert bundle.names == ["columns", "long", "rows", "uneven", "whole"]
    assert bundle.shapes == {"columns": (4, 10), "long": (9000,), "rows": (6, 3), "uneven": (7,), "whole": (2,)}
    for name in values.files:
        np.testing.assert_array_equal(bundle.read(name), values[name], strict=True)


def test_keys_of_slices() -> None:
    assert slice_key(b"w", ((6, 2), (0, None))) == b"\0w\0\1\1\2\x86\x82\x80\x7f"
    assert slice_key(b"w", ((0x424242, 64),)) == b"\0w\0\1\1\1\xf0\x42\x42\x42\xc0\x40"  # the example of ordered_code.cc
    assert slice_key(b"s", ()) == b"\0s\0\1\0"


def test_what_holds_no_weights_is_listed_but_not_read() -> None:
    bundle = open_bundle(NUMBERS)
    with pytest.raises(WeightsError, match=r"model\.ckpt\.index: text is of the dtype string, which is not read"):
        bundle.read("text")
    with pytest.raises(WeightsError, match="complex is of the dtype complex128"):
        bundle.read("complex")
    for name in ("nothing", "", "\0rows"):
        with pytest.raises(WeightsError, match="has no tensor"):
            bundle.read(name)


def test_an_optimisers_slots_are_no_weights() -> None:
    bundle = open_bundle(str(DATA / "bert" / "bert_model.ckpt"))
    assert len(bundle.names) == 3 * 46 + 1
    assert len(bundle.weights()) == 46
    assert bundle.read("global_step").item() == 1000
    assert bundle.read("bert/pooler/dense/kernel/adam_m").shape == (8, 8)


def test_each_array_is_ones_own() -> None:
    bundle = open_bundle(NUMBERS)
    bundle.read("float32")[:] = 0
    assert bundle.read("float32").any()


@pytest.mark.parametrize(("prefix", "step"), [(SLICES, 3), (str(DATA / "gpt2" / "model.ckpt"), 1)])
def test_every_flip_in_the_index_is_seen_or_padding(prefix: str, step: int, tmp_path: Path) -> None:
    changed, whole = copied(prefix, tmp_path), Path(f"{prefix}.index").read_bytes()
    expected = open_bundle(changed)
    file, harmless = Path(f"{changed}.index"), set[int]()
    for place in range(0, len(whole), step):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 7  # bit 7 of the last handle only spells the same number longer
        file.write_bytes(damaged)
        try:
            found = open_bundle(changed)
        except WeightsError as error:
            assert str(error).startswith(f"{file}: ")
        else:
            assert found == expected
            harmless.add(place)
    padding = len(whole) - 48 + len(whole[-48:-8].rstrip(b"\0"))
    assert harmless == {place for place in range(padding, len(whole) - 8) if place % step == 0}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return open_bundle(copied(NUMBERS, tmp_path_factory.mktemp("numbers")))


@few
@given(st.integers(0, 2), st.integers(0, 10**6), st.integers(0, 7))
def test_a_flip_in_the_data_is_seen_when_its_tensor_is_read(numbers: Bundle, shard: int, place: int, bit: int) -> None:
    file, inside = Path(numbers.shard(shard)), {key.decode(): e for key, e in numbers.entries.items() if e.shard == shard}
    whole = file.read_bytes()
    place %= len(whole)
    damaged = bytearray(whole)
    damaged[place] ^= 1 << bit
    file.write_bytes(damaged)
    try:
        for name in inside.keys() - {"text", "complex"}:
            if inside[name].offset <= place < inside[name].offset + inside[name].size:
                told = rf"model\.ckpt\.data-0000{shard}-of-00003: the bytes of {name} are not those"
                with pytest.raises(WeightsError, match=told):
                    numbers.read(name)
            else:
                numbers.read(name)
    finally:
        file.write_bytes(whole)


def test_a_flip_in_a_slice_is_seen(tmp_path: Path) -> None:
    prefix = copied(SLICES, tmp_path)
    file = Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(file.read_bytes())
    content[open_bundle(prefix).entries[slice_key(b"rows", ((2, 2), (0, 3)))].offset] ^= 1
    file.write_bytes(content)
    assert open_bundle(prefix).read("columns").shape == (4, 10)
    with pytest.raises(WeightsError, match=r"data-00000-of-00001: the bytes of rows are not those"):
        open_bundle(prefix).read("rows")


def test_an_index_cut_anywhere_is_refused(tmp_path: Path) -> None:
    prefix = copied(SLICES, tmp_path)
    file, whole = Path(f"{prefix}.index"), Path(f"{SLICES}.index").read_bytes()
    for size in range(len(whole)):
        file.write_bytes(whole[:size])
        with pytest.raises(WeightsError, match=r"model\.ckpt\.index: .*copy it again"):
            open_bundle(prefix)
    file.write_bytes(whole[10:])  # and one that lacks its beginning
    with pytest.raises(WeightsError, match="the checksum of its block"):
        open_bundle(prefix)


@given(st.binary(max_size=200))
def test_no_bytes_are_a_table_by_chance(data: bytes) -> None:
    for content in (data, data + struct.pack("<Q", 0xDB4775248B80FB57)):
        with pytest.raises(WeightsError, match=r"x\.index"):
            sorted_table.read(content, "x.index")


def test_shards_cut_or_missing_are_named_before_anything_is_read(tmp_path: Path) -> None:
    prefix = copied(NUMBERS, tmp_path)
    file = Path(f"{prefix}.data-00001-of-00003")
    whole = file.read_bytes()
    for size in range(0, len(whole), 13):
        file.write_bytes(whole[:size])
        with pytest.raises(WeightsError, match=rf"data-00001-of-00003: has {size} bytes, but \S+ ends at {len(whole)}"):
            open_bundle(prefix)
    file.unlink()
    with pytest.raises(WeightsError, match=r"data-00001-of-00003: this shard of \S+ is missing"):
        open_bundle(prefix)


def test_a_shard_cut_between_opening_and_reading_is_refused(tmp_path: Path) -> None:
    prefix = written(tmp_path, {b"w": entry(FLOAT, [2], bytes(8))}, bytes(8))
    bundle = open_bundle(prefix)
    Path(bundle.shard(0)).write_bytes(bytes(5))
    with pytest.raises(WeightsError, match="the bytes of w are not those"):
        bundle.read("w")


def test_an_index_that_snappy_compressed(tmp_path: Path) -> None:
    data = np.arange(6, dtype=np.float32).tobytes()
    entries = {f"layer/{n:02}".encode(): entry(FLOAT, [2, 3], data) for n in range(20)}
    bundle = open_bundle(written(tmp_path, entries, data, snappy=True))
    assert bundle.names == [f"layer/{n:02}" for n in range(20)]
    assert bundle == open_bundle(written(tmp_path, entries, data))
    np.testing.assert_array_equal(bundle.read("layer/07"), [[0, 1, 2], [3, 4, 5]])


def test_snappys_claims_are_not_believed(tmp_path: Path) -> None:
    for block, told in ((varint(2**40) + b"x" * 9, "which Snappy could not"), (b"\x05\xff\xff", "is not what Snappy makes")):
        content = block + b"\1"
        at_0 = content + struct.pack("<I", masked_crc32c(content))
        footer = (varint(0) + varint(len(block))) * 2
        file = tmp_path / "made.ckpt.index"
        file.write_bytes(at_0 + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57))
        with pytest.raises(WeightsError, match=rf"made\.ckpt\.index: its block at byte 0 .*{told}"):
            open_bundle(str(tmp_path / "made.ckpt"))


def test_big_endian_tensors(tmp_path: Path) -> None:
    data = np.array([1.5, -2.0], ">f4").tobytes() + np.array([0x3FC0], ">u2").tobytes()
    entries = {b"b": entry(BFLOAT, [1], data[8:], (4, 8)), b"w": entry(FLOAT, [2], data[:8])}
    bundle = open_bundle(written(tmp_path, entries, data, header=HEADER + message((2, 1))))
    assert bundle.read("w").tolist() == [1.5, -2.0]
    assert bundle.read("w").dtype == np.dtype("=f4")
    assert bundle.read("b").tolist() == [1.5]


EIGHT = bytes(8)
BAD: Mapping[str, tuple[Mapping[bytes, bytes], str]] = {
    "size": ({b"w": entry(FLOAT, [3], EIGHT)}, r"w of shape \(3,\) cannot have 8 bytes"),
    "offset": ({b"w": entry(FLOAT, [2], EIGHT, (4, -4))}, "w has 8 bytes from -4 on"),
    "shard": ({b"w": entry(FLOAT, [2], EIGHT, (3, 1))}, "w lies in shard 1 of 1"),
    "dimension": ({b"w": entry(FLOAT, [-2], EIGHT)}, r"the entry of w cannot be read: its shape is \(-2,\)"),
    "huge": ({b"w": entry(FLOAT, [0, 2**60], b"")}, "the entry of w cannot be read: its shape is"),
    "rank": ({b"w": message((1, FLOAT), (2, message((3, 1))))}, "the entry of w cannot be read: its shape is unknown"),
    "kind": ({b"w": message((1, b"x"))}, "the entry of w cannot be read: its field 1 should be a number"),
    "cut": ({b"w": entry(FLOAT, [2], EIGHT)[:-1]}, "the entry of w cannot be read: its protocol buffer is broken"),
    "name": ({b"\xff": entry(FLOAT, [2], EIGHT)}, "the entry of . cannot be read"),
    "no slice": ({b"w": sliced(FLOAT, [2], [(0, 2)])}, r"the slice \(\(0, 2\),\) of w is missing"),
    "hole": (
        {b"w": sliced(FLOAT, [3], [(0, 2)]), slice_key(b"w", ((0, 2),)): entry(FLOAT, [2], EIGHT)},
        "the slices of w are not all of it",
    ),
    "overlap": (
        {
            b"w": sliced(FLOAT, [4], [(0, 2)], [(1, 2)]),
            slice_key(b"w", ((0, 2),)): entry(FLOAT, [2], EIGHT),
            slice_key(b"w", ((1, 2),)): entry(FLOAT, [2], EIGHT),
        },
        "the slices of w are not all of it, each once",
    ),
    "outside": (
        {b"w": sliced(FLOAT, [2], [(1, 2)]), slice_key(b"w", ((1, 2),)): entry(FLOAT, [2], EIGHT)},
        r"the slice \(\(1, 2\),\) does not fit w of shape \(2,\)",
    ),
    "other dtype": (
        {b"w": sliced(FLOAT, [2], [(0, 2)]), slice_key(b"w", ((0, 2),)): entry(INT32, [2], EIGHT)},
        r"the slice \(\(0, 2\),\) of w is missing",
    ),
    "slice's size": (
        {b"w": sliced(FLOAT, [2], [(0, 2)]), slice_key(b"w", ((0, 2),)): entry(FLOAT, [2], EIGHT * 2)},
        "a slice of w of shape .* cannot have 16 bytes",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_entries_that_cannot_be_are_named(case: str, tmp_path: Path) -> None:
    entries, told = BAD[case]
    with pytest.raises(WeightsError, match=rf"made\.ckpt\.index: .*{told}"):
        open_bundle(written(tmp_path, entries, EIGHT))


def test_headers_that_cannot_be_are_refused(tmp_path: Path) -> None:
    whole = {b"w": entry(FLOAT, [2], EIGHT)}
    for header, told in (
        (message((1, 1), (3, message((2, 2)))), "it needs readers of version 2"),
        (message((1, 0)), "its header says 0 shards"),
        (message((1, 10**6)), "its header says 1000000 shards"),
        (message((1, 1), (2, 7)), "endianness 7"),
        (b"\x0a", "its header cannot be read"),
    ):
        with pytest.raises(WeightsError, match=rf"made\.ckpt\.index: .*{told}"):
            open_bundle(written(tmp_path, whole, EIGHT, header=header))
    Path(tmp_path / "made.ckpt.index").write_bytes(table(whole))
    with pytest.raises(WeightsError, match="a table without the header"):
        open_bundle(str(tmp_path / "made.ckpt"))
    Path(tmp_path / "made.ckpt.index").write_bytes(table({b"": HEADER, b"b": b"", b"a": b""}))
    with pytest.raises(WeightsError, match="its key b'a' is out of order"):
        open_bundle(str(tmp_path / "made.ckpt"))


def test_a_checkpoint_of_the_old_format_is_told_as_such(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(table({b"": b""}))
    (tmp_path / "parts-00000-of-00002").write_bytes(b"")
    for name in ("model.ckpt", "parts"):
        with pytest.raises(WeightsError, match=rf"{name}: a checkpoint of TensorFlow's old format V1.*save it with"):
            open_bundle(str(tmp_path / name))
    with pytest.raises(WeightsError, match=r"nothing\.index: there is no such file"):
        open_bundle(str(tmp_path / "nothing"))


def test_the_checkpoint_of_a_folder(tmp_path: Path) -> None:
    assert find_prefix("some/model.ckpt.index") == find_prefix("some/model.ckpt") == "some/model.ckpt"
    with pytest.raises(WeightsError, match=r"has no file \*\.index"):
        find_prefix(str(tmp_path))
    (tmp_path / "model.ckpt-10.index").touch()
    assert find_prefix(str(tmp_path)) == str(tmp_path / "model.ckpt-10")
    (tmp_path / "model.ckpt-20.index").touch()
    with pytest.raises(WeightsError, match=r"has several checkpoints \(model\.ckpt-10, model\.ckpt-20\)"):
        find_prefix(str(tmp_path))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/old/place/model.ckpt-20"\nall_model_checkpoint_paths: "x"\n')
    assert find_prefix(str(tmp_path)) == str(tmp_path / "model.ckpt-20")
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(WeightsError, match="checkpoint: names no model_checkpoint_path"):
        find_prefix(str(tmp_path))
    assert open_bundle(f"{SLICES}.index").prefix == SLICES
