"""The entries of a TensorFlow checkpoint's index: protocol buffers, and keys that encode slices.

Fields by tensorflow/core/protobuf/tensor_bundle.proto: BundleHeaderProto {1: num_shards, 2: endianness, 3: version},
BundleEntryProto {1: dtype, 2: shape, 3: shard_id, 4: offset, 5: size, 6: crc32c, 7: slices}; framework/versions.proto
{1: producer, 2: min_consumer}; tensor_shape.proto {2: dim {1: size}, 3: unknown_rank}; tensor_slice.proto {1: extent
{1: start, 2: length}}.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.contract.tokenizers.sentencepiece_proto import ProtoError, fields
from training.convert.formats.sorted_table import AGAIN
from training.convert.rules import WeightsError

BFLOAT16 = 14
NUMBERS: Mapping[int, np.dtype[Any]] = {  # framework/types.proto; bfloat16 as its bits
    number: np.dtype(name)
    for number, name in {
        1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64", 10: "bool", BFLOAT16: "uint16",
        17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
    }.items()
}  # fmt: skip
_NAMES = {7: "string", 8: "complex64", BFLOAT16: "bfloat16", 18: "complex128", 20: "resource", 21: "variant"}
_VERSION = 1  # tensor_bundle.cc, kTensorBundleVersion
_MOST_SHARDS = 99_999  # five digits in their names
_MOST_DIMENSIONS, _MOST_ELEMENTS = 32, 2**40  # so that NumPy takes every shape

Slice = tuple[tuple[int, int | None], ...]  # start and length by dimension; None: all of it


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of a tensor, or of a slice of one. A tensor with slices has no bytes itself."""

    kind: int  # number of the dtype
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int  # bytes
    sum: int  # CRC-32C of the bytes, masked
    slices: tuple[Slice, ...]


def header(message: bytes, where: str) -> tuple[int, bool]:
    """Return the number of shards, and whether tensors are big-endian. Raises WeightsError if it is invalid or too new."""
    try:
        values = dict(fields(message))
        least = _number(dict(fields(_bytes(values, 3))), 2)
        shards, endianness = _number(values, 1), _number(values, 2)
    except ProtoError as error:
        raise WeightsError(f"{where}: its header cannot be read: {error}; {AGAIN}") from error
    if least > _VERSION:
        raise WeightsError(
            f"{where}: it needs readers of version {least}, this is one of {_VERSION}; write it as TensorFlow 2 does"
        )
    if not 1 <= shards <= _MOST_SHARDS or endianness not in (0, 1):
        raise WeightsError(f"{where}: its header says {shards} shards and endianness {endianness}; {AGAIN}")
    return shards, endianness == 1


def entry(key: bytes, message: bytes, where: str) -> Entry:
    """Return the entry under a key. Raises WeightsError that names the tensor."""
    try:
        if not is_slice(key):
            key.decode()
        runs = list(fields(message))
        values = dict(runs)
        return Entry(
            kind=_number(values, 1),
            shape=_shape(_bytes(values, 2)),
            shard=_number(values, 3),
            offset=_number(values, 4),
            size=_number(values, 5),
            sum=int.from_bytes(_bytes(values, 6), "little"),
            slices=tuple(_slice(value) for number, value in runs if number == 7),
        )
    except ValueError as error:
        raise WeightsError(f"{where}: the entry of {readable(key)} cannot be read: {error}; {AGAIN}") from error


def is_slice(key: bytes) -> bool:
    """Return whether a key belongs to a slice; names of tensors never begin this way."""
    return key.startswith(b"\0")


def readable(key: bytes) -> str:
    """Return a key for messages: the name of the tensor, even for a slice."""
    if is_slice(key):
        name = key[1:].partition(b"\0\1")[0].replace(b"\0\xff", b"\0")
        return f"a slice of {name.decode(errors='replace')}"
    return key.decode(errors="replace")


def kind_name(kind: int) -> str:
    """Return the name of a dtype."""
    if kind in _NAMES:
        return _NAMES[kind]
    return NUMBERS[kind].name if kind in NUMBERS else f"number {kind}"


def slice_key(name: bytes, part: Slice) -> bytes:
    r"""Return the key of a slice: 0, the name, the number of dimensions, start and length of each; bytes sort as these do.

    Source: util/saved_tensor_slice_util.cc (EncodeTensorNameSlice) and lib/strings/ordered_code.cc.

    >>> slice_key(b"w", ((6, 2), (0, None)))
    b'\x00w\x00\x01\x01\x02\x86\x82\x80\x7f'
    """
    spelled = name.replace(b"\0", b"\0\xff")  # UTF-8 has no byte 255, which would need escaping, too
    numbers = b"".join(_signed(start) + _signed(-1 if length is None else length) for start, length in part)
    return b"\0" + spelled + b"\0\1" + _unsigned(len(part)) + numbers


def _unsigned(value: int) -> bytes:
    """Encode the length in bytes and the number, big-endian."""
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _signed(value: int) -> bytes:
    """Encode a number, big-endian, after one leading bit per byte: 1 if it is 0 or more, 0 if it is negative."""
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    bits = magnitude | ((1 << size) - 1) << (7 * size)
    return (~bits & (1 << 8 * size) - 1 if value < 0 else bits).to_bytes(size, "big")


def _shape(message: bytes) -> tuple[int, ...]:
    runs = list(fields(message))
    if any(number == 3 and value for number, value in runs):
        raise ValueError("its shape is unknown")
    shape = tuple(_number(dict(fields(_message(value))), 1) for number, value in runs if number == 2)
    if len(shape) > _MOST_DIMENSIONS or any(not 0 <= size <= _MOST_ELEMENTS for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape


def _slice(value: int | bytes) -> Slice:
    dimensions: list[tuple[int, int | None]] = []
    for number, extent in fields(_message(value)):
        if number == 1:
            extents = dict(fields(_message(extent)))
            dimensions.append((_number(extents, 1), _number(extents, 2) if 2 in extents else None))
    return tuple(dimensions)


def _number(values: Mapping[int, int | bytes], number: int) -> int:
    """Return a field as a signed 64-bit integer; 0 if it is absent."""
    value = values.get(number, 0)
    if not isinstance(value, int):
        raise ProtoError(f"its field {number} should be a number")
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _bytes(values: Mapping[int, int | bytes], number: int) -> bytes:
    return _message(values.get(number, b""))


def _message(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ProtoError("it has a number where a message should be")
    return value
