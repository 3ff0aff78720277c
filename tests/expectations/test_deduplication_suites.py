"""The suites of what deduplication hands over: clusters, the index, what repeats."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from expectations import gate
from expectations.gate import GateError
from pipelines.contract import manifest, schema
from pipelines.contract.batch import Batch
from pipelines.contract.ledger import Ledger
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

SCHEME = {"permutations": 4, "scheme": "affine64", "words": False}


def name(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Write a dataset of one part of each table, as a build writes what has no documents."""

    def written(dataset: str, facts: dict[str, Any], **tables: pa.RecordBatch) -> str:
        made_from = {"facts": facts, "rows": {table: rows.to_pydict() | {"id": ""} for table, rows in tables.items()}}
        made_from = {"told": repr(made_from)}
        uri = manifest.folder(str(tmp_path), dataset, manifest.fingerprint(made_from))
        documents = pa.RecordBatch.from_pylist([], schema=schema.DOCUMENTS)
        unit = Unit(name="u", source="web", uri="u", root="/nowhere", bytes=1, identity="u")
        sidecar = write_unit(uri, unit, [Batch(documents, Ledger(), tables=tables)], documents=False)
        manifest.write(uri, manifest.assemble(dataset, made_from, [sidecar], facts=facts))
        return uri

    return written


def removal(number: int, **changed: Any) -> dict[str, Any]:
    row = {"id": name(number), "cluster": name(1), "survivor": name(1), "similarity": 0.9, "grain": "near", "corpus": None}
    return {**row, **changed}


def clusters(*rows: dict[str, Any]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=schema.CLUSTERS)


def signature(number: int, characters: int = 5) -> dict[str, Any]:
    row = {"id": name(number), "exact": name(number), "url": 0, "minhash": list(range(8))}
    return {**row, "characters": characters, "passes": True}


def index(*rows: dict[str, Any], values: int = 8) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(list(rows), schema=schema.signatures(values))


def failed(uri: str, out: Path) -> list[str]:
    with pytest.raises(GateError) as caught:
        gate.check(uri, str(out))
    return sorted(failure.split(":")[0].split(" (")[0] for failure in caught.value.failures)


def test_clusters(write: Callable[..., str], tmp_path: Path) -> None:
    good = clusters(
        removal(2),
        removal(3, grain="exact", similarity=1.0),
        removal(4, grain="url", similarity=0.1),
        removal(5, survivor=name(5), corpus="news"),  # the same record, published before
    )
    assert gate.check(write("clusters", {}, clusters=good), str(tmp_path)).expectations == 11

    bad = clusters(
        removal(2, survivor=name(2)),
        removal(3, grain="exact", similarity=0.99),
        removal(4, grain="alike"),
        removal(5, corpus=""),
        removal(6, similarity=1.5),
        removal(6, similarity=float("nan")),
    )
    assert failed(write("clusters", {}, clusters=bad), tmp_path) == [
        "clusters.exact_but_unlike",
        "clusters.own_survivors",
        "clusters.similarity_max",
        "clusters.unique_id_share",
        "clusters.unknown_grains",
        "clusters.unnamed_corpora",
    ]


def test_the_index(write: Callable[..., str], tmp_path: Path) -> None:
    facts = {"enabled": True, "documents": 2, "scheme": SCHEME}
    good = index(signature(1), signature(2))
    assert gate.check(write("index", facts, index=good), str(tmp_path)).expectations == 10
    assert gate.check(write("index", {"enabled": False}), str(tmp_path)).expectations == 0

    bad = index(signature(1), signature(1), signature(2, characters=0))
    assert failed(write("index", facts, index=bad), tmp_path) == [
        "facts",
        "index.characters_min",
        "index.unique_id_share",
        "index_sample.id",
    ]
    other = index({**signature(1), "minhash": [1, 2]}, {**signature(2), "minhash": [1, 2]}, values=2)
    assert failed(write("index", facts, index=other), tmp_path) == ["index.schema_difference"]


def test_what_repeats(write: Callable[..., str], tmp_path: Path) -> None:
    def repeats(hashes: list[int], documents: list[int], behind: int) -> dict[str, pa.RecordBatch]:
        columns = {"hash": hashes, "documents": documents, "owner": [2**63] * len(hashes)}
        lines = pa.RecordBatch.from_pydict(columns, schema=schema.REPEATED)
        runs = pa.RecordBatch.from_pylist([{"id": name(1), "first": 3, "behind": behind}], schema=schema.REPEATED_RUNS)
        return {"lines": lines, "substrings": runs}

    facts = {"enabled": True, "lines": {"found": 9, "repeated": 3}, "substrings": {"runs": 1}}
    assert gate.check(write("repeats", facts, **repeats([1, 5, 2**63], [3, 2, 7], 9)), str(tmp_path)).expectations == 12
    bad = write("repeats", facts | {"substrings": {"runs": 2}}, **repeats([1, 5, 5], [3, 1, 7], 3))
    assert failed(bad, tmp_path) == ["facts", "lines.documents_min", "lines.hashes_not_growing", "substrings.empty_runs"]
