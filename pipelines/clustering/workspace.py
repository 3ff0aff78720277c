"""The workspace of deduplication through files: its folder, and how many segments and ranges keep each step in its memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.beam.exchange import Input, MapFunction, Step, exchange
from pipelines.config import DeduplicateSection
from pipelines.contract import files
from pipelines.units.context import Context

MIB = 2**20
RANK_BYTES_PER_DOCUMENT = 120  # in one process: see `fits`
HELD_BYTES_PER_DOCUMENT = 44
VERIFY_BYTES_PER_EDGE = 125
EDGES_PER_DOCUMENT = 2
BYTES_PER_EDGE = 120  # components: union-find takes 34 beside the 8 of the pair, large-star 84 beside 16 for both directions
SORT_BYTES_PER_DOCUMENT = 100  # a segment's rank keys, and their order
SORT_BYTES_PER_ROW = 64  # a range's rows (hash, rank), sorted

Chain = tuple[MapFunction, Sequence[Step]]  # the functions of an exchange


@dataclass(frozen=True)
class Workspace:
    """The settings, sizes and folder that every step shares."""

    section: DeduplicateSection
    spill: str  # folder
    documents: int
    published: int  # of earlier corpora; they have the best ranks
    bytes_per_document: int
    budget: int  # bytes of memory
    segments: int  # of all documents by rank; the evidence of one fits half of the budget
    ranges: int  # of all band hashes, and of all pairs

    @property
    def bytes_at_once(self) -> int:
        """Return the bytes of evidence that a step holds at a time."""
        return max(1, self.budget // 16)

    def path(self, *names: str) -> str:
        """Return the path of a file or folder of the spill."""
        return files.join(self.spill, *names)

    def run(self, context: Context, inputs: Sequence[Input], chain: "Chain") -> None:
        """Run an exchange and report its progress."""

        def show(claims: Any) -> None:
            context.on_event("progress", {"claims": claims})

        exchange(context.runner, inputs, chain[0], *chain[1], on_progress=show)


def fits(documents: int, section: DeduplicateSection, edges: int | None = None) -> bool:
    """Return whether deduplicate.memory_mib is enough for all documents in one process, besides the program's own 200 MiB.

    Measured (NumPy 2.4; a build of 300,000 against one of 1,200,000 documents, and tracemalloc): ranking takes 117 bytes a
    document (keys 34, ids 16, exact hashes 16, the sort 43, its order 8). Verification holds 44 bytes a document (ids 16,
    exact hashes 16, order 8, ranks 4) and takes 16 + 67 to 108 bytes an edge, the more the more edges fail; components and
    survivors take less. Signatures stay in their files.

    Until the `edges` of all stars are counted, two per document are assumed: random texts with 20 % near-duplicates
    have 0.9; two documents of similarity 0.9 share 6 of 14 bands. So 2 GiB are enough for 7.3 million documents.

    >>> fits(7_300_000, DeduplicateSection(memory_mib=2048)), fits(7_400_000, DeduplicateSection(memory_mib=2048))
    (True, False)
    """
    edges = documents * EDGES_PER_DOCUMENT if edges is None else edges
    verify = HELD_BYTES_PER_DOCUMENT * documents + VERIFY_BYTES_PER_EDGE * edges
    return max(RANK_BYTES_PER_DOCUMENT * documents, verify) <= section.memory_mib * MIB


def workspace_for(
    section: DeduplicateSection, spill: str, documents: int, published: int, stored_bytes: int, budget: int
) -> Workspace:
    """Return the workspace for this many documents, whose signatures take `stored_bytes` in all."""
    bytes_per_document = -(-stored_bytes // max(1, documents))
    rows = documents * (section.lsh[0] + 2)
    return Workspace(
        section,
        spill,
        documents,
        published,
        bytes_per_document,
        budget,
        segments=ranges_needed(documents * (bytes_per_document + SORT_BYTES_PER_DOCUMENT), budget // 2),
        ranges=ranges_needed(rows * SORT_BYTES_PER_ROW, budget // 2),
    )


def ranges_needed(total: int, limit: int) -> int:
    """Return how many equal ranges of at most `limit` make up `total`."""
    return max(1, -(-total // max(1, limit)))
