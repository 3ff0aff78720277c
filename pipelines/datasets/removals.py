"""The rows of the table clusters: what both ways of deduplication (in memory, through files) share to make and write them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.config import DeduplicateSection
from pipelines.contract import files
from pipelines.contract.manifest import Part
from pipelines.contract.schema import Grain
from pipelines.datasets.signatures import Piece
from pipelines.text.clusters import Ranks

TABLE = "clusters"


class ClusterError(ValueError):
    """The input or the config has to be mended before duplicates can be removed."""


def part_path(documents_dataset: str, unit: str) -> str:
    """A folder per dataset: no two pairs of names make the same path."""
    return f"{TABLE}/{documents_dataset}/{unit}.parquet"


def write_part(uri: str, piece: Piece, rows: pa.Table) -> Part:
    """Write the removals (schema.CLUSTERS, sorted by id) of one unit."""
    path = part_path(piece.dataset, piece.unit)
    with files.writing(files.join(uri, path)) as stream:
        pq.write_table(rows, pa.PythonFile(stream, mode="w"), compression="zstd")
    unit = f"{piece.dataset}/{piece.unit}"
    return Part(table=TABLE, unit=unit, path=path, rows=rows.num_rows, bytes=stream.bytes_written, sha256=stream.sha256)


def least_ids(ids: NDArray[np.uint64], component: Ranks) -> NDArray[np.uint64]:
    """For each row, the least id [rows, 2] of its component."""
    order = np.lexsort((ids[:, 1], ids[:, 0], component))
    present, first = np.unique(component[order], return_index=True)
    return ids[order[first]][np.searchsorted(present, component)]


def grains(equal: NDArray[np.bool_], similarity: NDArray[np.float32], section: DeduplicateSection) -> NDArray[np.str_]:
    """What each removed document shares with its survivor, to which it is alike."""
    near = similarity >= section.threshold if section.near else np.zeros(len(similarity), np.bool_)
    return np.where(equal, Grain.EXACT.value, np.where(near, Grain.NEAR.value, Grain.URL.value))


def too_large(members: int, best: str, section: DeduplicateSection) -> ClusterError:
    """The error about a cluster, given by the id of its best document."""
    return ClusterError(
        f"{members:,} documents hang together as near-duplicates, more than deduplicate.cluster_limit ="
        f" {section.cluster_limit:,}; the best of them is {best}. Perhaps a template is taken for a text:"
        " look at that document, and raise deduplicate.threshold or the limit"
    )


def same_id(piece: Piece, name: str) -> ClusterError:
    """The error about two documents of a unit that have one id, of which one is removed and one kept."""
    return ClusterError(
        f"{piece.dataset}, unit {piece.unit}: two documents have the id {name}; the source"
        " gives one key to two records: remove one of them from the input"
    )


def binary_ids(pairs: NDArray[np.uint64]) -> pa.Array:
    """Ids [rows, 2], two big-endian numbers each, as 16 bytes."""
    data = pa.py_buffer(pairs.astype(">u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(pairs), [None, data])


def hex_ids(pairs: NDArray[np.uint64]) -> list[str]:
    """The same for a person."""
    return [f"{high:016x}{low:016x}" for high, low in pairs.tolist()]
