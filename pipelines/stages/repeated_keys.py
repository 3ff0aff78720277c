"""Drop documents whose key an earlier unit of their source has: within a unit, the reader notices it itself.

Units are read apart from each other, so a key in several units is found when all are finished (`find`); then the later units are
read again without these documents (`stage`). The first unit by file and place keeps the key, so the result does not depend on
the order in which units finish. Ids stand for keys: works, since all pieces of a long text have one key.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import files
from pipelines.contract.batch import Batch, sift
from pipelines.contract.manifest import Part, Sidecar
from pipelines.contract.reasons import DropReason
from pipelines.contract.tables import read_batches
from pipelines.stages.base import BatchFunction, ForUnit, Stage
from pipelines.units.descriptor import Unit

VERSION = 1
NAME = "repeated_keys"

_LEFT_TO = "its key is that of a document of "  # in the details of the drops
_BYTES_PER_WORK = 24  # held in `_in_several`: the first 8 bytes, once by unit, joined, and compared
_SCHEMA = pa.schema([("work", pa.binary(16)), ("holder", pa.string())])

Paths = Sequence[Sequence[str]]  # of the parts with the documents of each unit, the first unit first
# A work in a later unit: the unit's number, the two halves of the work, the number of the unit that keeps it.
Repeated = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]


def stage(continued: str, folder: str | None = None) -> Stage:
    """Sift REPEATED_KEY (detail: the file, or the group of files, that keeps the key).

    Without the folder that `find` has written, the stage is off. The drops are counted in the line of the stage that this one
    continues: the reader.
    """
    return Stage({NAME: VERSION}, partial(_open, continued, folder or ""), runs=folder is not None)


def find(dataset_uri: str, units: Sequence[Unit], sidecars: Sequence[Sidecar], folder: str, memory_bytes: int) -> dict[str, str]:
    """Write into the folder what each unit must leave to an earlier one; return the sha256 of that by unit.

    Units and their sidecars are in the same order. A unit that has left documents before counts with them.
    """
    pairs = sorted(zip(units, sidecars, strict=True), key=lambda pair: _place(pair[0]))
    parts = [[part for part in sidecar.parts if _may_hold_works(part, sidecar)] for _, sidecar in pairs]
    paths = [[files.join(dataset_uri, part.path) for part in of_unit] for of_unit in parts]
    rows = sum(part.rows for of_unit in parts for part in of_unit)
    digests: dict[str, str] = {}
    later, works, keeper = _repeated(paths, max(1, -(-rows * _BYTES_PER_WORK // memory_bytes)))
    numbers, rows_of = _by_number(later)
    for number, mine in zip(numbers, rows_of, strict=True):
        table = pa.table([_binary(works[mine]), [_shown(pairs[k][0]) for k in keeper[mine].tolist()]], schema=_SCHEMA)
        with files.writing(_file(folder, pairs[number][0].name)) as out, pa.ipc.new_file(pa.PythonFile(out), _SCHEMA) as writer:
            writer.write_table(table)
        digests[pairs[number][0].name] = out.sha256
    return digests


def _may_hold_works(part: Part, sidecar: Sidecar) -> bool:
    return part.table == "documents" or (part.table == "drops" and NAME in sidecar.made_from)


def _by_number(numbers: NDArray[np.int64]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """Return the distinct numbers, ascending, and the places of each."""
    order = np.argsort(numbers, kind="stable")
    distinct, starts = np.unique(numbers[order], return_index=True)
    return distinct.tolist(), np.split(order, starts[1:]) if len(order) else []


def _place(unit: Unit) -> tuple[Any, ...]:
    """Return what orders units: the file, then the range of it."""
    numbers = [number for value in unit.parameters.values() if isinstance(value, list) for number in value]
    return unit.uri, [number for number in numbers if isinstance(number, int)], unit.name


def _shown(unit: Unit) -> str:
    return unit.uri if len(unit.paths) < 2 else f"{unit.paths[0]} to {unit.paths[-1]}"


def _file(folder: str, unit: str) -> str:
    return files.join(folder, f"{unit}.arrow")


# Works in several units


def _repeated(paths: Paths, rounds: int) -> Repeated:
    """Return the works that a unit shares with an earlier one; each round looks at a range of them, to bound the memory."""
    found = [_exact(paths, _in_several(paths, number, rounds)) for number in range(rounds)]
    later, works, keeper = zip(*found, strict=True)
    return np.concatenate(later), np.concatenate(works), np.concatenate(keeper)


def _in_several(paths: Paths, number: int, rounds: int) -> NDArray[np.uint64]:
    """Return the first halves, ascending, of works that occur in several units, and of hardly any others."""
    by_unit: list[NDArray[np.uint64]] = []
    for of_unit in paths:
        halves = [half[_round_of(half, rounds) == number] for half in (works[:, 0] for works in _works(of_unit))]
        if halves:
            by_unit.append(np.unique(np.concatenate(halves)))
    joined = np.sort(np.concatenate([np.empty(0, np.uint64), *by_unit]))
    return np.unique(joined[1:][joined[1:] == joined[:-1]])


def _round_of(half: NDArray[np.uint64], rounds: int) -> NDArray[np.uint64]:
    return (half >> np.uint64(32)) * np.uint64(rounds) >> np.uint64(32)


def _exact(paths: Paths, candidates: NDArray[np.uint64]) -> Repeated:
    """Compare whole works; `candidates` are their first halves."""
    works, numbers = [np.empty((0, 2), np.uint64)], [np.empty(0, np.int64)]
    for number, of_unit in enumerate(paths if len(candidates) else ()):
        for some in _works(of_unit):
            at = np.minimum(np.searchsorted(candidates, some[:, 0]), len(candidates) - 1)
            works.append(some[candidates[at] == some[:, 0]])
            numbers.append(np.full(len(works[-1]), number))
    joined, unit = np.concatenate(works), np.concatenate(numbers)
    order = np.lexsort((unit, joined[:, 1], joined[:, 0]))
    joined, unit = joined[order], unit[order]
    is_first = np.ones(len(joined), np.bool_)
    is_first[1:] = (joined[1:] != joined[:-1]).any(axis=1)
    keeper = unit[is_first][np.cumsum(is_first) - 1]
    is_new = is_first.copy()  # of several pieces in one unit, one counts
    is_new[1:] |= unit[1:] != unit[:-1]
    chosen = is_new & (unit != keeper)
    return unit[chosen], joined[chosen], keeper[chosen]


def _works(paths: Sequence[str]) -> Iterator[NDArray[np.uint64]]:
    """Yield the works of these parts, [rows, 2]: their halves as numbers."""
    for path in paths:
        for works in _left(path) if "/drops/" in path else (batch["work"] for batch in read_batches(path, ["work"])):
            halves = np.frombuffer(works.buffers()[1], ">u8").reshape(-1, 2)
            yield halves[works.offset : works.offset + len(works)].astype(np.uint64)


def is_left(drops: pa.RecordBatch) -> pa.Array:
    """Return which drops (with columns reason and detail) were left to an earlier unit."""
    is_repeated = pc.equal(drops["reason"].cast(pa.string()), DropReason.REPEATED_KEY.value)
    return pc.and_(is_repeated, pc.starts_with(pc.fill_null(drops["detail"], ""), _LEFT_TO))


def _left(path: str) -> Iterator[pa.Array]:
    """Yield the works that a unit has left to earlier ones, from a part with its drops."""
    for batch in read_batches(path, ["work", "reason", "detail"]):
        yield batch["work"].filter(is_left(batch))


def _binary(works: NDArray[np.uint64]) -> pa.Array:
    data = pa.py_buffer(works.astype(">u8").tobytes())
    return pa.Array.from_buffers(pa.binary(16), len(works), [None, data])


# The stage


def _open(continued: str, folder: str) -> ForUnit:
    return lambda _source, unit: _of_unit(continued, _file(folder, unit))


def _of_unit(continued: str, path: str) -> BatchFunction:
    if not files.exists(path):
        return lambda batch: batch
    table = pa.Table.from_batches(read_batches(path), _SCHEMA).combine_chunks()
    works, keepers = (table[name].combine_chunks() for name in _SCHEMA.names)

    def run(batch: Batch) -> Batch:
        found = pc.index_in(batch.documents["work"], value_set=works)
        reasons = pc.if_else(pc.is_valid(found), DropReason.REPEATED_KEY.value, pa.scalar(None, pa.string()))
        return sift(batch, continued, reasons, pc.binary_join_element_wise(_LEFT_TO, keepers.take(found), ""))

    return run
