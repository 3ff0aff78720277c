"""A key in several units of a source: the first unit by file and place keeps it, in any order of work and after any kill."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from pipelines import config
from pipelines.beam.runners import PipelineError
from pipelines.contract import files
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Part, Sidecar
from pipelines.contract.schema import document_id
from pipelines.contract.tables import read_batches
from pipelines.datasets import documents
from pipelines.sources import listing
from pipelines.sources.records import parquet as record_ranges
from pipelines.stages import repeated_keys
from pipelines.units.context import Context, Dataset, RunnerOptions
from pipelines.units.descriptor import Unit

ROWS = {
    "a.jsonl": ["k1", "k2", "k3"],
    "b.jsonl": ["k4", "k1", "k1", "long"],
    "sub/c.jsonl": ["k2", "k4", "k5", "k1"],
    "z.jsonl": ["long"],
}
LONG = "An old mill stood by the brook. " * 40_000  # more than one piece


def project(folder: Path, long: str = LONG) -> Context:
    for name, keys in ROWS.items():
        path = folder / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"id": key, "text": long if key == "long" else f"Text {i} of {name}."} for i, key in enumerate(keys)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "c.toml").write_text(
        '[corpus]\nname = "r"\n[[sources]]\nname = "r"\nkind = "records"\nroot = "in"\nsnapshot = "1"\nid_field = "id"\n'
        "[language]\nenabled = false\n[quality]\nrules = []\nclassifier = false\n"
    )
    return Context(config.load(folder / "c.toml"), str(folder / "out"))


def build(context: Context) -> Dataset:
    return documents.build(context, context.config.sources[0])


def rows_of(dataset: Dataset, table: str) -> list[dict]:
    paths = [files.join(dataset.uri, part.path) for part in dataset.manifest.of(table)]
    return [row for path in paths for rows in read_batches(path) for row in rows.to_pylist()]


def digests(folder: str) -> dict[str, str]:
    """Every file of a dataset by its content."""
    root = Path(folder)
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def test_the_first_file_keeps_a_key_and_the_reader_counts_the_others(tmp_path: Path) -> None:
    dataset = build(project(tmp_path))
    kept = {row["id"]: row["origin"].split("#")[0] for row in rows_of(dataset, "documents")}
    wanted = {"k1": "a.jsonl", "k2": "a.jsonl", "k3": "a.jsonl", "k4": "b.jsonl", "k5": "sub/c.jsonl"}
    assert {document_id("r", key): name for key, name in wanted.items()}.items() <= kept.items()
    assert {row["origin"].split("#")[0] for row in rows_of(dataset, "documents") if row["work"] == document_id("r", "long")} == {
        "b.jsonl"
    }
    assert sorted(
        (row["origin"].split("#")[0], row["stage"], row["reason"], row["detail"]) for row in rows_of(dataset, "drops")
    ) == [
        ("b.jsonl", "read", "repeated_key", "an earlier record of this unit has the key k1"),
        ("b.jsonl", "read", "repeated_key", "its key is that of a document of a.jsonl"),
        ("sub/c.jsonl", "read", "repeated_key", "its key is that of a document of a.jsonl"),
        ("sub/c.jsonl", "read", "repeated_key", "its key is that of a document of a.jsonl"),
        ("sub/c.jsonl", "read", "repeated_key", "its key is that of a document of b.jsonl"),
        ("z.jsonl", "read", "repeated_key", "its key is that of a document of b.jsonl"),
    ]
    ledger = dataset.manifest.ledgers["r"]
    ledger.check()
    line = ledger.lines["read"]
    assert (line.documents_in, line.documents_out, line.documents_dropped) == (12, 6, {"repeated_key": 6})
    assert len(rows_of(dataset, "signatures")) == len(kept) == 5 + ledger.lines["split"].documents_split + 1
    assert sorted(path.name for path in Path(dataset.uri).iterdir()) == [
        "documents",
        "drops",
        "manifest.json",
        "signatures",
        "units",
    ]


def test_workers_and_ranges_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = project(tmp_path, "no long text")
    one = build(context)
    two = Context(context.config, str(tmp_path / "two"), RunnerOptions(workers=2))
    assert digests(build(two).uri) == digests(one.uri)
    monkeypatch.setattr(record_ranges, "TARGET_BYTES_PER_UNIT", 40)  # units are a line or none
    cut = build(Context(context.config, str(tmp_path / "cut")))
    assert len(cut.manifest.made_from["units"]) > 10
    assert {row["origin"] for row in rows_of(cut, "documents")} == {row["origin"] for row in rows_of(one, "documents")}


def test_small_files_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = project(tmp_path, "no long text")
    apart = rows_of(build(context), "documents")
    monkeypatch.setattr(listing, "SEPARATE_FILES", 1)
    monkeypatch.setattr(listing, "FILES_PER_GROUP", 2)
    monkeypatch.setattr(listing, "ends_group", lambda *_: False)  # groups end when they are full
    dataset = build(Context(context.config, str(tmp_path / "grouped")))
    assert sorted(row["origin"] for row in rows_of(dataset, "documents")) == sorted(row["origin"] for row in apart)
    assert {row["detail"] for row in rows_of(dataset, "drops") if row["origin"].startswith("sub/c")} == {
        "its key is that of a document of a.jsonl to b.jsonl"
    }


@pytest.mark.parametrize("killed_in", ["find", "remove", "second"])
def test_a_build_that_is_killed_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str) -> None:
    whole = digests(build(project(tmp_path / "a", "no long text")).uri)
    context = project(tmp_path / "b", "no long text")
    calls = {"remove": 0, "process_units": 0}

    def killed_at(name: str, at: int, real):
        def call(*arguments, **named):
            calls[name] += 1
            if calls[name] == at:
                raise _Killed("killed")
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        if killed_in == "find":
            patched.setattr(documents, "process_units", killed_at("process_units", 2, documents.process_units))
        elif killed_in == "remove":
            patched.setattr(files, "remove", killed_at("remove", 4, files.remove))  # a sidecar and some of its parts are gone
        else:
            patched.setattr(documents, "replace", lambda job, stages: _Stopping(job, stages))
        with pytest.raises((_Killed, PipelineError), match="killed"):
            build(context)
    assert digests(build(context).uri) == whole


class _Killed(Exception):
    pass


class _Stopping:
    """The second reading, which is killed after its first unit."""

    def __init__(self, job: documents.DocumentsJob, stages: documents.Stages) -> None:
        self._job, self._count = documents.DocumentsJob(job.source, stages, job.documents_per_unit), 0

    def open(self):
        read = self._job.open()

        def counted(unit: Unit):
            self._count += 1
            if self._count == 2:
                raise _Killed("killed")
            return read(unit)

        return counted


# The search


def unit_with(folder: Path, name: str, works: list[bytes]) -> tuple[Unit, Sidecar]:
    path = f"documents/{name}.parquet"
    (folder / "documents").mkdir(exist_ok=True)
    pq.write_table(pa.table({"work": pa.array(works, pa.binary(16))}), folder / path, row_group_size=3)
    part = Part(table="documents", unit=name, path=path, rows=len(works), bytes=1, sha256="")
    unit = Unit(name=name, source="s", uri=f"{name}.jsonl", root="", bytes=1, identity="")
    return unit, Sidecar(unit=name, source="s", parts=(part,) if works else (), ledger=Ledger())


# Works that are equal in their first half, in their second, in both; spread over the whole range.
WORKS = [a * 8 + b * 8 for a in (b"\0", b"\x01", b"\x7f", b"\x80", b"\xff") for b in (b"\0", b"\xff")]


@few
@given(st.lists(st.lists(st.sampled_from(WORKS), max_size=6), max_size=5), st.integers(1, 400), st.randoms())
def test_a_work_is_left_to_the_first_unit(tmp_path_factory, units: list[list[bytes]], memory: int, random) -> None:
    folder = tmp_path_factory.mktemp("dataset")
    made = [unit_with(folder, f"u{number}", works) for number, works in enumerate(units)]
    random.shuffle(made)
    found = repeated_keys.find(str(folder), [u for u, _ in made], [s for _, s in made], str(folder / "repeated"), memory)
    wanted: dict[str, set[tuple[bytes, str]]] = {}
    keeper: dict[bytes, int] = {}
    for number, works in enumerate(units):
        for work in works:
            if keeper.setdefault(work, number) != number:
                wanted.setdefault(f"u{number}", set()).add((work, f"u{keeper[work]}.jsonl"))
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        table = pa.Table.from_batches(read_batches(str(folder / "repeated" / f"{name}.arrow")))
        assert table.num_rows == len(rows)
        assert set(zip(table["work"].to_pylist(), table["holder"].to_pylist(), strict=True)) == rows


def test_units_are_in_the_order_of_their_ranges() -> None:
    units = [
        Unit(name=name, source="s", uri=uri, root="", bytes=1, identity="", parameters={"bytes": places} if places else {})
        for name, uri, places in [("x", "b", None), ("a", "b2", [0, 9]), ("c", "a", [100, 200]), ("b", "a", [20, 100])]
    ]
    assert [unit.name for unit in sorted(units, key=repeated_keys._place)] == ["b", "c", "x", "a"]  # pyright: ignore[reportPrivateUsage]
    assert np.unique([unit.name for unit in units]).size == 4
