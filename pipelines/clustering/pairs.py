"""Candidate pairs and their verification, through files, in the same rounds as text/copies/clusters.verify.

Each range of buckets requests its pairs; a pair in several ranges is compared once, because pairs have ranges of their own
that remember the verdicts. The evidence of a pair arrives in two hops: first the centre's, then the member's.

    rows of bands → stars of a range    → new pairs → attach centres → compare with members        (the first stars)
    verdicts      → new stars of a range → new pairs → attach centres → compare with members       (every other round)
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.beam.exchange import Step
from pipelines.clustering.candidates import EDGES, BandRows
from pipelines.clustering.ranks import Segments, ranks_uri
from pipelines.clustering.signatures import SignaturePart, SignatureStore, evidence_of, likeness
from pipelines.clustering.workspace import Chain, Workspace
from pipelines.contract import files
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Counts, Edges, Ranks, distinct
from pipelines.text.copies.components import range_of
from pipelines.units import spill
from pipelines.units.context import Context
from pipelines.units.spill import Rows

ROUNDS_AT_ONCE = 4  # per pipeline: most end by then, and starting workers takes seconds, on a cluster minutes
_RANK_BITS = np.uint64(32)


def verify(
    context: Context, workspace: Workspace, groups: Sequence[Sequence[SignaturePart]], rounds: int = science.RESTAR_ROUNDS
) -> Counts:
    """Compare all candidate pairs; `verdict_uris` lists the verdicts."""
    _first_stars(context, workspace, groups)
    remaining: list[int] = []  # members of the new stars, by round
    while len(remaining) <= rounds and (not remaining or remaining[-1]):
        numbers = range(len(remaining) + 1, min(len(remaining) + ROUNDS_AT_ONCE, rounds + 1) + 1)
        _more_rounds(context, workspace, numbers, rounds)
        remaining += [_total(workspace, f"restarred-{number:03}", "left") for number in numbers]
    used = next((number for number, members in enumerate(remaining) if not members), rounds)
    return Counts(
        compared=sum(_total(workspace, f"compared-{number:03}", "compared") for number in range(used + 1)),
        failed=sum(_total(workspace, f"compared-{number:03}", "failed") for number in range(used + 1)),
        rounds=used,
        unresolved=remaining[used],
        capped_buckets=sum(_total(workspace, f"restarred-{number:03}", "capped_buckets") for number in range(1, used + 2)),
        capped=sum(_total(workspace, f"restarred-{number:03}", "capped") for number in range(1, used + 2)),
    )


def verdict_uris(workspace: Workspace) -> list[str]:
    """Return the files of all compared pairs; columns: pair (better rank, other rank, 32 bits each) and alike."""
    return files.listing(workspace.path("known"), ".arrow")


def _first_stars(context: Context, workspace: Workspace, groups: Sequence[Sequence[SignaturePart]]) -> None:
    inputs: list[tuple[str, str, int]] = []
    for number, group in enumerate(groups):
        descriptor = json.dumps({"number": number, "ranks": ranks_uri(workspace, number), "parts": [part.uri for part in group]})
        inputs.append((f"bands-{number:05}", descriptor, sum(part.rows for part in group) * workspace.bytes_per_document))
    workspace.run(context, inputs, first_chain(workspace))
    files.remove(workspace.path("bands"))
    files.remove(workspace.path(_round(0), "centres"))


def _more_rounds(context: Context, workspace: Workspace, numbers: range, rounds: int) -> None:
    """Give new centres to the members that are not like theirs and compare again, several rounds in one pipeline."""
    before = workspace.path(_round(numbers[0] - 1))
    requested = sum(map(files.size, files.listing(files.join(before, "asked"), ".arrow")))
    failed = _total(workspace, f"compared-{numbers[0] - 1:03}", "failed")
    size = (requested + failed * workspace.bytes_per_document) // workspace.ranges
    inputs = [(f"verdicts-{key:05}", str(key), size) for key in range(workspace.ranges)]
    workspace.run(context, inputs, rounds_chain(workspace, numbers, rounds))
    for number in range(numbers[0] - 1, numbers[-1]):
        files.remove(workspace.path(_round(number)))
    files.remove(workspace.path(_round(numbers[-1]), "centres"))


def first_chain(workspace: Workspace) -> Chain:
    """Return the exchange from groups of parts to the comparison of the first stars."""
    bands = BandRows(workspace.section, workspace.path("bands"), workspace.ranges)
    return bands, (FirstStars(workspace), NewPairs(workspace, 0), AttachCentres(workspace, 0), ComparePairs(workspace, 0))


def rounds_chain(workspace: Workspace, numbers: range, rounds: int) -> Chain:
    """Return the exchange of these rounds; stars made after the last of all `rounds` are not compared."""
    steps: list[Step] = []
    for number in numbers:
        steps += [Restar(workspace, number, number > rounds), NewPairs(workspace, number), AttachCentres(workspace, number)]
        steps += [ComparePairs(workspace, number), Verdicts(workspace, number + 1)]
    return FirstVerdicts(workspace, numbers[0]), steps[:-1]


def _total(workspace: Workspace, notes: str, fact: str) -> int:
    return spill.total(spill.read_notes(workspace.path("notes", notes)), fact)


def _round(number: int) -> str:
    return f"round-{number:03}"


def _known(workspace: Workspace, key: int, number: int) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Return the pairs of a range compared before this round, sorted, and whether they are alike."""
    uris = files.listing(workspace.path("known", f"{key:05}"), ".arrow")
    # A worker that repeats a step which another has finished must see no more than that worker saw.
    before = [uri for uri in uris if uri.rsplit("/", 1)[-1] < f"{number:03}"]
    found = spill.read_all(before, pair=np.uint64, alike=np.uint8)
    order = np.argsort(found["pair"])
    return found["pair"][order], found["alike"][order]


def _pairs(edges: Edges) -> NDArray[np.uint64]:
    return edges.centre.astype(np.uint64) << _RANK_BITS | edges.member


def _ends(pairs: NDArray[np.uint64]) -> tuple[Ranks, Ranks]:
    return (pairs >> _RANK_BITS).astype(np.uint32), pairs.astype(np.uint32)


# The steps


def _request(workspace: Workspace, number: int, key: int, edges: Edges) -> list[tuple[int, str]]:
    """Keep the stars of a range of buckets and request their pairs."""
    uri = workspace.path(_round(number), "edges", f"{key:05}.arrow")
    spill.write_columns(uri, bucket=edges.bucket, centre=edges.centre, member=edges.member)
    pairs = distinct(_pairs(edges))
    return spill.write_by_key(workspace.path(_round(number), "asked"), f"{key:05}", range_of(pairs, workspace.ranges), pair=pairs)


@dataclass(frozen=True)
class FirstStars:
    """The stars of a range of band hashes."""

    workspace: Workspace

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep them and request their pairs."""
        rows = spill.read_all(uris, hash=np.uint64, rank=np.uint32)
        return _request(self.workspace, 0, key, science.stars(rows["hash"], rows["rank"]))


@dataclass(frozen=True)
class NewPairs:
    """The requested pairs of a range that were never compared, by the segment of the centre."""

    workspace: Workspace
    round: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment; without new pairs an empty one, so that the range still gets its verdicts."""
        pairs = distinct(spill.read_all(uris, pair=np.uint64)["pair"])
        known, _ = _known(self.workspace, key, self.round)
        if len(known):
            pairs = pairs[known[np.minimum(np.searchsorted(known, pairs), len(known) - 1)] != pairs]
        folder, name, segments = self.workspace.path(_round(self.round), "new"), f"{key:05}", Segments(self.workspace)
        if len(pairs):
            return spill.write_by_key(folder, name, segments.of(_ends(pairs)[0]), pair=pairs)
        segment = int(segments.of(np.zeros(1, np.uint32))[0])
        spill.write_columns(spill.keyed(folder, segment, name), pair=pairs)
        return [(segment, spill.keyed(folder, segment, name))]


@dataclass(frozen=True)
class AttachCentres:
    """The pairs with the evidence of their centres, from one segment, by the segment of the member."""

    workspace: Workspace
    round: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment and chunk of pairs."""
        segments = Segments(self.workspace)
        rows = Rows.of([segments.uri(segment)])
        folder = self.workspace.path(_round(self.round), "centres")
        written: list[tuple[int, str]] = []
        for uri in uris:
            pairs = spill.read_columns(uri)["pair"]
            if not len(pairs):
                written.append((segment, uri))
            places = segments.places(segment, _ends(pairs)[0])
            for number, chunk in enumerate(rows.chunks(places, self.workspace.bytes_at_once)):
                evidence = rows.take(places[chunk]).append_column("pair", pa.array(pairs[chunk]))
                name = f"{segment:05}-{spill.number_of(uri):05}-{number:05}"
                written += spill.write_rows_by_key(folder, name, segments.of(_ends(pairs[chunk])[1]), evidence)
        return written


@dataclass(frozen=True)
class ComparePairs:
    """The verdicts on the pairs whose members are in a segment."""

    workspace: Workspace
    round: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the verdicts, a file per range of pairs, and their counts."""
        segments = Segments(self.workspace)
        uri = segments.uri(segment)
        rows, store = Rows.of([uri]), SignatureStore([uri], self.workspace.section)
        pairs, alike = [np.empty(0, np.uint64)], [np.empty(0, np.bool_)]
        for batch in (batch for uri in uris for batch in spill.batches_of(uri)):
            pairs.append(batch["pair"].to_numpy())
            members = segments.places(segment, _ends(pairs[-1])[1])
            for chunk in rows.chunks(members, self.workspace.bytes_at_once):
                centres = evidence_of(batch.slice(chunk.start, chunk.stop - chunk.start), self.workspace.section.scheme)
                alike.append(likeness(centres, store.evidence(members[chunk]), self.workspace.section).alike)
        written = self._write(segment, np.concatenate(pairs), np.concatenate(alike))
        without = [(spill.number_of(uri), uri) for uri in uris if uri.startswith(self.workspace.path(_round(self.round), "new"))]
        return written + without

    def _write(self, segment: int, pairs: NDArray[np.uint64], alike: NDArray[np.bool_]) -> list[tuple[int, str]]:
        name = f"{segment:05}"
        note = self.workspace.path("notes", f"compared-{self.round:03}", f"{name}.json")
        spill.write_note(note, compared=len(pairs), failed=int(np.count_nonzero(~alike)))
        ranges, name = range_of(pairs, self.workspace.ranges), f"{self.round:03}-{name}"
        return spill.write_by_key(self.workspace.path("known"), name, ranges, pair=pairs, alike=alike.astype(np.uint8))


@dataclass(frozen=True)
class Verdicts:
    """The pairs of a range that failed in the previous round, for the buckets that requested them."""

    workspace: Workspace
    round: int

    def __call__(self, key: int, _uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per range of buckets with failed pairs."""
        known, alike = _known(self.workspace, key, self.round)
        written: list[tuple[int, str]] = []
        for uri in files.listing(self.workspace.path(_round(self.round - 1), "asked", f"{key:05}"), ".arrow"):
            pairs = spill.read_columns(uri)["pair"]
            failed = pairs[alike[np.searchsorted(known, pairs)] == 0]
            if len(failed):
                bucket_range = spill.number_of(uri)
                target = spill.keyed(self.workspace.path(_round(self.round), "failed"), bucket_range, f"{key:05}")
                spill.write_columns(target, pair=failed)
                written.append((bucket_range, target))
        return written


@dataclass(frozen=True)
class FirstVerdicts:
    """Map: the same for the first round of a chain."""

    workspace: Workspace
    round: int

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        """Write the files of the range in the descriptor."""
        return Verdicts(self.workspace, self.round)(int(descriptor), ())


@dataclass(frozen=True)
class Restar:
    """New stars of the members of a range of buckets that are not like their centre."""

    workspace: Workspace
    round: int
    is_last: bool  # the new stars are counted, but not compared

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep and count them, and request their pairs."""
        failed = np.sort(spill.read_all(uris, pair=np.uint64)["pair"])
        before = Edges(**spill.read_all([self.workspace.path(_round(self.round - 1), "edges", f"{key:05}.arrow")], **EDGES))
        pairs = _pairs(before)
        is_failed = failed[np.minimum(np.searchsorted(failed, pairs), len(failed) - 1)] == pairs
        left = science.capped_members(before.bucket[is_failed], before.member[is_failed], self.workspace.section.bucket_limit)
        edges = science.stars(left.bucket, left.member)
        uri = self.workspace.path("notes", f"restarred-{self.round:03}", f"{key:05}.json")
        spill.write_note(uri, left=len(edges.member), capped=left.capped, capped_buckets=len(left.capped_buckets))
        return [] if self.is_last or not len(edges.member) else _request(self.workspace, self.round, key, edges)
