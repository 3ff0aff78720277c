import io
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import DatasetError, Manifest
from pipelines.contract.schema import DOCUMENTS, document_id
from pipelines.contract.tables import read_batches
from pipelines.contract.verify import verify
from pipelines.units.descriptor import Unit, grouped
from pipelines.units.parts import write_unit


def make_dataset(folder: Path, texts: dict[str, list[str]]) -> Manifest:
    """A documents dataset with a unit a key."""
    sidecars = []
    for name, lines in texts.items():
        ids = [document_id("s", f"{name}/{i}") for i in range(len(lines))]
        constant = {"source": "s", "snapshot": "1", "origin": "o"}
        rows = documents_from({"id": ids, "work": ids, "text": lines} | {k: [v] * len(ids) for k, v in constant.items()})
        unit = Unit(name=name, source="s", uri=name, root="", bytes=1, identity="x")
        sidecars.append(write_unit(str(folder), unit, [born("read", rows)]))
    made = manifest.assemble("documents/s", {"units": sorted(texts)}, sidecars)
    manifest.write(str(folder), made)
    return made


def test_the_manifest_does_not_depend_on_the_order_of_the_units(tmp_path: Path) -> None:
    texts = {"a": ["one", "two"], "b": ["three"]}
    make_dataset(tmp_path / "1", texts)
    make_dataset(tmp_path / "2", dict(reversed(texts.items())))
    assert (tmp_path / "1/manifest.json").read_bytes() == (tmp_path / "2/manifest.json").read_bytes()


def test_what_is_written_is_read_and_verified(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, {"a": ["one", "two"], "b": ["three"]})
    assert manifest.read(str(tmp_path)) == made
    assert [b["text"].to_pylist() for p in made.of("documents") for b in read_batches(str(tmp_path / p.path))] == [
        ["one", "two"],
        ["three"],
    ]
    found = verify(str(tmp_path))
    assert (found.is_sound, found.parts, found.rows) == (True, 2, 3)


def test_verify_finds_a_flipped_byte_a_truncation_a_missing_part_and_a_changed_ledger(tmp_path: Path) -> None:
    make_dataset(tmp_path, {"a": ["one", "two"], "b": ["three"]})
    part = tmp_path / "documents/a.parquet"
    good = part.read_bytes()

    part.write_bytes(bytes([good[0] ^ 1]) + good[1:])
    assert "a byte has changed" in verify(str(tmp_path)).problems[0]
    part.write_bytes(good[:-3])
    assert "truncated or replaced" in verify(str(tmp_path)).problems[0]
    part.unlink()
    assert "is missing" in verify(str(tmp_path)).problems[0]
    part.write_bytes(good)

    sidecar = tmp_path / "units/a.json"
    text = sidecar.read_text()
    assert '"documents_out":2' in text
    sidecar.write_text(text.replace('"documents_out":2', '"documents_out":3'))
    assert "do not add up" in verify(str(tmp_path)).problems[0]
    sidecar.write_text(text)
    assert verify(str(tmp_path)).is_sound


def test_a_ledger_that_does_not_match_the_rows_is_found(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, {"a": ["one", "two"]})
    line = made.ledgers["s"].lines["read"]
    line.documents_in = line.documents_out = 7
    sidecar = tmp_path / "units/a.json"
    sidecar.write_text(
        sidecar.read_text().replace('"documents_in":2', '"documents_in":7').replace('"documents_out":2', '"documents_out":7')
    )
    manifest.write(str(tmp_path), made)
    assert verify(str(tmp_path)).problems == ["documents/s: table documents has 2 rows, the ledger says 7"]


def test_a_folder_without_a_manifest_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no finished dataset; name a dataset's folder, or build it first"):
        manifest.read(str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(DatasetError, match="not a manifest that this release can read"):
        manifest.read(str(tmp_path))


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "x"
    with pytest.raises(RuntimeError), files.writing(str(target)) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with files.writing(str(target)) as stream:
        stream.write(b"whole")
        assert not target.exists()
    assert target.read_bytes() == b"whole"
    assert stream.sha256 == files.sha256(str(target))


def test_ipc_parts_do_not_remember_that_their_rows_were_sliced(tmp_path: Path) -> None:
    texts = pa.array([str(number) for number in range(1000)])
    whole = pa.RecordBatch.from_pydict({"n": pa.array(texts.to_pylist()[3:503])})
    sliced = pa.RecordBatch.from_pydict({"n": texts}).slice(3, 500)
    assert sliced.equals(whole)
    assert ipc_bytes(sliced) != ipc_bytes(whole), "pyarrow's own writer remembers the slice"
    unit = Unit(name="u", source="s", uri="u", root="", bytes=1, identity="x")
    nothing = pa.RecordBatch.from_pylist([], schema=DOCUMENTS)
    written = [
        write_unit(str(tmp_path / str(number)), unit, [Batch(nothing, Ledger(), tables={"tokens": rows})]).parts
        for number, rows in enumerate([sliced, whole])
    ]
    assert written[0] == written[1]


def ipc_bytes(rows: pa.RecordBatch) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return sink.getvalue()


def test_groups_are_a_function_of_the_items() -> None:
    items = [(f"part-{number:03d}", 1 + number % 7) for number in range(300)]
    groups = [unit.paths for unit in grouped("s", "r", "i", items, 40)]
    assert [path for group in groups for path in group] == [path for path, _ in items]
    sizes = [sum(size for path, size in items if path in group) for group in groups]
    assert 20 < sum(sizes) / len(sizes) < 80
    assert max(sizes) <= 160
    assert grouped("s", "r", "i", [], 10) == []
    assert [unit.paths for unit in grouped("s", "r", "i", [("a", 0), ("b", 0)], 10)] == [("a", "b")]


@pytest.mark.parametrize("place", [0, 57, 150, 299])
def test_an_item_more_or_less_changes_its_own_group(place: int) -> None:
    items = [(f"part-{number:03d}", 5) for number in range(300)]
    before = {unit.paths for unit in grouped("s", "r", "i", items, 40)}
    less = {unit.paths for unit in grouped("s", "r", "i", items[:place] + items[place + 1 :], 40)}
    more = {unit.paths for unit in grouped("s", "r", "i", [*items[:place], (f"part-{place:03d}a", 5), *items[place:]], 40)}
    assert len(before - less) <= 2
    assert len(before - more) <= 2


def test_small_groups_have_names_of_their_own() -> None:
    items = [("a", 5), ("b", 5), ("c", 11), ("d", 1)]
    assert len({unit.name for unit in grouped("s", "r", "i", items, 1)}) == 4
