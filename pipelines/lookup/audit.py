"""How often deduplication was wrong: removed documents of each band of similarity, compared exactly with their survivors.

Pairs are drawn by the last bytes of the removed document's id, which is a hash, so every run draws the same ones. A removal is
false if the exact Jaccard similarity of the two texts' n-grams is below the threshold: the estimate of the signatures was too
high. Intervals are Wilson's, 95 %.

    audit = sampled("build/demo", per_band=200)
    audit.bands[0].false, audit.bands[0].interval
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.errors import UserError
from pipelines.contract.schema import CLUSTERS, Grain, sampling_key
from pipelines.contract.tables import read_batches
from pipelines.lookup.find import Build, Document, read
from pipelines.text.copies import shingles
from pipelines.text.copies.shingles import Scan

_EDGES = (0.0, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_Z = 1.959964  # 95 %


@dataclass(frozen=True, slots=True)
class Pair:
    """A removed document and its survivor."""

    removed: Document
    survivor: Document
    similarity: float  # as the build verified it
    jaccard: float  # exact, of the sets of n-grams
    contained: float  # share of the removed document's n-grams that the survivor has


@dataclass(frozen=True, slots=True)
class Band:
    """The removed pairs of a band of similarity."""

    name: str  # "exact", "url", or its limits: "0.75 to 0.80"
    removed: int  # all pairs
    pairs: Sequence[Pair]  # the drawn ones
    missing: int  # drawn pairs whose texts are not retained
    threshold: float

    @property
    def false(self) -> int:
        """The drawn pairs that are less similar than the threshold."""
        return sum(pair.jaccard < self.threshold for pair in self.pairs)

    @property
    def interval(self) -> tuple[float, float]:
        """The share of false removals, from … to … with 95 % confidence."""
        return wilson(self.false, len(self.pairs))

    @property
    def mean(self) -> float:
        """The mean exact similarity of the drawn pairs."""
        return math.fsum(pair.jaccard for pair in self.pairs) / max(1, len(self.pairs))

    def as_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        low, high = self.interval
        counts = {"removed": self.removed, "drawn": len(self.pairs), "missing": self.missing, "false": self.false}
        shares = {"false_low": round(low, 4), "false_high": round(high, 4), "mean_jaccard": round(self.mean, 4)}
        worst = [
            {"removed": p.removed.id, "survivor": p.survivor.id, "similarity": p.similarity, "jaccard": round(p.jaccard, 4)}
            for p in self.worst(5)
        ]
        return {"band": self.name, **counts, **shares, "worst": worst}

    def worst(self, most: int) -> list[Pair]:
        """Return the least similar of the drawn pairs."""
        return sorted(self.pairs, key=lambda pair: (pair.jaccard, pair.removed.id))[:most]


@dataclass(frozen=True, slots=True)
class Audit:
    """The bands, and what they together say of the build."""

    threshold: float
    ngram: int
    bands: Sequence[Band]
    earlier: int  # removed for a document of an earlier corpus: not compared

    def as_json(self) -> Mapping[str, Any]:
        """Return plain values."""
        figures = {"threshold": self.threshold, "ngram": self.ngram, "earlier": self.earlier}
        return {**figures, "false_share": round(self.false_share, 4), "bands": [band.as_json() for band in self.bands]}

    @property
    def false_share(self) -> float:
        """The share of all removals that is false: that of each band, weighted by its removals."""
        drawn = [band for band in self.bands if band.pairs]
        return sum(band.removed * band.false / len(band.pairs) for band in drawn) / max(1, sum(band.removed for band in drawn))


def sampled(out: str, *, per_band: int = 200) -> Audit:
    """Draw up to `per_band` removed pairs of each band from the build in `out` and compare them.

    Raises UserError if the build did not deduplicate or its clusters were not retained.
    """
    build = Build(out)
    made = build.manifest("clusters")
    if made is None or not made.facts.get("enabled"):
        raise UserError(f"{out}: has no clusters: build with deduplicate.enabled = true and retain.clusters = true")
    section = build.settings("deduplicate")
    rows = pa.Table.from_batches(
        [batch for *_, uri in build.parts("clusters", "clusters") for batch in read_batches(uri, CLUSTERS.names)], CLUSTERS
    )
    own = rows.filter(pc.is_null(rows["corpus"]))
    bands = [_band(build, section, name, chosen, per_band) for name, chosen in _by_band(own)]
    return Audit(section["threshold"], section["ngram"], bands, rows.num_rows - own.num_rows)


def wilson(hits: int, of: int) -> tuple[float, float]:
    """Return the 95 % interval of a share (Wilson 1927).

    >>> [round(limit, 3) for limit in wilson(0, 100)]
    [0.0, 0.037]
    """
    if not of:
        return 0.0, 1.0
    share, square = hits / of, _Z * _Z
    centre, reach = share + square / (2 * of), _Z * math.sqrt(share * (1 - share) / of + square / (4 * of * of))
    return max(0.0, (centre - reach) / (1 + square / of)), min(1.0, (centre + reach) / (1 + square / of))


def _by_band(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the removals of each band that has any: equal texts, then by similarity, then equal addresses."""
    near = pc.equal(rows["grain"], Grain.NEAR.value)
    groups = [("exact", pc.equal(rows["grain"], Grain.EXACT.value))]
    for low, high in pairwise(_EDGES):
        below = pc.less_equal(rows["similarity"], high) if high == 1 else pc.less(rows["similarity"], np.float32(high))
        within = pc.and_(pc.greater_equal(rows["similarity"], np.float32(low)), below)
        groups.append((f"{low:.2f} to {high:.2f}", pc.and_(near, within)))
    groups.append(("url", pc.equal(rows["grain"], Grain.URL.value)))
    for name, mask in groups:
        chosen = rows.filter(mask)
        if chosen.num_rows:
            yield name, chosen


def _band(build: Build, section: Mapping[str, Any], name: str, rows: pa.Table, most: int) -> Band:
    order = np.argsort(sampling_key(rows["id"].combine_chunks()), kind="stable")[:most]
    drawn = rows.take(pa.array(order)).to_pylist()
    places = build.by_id({row[key].hex() for row in drawn for key in ("id", "survivor")})
    documents = {key: read(place) for key, place in places.items()}
    held = [row for row in drawn if row["id"].hex() in documents and row["survivor"].hex() in documents]
    pairs = [
        _pair(build, section["ngram"], documents[row["id"].hex()], documents[row["survivor"].hex()], row["similarity"])
        for row in held
    ]
    threshold = 0.0 if name == "url" else section["threshold"]  # an address says nothing of the text
    return Band(name, rows.num_rows, pairs, len(drawn) - len(held), threshold)


def _pair(build: Build, ngram: int, removed: Document, survivor: Document, similarity: float) -> Pair:
    texts = [before if (before := build.before_cuts(one)) is not None else one.text for one in (removed, survivor)]
    first, second = _sets(shingles.scan(pa.array(texts), ngram))
    both = len(np.intersect1d(first, second, assume_unique=True))
    return Pair(removed, survivor, round(float(similarity), 4), both / (len(first) + len(second) - both), both / len(first))


def _sets(scan: Scan) -> list[Any]:
    return [np.unique(scan.shingles[a:b]) for a, b in zip(scan.offsets[:-1], scan.offsets[1:], strict=True)]
