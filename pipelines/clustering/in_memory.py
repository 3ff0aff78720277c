"""Deduplication in one process: candidate pairs through the keyed exchange, everything else in arrays here.

Limits: the memory that `workspace.fits` estimates; signatures stay in their memory-mapped files.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.clustering import removals
from pipelines.clustering.candidates import candidates
from pipelines.clustering.passing import passing
from pipelines.clustering.removals import Deduplicated, Members
from pipelines.clustering.signatures import SignaturePart, SignatureStore
from pipelines.clustering.through_files import deduplicate_through_files
from pipelines.clustering.workspace import fits
from pipelines.contract import files
from pipelines.stages.judgement.rules import Judgement
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Likeness, Ranks
from pipelines.units.context import Context


def deduplicate_in_memory(context: Context, parts: Sequence[SignaturePart], spill: str, uri: str) -> Deduplicated:
    """Deduplicate the documents of these parts and write the removals below `uri`.

    `spill` is a folder for temporary files, removed at the end. If the candidate pairs exceed the memory budget, the work
    continues through files.

    Raise ClusterError if a cluster is too large, or an id is not unique in its unit.
    """
    section = context.config.deduplicate
    store = SignatureStore([part.uri for part in parts], section)
    order = rank_order(context, parts, store)
    try:
        edges = candidates(context, parts, order, spill)
    finally:
        files.remove(spill)
    if not fits(len(order), section, edges=len(edges.member)):
        return deduplicate_through_files(context, parts, spill, uri)

    def compare(first: Ranks, second: Ranks) -> Likeness:
        return store.likeness(order[first], order[second])

    verified = science.verify(edges, compare, section.bucket_limit)
    nodes, component = science.components(verified.first, verified.second)
    published = sum(part.rows for part in parts if part.corpus is not None)
    is_open = removals.has_new(nodes, component, published)
    nodes, component = nodes[is_open], component[is_open]
    members = Members(section, parts, store, nodes, component, numbers=order[nodes], rows=order[nodes])
    members.check_sizes()
    rows = members.removals(members.chosen(published))
    return Deduplicated(
        parts=tuple(removals.write_parts(uri, parts, rows).values()),
        counts=verified.counts,
        figures=removals.added([members.figures(rows)], section),
    )


def rank_order(context: Context, parts: Sequence[SignaturePart], store: SignatureStore) -> NDArray[np.int64]:
    """Return the document numbers, best first."""
    priorities = [0 if part.corpus is not None else context.config.source(part.source).priority for part in parts]
    rows = [part.rows for part in parts]
    priority = np.repeat(np.array(priorities, np.int64), rows)
    published = np.repeat(np.array([part.corpus is not None for part in parts], np.bool_), rows)
    return science.rank_order(store.ids(), published, _passes(context, parts), priority, store.characters())


def _passes(context: Context, parts: Sequence[SignaturePart]) -> NDArray[np.bool_]:
    judgement = Judgement.of(context.config)
    found = [
        np.ones(part.rows, np.bool_) if part.documents is None else passing(part.documents, part.source, judgement)
        for part in parts
    ]
    return np.concatenate([np.empty(0, np.bool_), *found])
