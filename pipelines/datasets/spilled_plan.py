"""How deduplication through files is cut up: so that no step needs more memory than the budget."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.beam.exchange import Input, MapFunction, Step, exchange
from pipelines.build import Context
from pipelines.config import DeduplicateSection
from pipelines.contract import files

MIB = 2**20
BYTES_PER_DOCUMENT = 200  # this process, all documents at once, at its peak: see `fits`
BYTES_PER_EDGE = 120
EDGES_PER_DOCUMENT = 2
SORT_BYTES_PER_DOCUMENT = 100  # a segment's rank keys, and their order
SORT_BYTES_PER_ROW = 64  # a range's rows (hash, rank), sorted

Chain = tuple[MapFunction, Sequence[Step]]  # the functions of an exchange


@dataclass(frozen=True)
class Plan:
    """What every step knows."""

    section: DeduplicateSection
    spill: str  # folder
    documents: int
    published: int  # of earlier corpora: the best ranks
    bytes_per_document: int
    budget: int  # bytes of memory
    segments: int  # of all documents by rank; the evidence of one lies in half of the budget
    ranges: int  # of all band hashes, and of all pairs

    @property
    def bytes_at_once(self) -> int:
        """Evidence that a step holds while it goes through its rows."""
        return max(1, self.budget // 16)

    def path(self, *names: str) -> str:
        """A file or folder of the spill."""
        return files.join(self.spill, *names)

    def run(self, context: Context, inputs: Sequence[Input], chain: "Chain") -> None:
        """An exchange, with its progress shown."""

        def show(claims: Any) -> None:
            context.on_event("progress", {"claims": claims})

        exchange(context.runner, inputs, chain[0], *chain[1], on_progress=show)


def plan(section: DeduplicateSection, spill: str, documents: int, published: int, stored_bytes: int, budget: int) -> Plan:
    """The plan for so many documents, whose signatures take `stored_bytes` together."""
    bytes_per_document = -(-stored_bytes // max(1, documents))
    rows = documents * (section.lsh[0] + 2)
    return Plan(
        section,
        spill,
        documents,
        published,
        bytes_per_document,
        budget,
        segments=parts_of(documents * (bytes_per_document + SORT_BYTES_PER_DOCUMENT), budget // 2),
        ranges=parts_of(rows * SORT_BYTES_PER_ROW, budget // 2),
    )


def parts_of(total: int, limit: int) -> int:
    """Into how many equal parts of at most `limit` something is cut."""
    return max(1, -(-total // max(1, limit)))
