"""What `verify` finds, word for word."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipelines.contract import files, manifest
from pipelines.contract.batch import born, documents_from, sift
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.schema import document_id
from pipelines.contract.verify import Verification, verify
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

TEXTS = {"a": ["héllo", "xy", "z"], "b": ["four"]}  # "xy" is dropped: 3 documents of 10 characters stay


def build(folder: Path, texts_of: dict[str, list[str]] = TEXTS) -> Manifest:
    """Two units of a source, and one of another."""
    sidecars = []
    for name, texts in texts_of.items():
        ids = [document_id("s", f"{name}/{i}") for i in range(len(texts))]
        constant = {"source": "s", "snapshot": "1", "origin": "o"}
        rows = documents_from({"id": ids, "work": ids, "text": texts} | {k: [v] * len(ids) for k, v in constant.items()})
        reasons = pa.array(["low_quality" if text == "xy" else None for text in texts], pa.string())
        unit = Unit(name=name, source=f"s{name}", uri=name, root="", bytes=1, identity="x")
        batches = [born("read", rows.slice(at, 1)) for at in range(len(texts))]  # a row group each
        sidecars.append(
            write_unit(str(folder), unit, [sift(batch, "quality", reasons.slice(at, 1)) for at, batch in enumerate(batches)])
        )
    made = manifest.assemble("documents/s", {"units": sorted(texts_of)}, sidecars)
    manifest.write(str(folder), made)
    return made


def problems(folder: Path, made: Manifest) -> list[str]:
    """What is found when the folder has this manifest, with its own folder's name left out."""
    manifest.write(str(folder), made)
    found = verify(str(folder))
    assert found.is_sound == (not found.problems)
    return [problem.replace(f"{folder}", "D") for problem in found.problems]


def test_a_sound_dataset_is_counted(tmp_path: Path) -> None:
    made = build(tmp_path)
    assert [(part.path, part.rows) for part in made.parts] == [
        ("documents/a.parquet", 2),
        ("drops/a.parquet", 1),
        ("documents/b.parquet", 1),
    ]
    size = sum((tmp_path / part.path).stat().st_size for part in made.parts)
    assert verify(str(tmp_path)) == Verification("documents/s", parts=3, rows=4, bytes=size, problems=[])
    assert verify(str(tmp_path)).is_sound
    assert Verification("x") == Verification("x", 0, 0, 0, [])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"rows": 3}, "D/documents/a.parquet: has 2 rows, the manifest says 3"),
        ({"rows": 1}, "D/documents/a.parquet: has 2 rows, the manifest says 1"),
        ({"sha256": "0"}, "D/documents/a.parquet: its sha256 is not the manifest's: a byte has changed"),
        ({"path": "documents/c.parquet"}, "D/documents/c.parquet: is missing; remove the dataset's folder and build it again"),
    ],
)
def test_a_part_that_is_not_the_manifests_is_the_only_problem(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    made = build(tmp_path)
    changed = made.parts[0].model_copy(update=change)
    assert problems(tmp_path, made.model_copy(update={"parts": (changed, *made.parts[1:])})) == [problem]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_part_of_another_size_is_a_problem(tmp_path: Path, difference: int) -> None:
    made = build(tmp_path)
    size = made.parts[0].bytes
    changed = made.parts[0].model_copy(update={"bytes": size + difference})
    assert problems(tmp_path, made.model_copy(update={"parts": (changed, *made.parts[1:])})) == [
        f"D/documents/a.parquet: has {size:,} bytes, the manifest says {size + difference:,}: truncated or replaced"
    ]


def test_another_fingerprint_is_a_problem(tmp_path: Path) -> None:
    made = build(tmp_path).model_copy(update={"fingerprint": "0f"})
    assert problems(tmp_path, made) == ["D/manifest.json: made_from does not have the fingerprint 0f"]


@pytest.mark.parametrize("difference", [-1, 1])
def test_tables_that_do_not_hold_what_the_ledgers_count_are_problems(tmp_path: Path, difference: int) -> None:
    """Documents and characters, kept and dropped: the units and the manifest agree, the tables do not."""
    made = build(tmp_path)
    read, quality = made.ledgers["sa"].lines["read"], made.ledgers["sa"].lines["quality"]
    for name in ("documents", "characters"):
        for line, side in ((read, "in"), (read, "out"), (quality, "in")):
            setattr(line, f"{name}_{side}", getattr(line, f"{name}_{side}") + 2 * difference)
        setattr(quality, f"{name}_out", getattr(quality, f"{name}_out") + difference)
        getattr(quality, f"{name}_dropped")["low_quality"] += difference
    sidecar = tmp_path / "units" / "a.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"ledger": made.ledgers["sa"].model_dump()}))
    assert problems(tmp_path, made) == [
        f"documents/s: table drops has 1 rows, the ledger says {1 + difference}",
        f"documents/s: table drops has 2 characters, the ledger says {2 + difference}",
        f"documents/s: table documents has 3 rows, the ledger says {3 + difference}",
        f"documents/s: table documents has 10 characters, the ledger says {10 + difference}",
    ]


def test_ledgers_that_break_a_law_or_are_not_the_units_are_problems(tmp_path: Path) -> None:
    made = build(tmp_path)
    made.ledgers["sa"].lines["quality"].documents_dropped["low_quality"] = 2
    assert problems(tmp_path, made)[:2] == [
        "D: source sa: stage quality: 3 documents went in, 4 are accounted for",
        "D: source sa: the units' ledgers do not add up to the manifest's",
    ]


def test_a_dataset_without_ledgers_is_checked_by_its_parts_alone(tmp_path: Path) -> None:
    made = build(tmp_path)
    (tmp_path / "units" / "a.json").write_text("not read")
    assert problems(tmp_path, made.model_copy(update={"ledgers": {}})) == []


def test_a_dataset_that_leaves_its_documents_out_is_checked_by_its_drops(tmp_path: Path) -> None:
    made = build(tmp_path)
    assert problems(tmp_path, made.model_copy(update={"parts": made.parts[1:2]})) == []
    assert problems(tmp_path, made.model_copy(update={"parts": ()})) == [
        "documents/s: table drops has 0 rows, the ledger says 1",
        "documents/s: table drops has 0 characters, the ledger says 2",
    ]


def test_rows_of_an_arrow_part_without_texts_are_counted_and_other_files_are_hashed(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array([1, 2, 3])})
    with pa.ipc.new_file(str(tmp_path / "t.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    (tmp_path / "t.model").write_bytes(b"model")
    parts = tuple(
        Part(table="t", unit="t", path=name, rows=rows, bytes=files.size(path), sha256=files.sha256(path))
        for name, rows in (("t.arrow", 3), ("t.model", 9))
        if (path := str(tmp_path / name))
    )
    made = Manifest(dataset="t", fingerprint=manifest.fingerprint({}), made_from={}, parts=parts)
    assert problems(tmp_path, made) == []
    found = verify(str(tmp_path))
    assert (found.parts, found.rows, found.bytes) == (2, 12, parts[0].bytes + 5)


def test_texts_without_a_character_are_none(tmp_path: Path) -> None:
    assert problems(tmp_path, build(tmp_path, {"a": ["", "abc", ""]})) == []
