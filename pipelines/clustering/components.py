"""Connected components through files: one union-find if the edges fit this process, else rounds (text/copies/components)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.clustering.workspace import BYTES_PER_EDGE, Chain, Workspace
from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.text.copies import clusters as science
from pipelines.text.copies.clusters import Ranks
from pipelines.text.copies.components import both_directions, large_star, range_of, small_star
from pipelines.units import spill
from pipelines.units.context import Context

MAX_ROUNDS = 300  # observed: log2 of the longest path, so about 40 for 2^32 documents in one path
ROUNDS_AT_ONCE = 3  # per pipeline; starting the workers takes as long as a few rounds
NODES_PER_FILE = 2**20
_RANK_BITS = np.uint64(32)


def label(context: Context, workspace: Workspace, verdicts: Sequence[str], edges: int) -> list[str]:
    """Write (node, component) of every document with an edge, except each component's best; return the files.

    `edges` is the number of pairs that are alike.
    """
    if edges * BYTES_PER_EDGE <= workspace.budget // 2:
        return _at_once(workspace, verdicts)
    return by_rounds(context, workspace, verdicts, parts_for(workspace, edges))


def parts_for(workspace: Workspace, edges: int) -> int:
    """Return how many ranges of nodes are needed to sort a range's edges, in both directions, within half of the budget."""
    return max(1, -(-2 * edges * BYTES_PER_EDGE // max(1, workspace.budget // 2)))


def _at_once(workspace: Workspace, verdicts: Sequence[str]) -> list[str]:
    pairs = [_accepted(uri) for uri in verdicts]
    first = np.concatenate([np.empty(0, np.uint32), *(pair[0] for pair in pairs)])
    second = np.concatenate([np.empty(0, np.uint32), *(pair[1] for pair in pairs)])
    nodes, component = science.components(first, second)
    is_other = nodes != component
    nodes, component = nodes[is_other], component[is_other]
    uris: list[str] = []
    for number, start in enumerate(range(0, len(nodes), NODES_PER_FILE)):
        chunk = slice(start, start + NODES_PER_FILE)
        uris.append(workspace.path("labels", f"{number:05}.arrow"))
        spill.write_columns(uris[-1], node=nodes[chunk], component=component[chunk])
    return uris


def by_rounds(context: Context, workspace: Workspace, verdicts: Sequence[str], ranges: int) -> list[str]:
    """Run large-star and small-star until a round changes nothing.

    Raise UserError if MAX_ROUNDS are not enough.
    """
    sources, done = list(verdicts), 0
    while sources:
        folder = workspace.path("components", f"{done:03}")
        inputs = [(f"edges-{i:05}", json.dumps({"number": i, "uri": uri}), files.size(uri)) for i, uri in enumerate(sources)]
        workspace.run(context, inputs, rounds_chain(folder, ranges))
        if done:
            files.remove(workspace.path("components", f"{done - ROUNDS_AT_ONCE:03}"))
        done += ROUNDS_AT_ONCE
        sources = files.listing(files.join(folder, "stars"), ".arrow")
        changes = spill.total(spill.read_notes(files.join(folder, f"changes-{ROUNDS_AT_ONCE - 1}")), "changes")
        context.on_event("components", {"rounds": done, "changes": changes})
        if not changes:
            return sources
        if done >= MAX_ROUNDS:
            raise UserError(
                f"the connected components of the near-duplicates were not found in {done} rounds ({changes:,} edges still"
                " change); raise deduplicate.memory_mib, so that one process finds them at once"
            )
    return []


def _accepted(uri: str) -> tuple[Ranks, Ranks]:
    """Return the pairs of a file of verdicts that are alike, the better rank first."""
    found = spill.read_columns(uri)
    pairs: NDArray[np.uint64] = found["pair"][found["alike"] == 1]
    return (pairs >> _RANK_BITS).astype(np.uint32), pairs.astype(np.uint32)


def rounds_chain(folder: str, ranges: int) -> Chain:
    """Return the exchange that takes edges ROUNDS_AT_ONCE rounds nearer to stars."""
    last = ROUNDS_AT_ONCE - 1
    return Directions(folder, ranges), [
        step
        for number in range(ROUNDS_AT_ONCE)
        for step in (LargeStar(folder, number, ranges), SmallStar(folder, number, ranges, is_last=number == last))
    ]


# The steps


@dataclass(frozen=True)
class Directions:
    """Map: the edges of a file (verdicts, or stars of an earlier round), once under each of its ends."""

    folder: str
    ranges: int

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        """Write a file per range of nodes."""
        task = json.loads(descriptor)
        columns = spill.read_columns(task["uri"])
        edges = (columns["node"], columns["component"]) if "node" in columns else _accepted(task["uri"])
        return _under_both_ends(files.join(self.folder, "edges"), f"{task['number']:05}", *edges, self.ranges)


@dataclass(frozen=True)
class LargeStar:
    """The large-star step for a range of nodes."""

    folder: str
    round: int
    ranges: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the new edges, a file per range of their greater end."""
        star = large_star(*_edges(uris))
        spill.write_note(files.join(self.folder, f"changes-{self.round}", f"large-{key:05}.json"), changes=star.changes)
        folder, keys = files.join(self.folder, f"large-{self.round}"), range_of(star.node, self.ranges)
        return spill.write_by_key(folder, f"{key:05}", keys, node=star.node, neighbour=star.centre)


@dataclass(frozen=True)
class SmallStar:
    """The small-star step for a range of nodes."""

    folder: str
    round: int
    ranges: int
    is_last: bool

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write the new edges: under both ends for the next round, or as they are in the last one."""
        star = small_star(*_edges(uris))
        spill.write_note(files.join(self.folder, f"changes-{self.round}", f"small-{key:05}.json"), changes=star.changes)
        if self.is_last:
            stars = files.join(self.folder, "stars", f"{key:05}.arrow")
            spill.write_columns(stars, node=star.node, component=star.centre)
            return []
        folder = files.join(self.folder, f"small-{self.round}")
        return _under_both_ends(folder, f"{key:05}", star.node, star.centre, self.ranges)


def _under_both_ends(folder: str, name: str, first: Ranks, second: Ranks, ranges: int) -> list[tuple[int, str]]:
    node, neighbour = both_directions(first, second)
    return spill.write_by_key(folder, name, range_of(node, ranges), node=node, neighbour=neighbour)


def _edges(uris: Sequence[str]) -> tuple[Ranks, Ranks]:
    found = spill.read_all(uris, node=np.uint32, neighbour=np.uint32)
    return found["node"], found["neighbour"]
