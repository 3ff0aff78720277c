"""Deduplication through files: the same result as in one process, row for row, in bounded memory per process.

All steps are keyed exchanges of spilled files: rank the documents (ranks), verify candidate pairs (pairs), find components
(components), choose survivors and write the removals (survivors). The number of segments and ranges follows from the
documents and the memory budget (workspace).

Limits: the disk holds the signatures twice while they are ranked, then once; in each round of verification its new pairs with
a signature each; at the end the signatures of all members of clusters. The fullest bucket of bands and the largest component
(deduplicate.cluster_limit) must fit the budget.
"""

from collections.abc import Sequence

from pipelines.clustering.candidates import groups_of
from pipelines.clustering.components import label
from pipelines.clustering.pairs import verdict_uris, verify
from pipelines.clustering.ranks import rank, write_tasks
from pipelines.clustering.removals import Deduplicated
from pipelines.clustering.signatures import SignaturePart
from pipelines.clustering.survivors import survivors
from pipelines.clustering.workspace import MIB, workspace_for
from pipelines.contract import files
from pipelines.units.context import Context


def deduplicate_through_files(
    context: Context, parts: Sequence[SignaturePart], spill: str, uri: str, *, budget: int | None = None
) -> Deduplicated:
    """Deduplicate the documents of these parts and write the removals below `uri`, as parts of the dataset clusters.

    `spill` is a folder for temporary files, removed at the end. `budget` in bytes replaces deduplicate.memory_mib.

    Raise PipelineError with the step, InputError if a cluster is too large or an id is not unique in its unit.
    """
    section = context.config.deduplicate
    parts = [part for part in parts if part.rows]
    groups = groups_of(parts)
    documents = sum(part.rows for part in parts)
    published = sum(part.rows for part in parts if part.corpus is not None)
    stored = sum(files.size(part.uri) for part in parts)
    chosen = workspace_for(section, spill, documents, published, stored, budget or section.memory_mib * MIB)
    try:
        write_tasks(context, chosen, groups)
        rank(context, chosen, groups)
        counts = verify(context, chosen, groups)
        labels = label(context, chosen, verdict_uris(chosen), counts.compared - counts.failed)
        figures, written = survivors(context, chosen, parts, labels, uri)
    finally:
        files.remove(spill)
    return Deduplicated(written, counts, figures)
