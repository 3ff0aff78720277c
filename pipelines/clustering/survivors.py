"""The survivors of each component, through files, and the table of removals.

labels → sizes of components → attach the evidence of their members → choose → a part for each unit
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.clustering import removals
from pipelines.clustering.ranks import Segments
from pipelines.clustering.removals import Figures, Members
from pipelines.clustering.signatures import SignaturePart, SignatureStore
from pipelines.clustering.workspace import Chain, Workspace, ranges_needed
from pipelines.contract import files
from pipelines.contract.manifest import Part
from pipelines.text.copies.clusters import Ranks
from pipelines.text.copies.components import range_of
from pipelines.units import spill
from pipelines.units.context import Context
from pipelines.units.spill import Rows


def survivors(
    context: Context, workspace: Workspace, parts: Sequence[SignaturePart], labels: Sequence[str], uri: str
) -> tuple[Figures, tuple[Part, ...]]:
    """Choose the survivors and write the removals below `uri`.

    Raise ClusterError (an InputError from the runner) if a cluster is too large, or an id is not unique in its unit.
    """
    labelled = sum(spill.read_columns(name)["node"].size for name in labels)
    ranges = ranges_needed(2 * labelled * workspace.bytes_per_document, workspace.budget // 2)
    spill.write_note(workspace.path("parts.json"), parts=[asdict(part) for part in parts])
    size = 2 * labelled * workspace.bytes_per_document // max(1, len(labels))
    inputs = [(f"labels-{number:05}", name, size) for number, name in enumerate(labels)]
    workspace.run(context, inputs, survivors_chain(workspace, ranges, uri))
    written = tuple(Part.model_validate(note) for note in spill.read_notes(workspace.path("parts")))
    return removals.added(spill.read_notes(workspace.path("figures")), workspace.section), written


def survivors_chain(workspace: Workspace, ranges: int, uri: str) -> Chain:
    """Return the exchange from labels to parts."""
    return ByComponent(workspace, ranges), (
        Sizes(workspace, ranges),
        AttachMembers(workspace, ranges),
        Choose(workspace),
        WriteParts(workspace, uri),
    )


# The steps


@dataclass(frozen=True)
class ByComponent:
    """Map: the labels of a file, by component."""

    workspace: Workspace
    ranges: int

    def __call__(self, uri: str) -> list[tuple[int, str]]:
        """Write a file per range of components."""
        found = spill.read_columns(uri)
        keys = range_of(found["component"], self.ranges)
        name = f"{spill.number_of(uri):05}"
        return spill.write_by_key(self.workspace.path("labelled"), name, keys, **found)


@dataclass(frozen=True)
class Sizes:
    """The members of a range of components, including the best, by the segment with their evidence."""

    workspace: Workspace
    ranges: int

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per segment. Raise ClusterError if a component is too large."""
        found = spill.read_all(uris, node=np.uint32, component=np.uint32)
        is_open = removals.has_new(found["node"], found["component"], self.workspace.published)
        found = {name: values[is_open] for name, values in found.items()}
        if not len(found["node"]):
            return []
        best, others = np.unique(found["component"], return_counts=True)
        segments = Segments(self.workspace)
        self._check(segments, best, others + 1)
        node, component = np.concatenate([best, found["node"]]), np.concatenate([best, found["component"]])
        return spill.write_by_key(self.workspace.path("members"), f"{key:05}", segments.of(node), node=node, component=component)

    def _check(self, segments: Segments, best: Ranks, members: NDArray[np.int64]) -> None:
        if members.max() <= self.workspace.section.cluster_limit:
            return
        document = best[[np.argmax(members)]]
        segment = int(segments.of(document)[0])
        row = Rows.of([segments.uri(segment)]).take(segments.places(segment, document))
        raise removals.too_large(int(members.max()), row["id"][0].as_py().hex(), self.workspace.section)


@dataclass(frozen=True)
class AttachMembers:
    """The members of a segment with their evidence, by component."""

    workspace: Workspace
    ranges: int

    def __call__(self, segment: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per range of components and chunk of members."""
        segments = Segments(self.workspace)
        rows = Rows.of([segments.uri(segment)])
        written: list[tuple[int, str]] = []
        for uri in uris:
            found = spill.read_columns(uri)
            places = segments.places(segment, found["node"])
            for number, chunk in enumerate(rows.chunks(places, self.workspace.bytes_at_once)):
                evidence = rows.take(places[chunk])
                for name in ("node", "component"):
                    evidence = evidence.append_column(name, pa.array(found[name][chunk]))
                name = f"{segment:05}-{spill.number_of(uri):05}-{number:05}"
                keys = range_of(found["component"][chunk], self.ranges)
                written += spill.write_rows_by_key(self.workspace.path("evidence"), name, keys, evidence)
        return written


@dataclass(frozen=True)
class Choose:
    """The removals in a range of components, by the group of the removed document's part."""

    workspace: Workspace

    def __call__(self, key: int, uris: Sequence[str]) -> list[tuple[int, str]]:
        """Write a file per group, and the figures of the range."""
        members = _members(self.workspace, uris)
        rows = members.removals(members.chosen(self.workspace.published))
        spill.write_note(self.workspace.path("figures", f"{key:05}.json"), **members.figures(rows))
        firsts = spill.read_columns(self.workspace.path("groups.arrow"))["first"]
        groups = np.searchsorted(firsts, rows["number"].to_numpy(), side="right") - 1
        return spill.write_rows_by_key(self.workspace.path("removals"), f"{key:05}", groups, rows)


def _members(workspace: Workspace, uris: Sequence[str]) -> Members:
    """Return the members of a range of components with their evidence."""
    store = SignatureStore(uris, workspace.section)
    batches = [batch for uri in uris for batch in spill.batches_of(uri)]
    nodes, components, numbers = (
        np.concatenate([batch[name].to_numpy() for batch in batches]) for name in ("node", "component", "number")
    )
    order = np.argsort(nodes)
    return Members(
        workspace.section, _parts(workspace), store, nodes[order], components[order], numbers[order].astype(np.int64), rows=order
    )


@dataclass(frozen=True)
class WriteParts:
    """The table of removals: a part for each unit of a group that loses documents."""

    workspace: Workspace
    uri: str

    def __call__(self, _group: int, uris: Sequence[str]) -> None:
        """Write the parts, and a note of each."""
        rows = pa.Table.from_batches([batch for uri in uris for batch in spill.batches_of(uri)])
        for index, part in removals.write_parts(self.uri, _parts(self.workspace), rows).items():
            spill.write_note(self.workspace.path("parts", f"{index:08}.json"), **part.model_dump())


def _parts(workspace: Workspace) -> list[SignaturePart]:
    return [SignaturePart(**entry) for entry in json.loads(files.read_text(workspace.path("parts.json")))["parts"]]
