"""Every document of a finished corpus, kept or dropped, as record batches of the columns that a review needs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import files
from pipelines.contract.schema import DROPS
from pipelines.contract.tables import column_names, read_batches
from pipelines.units.context import Dataset

TABLES = ("documents", "drops")
# Stages of the corpus that judge by columns which every document before them has: their drops can be judged again.
JUDGED_STAGES = ("rejudge", "language", "quality")
# Reasons for which the text of a document is never shown: its owner wants it gone, or it is full of private data.
UNSHOWN = frozenset({"excluded", "blocked", "private_data"})

Fate = tuple[str, str, str]  # source, stage, reason; stage and reason are empty if the document was kept


@dataclass(frozen=True, slots=True)
class Rows:
    """A batch of documents with its place."""

    columns: Mapping[str, pa.Array]
    part: int  # number in `parts`
    group: int  # row group of the part

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.columns["id"])


def parts(corpus: Dataset) -> list[str]:
    """Return the URIs of the parts that together hold every document once, the kept ones first."""
    return [files.join(corpus.uri, part.path) for table in TABLES for part in corpus.manifest.of(table)]


def read(corpus: Dataset, names: Sequence[str]) -> Iterator[Rows]:
    """Yield all documents with these columns of schema.DROPS and their length in `characters`.

    Columns that an older release of the program did not write are null. The length is that of the text as it was measured; the
    text is read for it only where nothing was measured (quality.measure = false).
    """
    unmeasured = not corpus.manifest.config.get("quality", {}).get("measure", True)
    wanted = [*names, *(("text",) if unmeasured else ("measures",))]
    for number, uri in enumerate(parts(corpus)):
        known = set(column_names(uri))
        for group, batch in enumerate(read_batches(uri, [name for name in dict.fromkeys(wanted) if name in known])):
            columns: dict[str, Any] = {
                name: batch[name] if name in known else pa.nulls(batch.num_rows, DROPS.field(name).type)
                for name in dict.fromkeys(wanted)
            }
            yield Rows(columns | {"characters": _characters(columns)}, number, group)


def _characters(columns: Mapping[str, Any]) -> pa.Array:
    if "text" in columns:
        return pc.utf8_length(columns["text"]).cast(pa.int64())
    return pc.fill_null(pc.struct_field(columns["measures"], "characters"), 0).cast(pa.int64())


def fates(corpus: Dataset) -> dict[Fate, int]:
    """Return the number of documents of every fate, as the ledgers have it: the kept ones of each source, then its drops."""
    counts: dict[Fate, int] = {}
    for source, ledger in corpus.manifest.ledgers.items():
        lines = ledger.lines
        kept = next(reversed(lines.values())).documents_out if lines else 0
        named = [("", "", kept), *((stage, why, n) for stage, line in lines.items() for why, n in line.documents_dropped.items())]
        counts |= {(source, stage, str(reason)): count for stage, reason, count in named if count}
    return counts
