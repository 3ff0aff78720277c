"""Deduplication through files: the same answer as in one process, row for row, with every process's memory bounded.

Everything goes through keyed exchanges whose rows lie in spilled files: documents are ranked (ranks), candidate
pairs verified (pairs), components found (components), survivors chosen and the removals written
(survivors). How many segments and ranges there are follows from the documents and the budget (plan).

Limits: on disk, the signatures twice while they are ranked, then once; in each round of verification its new pairs with one
signature each; in the end the signatures of all members of clusters. A range is as large as its fullest bucket of bands, a
component as deduplicate.cluster_limit allows: these two must fit the budget.
"""

from collections.abc import Sequence

from pipelines.clustering.candidates import groups_of
from pipelines.clustering.components import label
from pipelines.clustering.pairs import verdict_uris, verify
from pipelines.clustering.plan import MIB, plan
from pipelines.clustering.ranks import rank, write_tasks
from pipelines.clustering.removals import Deduplicated
from pipelines.clustering.signatures import Piece
from pipelines.clustering.survivors import survivors
from pipelines.contract import files
from pipelines.units.context import Context


def deduplicate_through_files(
    context: Context, pieces: Sequence[Piece], spill: str, uri: str, *, budget: int | None = None
) -> Deduplicated:
    """Deduplicate the documents of some parts; their removals are written below `uri`, as the dataset clusters has them.

    `spill` is a folder for temporary files, removed at the end. `budget` is in bytes and stands for deduplicate.memory_mib.

    Raises PipelineError with the step, InputError when a cluster is too large or an id is not unique in its unit.
    """
    section = context.config.deduplicate
    pieces = [piece for piece in pieces if piece.rows]
    groups = groups_of(pieces)
    documents = sum(piece.rows for piece in pieces)
    published = sum(piece.rows for piece in pieces if piece.corpus is not None)
    stored = sum(files.size(piece.uri) for piece in pieces)
    chosen = plan(section, spill, documents, published, stored, budget or section.memory_mib * MIB)
    try:
        write_tasks(context, chosen, groups)
        rank(context, chosen, groups)
        counts = verify(context, chosen, groups)
        labels = label(context, chosen, verdict_uris(chosen), counts.compared - counts.failed)
        figures, parts = survivors(context, chosen, pieces, labels, uri)
    finally:
        files.remove(spill)
    return Deduplicated(parts, counts, figures)
