"""Checkpoints of TensorFlow, read without it: a "tensor bundle", the format V2 of TensorFlow 1 and the one of TensorFlow 2.

    PREFIX.index                   a sorted table: "" -> BundleHeaderProto, a tensor's name -> BundleEntryProto
    PREFIX.data-00000-of-00002 …   shards: the tensors' bytes, each where its entry says

sorted_table.py reads the table and its checksums, bundle_entries.py the messages. A partitioned variable has an
entry without bytes that lists its slices; each slice has its own key, and `read` joins them.

Limits: no tensors of strings or of variants (they are listed, but are no weights), no checkpoints of the older format V1.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.convert.formats import bundle_entries, sorted_table
from training.convert.formats.bundle_entries import BFLOAT16, NUMBERS, Entry, Slice, kind_name
from training.convert.formats.sorted_table import AGAIN, masked_crc32c
from training.convert.rules import WeightsError

_TRAINING = (  # ends of the names of an optimiser's tensors: BERT's optimization.py, tf.train.AdamOptimizer, the step
    "adam_m", "adam_v", "Adam", "Adam_1", "beta1_power", "beta2_power", "global_step",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checkpoint whose index was read and checked; tensors are read on demand."""

    prefix: str
    shards: int
    big_endian: bool
    entries: Mapping[bytes, Entry]  # tensors by name, slices by key

    @property
    def names(self) -> list[str]:
        """The names of the tensors, in the order of their bytes."""
        return [key.decode() for key in self.entries if not bundle_entries.is_slice(key)]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes by name."""
        return {name: self.entries[name.encode()].shape for name in self.names}

    @property
    def dtypes(self) -> dict[str, str]:
        """The dtypes by tensor's name: NumPy's names, or TensorFlow's for those that NumPy lacks ("bfloat16", "string")."""
        return {name: kind_name(self.entries[name.encode()].kind) for name in self.names}

    @property
    def index(self) -> str:
        """The file of the index."""
        return f"{self.prefix}.index"

    def shard(self, number: int) -> str:
        """Return the file of a shard."""
        return f"{self.prefix}.data-{number:05d}-of-{self.shards:05d}"

    def read(self, name: str) -> NDArray[Any]:
        """Read a tensor into a new array in this machine's byte order; bfloat16 as float32, which holds it exactly.

        Raises WeightsError if the tensor is missing, holds no numbers, or its bytes do not match their checksum.
        """
        entry = self.entries.get(name.encode())
        if entry is None or bundle_entries.is_slice(name.encode()):
            raise WeightsError(f"{self.index}: has no tensor {name}; it is another model, or not whole")
        if entry.kind not in NUMBERS:
            raise WeightsError(f"{self.index}: {name} is of the dtype {kind_name(entry.kind)}, which is not read; leave it out")
        if not entry.slices:
            return _stored(self, name, entry)
        array = np.empty(entry.shape, np.float32 if entry.kind == BFLOAT16 else NUMBERS[entry.kind])
        for part in entry.slices:  # each element once, as `open_bundle` checked
            array[_region(part, entry.shape)] = _stored(self, name, self.entries[bundle_entries.slice_key(name.encode(), part)])
        return array

    def weights(self) -> dict[str, NDArray[Any]]:
        """Read all tensors except those of an optimiser. Raises WeightsError, as `read` does."""
        return {name: self.read(name) for name in self.names if name.rsplit("/", 1)[-1] not in _TRAINING}


def open_bundle(prefix: str) -> Bundle:
    """Open a checkpoint by the path of its files up to ".index".

    Read and check the index, and check that the shards exist and are long enough. Raises WeightsError, with file, tensor and fix.
    """
    prefix = prefix.removesuffix(".index")
    where = f"{prefix}.index"
    _check_index(prefix)
    table = sorted_table.read(Path(where).read_bytes(), where)
    if b"" not in table:
        raise WeightsError(f"{where}: it is a table without the header of a checkpoint; {AGAIN}")
    shards, big_endian = bundle_entries.header(table.pop(b""), where)
    entries = {key: bundle_entries.entry(key, value, where) for key, value in table.items()}
    bundle = Bundle(prefix, shards, big_endian, entries)
    for key, entry in entries.items():
        _check_place(bundle, key, entry)
    _check_shards(bundle)
    for key, entry in entries.items():
        _check_slices(bundle, key, entry)
    return bundle


def find_prefix(path: str) -> str:
    """Return the checkpoint prefix for a path: the path, or what the folder's `checkpoint` file or only .index names.

    Raises WeightsError if a folder has none, or several and no `checkpoint` file.
    """
    folder = Path(path)
    if not folder.is_dir():
        return path.removesuffix(".index")
    newest = _newest(folder / "checkpoint")
    if newest is not None:
        return str(folder / newest)
    prefixes = sorted(file.name.removesuffix(".index") for file in folder.glob("*.index"))
    if len(prefixes) > 1:
        raise WeightsError(f"{path}: has several checkpoints ({', '.join(prefixes)}); name the one that is meant, without .index")
    if not prefixes:
        raise WeightsError(f"{path}: has no file *.index, so no TensorFlow checkpoint; name the folder of one, or its prefix")
    return str(folder / prefixes[0])


def _newest(file: Path) -> str | None:
    """Return the newest checkpoint of a folder by TensorFlow's `checkpoint` file: the name only, because folders get moved."""
    if not file.is_file():
        return None
    match = re.search(r'^\s*model_checkpoint_path:\s*"(.+)"\s*$', file.read_text("utf-8", errors="replace"), re.MULTILINE)
    if match is None:
        raise WeightsError(f"{file}: names no model_checkpoint_path; remove it, or name the checkpoint's prefix")
    return match[1].replace("\\", "/").rsplit("/", 1)[-1]


def _check_index(prefix: str) -> None:
    """Raise WeightsError unless there is an index; an old checkpoint has none."""
    if Path(f"{prefix}.index").is_file():
        return
    path = Path(prefix)
    if path.is_file() or any(path.parent.glob(f"{path.name}-?????-of-?????")):
        raise WeightsError(
            f"{prefix}: a checkpoint of TensorFlow's old format V1, without .index, which is not read here; restore it in"
            " TensorFlow and save it with tf.compat.v1.train.Saver(), which writes V2"
        )
    raise WeightsError(f"{prefix}.index: there is no such file; name the checkpoint's files up to .index")


def _check_place(bundle: Bundle, key: bytes, entry: Entry) -> None:
    """Raise WeightsError if an entry contradicts itself."""
    name = bundle_entries.readable(key)
    if entry.shard not in range(bundle.shards):
        raise WeightsError(f"{bundle.index}: {name} lies in shard {entry.shard} of {bundle.shards}; {AGAIN}")
    if entry.slices:
        return
    if entry.offset < 0 or entry.size < 0:
        raise WeightsError(f"{bundle.index}: {name} has {entry.size} bytes from {entry.offset} on; {AGAIN}")
    if entry.kind in NUMBERS and entry.size != math.prod(entry.shape) * NUMBERS[entry.kind].itemsize:
        raise WeightsError(f"{bundle.index}: {name} of shape {entry.shape} cannot have {entry.size} bytes; {AGAIN}")


def _check_slices(bundle: Bundle, key: bytes, entry: Entry) -> None:
    """Raise WeightsError unless a tensor's slices exist, lie within it, and cover it without overlap."""
    if not entry.slices:
        return
    name, held = bundle_entries.readable(key), 0
    for part in entry.slices:
        stored = bundle.entries.get(bundle_entries.slice_key(key, part))
        if stored is None or stored.slices or stored.kind != entry.kind:
            raise WeightsError(f"{bundle.index}: the slice {part} of {name} is missing; {AGAIN}")
        if not _fits(part, stored, entry.shape):
            raise WeightsError(f"{bundle.index}: the slice {part} does not fit {name} of shape {entry.shape}; {AGAIN}")
        held += math.prod(stored.shape)
    if held != math.prod(entry.shape) or _overlap(entry):
        raise WeightsError(f"{bundle.index}: the slices of {name} are not all of it, each once; {AGAIN}")


def _check_shards(bundle: Bundle) -> None:
    """Raise WeightsError unless every shard that is used is there and long enough."""
    ends: dict[int, tuple[int, bytes]] = {}
    for key, entry in bundle.entries.items():
        if not entry.slices:
            ends[entry.shard] = max(ends.get(entry.shard, (0, key)), (entry.offset + entry.size, key))
    for number, (end, key) in sorted(ends.items()):
        file = Path(bundle.shard(number))
        if not file.is_file():
            raise WeightsError(f"{file}: this shard of {bundle_entries.readable(key)} is missing; put it beside the .index")
        size = file.stat().st_size
        if size < end:
            raise WeightsError(f"{file}: has {size} bytes, but {bundle_entries.readable(key)} ends at {end}; {AGAIN}")


def _stored(bundle: Bundle, name: str, entry: Entry) -> NDArray[Any]:
    """Read the tensor of an entry that has bytes."""
    file, dtype = bundle.shard(entry.shard), NUMBERS[entry.kind]
    data = np.fromfile(file, np.uint8, entry.size, offset=entry.offset)
    if len(data) != entry.size or masked_crc32c(data) != entry.sum:
        raise WeightsError(f"{file}: the bytes of {name} are not those that were written (CRC-32C); {AGAIN}")
    array = data.view(dtype.newbyteorder(">" if bundle.big_endian else "<")).reshape(entry.shape)
    if entry.kind == BFLOAT16:
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(dtype, copy=False)


def _overlap(entry: Entry) -> bool:
    """Return whether two of a tensor's slices have an element in common."""
    seen = np.zeros(entry.shape, np.bool_)
    for part in entry.slices:
        region = seen[_region(part, entry.shape)]
        if region.any():
            return True
        region[...] = True
    return False


def _region(part: Slice, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the index of a slice in its tensor."""
    return tuple(
        slice(start, start + (size if length is None else length)) for (start, length), size in zip(part, shape, strict=True)
    )


def _fits(part: Slice, stored: Entry, shape: tuple[int, ...]) -> bool:
    """Return whether a slice lies within its tensor and the stored entry has its shape."""
    if not len(part) == len(stored.shape) == len(shape):
        return False
    regions = _region(part, shape)
    inside = all(0 <= region.start <= region.stop <= size for region, size in zip(regions, shape, strict=True))
    return inside and stored.shape == tuple(region.stop - region.start for region in regions)
