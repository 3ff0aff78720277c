"""Candidate pairs by the keyed exchange: documents to bands, bands to buckets, buckets to stars.

The exchanged rows are (band hash, rank) in spilled columns, one file per group of parts and range of hashes. A document is
named by its rank, so the best-ranked row of a bucket is the least.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.beam.exchange import exchange
from pipelines.clustering.signatures import SignaturePart, evidence_of
from pipelines.config import DeduplicateSection
from pipelines.contract import files
from pipelines.text.copies import clusters as science
from pipelines.text.copies import minhash
from pipelines.text.copies.clusters import Edges, Ranks
from pipelines.units.context import Context
from pipelines.units.spill import batches_of, read_all, read_columns, write_columns

BYTES_PER_RANGE = 64 * 2**20  # of exchange rows sorted in memory by one reduce step
BYTES_PER_ROW = 12  # a hash and a rank
DOCUMENTS_PER_INPUT = 2**18  # parts are mapped in groups of about this many documents
EDGES = {"bucket": np.uint64, "centre": np.uint32, "member": np.uint32}  # the columns of a spilled file of edges
_EXACT, _URL = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)  # separate the hashes of different kinds


def candidates(context: Context, parts: Sequence[SignaturePart], order: NDArray[np.int64], spill: str) -> Edges:
    """Return the star edges of all buckets."""
    section = context.config.deduplicate
    ranks = np.empty(len(order), np.uint32)
    ranks[order] = np.arange(len(order), dtype=np.uint32)
    ranges = -(-len(order) * (section.lsh[0] + 2) * BYTES_PER_ROW // BYTES_PER_RANGE)
    inputs: list[tuple[str, str, int]] = []
    for number, group in enumerate(groups_of(parts)):
        first, last = group[0].first, group[-1].first + group[-1].rows
        uri = files.join(spill, f"ranks-{number:05}.arrow")
        write_columns(uri, rank=ranks[first:last])
        descriptor = json.dumps({"number": number, "ranks": uri, "parts": [part.uri for part in group]})
        inputs.append((f"bands-{number:05}", descriptor, (last - first) * section.permutations * 4))
    exchange(
        context.runner,
        inputs,
        BandRows(section, spill, ranges),
        BucketStars(spill),
        on_progress=lambda claims: context.on_event("progress", {"claims": claims}),
        columnar=True,
    )
    return Edges(**read_all([_edges_uri(spill, key) for key in range(ranges)], **EDGES))


def groups_of(parts: Sequence[SignaturePart]) -> list[list[SignaturePart]]:
    """Group neighbouring parts, so that each step has enough work."""
    groups: list[list[SignaturePart]] = []
    rows = DOCUMENTS_PER_INPUT
    for part in parts:
        if rows >= DOCUMENTS_PER_INPUT:
            groups.append([])
            rows = 0
        groups[-1].append(part)
        rows += part.rows
    return groups


@dataclass(frozen=True)
class BandRows:
    """Map: the rows (band hash, rank) of a group of parts, in one file per range of hashes."""

    section: DeduplicateSection
    spill: str
    ranges: int

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        """Write the files; return the range and name of each."""
        task = json.loads(descriptor)
        batches = [batch for uri in task["parts"] for batch in batches_of(uri)]
        hashes, ranks = _rows(self.section, batches, read_columns(task["ranks"])["rank"])
        # Multiply and shift: the number of the range, of equal ranges of all hashes.
        ranges = ((hashes >> np.uint64(32)) * np.uint64(self.ranges)) >> np.uint64(32)
        written: list[tuple[int, str]] = []
        for key in range(self.ranges):
            chosen = slice(None) if self.ranges == 1 else ranges == key
            uri = files.join(self.spill, f"bands-{key:05}-{task['number']:05}.arrow")
            write_columns(uri, hash=hashes[chosen], rank=ranks[chosen])
            written.append((key, uri))
        return written


def _rows(section: DeduplicateSection, batches: Sequence[pa.RecordBatch], ranks: Ranks) -> tuple[NDArray[np.uint64], Ranks]:
    """Return the exchange rows of some documents: hashes, and the rank of each hash's document."""
    columns = [evidence_of(batch, section.scheme) for batch in batches]
    exact = np.concatenate([np.empty((0, 2), np.uint64), *(part.exact for part in columns)])
    hashes: list[NDArray[np.uint64]] = []
    owners: list[Ranks] = []
    if section.near:
        # The best of equal documents represents them; the others meet it through their exact hash.
        chosen = _best_of_equal(exact, ranks) if section.exact else np.arange(len(ranks))
        bands = np.concatenate([minhash.band_hashes(part.minhash, *section.lsh) for part in columns])[chosen]
        hashes.append(bands.reshape(-1))
        owners.append(np.repeat(ranks[chosen], section.lsh[0]))
    if section.exact:
        hashes.append(exact[:, 0] ^ _EXACT)
        owners.append(ranks)
    if section.url:
        address = np.concatenate([np.empty(0, np.uint64), *(part.url for part in columns)])
        hashes.append(address[address != 0] ^ _URL)
        owners.append(ranks[address != 0])
    return np.concatenate([np.empty(0, np.uint64), *hashes]), np.concatenate([np.empty(0, np.uint32), *owners])


def _best_of_equal(exact: NDArray[np.uint64], ranks: Ranks) -> NDArray[np.int64]:
    """Return the index of the best-ranked document of each exact hash."""
    order = np.lexsort((ranks, exact[:, 1], exact[:, 0]))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (exact[order[1:]] != exact[order[:-1]]).any(axis=1)
    return order[is_first]


@dataclass(frozen=True)
class BucketStars:
    """Reduce: the star edges of all buckets in a range of hashes."""

    spill: str

    def __call__(self, key: int, uris: Sequence[str]) -> None:
        """Write the file of the range's edges."""
        rows = read_all(uris, hash=np.uint64, rank=np.uint32)
        edges = science.stars(rows["hash"], rows["rank"])
        write_columns(_edges_uri(self.spill, key), bucket=edges.bucket, centre=edges.centre, member=edges.member)


def _edges_uri(spill: str, key: int) -> str:
    """Return the file of a range's edges."""
    return files.join(spill, f"edges-{key:05}.arrow")
