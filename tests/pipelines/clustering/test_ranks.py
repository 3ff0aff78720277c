"""Ranks through files are those of one sort, ties and extreme keys included."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from broken_rules import broken_rules

from pipelines.clustering import ranks
from pipelines.clustering.in_memory import rank_order
from pipelines.clustering.ranks import Segments, rank, ranks_uri, write_tasks
from pipelines.clustering.removals import binary_ids
from pipelines.clustering.signatures import SignaturePart, SignatureStore
from pipelines.clustering.workspace import workspace_for
from pipelines.config import CorpusConfig
from pipelines.contract.schema import signatures
from pipelines.units import spill
from pipelines.units.context import Context

CONFIG = CorpusConfig.model_validate(
    {
        "corpus": {"name": "t"},
        "sources": [
            {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "priority": priority}
            for name, priority in {"web": -3, "books": 5}.items()
        ],
        "deduplicate": {"bands": 2, "rows": 2},
        "language": {"enabled": False},
    }
)


def write_part(path: str, documents: str, generator: np.random.Generator, rows: int) -> None:
    """Keys that are often equal, up to the whole id, and documents of which half pass."""
    ids = generator.choice(np.array([0, 1, 2**42, 2**42 - 1, 2**63, 2**64 - 1], np.uint64), (rows, 2))
    schema = signatures(4)
    columns = [
        binary_ids(ids),
        binary_ids(ids),
        pa.array(np.zeros(rows, np.uint64)),
        pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * rows, np.uint32)), type=schema.field("minhash").type),
        pa.array(generator.choice([1, 2, 300, 2**20, 2**24, 2**24 + 1, 2**40], rows)),
    ]
    measures = broken_rules(generator.random(rows) < 0.5)
    language, score = pa.nulls(rows, pa.string()), pa.nulls(rows, pa.float32())
    pq.write_table(pa.table({"language": language, "language_score": score, "measures": measures}), documents)
    batch = pa.RecordBatch.from_arrays(columns, schema=schema)
    spill.write_batches(path, schema, [batch.slice(0, rows // 3), batch.slice(rows // 3)])


def test_ranks_are_those_of_one_sort(tmp_path, monkeypatch):
    monkeypatch.setattr(ranks, "DOCUMENTS_PER_SAMPLE", 4)
    generator, parts = np.random.default_rng(0), []
    for number, (source, corpus) in enumerate([("web", None), ("books", None), ("web", None), ("", "older")]):
        uri, rows = str(tmp_path / f"{number}.arrow"), 100 + 50 * number
        texts, first = str(tmp_path / f"{number}.parquet"), sum(part.rows for part in parts)
        write_part(uri, texts, generator, rows)
        known = None if corpus else texts
        parts.append(SignaturePart(f"documents/{source}", source, "u", uri, first, rows, corpus, known))
    context, documents = Context(CONFIG, str(tmp_path)), sum(part.rows for part in parts)
    made = replace(workspace_for(CONFIG.deduplicate, str(tmp_path / "spill"), documents, 250, 60 * documents, 2**20), segments=5)
    groups = [parts[:1], parts[1:3], parts[3:]]
    write_tasks(context, made, groups)
    rank(context, made, groups)
    order = rank_order(context, parts, SignatureStore([part.uri for part in parts], CONFIG.deduplicate))
    found = [spill.read_columns(ranks_uri(made, group))["rank"] for group in range(3)]
    assert np.argsort(np.concatenate(found)).tolist() == order.tolist()
    segments = Segments(made)
    by_rank = [batch for segment in range(5) for batch in spill.batches_of(segments.uri(segment))]
    assert np.concatenate([batch["number"].to_numpy() for batch in by_rank]).tolist() == order.tolist()
    assert segments.of(segments.bases.astype(np.uint32)).tolist() == [0, 1, 2, 3, 4]
    assert max(np.diff(segments.bases)) < 400
