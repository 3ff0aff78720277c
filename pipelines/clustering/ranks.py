"""Documents sorted by rank, through files, so that the keys need not fit in memory.

The first 64 bits of the rank key divide the documents into segments of similar size (the splitters come from a sample); a
segment is sorted by the whole key. A document's rank is its place in its segment plus the documents of earlier segments.

    sample → splitters → spread by segment → sort a segment → the ranks of each group of parts, in the order of its documents
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.clustering.passing import passing
from pipelines.clustering.signatures import SignaturePart
from pipelines.clustering.workspace import Chain, Workspace
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.stages import signatures
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Ranks
from pipelines.units import spill
from pipelines.units.context import Context
from pipelines.units.spill import Rows

DOCUMENTS_PER_SAMPLE = 256  # one of this many is sampled for the splitters
_PLACE_BITS, _CHARACTER_BITS, _ID_BITS = 16, 24, 22  # with the two flags: 64


def write_tasks(context: Context, workspace: Workspace, groups: Sequence[Sequence[SignaturePart]]) -> None:
    """Write what each group of parts consists of, for its steps."""
    priorities = sorted({_priority(context, part) for group in groups for part in group}, reverse=True)
    if len(priorities) > 2**_PLACE_BITS:
        raise UserError(f"{len(priorities):,} different source priorities; at most {2**_PLACE_BITS:,} are supported")
    for number, group in enumerate(groups):
        parts = [
            {
                "uri": part.uri,
                "documents": part.documents,
                "source": part.source,
                "published": part.corpus is not None,
                "place": priorities.index(_priority(context, part)),
            }
            for part in group
        ]
        rows = sum(part.rows for part in group)
        spill.write_note(_task_uri(workspace, number), number=number, first=group[0].first, rows=rows, parts=parts)
    spill.write_columns(workspace.path("groups.arrow"), first=np.array([group[0].first for group in groups], np.int64))


def _priority(context: Context, part: SignaturePart) -> int:
    return 0 if part.corpus is not None else context.config.source(part.source).priority


def rank(context: Context, workspace: Workspace, groups: Sequence[Sequence[SignaturePart]]) -> None:
    """Write the segments, and the ranks of each group's documents at `ranks_uri`."""
    inputs = [
        (f"sample-{number:05}", _task_uri(workspace, number), sum(part.rows for part in group) * workspace.bytes_per_document)
        for number, group in enumerate(groups)
    ]
    workspace.run(context, inputs, rank_chain(workspace, Judgement.of(context.config)))
    spill.write_columns(_bases_uri(workspace), base=_bases(workspace))
    for folder in ("samples", "unsorted", "group-ranks"):
        files.remove(workspace.path(folder))


def rank_chain(workspace: Workspace, judgement: Judgement) -> Chain:
    """Return the exchange from groups of parts to segments and ranks."""
    steps = (Splitters(workspace), Spread(workspace, judgement), SortSegment(workspace), GroupRanks(workspace))
    return SamplePrefixes(workspace, judgement), steps


def ranks_uri(workspace: Workspace, group: int) -> str:
    """Return the file of the ranks of a group's documents."""
    return workspace.path("ranks", f"{group:05}.arrow")


class Segments:
    """Locates documents by rank."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self.bases = spill.read_columns(_bases_uri(workspace))["base"]

    def of(self, ranks: Ranks) -> NDArray[np.int64]:
        """Return the segment of each rank."""
        return np.searchsorted(self.bases, ranks, side="right") - 1

    def uri(self, segment: int) -> str:
        """Return the file of a segment, whose documents are in order of rank."""
        return _segment_uri(self._workspace, segment)

    def places(self, segment: int, ranks: Ranks) -> NDArray[np.int64]:
        """Return the rows of these ranks in their segment's file."""
        return ranks.astype(np.int64) - self.bases[segment]


def _task_uri(workspace: Workspace, group: int) -> str:
    return workspace.path("tasks", f"{group:05}.json")


def _segment_uri(workspace: Workspace, segment: int) -> str:
    return workspace.path("segments", f"{segment:05}.arrow")


def _bases_uri(workspace: Workspace) -> str:
    return workspace.path("bases.arrow")


def _bases(workspace: Workspace) -> NDArray[np.int64]:
    """Return the rank of each segment's first document; empty segments have no note."""
    rows = np.zeros(workspace.segments, np.int64)
    for note in spill.read_notes(workspace.path("segment-rows")):
        rows[note["segment"]] = note["rows"]
    return np.concatenate([[0], np.cumsum(rows)[:-1]])


# The steps


@dataclass(frozen=True)
class SamplePrefixes:
    """Map: the rank prefixes of a sample of a group's documents."""

    workspace: Workspace
    judgement: Judgement

    def __call__(self, task_uri: str) -> list[tuple[int, str]]:
        """Write the group's file; all files have the same key."""
        task = json.loads(files.read_text(task_uri))
        prefixes = np.sort(_prefixes(_batches(self.workspace, self.judgement, task)))[::DOCUMENTS_PER_SAMPLE]
        uri = self.workspace.path("samples", f"{task['number']:05}.arrow")
        spill.write_columns(uri, prefix=prefixes)
        return [(0, uri)]


@dataclass(frozen=True)
class Splitters:
    """The prefixes at which the segments begin, one file for every group."""

    workspace: Workspace

    def __call__(self, _key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write it, and hand it to the groups."""
        prefixes = np.sort(spill.read_all(uris, prefix=np.uint64)["prefix"])
        segments = self.workspace.segments
        uri = self.workspace.path("splitters.arrow")
        spill.write_columns(uri, prefix=prefixes[np.arange(1, segments) * len(prefixes) // segments])
        return [(spill.number_of(sample), uri) for sample in uris]


@dataclass(frozen=True)
class Spread:
    """The documents of a group, with all their columns, by segment."""

    workspace: Workspace
    judgement: Judgement

    def __call__(self, group: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment that has documents of this group."""
        batches = _batches(self.workspace, self.judgement, json.loads(files.read_text(_task_uri(self.workspace, group))))
        segments = np.searchsorted(spill.read_columns(uris[0])["prefix"], _prefixes(batches), side="right")
        rows = Rows(batches)
        written: list[tuple[int, str]] = []
        for segment in np.unique(segments).tolist():
            uri = spill.keyed(self.workspace.path("unsorted"), segment, f"{group:05}")
            chosen = np.flatnonzero(segments == segment)
            spill.write_batches(uri, rows.schema, in_chunks(self.workspace, rows, chosen))
            written.append((segment, uri))
        return written


@dataclass(frozen=True)
class SortSegment:
    """The documents of a segment in order of rank; their places go back to their groups."""

    workspace: Workspace

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the segment's file and a file per group that has documents in it."""
        workspace = self.workspace
        batches = [batch for uri in uris for batch in spill.batches_of(uri)]  # by group: so by document number
        order = science.rank_order(*_keys(batches))
        names = [name for name in batches[0].schema.names if name not in ("characters", "passes", "published", "place")]
        rows = Rows([batch.select(names) for batch in batches])
        spill.write_batches(_segment_uri(workspace, segment), rows.schema, in_chunks(workspace, rows, order))
        spill.write_note(workspace.path("segment-rows", f"{segment:05}.json"), segment=segment, rows=len(order))
        numbers = np.concatenate([batch["number"].to_numpy() for batch in batches])[order]
        firsts = spill.read_columns(workspace.path("groups.arrow"))["first"]
        return spill.write_by_key(
            workspace.path("group-ranks"),
            f"{segment:05}",
            np.searchsorted(firsts, numbers, side="right") - 1,
            number=numbers,
            place=np.arange(len(order), dtype=np.uint32),
        )


@dataclass(frozen=True)
class GroupRanks:
    """The ranks of a group's documents, in document order."""

    workspace: Workspace

    def __call__(self, group: int, uris: Sequence[str]) -> None:
        """Write the file of the group."""
        task = json.loads(files.read_text(_task_uri(self.workspace, group)))
        bases = _bases(self.workspace)  # every segment is sorted by now
        ranks = np.empty(task["rows"], np.uint32)
        for uri in uris:
            found = spill.read_columns(uri)
            ranks[found["number"].astype(np.int64) - task["first"]] = found["place"] + bases[spill.number_of(uri)]
        spill.write_columns(ranks_uri(self.workspace, group), rank=ranks)


def in_chunks(workspace: Workspace, rows: Rows, numbers: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """Yield these rows in order, as many at a time as the memory allows."""
    for chunk in rows.chunks(numbers, workspace.bytes_at_once):
        yield rows.take(numbers[chunk])


def _batches(workspace: Workspace, judgement: Judgement, task: Mapping[str, Any]) -> list[pa.RecordBatch]:
    """Return the signatures of a group, with the document numbers and the ranking columns that the parts do not have."""
    names = ["id", "exact", "url", "minhash", "characters"]
    names += ["words"] if signatures.has_words(workspace.section) else []
    found: list[pa.RecordBatch] = []
    first = task["first"]
    for part in task["parts"]:
        passes = None if part["documents"] is None else passing(part["documents"], part["source"], judgement)
        of_part = first
        for batch in spill.batches_of(part["uri"]):
            rows = batch.num_rows
            known = np.ones(rows, np.bool_) if passes is None else passes[first - of_part : first - of_part + rows]
            extra = {
                "number": pa.array(np.arange(first, first + rows, dtype=np.uint32)),
                "passes": pa.array(known),
                "published": pa.array(np.full(rows, part["published"])),
                "place": pa.array(np.full(rows, part["place"], np.uint16)),
            }
            columns = [*(batch[name] for name in names), *extra.values()]
            found.append(pa.RecordBatch.from_arrays(columns, names=[*names, *extra]))
            first += rows
    return found


def _keys(batches: Sequence[pa.RecordBatch]) -> tuple[Any, Any, Any, Any, Any]:
    """Return the arguments of `rank_order`; the place of a priority in order replaces its value."""

    def joined(name: str) -> Any:
        return np.concatenate([batch[name].to_numpy(zero_copy_only=False) for batch in batches])

    ids = np.concatenate([spill.id_pairs(batch["id"]) for batch in batches])
    return ids, joined("published"), joined("passes"), -joined("place").astype(np.int64), joined("characters")


def _prefixes(batches: Sequence[pa.RecordBatch]) -> NDArray[np.uint64]:
    """Return the first 64 bits of each rank key; the better document has the lesser prefix, or an equal one."""
    ids, published, passes, priority, characters = _keys(batches)
    most = 2**_CHARACTER_BITS - 1
    short = np.uint64(most) - np.clip(characters, 0, most).astype(np.uint64)
    # Longer texts have equal prefixes here, so their ids must not count.
    beginning = np.where(characters < most, ids[:, 0] >> np.uint64(64 - _ID_BITS), np.uint64(0))
    prefix = (~published).astype(np.uint64) << np.uint64(1) | (~passes).astype(np.uint64)
    prefix = prefix << np.uint64(_PLACE_BITS) | (-priority).astype(np.uint64)
    prefix = prefix << np.uint64(_CHARACTER_BITS) | short
    return prefix << np.uint64(_ID_BITS) | beginning
