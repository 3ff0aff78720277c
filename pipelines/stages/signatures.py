"""Add a table with everything that deduplication needs, one row per document."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import DeduplicateSection
from pipelines.contract import schema
from pipelines.contract.batch import Batch
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.copies import minhash, shingles, urls

VERSION = f"4/shingles-{shingles.VERSION}/minhash-{minhash.VERSION}/urls-{urls.VERSION}"
TABLE = "signatures"


def stage(section: DeduplicateSection) -> Stage:
    """Add the table "signatures" (schema.signatures); drop nothing.

    A value of affine64 takes two uint32 of the list, lower half first, so the list is 2 × permutations long.
    """
    # `made_from` has the version even if deduplication is off.
    settings = {TABLE: made_from(section) if section.enabled else None}
    return Stage({TABLE: VERSION}, partial(_open, section), settings, runs=section.enabled)


def _open(section: DeduplicateSection) -> ForUnit:
    def run(batch: Batch) -> Batch:
        rows = signature_rows(batch.documents, section)
        return replace(batch, tables={**batch.tables, TABLE: rows})

    return for_every_unit(run)


def made_from(section: DeduplicateSection) -> dict[str, Any]:
    """Return the settings that determine the signatures."""
    return {
        **section.model_dump(mode="json", include={"ngram", "seed", "scheme", "url"}),
        "exact": section.exact or "bytes",  # also where it removes nothing: equal texts need no other comparison
        "permutations": section.permutations,
        "words": has_words(section),
    }


def has_words(section: DeduplicateSection) -> bool:
    """Return whether the documents' words are stored beside the signatures."""
    return section.near and section.verify != "signature"


def stored_length(section: DeduplicateSection) -> int:
    """Return the number of uint32 that hold a signature."""
    return section.permutations * (2 if section.scheme == "affine64" else 1)


def signature_rows(documents: pa.RecordBatch, section: DeduplicateSection) -> pa.RecordBatch:
    """Return the signatures of documents, using no more memory than for a batch of the usual size.

    That is about four times its text, or up to thirty times if each character normalises to eighteen (U+FDFA).
    """
    lengths = pc.binary_length(documents["text"]).to_numpy()
    chunk = (lengths.cumsum(dtype=np.int64) - lengths) // schema.TARGET_BYTES_PER_BATCH  # in which each text starts
    starts = np.flatnonzero(np.diff(chunk, prepend=-1)).tolist() or [0]
    ends = [*starts[1:], documents.num_rows]
    parts = [_rows(documents.slice(a, b - a), section) for a, b in zip(starts, ends, strict=True)]
    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)


def _rows(documents: pa.RecordBatch, section: DeduplicateSection) -> pa.RecordBatch:
    scan = shingles.scan(documents["text"], section.ngram)
    values = minhash.signatures(
        minhash.narrowed(scan.shingles, section.scheme),
        scan.offsets,
        permutations=section.permutations,
        seed=section.seed,
        scheme=section.scheme,
    )
    table = schema.signatures(stored_length(section), words=has_words(section))
    columns = [
        documents["id"],
        (shingles.letters if section.exact == "letters" else shingles.digests)(documents["text"]),
        pa.array(urls.hashes(documents["url"]) if section.url else np.zeros(documents.num_rows, np.uint64)),
        pa.FixedSizeListArray.from_arrays(pa.array(values.view(np.uint32).reshape(-1)), type=table.field("minhash").type),
        pc.utf8_length(documents["text"]).cast(pa.int64()),
    ]
    if has_words(section):
        columns.append(scan.words())
    return pa.RecordBatch.from_arrays(columns, schema=table)
