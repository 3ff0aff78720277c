"""Takedown: drop documents by id, address or host."""

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.config import ExcludeSection
from pipelines.contract.batch import Batch, sift
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Model, Stage, for_every_unit
from pipelines.stages.exclusion import takedown
from pipelines.stages.exclusion.takedown import Takedown

VERSION = f"3/lists-{takedown.VERSION}"
NAME = "exclude"
NAME_OF_PIECES = "exclude_pieces"

_SHOWN = {"ids": "id", "urls": "url", "hosts": "host"}


def stage(section: ExcludeSection, stored: Model | None = None) -> Stage:
    """Sift EXCLUDED (detail: the name that names the document, such as "host example.org").

    `stored` is the file of `takedown.store`, for lists from files: workers map it; without it, they read the lists again.
    """
    return Stage({NAME: VERSION}, partial(_open, section, stored), {NAME: takedown.settings(section)})


def pieces(section: ExcludeSection, stored: Model | None = None) -> Stage:
    """Sift EXCLUDED by id alone, after long texts were split: a piece has an id of its own.

    It also runs without ids, so that units have the same lines in their ledgers whatever the lists, and can be kept.
    """
    return Stage({NAME_OF_PIECES: VERSION}, partial(_open_pieces, section, stored))


def lists(section: ExcludeSection, stored: Model | None) -> Takedown:
    """Return the lists of the config and its files."""
    return takedown.collect(section) if stored is None else takedown.load(stored.local())


def _open(section: ExcludeSection, stored: Model | None) -> ForUnit:
    return for_every_unit(partial(_run, lists(section, stored), NAME))


def _open_pieces(section: ExcludeSection, stored: Model | None) -> ForUnit:
    return for_every_unit(partial(_run, lists(section, stored).of_ids(), NAME_OF_PIECES))


def details(excluded: Takedown, documents: pa.RecordBatch) -> pa.Array:
    """Return the name that names each document (with columns id, work and url), such as "host example.org", or null."""
    rows, names = _named(excluded, documents)
    return _spread(rows, names, documents.num_rows)


def _run(excluded: Takedown, name: str, batch: Batch) -> Batch:
    named = details(excluded, batch.documents)
    reasons = pc.if_else(pc.is_valid(named), DropReason.EXCLUDED.value, pa.scalar(None, pa.string()))
    return sift(batch, name, reasons, named)


def _named(excluded: Takedown, documents: pa.RecordBatch) -> tuple[NDArray[np.int64], pa.Array]:
    """Return the rows that are named, each once, and what names them: an id before an address, an address before a host."""
    rows, details = [], []
    for kind, (found, places) in excluded.find(documents).items():
        names = excluded.by_kind[kind].names.take(pa.array(places)).to_pylist()
        rows.append(found)
        details.extend(f"{_SHOWN[kind]} {name}" for name in names)  # a loop: hits are few
    distinct, first = np.unique(np.concatenate(rows), return_index=True)
    return distinct, pa.array(details, pa.string()).take(pa.array(first))


def _spread(rows: NDArray[np.int64], values: pa.Array, length: int) -> pa.Array:
    """Return an array of so many rows with these values in these rows, null elsewhere."""
    places = np.zeros(length, np.int64)
    places[rows] = np.arange(len(rows))
    mask = np.ones(length, np.bool_)
    mask[rows] = False
    return values.take(pa.array(places, mask=mask)).cast(pa.string())
