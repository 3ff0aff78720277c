"""Candidate pairs and their verification, through files: the same rounds as text/clusters.verify.

A pair is asked for by each range of buckets that it lies in, and compared once: pairs have ranges of their own, which
remember what is known. The evidence of a pair comes by two hops, of its centre and then of its member.

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

ROUNDS_AT_ONCE = 4  # in one pipeline: most end by then, and a pipeline takes seconds to start its workers, minutes on a cluster
_RANK_BITS = np.uint64(32)


def verify(
    context: Context, workspace: Workspace, groups: Sequence[Sequence[SignaturePart]], rounds: int = science.RESTAR_ROUNDS
) -> Counts:
    """Compare all candidate pairs; the verdicts lie where `verdict_uris` says."""
    _first_stars(context, workspace, groups)
    left: list[int] = []  # members of the new stars, round by round
    while len(left) <= rounds and (not left or left[-1]):
        numbers = range(len(left) + 1, min(len(left) + ROUNDS_AT_ONCE, rounds + 1) + 1)
        _more_rounds(context, workspace, numbers, rounds)
        left += [_total(workspace, f"restarred-{number:03}", "left") for number in numbers]
    used = next((number for number, members in enumerate(left) if not members), rounds)
    return Counts(
        compared=sum(_total(workspace, f"compared-{number:03}", "compared") for number in range(used + 1)),
        failed=sum(_total(workspace, f"compared-{number:03}", "failed") for number in range(used + 1)),
        rounds=used,
        unresolved=left[used],
        capped_buckets=sum(_total(workspace, f"restarred-{number:03}", "capped_buckets") for number in range(1, used + 2)),
        capped=sum(_total(workspace, f"restarred-{number:03}", "capped") for number in range(1, used + 2)),
    )


def verdict_uris(workspace: Workspace) -> list[str]:
    """The files of all pairs that were compared: pair (better rank, other rank: 32 bits each), alike."""
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
    """Give new centres to members that are not like theirs, and compare, some rounds in one go."""
    before = workspace.path(_round(numbers[0] - 1))
    asked = sum(map(files.size, files.listing(files.join(before, "asked"), ".arrow")))
    failed = _total(workspace, f"compared-{numbers[0] - 1:03}", "failed")
    size = (asked + failed * workspace.bytes_per_document) // workspace.ranges
    inputs = [(f"verdicts-{key:05}", str(key), size) for key in range(workspace.ranges)]
    workspace.run(context, inputs, rounds_chain(workspace, numbers, rounds))
    for number in range(numbers[0] - 1, numbers[-1]):
        files.remove(workspace.path(_round(number)))
    files.remove(workspace.path(_round(numbers[-1]), "centres"))


def first_chain(workspace: Workspace) -> Chain:
    """From groups of parts to the comparison of the first stars."""
    bands = BandRows(workspace.section, workspace.path("bands"), workspace.ranges)
    return bands, (FirstStars(workspace), NewPairs(workspace, 0), AttachCentres(workspace, 0), ComparePairs(workspace, 0))


def rounds_chain(workspace: Workspace, numbers: range, rounds: int) -> Chain:
    """From a comparison to the one of the last of `numbers`; the stars that come after all `rounds` are not compared."""
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
    """The pairs of a range that were compared before this round, sorted, and whether they are alike."""
    uris = files.listing(workspace.path("known", f"{key:05}"), ".arrow")
    # A worker that is late with a step which another has finished must not see more than that one.
    before = [uri for uri in uris if uri.rsplit("/", 1)[-1] < f"{number:03}"]
    found = spill.read_all(before, pair=np.uint64, alike=np.uint8)
    order = np.argsort(found["pair"])
    return found["pair"][order], found["alike"][order]


def _pairs(edges: Edges) -> NDArray[np.uint64]:
    return edges.centre.astype(np.uint64) << _RANK_BITS | edges.member


def _ends(pairs: NDArray[np.uint64]) -> tuple[Ranks, Ranks]:
    return (pairs >> _RANK_BITS).astype(np.uint32), pairs.astype(np.uint32)


# The steps


def _ask(workspace: Workspace, number: int, key: int, edges: Edges) -> list[tuple[int, str]]:
    """Keep the stars of a range of buckets, and ask for their pairs."""
    uri = workspace.path(_round(number), "edges", f"{key:05}.arrow")
    spill.write_columns(uri, bucket=edges.bucket, centre=edges.centre, member=edges.member)
    pairs = distinct(_pairs(edges))
    return spill.write_by_key(workspace.path(_round(number), "asked"), f"{key:05}", range_of(pairs, workspace.ranges), pair=pairs)


@dataclass(frozen=True)
class FirstStars:
    """The stars of a range of band hashes."""

    workspace: Workspace

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep them, and ask for their pairs."""
        rows = spill.read_all(uris, hash=np.uint64, rank=np.uint32)
        return _ask(self.workspace, 0, key, science.stars(rows["hash"], rows["rank"]))


@dataclass(frozen=True)
class NewPairs:
    """Of the pairs of a range that are asked for, those that were never compared, by the segment of the centre."""

    workspace: Workspace
    round: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment; without new pairs an empty one, that the range hears of its verdicts all the same."""
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
    """The evidence of the centres in a segment, beside each pair, by the segment of the member."""

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
    """Whether the pairs whose members lie in a segment are alike."""

    workspace: Workspace
    round: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the verdicts, a file per range of pairs, and how many there are."""
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
    """The pairs of a range that failed in the round before, for the buckets that asked for them."""

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
                asker = spill.number_of(uri)
                target = spill.keyed(self.workspace.path(_round(self.round), "failed"), asker, f"{key:05}")
                spill.write_columns(target, pair=failed)
                written.append((asker, target))
        return written


@dataclass(frozen=True)
class FirstVerdicts:
    """Map: the same for the first round of a chain."""

    workspace: Workspace
    round: int

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        """Write the files of the range that is described."""
        return Verdicts(self.workspace, self.round)(int(descriptor), ())


@dataclass(frozen=True)
class Restar:
    """The members of a range of buckets that are not like their centre form stars of their own."""

    workspace: Workspace
    round: int
    is_last: bool  # the new stars are counted, but not compared

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Keep them, count, and ask for their pairs."""
        failed = np.sort(spill.read_all(uris, pair=np.uint64)["pair"])
        before = Edges(**spill.read_all([self.workspace.path(_round(self.round - 1), "edges", f"{key:05}.arrow")], **EDGES))
        pairs = _pairs(before)
        is_failed = failed[np.minimum(np.searchsorted(failed, pairs), len(failed) - 1)] == pairs
        left = science.capped_members(before.bucket[is_failed], before.member[is_failed], self.workspace.section.bucket_limit)
        edges = science.stars(left.bucket, left.member)
        uri = self.workspace.path("notes", f"restarred-{self.round:03}", f"{key:05}.json")
        spill.write_note(uri, left=len(edges.member), capped=left.capped, capped_buckets=len(left.capped_buckets))
        return [] if self.is_last or not len(edges.member) else _ask(self.workspace, self.round, key, edges)
