"""Candidate pairs and their verification, through files: the same rounds as text/clusters.verify.

A round is one chain. A pair is asked for by each range of buckets that it lies in, and compared once: pairs have ranges of
their own, which remember what is known. The evidence of a pair comes by two hops, of its centre and then of its member.

    rows of bands   → stars of a range    → new pairs → attach centres → compare with members        (the first round)
    known verdicts  → new stars of a range → new pairs → attach centres → compare with members       (every other one)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.build import Context
from pipelines.contract import files
from pipelines.datasets import spill
from pipelines.datasets.candidates import EDGES, BandRows
from pipelines.datasets.signatures import Piece, SignatureStore, evidence_of, likeness
from pipelines.datasets.spill import Rows
from pipelines.datasets.spilled_plan import Chain, Plan
from pipelines.datasets.spilled_ranks import Segments, ranks_uri
from pipelines.text import clusters as science
from pipelines.text.clusters import Edges, Ranks
from pipelines.text.components import distinct, range_of

_RANK_BITS = np.uint64(32)


@dataclass(frozen=True, slots=True)
class Counts:
    """What verification took; the fields of text/clusters.Verified."""

    compared: int = 0
    failed: int = 0
    rounds: int = 0
    unresolved: int = 0
    capped_buckets: int = 0
    capped: int = 0


def verify(context: Context, plan: Plan, groups: Sequence[Sequence[Piece]], rounds: int = science.RESTAR_ROUNDS) -> Counts:
    """Compare all candidate pairs; the verdicts lie where `verdict_uris` says."""
    _first_round(context, plan, groups)
    counts = _compared(plan, 0, Counts())
    while True:
        is_last = counts.rounds == rounds
        left = _next_round(context, plan, counts.rounds + 1, is_last=is_last)
        notes = spill.read_notes(plan.path(_round(counts.rounds + 1), "restarred"))
        capped, buckets = spill.total(notes, "capped"), spill.total(notes, "capped_buckets")
        counts = replace(counts, capped=counts.capped + capped, capped_buckets=counts.capped_buckets + buckets)
        files.remove(plan.path(_round(counts.rounds)))
        if is_last or not left:
            return replace(counts, unresolved=left)
        counts = _compared(plan, counts.rounds + 1, replace(counts, rounds=counts.rounds + 1))


def verdict_uris(plan: Plan) -> list[str]:
    """The files of all pairs that were compared: pair (better rank, other rank: 32 bits each), alike."""
    return files.listing(plan.path("known"), ".arrow")


def _first_round(context: Context, plan: Plan, groups: Sequence[Sequence[Piece]]) -> None:
    inputs: list[tuple[str, str, int]] = []
    for number, group in enumerate(groups):
        descriptor = json.dumps({"number": number, "ranks": ranks_uri(plan, number), "parts": [piece.uri for piece in group]})
        inputs.append((f"bands-{number:05}", descriptor, sum(piece.rows for piece in group) * plan.bytes_per_document))
    plan.run(context, inputs, first_chain(plan))
    files.remove(plan.path("bands"))
    files.remove(plan.path(_round(0), "centres"))


def _next_round(context: Context, plan: Plan, number: int, *, is_last: bool) -> int:
    """Give a new centre to members that are not like theirs; how many members these stars have."""
    before = plan.path(_round(number - 1))
    failed = spill.total(spill.read_notes(files.join(before, "compared")), "failed")
    asked = sum(map(files.size, files.listing(files.join(before, "asked"), ".arrow")))
    size = (asked + failed * plan.bytes_per_document) // plan.ranges
    inputs = [(f"verdicts-{key:05}", str(key), size) for key in range(plan.ranges)]
    plan.run(context, inputs, next_chain(plan, number, is_last=is_last))
    for uri in files.listing(plan.path("known"), f"-{number - 1:03}.arrow"):
        files.remove(uri)
    files.remove(plan.path(_round(number), "centres"))
    return spill.total(spill.read_notes(plan.path(_round(number), "restarred")), "left")


def first_chain(plan: Plan) -> Chain:
    """From groups of parts to the verdicts of the first stars."""
    bands = BandRows(plan.section, plan.path("bands"), plan.ranges)
    return bands, (FirstStars(plan), NewPairs(plan, 0), AttachCentres(plan, 0), ComparePairs(plan, 0))


def next_chain(plan: Plan, number: int, *, is_last: bool) -> Chain:
    """From the verdicts of a round to those of the next; the stars of the last are not compared."""
    steps = Restar(plan, number, is_last), NewPairs(plan, number), AttachCentres(plan, number), ComparePairs(plan, number)
    return Verdicts(plan, number), steps


def _compared(plan: Plan, number: int, counts: Counts) -> Counts:
    notes = spill.read_notes(plan.path(_round(number), "compared"))
    compared, failed = spill.total(notes, "compared"), spill.total(notes, "failed")
    return replace(counts, compared=counts.compared + compared, failed=counts.failed + failed)


def _round(number: int) -> str:
    return f"round-{number:03}"


def _known_uri(plan: Plan, key: int, number: int) -> str:
    return plan.path("known", f"{key:05}-{number:03}.arrow")


def _pairs(edges: Edges) -> NDArray[np.uint64]:
    return edges.centre.astype(np.uint64) << _RANK_BITS | edges.member


def _ends(pairs: NDArray[np.uint64]) -> tuple[Ranks, Ranks]:
    return (pairs >> _RANK_BITS).astype(np.uint32), pairs.astype(np.uint32)


# The steps


def _ask(plan: Plan, number: int, key: int, edges: Edges) -> list[tuple[int, str]]:
    """Keep the stars of a range of buckets, and ask for their pairs."""
    uri = plan.path(_round(number), "edges", f"{key:05}.arrow")
    spill.write_columns(uri, bucket=edges.bucket, centre=edges.centre, member=edges.member)
    pairs = distinct(_pairs(edges))
    return spill.write_by_key(plan.path(_round(number), "asked"), f"{key:05}", range_of(pairs, plan.ranges), pair=pairs)


@dataclass(frozen=True)
class FirstStars:
    """The stars of a range of band hashes."""

    plan: Plan

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep them, and ask for their pairs."""
        rows = spill.read_all(uris, hash=np.uint64, rank=np.uint32)
        return _ask(self.plan, 0, key, science.stars(rows["hash"], rows["rank"]))


@dataclass(frozen=True)
class NewPairs:
    """Of the pairs of a range that are asked for, those that were never compared, by the segment of the centre."""

    plan: Plan
    round: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment."""
        pairs = distinct(spill.read_all(uris, pair=np.uint64)["pair"])
        if self.round:
            known = spill.read_columns(_known_uri(self.plan, key, self.round))["pair"]
            place = np.minimum(np.searchsorted(known, pairs), max(0, len(known) - 1))
            pairs = pairs[known[place] != pairs] if len(known) else pairs
        segments = Segments(self.plan).of(_ends(pairs)[0])
        return spill.write_by_key(self.plan.path(_round(self.round), "new"), f"{key:05}", segments, pair=pairs)


@dataclass(frozen=True)
class AttachCentres:
    """The evidence of the centres in a segment, beside each pair, by the segment of the member."""

    plan: Plan
    round: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment and chunk of pairs."""
        segments = Segments(self.plan)
        rows = Rows.of([segments.uri(segment)])
        folder = self.plan.path(_round(self.round), "centres")
        written: list[tuple[int, str]] = []
        for uri in uris:
            pairs = spill.read_columns(uri)["pair"]
            places = segments.places(segment, _ends(pairs)[0])
            for number, chunk in enumerate(rows.chunks(places, self.plan.bytes_at_once)):
                evidence = rows.take(places[chunk]).append_column("pair", pa.array(pairs[chunk]))
                name = f"{segment:05}-{spill.number_of(uri):05}-{number:05}"
                written += spill.write_rows_by_key(folder, name, segments.of(_ends(pairs[chunk])[1]), evidence)
        return written


@dataclass(frozen=True)
class ComparePairs:
    """Whether the pairs whose members lie in a segment are alike."""

    plan: Plan
    round: int

    def __call__(self, segment: int, uris: Sequence[str]) -> None:
        """Write the verdicts, a file per range of pairs, and how many there are."""
        segments = Segments(self.plan)
        uri = segments.uri(segment)
        rows, store = Rows.of([uri]), SignatureStore([uri], self.plan.section)
        pairs, alike = [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
        for batch in (batch for uri in uris for batch in spill.batches_of(uri)):
            pairs.append(batch["pair"].to_numpy())
            members = segments.places(segment, _ends(pairs[-1])[1])
            for chunk in rows.chunks(members, self.plan.bytes_at_once):
                centres = evidence_of(batch.slice(chunk.start, chunk.stop - chunk.start), self.plan.section.scheme)
                alike.append(likeness(centres, store.evidence(members[chunk]), self.plan.section).alike)
        self._write(segment, np.concatenate(pairs), np.concatenate(alike))

    def _write(self, segment: int, pairs: NDArray[np.uint64], alike: NDArray[np.bool_]) -> None:
        folder = self.plan.path(_round(self.round))
        ranges = range_of(pairs, self.plan.ranges)
        name = f"{segment:05}"
        spill.write_by_key(files.join(folder, "verdicts"), name, ranges, pair=pairs, alike=alike.astype(np.uint8))
        failed = int(np.count_nonzero(~alike))
        spill.write_note(files.join(folder, "compared", f"{name}.json"), compared=len(pairs), failed=failed)


@dataclass(frozen=True)
class Verdicts:
    """Map: what is known of a range of pairs after the round before; the failed pairs go to the buckets that asked."""

    plan: Plan
    round: int

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        """Write all that is known, and a file per range of buckets with failed pairs."""
        key = int(descriptor)
        known, alike = self._known(key)
        spill.write_columns(_known_uri(self.plan, key, self.round), pair=known, alike=alike)
        written: list[tuple[int, str]] = []
        for uri in files.listing(self.plan.path(_round(self.round - 1), "asked", f"{key:05}"), ".arrow"):
            pairs = spill.read_columns(uri)["pair"]
            failed = pairs[alike[np.searchsorted(known, pairs)] == 0]
            if len(failed):
                asker = spill.number_of(uri)
                target = spill.keyed(self.plan.path(_round(self.round), "failed"), asker, f"{key:05}")
                spill.write_columns(target, pair=failed)
                written.append((asker, target))
        return written

    def _known(self, key: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        uris = files.listing(self.plan.path(_round(self.round - 1), "verdicts", f"{key:05}"), ".arrow")
        if self.round > 1:
            uris.append(_known_uri(self.plan, key, self.round - 1))
        found = spill.read_all(uris, pair=np.uint64, alike=np.uint8)
        order = np.argsort(found["pair"])
        return found["pair"][order], found["alike"][order]


@dataclass(frozen=True)
class Restar:
    """The members of a range of buckets that are not like their centre form stars of their own."""

    plan: Plan
    round: int
    is_last: bool  # the new stars are counted, but not compared

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep them, count, and ask for their pairs."""
        failed = np.sort(spill.read_all(uris, pair=np.uint64)["pair"])
        before = Edges(**spill.read_all([self.plan.path(_round(self.round - 1), "edges", f"{key:05}.arrow")], **EDGES))
        pairs = _pairs(before)
        is_failed = failed[np.minimum(np.searchsorted(failed, pairs), len(failed) - 1)] == pairs
        left = science.capped_members(before.bucket[is_failed], before.member[is_failed], self.plan.section.bucket_limit)
        edges = science.stars(left.bucket, left.member)
        uri = self.plan.path(_round(self.round), "restarred", f"{key:05}.json")
        spill.write_note(uri, left=len(edges.member), capped=left.capped, capped_buckets=len(left.capped_buckets))
        return [] if self.is_last or not len(edges.member) else _ask(self.plan, self.round, key, edges)
