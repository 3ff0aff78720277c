"""Small real datasets, written as a build writes them."""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from pipelines.contract import manifest, schema
from pipelines.contract.batch import Batch, born, documents_from, sift
from pipelines.contract.manifest import Manifest
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

VOCABULARY = {"tokenizer": {"size": 300, "special_ids": {"<unk>": 0, "<|endoftext|>": 1}}}


def unit(name: str) -> Unit:
    return Unit(name=name, source="web", uri=name, root="/nowhere", bytes=1, identity=name)


def documents(texts: Sequence[str], file: str = "a") -> pa.RecordBatch:
    rows = len(texts)
    ids = [schema.document_id("web", f"{file}/{number}") for number in range(rows)]
    return documents_from(
        {
            "id": ids,
            "work": ids,
            "source": ["web"] * rows,
            "snapshot": ["1"] * rows,
            "origin": [f"{file}.txt#{number}" for number in range(rows)],
            "text": list(texts),
            "language": ["pl"] * rows,
            "language_score": [0.9] * rows,
        }
    )


def filtered(texts: Sequence[str], file: str = "a") -> Batch:
    """Documents, the first of which is dropped for its quality."""
    reasons = pa.array(["low_quality", *[None] * (len(texts) - 1)], pa.string())
    return sift(born("read", documents(texts, file)), "quality", reasons)


@pytest.fixture
def corpus(tmp_path: Any) -> Callable[..., str]:
    """Write a dataset of one unit a batch; `spoil` may change its manifest before it is written."""

    def write(*batches: Batch, name: str = "corpus", spoil: Callable[[Manifest], None] = lambda made: None) -> str:
        made_from = {"test": name}
        uri = manifest.folder(str(tmp_path), name, manifest.fingerprint(made_from))
        sidecars = [write_unit(uri, unit(f"unit-{number}"), [batch]) for number, batch in enumerate(batches)]
        made = manifest.assemble(name, made_from, sidecars)
        spoil(made)
        manifest.write(uri, made)
        return uri

    return write


@pytest.fixture
def shards(tmp_path: Any) -> Callable[[list[dict[str, Any]]], str]:
    """Write a tokens dataset of one part from rows without their ids."""

    def write(rows: list[dict[str, Any]]) -> str:
        rows = [{**row, "id": schema.document_id("web", str(number))} for number, row in enumerate(rows)]
        table = pa.RecordBatch.from_pylist(rows, schema=schema.tokens(300))
        texts = documents(["x"] * len(rows))
        batch = Batch(texts, born("read", texts).ledger, tables={"tokens/train/web/pl": table})
        counts = {
            "rows": len(rows),
            "tokens": sum(len(row["tokens"]) for row in rows),
            "utf8_bytes": sum(row["utf8_bytes"] for row in rows),
        }
        uri = manifest.folder(str(tmp_path), "tokens/small", manifest.fingerprint({}))
        sidecar = write_unit(uri, unit("unit"), [batch], documents=False)
        facts = {**VOCABULARY, "tokens": {"train": {"web": {"pl": counts}}}}
        manifest.write(uri, manifest.assemble("tokens/small", {}, [sidecar], facts=facts))
        return uri

    return write


@pytest.fixture(name="filtered")
def filtered_fixture() -> Callable[..., Batch]:
    return filtered
