"""Records: JSON Lines and Parquet, whole, in ranges, compressed, broken; and through a small build."""

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from places import FIXTURES

from pipelines import config
from pipelines.config import SourceSection
from pipelines.contract import files
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import add
from pipelines.contract.schema import DOCUMENTS, document_id
from pipelines.contract.tables import read_batches
from pipelines.corpus import plan
from pipelines.sources.listing import SourceError
from pipelines.sources.records import columns, json_lines, parquet
from pipelines.sources.records import reader as records
from pipelines.sources.records.json_lines import Block, blocks, parse
from pipelines.units.context import Context, Dataset

FIXTURES = FIXTURES / "records"


def section(folder: Path, **fields: Any) -> SourceSection:
    return SourceSection(name="mill", kind="records", root=str(folder), snapshot="x", **fields)


def batches(folder: Path, **fields: Any) -> list[Batch]:
    chosen = section(folder, **fields)
    found = [batch for unit in records.units(chosen) for batch in records.read(chosen, unit)]
    add(batch.ledger for batch in found).check()
    return found


def documents(folder: Path, **fields: Any) -> list[dict[str, Any]]:
    return [row for batch in batches(folder, **fields) for row in batch.documents.to_pylist()]


def drops(folder: Path, **fields: Any) -> list[tuple[str, str, str | None]]:
    found = [row for batch in batches(folder, **fields) for rows in batch.drops for row in rows.to_pylist()]
    return [(row["origin"], row["reason"], row["detail"]) for row in found]


def test_the_fixture_comes_out_exactly() -> None:
    rows = documents(FIXTURES, id_field="id", url_field="metadata.url", date_field="metadata.date", title_field="title")
    line_offsets = [i + 1 for i, byte in enumerate((FIXTURES / "mill.jsonl").read_bytes()) if byte == ord("\n")]
    assert [(row["origin"], row["url"], row["date"], row["text"]) for row in rows] == [
        ("mill.jsonl#0", "https://mill.example/1", "2026-01-02", "The mill stood by the brook."),
        (f"mill.jsonl#{line_offsets[0]}", "https://mill.example/2", None, "A lone surrogate \ufffd, a pair 😀, a NUL \0."),
        (f"mill.jsonl#{line_offsets[2]}", None, None, "A number is a name as good as any."),
        (f"mill.jsonl#{line_offsets[9]}", None, None, "A record without a name."),
    ]
    names = ["mill-1", "mill-2", "3", f"mill.jsonl#{line_offsets[9]}"]
    assert [row["id"] for row in rows] == [document_id("mill", name) for name in names]
    assert all(row["work"] == row["id"] and row["source"] == "mill" and row["snapshot"] == "x" for row in rows)
    assert drops(FIXTURES, id_field="id") == [
        (f"mill.jsonl#{line_offsets[3]}", "empty", None),
        (f"mill.jsonl#{line_offsets[4]}", "empty", None),
        (f"mill.jsonl#{line_offsets[8]}", "repeated_key", "an earlier record of this unit has the key mill-1"),
        (f"mill.jsonl#{line_offsets[5]}", "unreadable", 'mill.jsonl: line 7: text is no string, but ["not", "a", "string"]'),
        (f"mill.jsonl#{line_offsets[6]}", "unreadable", "mill.jsonl: line 8: the line is JSON, but no object"),
        (
            f"mill.jsonl#{line_offsets[7]}",
            "unreadable",
            "mill.jsonl: line 9: not JSON: Unterminated string starting at: line 1 column 26 (char 25)",
        ),
    ]


def lines_of(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


ROWS = [{"id": f"r{i}", "text": f"Text number {i}, and some more of it.", "url": f"https://r.example/{i}"} for i in range(50)]


def write_gzip(path: Path, rows: list[dict[str, Any]]) -> None:
    data = lines_of(rows)
    path.with_name(f"{path.name}.jsonl.gz").write_bytes(gzip.compress(data[:500]) + gzip.compress(data[500:]) + bytes(10))


def write_zstd(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.jsonl.zst").write_bytes(pa.compress(lines_of(rows), "zstd", asbytes=True))


def write_bzip2(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.jsonl.bz2").write_bytes(bz2.compress(lines_of(rows)))


def write_xz(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.JSONL.XZ").write_bytes(lzma.compress(lines_of(rows)))


def write_packed_under_a_plain_name(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.jsonl").write_bytes(gzip.compress(lines_of(rows)))


def write_plain_under_a_packed_name(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.jsonl.gz").write_bytes(lines_of(rows))


def write_plain(path: Path, rows: list[dict[str, Any]]) -> None:
    path.with_name(f"{path.name}.ndjson").write_bytes(lines_of(rows).rstrip(b"\n"))


def write_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(rows), path.with_name(f"{path.name}.parquet"), row_group_size=7)


@pytest.mark.parametrize(
    "write",
    [
        *(write_gzip, write_zstd, write_bzip2, write_xz, write_plain, write_parquet),
        *(write_packed_under_a_plain_name, write_plain_under_a_packed_name),
    ],
)
def test_every_format_has_the_same_documents(tmp_path: Path, write: Callable[[Path, list[dict[str, Any]]], None]) -> None:
    write(tmp_path / "rows", ROWS)
    found = documents(tmp_path, id_field="id", url_field="url")
    assert [(row["id"], row["text"], row["url"]) for row in found] == [
        (document_id("mill", row["id"]), row["text"], row["url"]) for row in ROWS
    ]
    (file,) = tmp_path.iterdir()
    assert sum(batch.ledger.bytes_read for batch in batches(tmp_path)) == file.stat().st_size


@pytest.mark.parametrize("unit_bytes", [60, 200, 1000, 10_000])
@pytest.mark.parametrize("block_bytes", [16, 100, 10_000])
def test_ranges_have_every_line_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit_bytes: int, block_bytes: int) -> None:
    rows = [*ROWS[:20], {"id": "long", "text": "long " * 300}, *ROWS[20:]]
    (tmp_path / "rows.jsonl").write_bytes(lines_of(rows))
    whole = documents(tmp_path)
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", unit_bytes)
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", block_bytes)
    found = documents(tmp_path)
    size = (tmp_path / "rows.jsonl").stat().st_size
    assert len({unit.name for unit in records.units(section(tmp_path))}) == max(1, round(size / unit_bytes))
    assert sorted(found, key=lambda row: int(row["origin"].split("#")[1])) == whole
    assert sum(batch.ledger.bytes_read for batch in batches(tmp_path)) == size


def test_a_bad_line_of_a_later_range_has_its_number_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(ROWS).splitlines(keepends=True)
    lines[37] = b"oops\n"
    (tmp_path / "rows.jsonl").write_bytes(b"".join(lines))
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", 700)
    offset = len(b"".join(lines[:37]))
    detail = "rows.jsonl: line 38: not JSON: Expecting value: line 1 column 1 (char 0)"
    assert drops(tmp_path) == [(f"rows.jsonl#{offset}", "unreadable", detail)]
    assert len(documents(tmp_path)) == 49


def test_row_groups_are_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "rows", ROWS)
    whole = documents(tmp_path)
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", 1)
    assert len(records.units(section(tmp_path))) == 8
    assert sorted(documents(tmp_path), key=lambda row: int(row["origin"].split("#")[1])) == whole
    assert [row["origin"] for row in whole] == [f"rows.parquet#{i}" for i in range(50)]


def test_parquet_types(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": pa.array([7, 8, None]),
            "text": pa.array([b"one", b"\xff", "zwölf".encode()]),
            "meta": pa.array([{"t": "T"}, None, {"t": None}]),
            "when": pa.array([0, 1, None], pa.timestamp("s")),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    fields = {"id_field": "id", "title_field": "meta.t", "date_field": "when"}
    assert [(r["id"], r["text"], r["title"], r["date"]) for r in documents(tmp_path, **fields)] == [
        (document_id("mill", "7"), "one", "T", "1970-01-01 00:00:00.000"),
        (document_id("mill", "rows.parquet#2"), "zwölf", None, None),
    ]
    assert drops(tmp_path, **fields) == [("rows.parquet#1", "undecodable", "rows.parquet: row 1: its text is not UTF-8")]


def test_batches_are_bounded_in_rows_and_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines_of(ROWS))
    write_parquet(tmp_path / "rows", ROWS)
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", 400)
    monkeypatch.setattr(columns, "ROWS_PER_BATCH", 10)
    monkeypatch.setattr(parquet, "ROWS_PER_BATCH", 10)
    assert max(batch.documents.num_rows for batch in batches(tmp_path)) <= 16
    monkeypatch.setattr(columns, "TARGET_BYTES_PER_BATCH", 300)
    assert max(batch.documents["text"].nbytes for batch in batches(tmp_path)) <= 600


def test_keys_are_known_from_batch_to_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rows.jsonl").write_bytes(lines_of([*ROWS, ROWS[0], {"id": "r1", "text": ""}, {"id": "new", "text": "x"}]))
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", 300)
    monkeypatch.setattr(columns, "ROWS_PER_BATCH", 1)
    assert [reason for _, reason, _ in drops(tmp_path, id_field="id")] == ["repeated_key", "empty"]
    assert len(documents(tmp_path, id_field="id")) == 51


# What is broken


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_a_compressed_file_that_breaks_off(tmp_path: Path, suffix: str) -> None:
    data = lines_of([{"text": f"{i} {i * 2654435761 % 2**32}"} for i in range(40_000)])
    packed = gzip.compress(data) if suffix == "gz" else pa.compress(data, "zstd", asbytes=True)
    (tmp_path / f"rows.jsonl.{suffix}").write_bytes(packed[: len(packed) * 2 // 3])
    found = documents(tmp_path)
    ((origin, reason, detail),) = drops(tmp_path)
    assert (origin, reason) == (f"rows.jsonl.{suffix}#broken", "cut_off")
    assert detail is not None and detail.startswith(
        f"rows.jsonl.{suffix}: after line {len(found):,}, by byte {len(packed) * 2 // 3:,}"
    )
    assert 10_000 < len(found) < 40_000 and found[-1]["text"].startswith(f"{len(found) - 1} ")


def test_a_large_file_that_is_compressed_though_its_name_does_not_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", 100)
    (tmp_path / "rows.jsonl").write_bytes(gzip.compress(lines_of(ROWS)))
    assert [row["text"] for row in documents(tmp_path)] == [row["text"] for row in ROWS]


def test_a_last_line_without_its_end(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'{"text": "whole"}\n{"text": "br')
    assert drops(tmp_path) == [("rows.jsonl#18", "cut_off", "rows.jsonl: line 2: the file breaks off in this line")]


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zstandard.compress])
def test_a_file_that_breaks_off_before_its_first_record_is_a_drop(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    write_parquet(tmp_path / "rows", ROWS)
    rows = tmp_path / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:-1])
    (tmp_path / "a.jsonl").write_bytes(pack(lines_of(ROWS))[:10])
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "br')
    found = drops(tmp_path)
    assert [row[:2] for row in found] == [(name, "cut_off") for name in ("a.jsonl#broken", "b.jsonl#0", "rows.parquet#broken")]
    assert documents(tmp_path) == []


def test_a_line_beyond_all_bounds_is_skipped_in_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", 100)
    monkeypatch.setattr(json_lines, "MAX_BYTES_PER_LINE", 1000)
    data = lines_of([ROWS[0], {"text": "x" * 5000}, *ROWS[1:3]])
    (tmp_path / "rows.jsonl").write_bytes(data)
    assert drops(tmp_path) == [
        (f"rows.jsonl#{len(lines_of(ROWS[:1]))}", "unreadable", "rows.jsonl: line 2: a line of more than 1,000 bytes")
    ]
    assert [row["text"] for row in documents(tmp_path)] == [row["text"] for row in ROWS[:3]]
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", 600)
    assert len(documents(tmp_path)) == 3
    assert sum(batch.ledger.bytes_read for batch in batches(tmp_path)) == len(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"The mill stood by the brook.\n", r"a\.jsonl is not a JSON Lines file: line 1: not JSON: Expecting value"),
        ("a.json", b'[\n {\n  "text": "a"\n }\n]\n', r"is not a JSON Lines file: line 1: not JSON"),
        ("a.json", b'[{"text": "a"}]', r"is not a JSON Lines file: line 1: the line is JSON, but no object"),
        ("a.jsonl", b'{"x":' * 100_000 + b"\n", r"is not a JSON Lines file: line 1: not JSON: nested too deeply"),
        ("a.jsonl", b"oops\n" * 5000, r"is not a JSON Lines file: line 1: not JSON"),
        ("a.jsonl.gz", b"\x1f\x8b{}", r"is not a JSON Lines file: after line 0, by byte 4 of the file: .*damaged gzip stream"),
        ("a.jsonl", b"The mill stood by the brook.", r"a\.jsonl is not a JSON Lines file: line 1: not JSON: Expecting value"),
        (
            "a.jsonl",
            b'{"text": 5}\n{"text": 6}\n',
            r"the field 'text' holds no strings \(line 1: text is no string, but 5\)",
        ),
        ("a.parquet", b"PAR2 nothing", r"a\.parquet is not a Parquet file: "),
        ("a.jsonl", b'{"id": 1, "content": "a"}\n', r"no record has a field 'text'; its fields are id, content: name the one"),
    ],
)
def test_a_file_of_another_kind_is_an_error(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message):
        batches(tmp_path)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text_field": "body"}, r"there is no column 'body'; its columns are id, text, url: correct sources.text_field"),
        ({"id_field": "text.id"}, r"there is no column 'text.id'.*sources.id_field"),
    ],
)
def test_a_column_that_is_not_there(tmp_path: Path, fields: dict[str, str], message: str) -> None:
    write_parquet(tmp_path / "rows", ROWS)
    with pytest.raises(SourceError, match=message):
        batches(tmp_path, **fields)


@pytest.mark.parametrize("values", [[1, 2], [1.5, None], [True, False], [datetime(2026, 1, 1)]])
def test_a_column_of_numbers_or_times_is_no_text(tmp_path: Path, values: list[Any]) -> None:
    pq.write_table(pa.table({"text": values, "body": ["a"] * len(values)}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"the column 'text' holds no strings, but .*its columns are text, body: correct"):
        batches(tmp_path)
    assert [row["text"] for row in documents(tmp_path, text_field="body", id_field="text")][:1] == ["a"]


def test_columns_of_nothing_but_nulls_are_those_of_records_without_a_value(tmp_path: Path) -> None:
    """An empty shard, and one without an address: pandas writes both with columns of the type null."""
    pq.write_table(pa.table({"text": pa.nulls(0), "url": pa.nulls(0)}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["a", "b"], "url": pa.nulls(2)}), tmp_path / "b.parquet")
    pq.write_table(pa.table({"text": pa.nulls(1), "url": ["http://c.example"]}), tmp_path / "c.parquet")
    rows = documents(tmp_path, url_field="url")
    assert [(row["text"], row["url"]) for row in rows] == [("a", None), ("b", None)]
    assert [row[:2] for row in drops(tmp_path, url_field="url")] == [("c.parquet#0", "empty")]


def test_a_damaged_row_group_is_a_drop(tmp_path: Path) -> None:
    write_parquet(tmp_path / "rows", [{"text": f"{i} " * 100} for i in range(14)])
    path = tmp_path / "rows.parquet"
    damaged = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).dictionary_page_offset
    damaged[start : start + 20] = b"\xff" * 20
    path.write_bytes(damaged)
    assert len(documents(tmp_path)) == 7
    ((origin, reason, detail),) = drops(tmp_path)
    assert (origin, reason) == ("rows.parquet#7", "cut_off")
    assert detail is not None and detail.startswith("rows.parquet: row group 1: its rows 7 to 13 cannot be read: ")


def test_a_file_that_pyarrow_must_not_see(tmp_path: Path) -> None:
    """pyarrow 25.0 ends the process for a file that begins with a line `null`."""
    (tmp_path / "rows.jsonl").write_bytes(b'null\n{"text": "a"}\n')
    assert [row["text"] for row in documents(tmp_path)] == ["a"]
    assert drops(tmp_path) == [("rows.jsonl#0", "unreadable", "rows.jsonl: line 1: the line is JSON, but no object")]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b'\xef\xbb\xbf{"text": "a"}\noops\n')
    assert [(row["origin"], row["text"]) for row in documents(tmp_path)] == [("rows.jsonl#0", "a")]


ODD_CHARACTERS = ["Straße\u2028", "日本語", "a pair 😀𝔘 and a NUL \0", "", "x" * 300]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
def test_utf16_and_utf32(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, mark: str, suffix: str) -> None:
    """The documents of a file, whatever its encoding, with the places of their bytes in it; it is never cut."""
    rows = [{"id": f"r{i}", "text": f"{i} {ODD_CHARACTERS[i % 5]} end"} for i in range(40)]
    lines = [json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows]
    lines[7] = "oops 😀\n"
    data = (mark + "".join(lines)).encode(encoding)
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(gzip.compress(data, mtime=0) if suffix.endswith("gz") else data)
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", 100)
    monkeypatch.setattr(parquet, "TARGET_BYTES_PER_UNIT", 300)
    assert len(records.units(section(tmp_path))) == 1
    ends = [len((mark + "".join(lines[:i])).encode(encoding)) for i in range(40)]
    starts = [len(mark.encode(encoding)), *ends[1:]]
    found = documents(tmp_path, id_field="id")
    assert [row["text"] for row in found] == [row["text"] for i, row in enumerate(rows) if i != 7]
    assert [row["origin"] for row in found] == [f"rows.{suffix}#{start}" for i, start in enumerate(starts) if i != 7]
    assert drops(tmp_path) == [
        (
            f"rows.{suffix}#{starts[7]}",
            "unreadable",
            f"rows.{suffix}: line 8: not JSON: Expecting value: line 1 column 1 (char 0)",
        )
    ]
    assert sum(batch.ledger.bytes_read for batch in batches(tmp_path)) == path.stat().st_size


def test_utf16_with_broken_characters_and_a_line_beyond_all_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_lines, "BYTES_PER_BLOCK", 100)
    monkeypatch.setattr(json_lines, "MAX_BYTES_PER_LINE", 1000)
    lines = ['{"text": "half \ud83d a pair"}\n', '{"text": "' + "é" * 5000 + '"}\n', '{"text": "last"}\n', '{"text": "br']
    data = b"\xff\xfe" + b"".join(line.encode("utf-16-le", "surrogatepass") for line in lines)
    (tmp_path / "rows.jsonl").write_bytes(data)
    places = [2 + sum(2 * len(line) for line in lines[:i]) for i in range(4)]
    assert [(row["origin"], row["text"]) for row in documents(tmp_path)] == [
        (f"rows.jsonl#{places[0]}", "half \ufffd a pair"),
        (f"rows.jsonl#{places[2]}", "last"),
    ]
    assert [(origin, reason) for origin, reason, _ in drops(tmp_path)] == [
        (f"rows.jsonl#{places[1]}", "unreadable"),
        (f"rows.jsonl#{places[3]}", "cut_off"),
    ]


DEEP = b"[" * 3000 + b"]" * 3000
ODD_LINES = [  # what no column holds may be anything that is JSON
    (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", {"text": "a", "key": None, "url": None}),
    (b'{"text": "a", "n": -' + b"9" * 5000 + b', "id": 7}', {"text": "a", "key": "7", "url": None}),
    (b'{"text": "a", "id": ' + b"9" * 5000 + b"}", {"text": "a", "key": "9" * 5000, "url": None}),
    (b'{"text": "a", "n": ' + DEEP + b', "id": 7, "m": {"u": "x"}}', {"text": "a", "key": "7", "url": "x"}),
    (b'{"text": "a", "n": ' + DEEP + b', "id": [], "m": 1}', {"text": "a", "key": None, "url": None}),
    (b'{"text": "a", "n\xff": "\xff", "id": "k"}', {"text": "a", "key": "k", "url": None}),
    (b'{"text": 1' + b"9" * 5000 + b"}", None),
    (b'{"text": "\xff"}', None),
    (b'{"text": "a", "m": {"u": "\xff"}}', None),
    (b'{"text": 5, "n": ' + DEEP + b"}", None),
    (b'{"text": "a", "n": ' + DEEP[:-1] + b"}", None),
]


@pytest.mark.parametrize(
    "neighbour", [b"", b'{"id": 1, "text": "x"}', b'{"id": "i", "text": "x"}', b"oops", b'{"text": "\\ud800"}']
)
@pytest.mark.parametrize(("line", "values"), ODD_LINES)
def test_a_line_has_the_same_fate_whatever_the_other_lines(line: bytes, values: dict[str, Any] | None, neighbour: bytes) -> None:
    data = neighbour + b"\n" + line + b"\n"
    found = parse(Block(data, 0, len(data)), {"text": ("text",), "key": ("id",), "url": ("m", "u")})
    place = len(neighbour) + 1
    kept = [i for i, offset in enumerate(found.offsets) if offset == place]
    assert [{name: column[i].as_py() for name, column in found.columns.items()} for i in kept] == ([values] if values else [])
    assert [bad.offset for bad in found.bad if bad.offset == place] == ([] if values else [place])


# Laws

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
RECORD = st.fixed_dictionaries(
    {}, optional={"id": JSON, "text": st.text() | JSON, "m": st.dictionaries(st.just("u"), JSON) | JSON}
)
LINE = st.builds(json.dumps, RECORD | JSON, ensure_ascii=st.booleans()) | st.sampled_from(
    ["", " ", "oops", "null", " {}", '{"text": "a"} {}']
)


@many
@given(st.lists(LINE, max_size=6))
def test_a_block_and_its_lines_one_by_one_are_the_same_records(lines: list[str]) -> None:
    fields = {"text": ("text",), "key": ("id",), "url": ("m", "u")}
    data = b"".join(line.encode("utf-8", "surrogatepass") + b"\n" for line in lines)
    if not data:
        return
    whole = parse(Block(data, 5, len(data)), fields)
    by_line: list[tuple[int, dict[str, Any]]] = []
    offset = 5
    for line in data.splitlines(keepends=True):
        one = parse(Block(line, offset, len(line)), fields)
        by_line += [(int(place), {name: one.columns[name][i].as_py() for name in fields}) for i, place in enumerate(one.offsets)]
        offset += len(line)
    found = [(int(p), {name: whole.columns[name][i].as_py() for name in fields}) for i, p in enumerate(whole.offsets)]
    assert found == by_line
    assert whole.lines == len(lines)


@given(st.binary(max_size=60).map(lambda data: data.replace(b"\r", b"\n")), st.integers(1, 20))
def test_blocks_lie_end_to_end(data: bytes, size: int) -> None:
    place = 0

    def read(_: int) -> bytes:
        nonlocal place
        place += size
        return data[place - size : place]

    found = list(blocks(read))
    assert b"".join(block.data for block in found) == data
    assert all(block.data.endswith(b"\n") for block in found[:-1])


def test_a_small_build(tmp_path: Path) -> None:
    shared = " ".join(f"word{i}" for i in range(60))
    rows = [
        {"id": "a", "text": f"{shared} end"},
        {"id": "b", "text": f"{shared} another end"},
        {"id": "c", "text": " ".join(f"other{i}" for i in range(60))},
        {"id": "d", "text": None},
    ]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "rows.jsonl").write_bytes(lines_of(rows))
    (tmp_path / "c.toml").write_text(
        '[corpus]\nname = "r"\n[[sources]]\nname = "r"\nkind = "records"\nroot = "in"\nsnapshot = "1"\nid_field = "id"\n'
        "[language]\nenabled = false\n[quality]\nrules = []\nclassifier = false\n"
    )
    context = Context(config.load(tmp_path / "c.toml"), str(tmp_path / "out"))
    built: dict[str, Dataset] = {}
    for step in plan(context):
        built[step.name] = step.run(built)
        if step.name == "corpus":
            break
    corpus = built["corpus"]
    kept = [
        row
        for part in corpus.manifest.of("documents")
        for b in read_batches(files.join(corpus.uri, part.path))
        for row in b.to_pylist()
    ]
    assert [row["id"] for row in kept] == [document_id("r", "b"), document_id("r", "c")]
    assert set(kept[0]) == set(DOCUMENTS.names)
    line = corpus.manifest.ledgers["r"].lines
    assert line["read"].documents_dropped == {"empty": 1}
    assert line["deduplicate"].documents_dropped == {"near_duplicate": 1}
