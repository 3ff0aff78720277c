"""Deduplication in one process: candidate pairs through the keyed exchange, everything else in arrays here.

Limits: the memory that `plan.fits` reckons with; signatures stay in their files, mapped into memory.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipelines.clustering import removals
from pipelines.clustering.candidates import candidates
from pipelines.clustering.plan import fits
from pipelines.clustering.removals import Deduplicated, Members
from pipelines.clustering.signatures import Piece, SignatureStore
from pipelines.clustering.through_files import deduplicate_through_files
from pipelines.contract import files
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Likeness, Ranks
from pipelines.units.context import Context


def deduplicate_in_memory(context: Context, pieces: Sequence[Piece], spill: str, uri: str) -> Deduplicated:
    """Deduplicate the documents of some parts; their removals are written below `uri`.

    `spill` is a folder for temporary files, removed at the end. Should there be more candidate pairs than fit the budget, it
    goes on through files.

    Raises ClusterError when a cluster is too large, or an id is not unique in its unit.
    """
    section = context.config.deduplicate
    store = SignatureStore([piece.uri for piece in pieces], section)
    order = rank_order(context, pieces, store)
    try:
        edges = candidates(context, pieces, order, spill)
    finally:
        files.remove(spill)
    if not fits(len(order), section, edges=len(edges.member)):
        return deduplicate_through_files(context, pieces, spill, uri)

    def compare(first: Ranks, second: Ranks) -> Likeness:
        return store.likeness(order[first], order[second])

    verified = science.verify(edges, compare, section.bucket_limit)
    nodes, component = science.components(verified.first, verified.second)
    published = sum(piece.rows for piece in pieces if piece.corpus is not None)
    is_open = removals.has_new(nodes, component, published)
    nodes, component = nodes[is_open], component[is_open]
    members = Members(section, pieces, store, nodes, component, numbers=order[nodes], rows=order[nodes])
    members.check_sizes()
    rows = members.removals(members.chosen(published))
    return Deduplicated(
        parts=tuple(removals.write_parts(uri, pieces, rows).values()),
        counts=verified.counts,
        figures=removals.added([members.figures(rows)], section),
    )


def rank_order(context: Context, pieces: Sequence[Piece], store: SignatureStore) -> NDArray[np.int64]:
    """Document numbers, best first."""
    priorities = [0 if piece.corpus is not None else context.config.source(piece.source).priority for piece in pieces]
    rows = [piece.rows for piece in pieces]
    priority = np.repeat(np.array(priorities, np.int64), rows)
    published = np.repeat(np.array([piece.corpus is not None for piece in pieces], np.bool_), rows)
    return science.rank_order(store.ids(), published, store.passes(), priority, store.characters())
