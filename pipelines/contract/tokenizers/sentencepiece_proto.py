"""The parts of SentencePiece's model file that its library does not expose, read from the protocol buffer.

The fields, from sentencepiece_model.proto (google/sentencepiece): ModelProto {1: pieces, 2: trainer_spec, 3: normalizer_spec},
SentencePiece {1: piece, 2: score, 3: type}, TrainerSpec {3: model_type}, NormalizerSpec {2: precompiled_charsmap, 3:
add_dummy_prefix, 4: remove_extra_whitespaces}. A message is a sequence of fields, each a tag (number << 3 | wire type) and a
value; fields may be appended to a message. The library has a generated module for this, but it needs a newer protobuf than
Apache Beam allows.
"""

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # SentencePiece.Type

_PIECES, _TRAINER, _NORMALIZER, _MODEL_TYPE, _CHARSMAP = 1, 2, 3, 3, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_TYPES = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


class ProtoError(ValueError):
    """The bytes are not a protocol buffer."""


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    r"""Yield the fields of a message: number and value. Raise ProtoError if it is broken.

    >>> list(fields(b"\x18\x02"))
    [(3, 2)]
    """
    position = 0
    while position < len(data):
        tag, position = varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = varint(data, position)
            yield tag >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if wire == _BYTES:
            size, position = varint(data, position)
        if size is None or position + size > len(data):
            raise ProtoError(f"its protocol buffer is broken at byte {position}")
        yield tag >> 3, data[position : position + size]
        position += size


def model_type(model: bytes) -> str:
    """Return the kind of a model: "unigram", "bpe", "word" or "char". Raise ProtoError if it is not a model."""
    last = dict(fields(model))  # of several fields of one number, the last one counts
    trainer = last.get(_TRAINER, b"")
    if _PIECES not in last or not isinstance(trainer, bytes):
        raise ProtoError("it has no pieces")
    kind = dict(fields(trainer)).get(_MODEL_TYPE, 1)
    return _MODEL_TYPES.get(kind if isinstance(kind, int) else 0, "unknown")


@dataclass(frozen=True, slots=True)
class NormalizerSpec:
    """The changes that a model makes to a text before it looks for pieces."""

    charsmap: bytes  # SentencePiece's compiled rules; empty: none
    adds_prefix: bool  # "▁" before a text
    removes_spaces: bool  # at both ends of a text, and all but one of consecutive ones


def normalizer(model: bytes) -> NormalizerSpec:
    """Return the normaliser of a model, with the protocol buffer's defaults. Raise ProtoError."""
    message = dict(fields(model)).get(_NORMALIZER, b"")
    spec = dict(fields(message)) if isinstance(message, bytes) else {}
    charsmap = spec.get(_CHARSMAP, b"")
    return NormalizerSpec(charsmap if isinstance(charsmap, bytes) else b"", bool(spec.get(3, 1)), bool(spec.get(4, 1)))


@dataclass(frozen=True, slots=True)
class ModelPiece:
    """A piece; its position in the list of all pieces is its id."""

    text: bytes
    score: float  # float32 in the file
    type: int  # NORMAL …


def model_pieces(model: bytes) -> list[ModelPiece]:
    """Return all pieces in the order of their ids. Raise ProtoError."""
    return [_piece(value) for number, value in fields(model) if number == _PIECES and isinstance(value, bytes)]


def _piece(message: bytes) -> ModelPiece:
    text, score, kind = b"", 0.0, NORMAL
    for number, value in fields(message):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    return ModelPiece(text, score, kind)


def with_control_pieces(model: bytes, pieces: Iterable[str]) -> bytes:
    """Return the model with control pieces added after its last piece."""
    return model + b"".join(_field(_PIECES, _field(1, piece.encode()) + bytes([3 << 3 | _VARINT, CONTROL])) for piece in pieces)


def with_last(model: bytes, pieces: Collection[str]) -> bytes:
    """Return the model with some pieces moved to the end, in their order; the ids after their old places move down.

    SentencePiece's trainer cannot do this: it gives control pieces the first ids. A model's settings name the unknown piece
    and other roles by id, so only pieces after those may be moved.
    """
    records = list(fields(model))
    assert all(isinstance(value, bytes) for _, value in records), "a model has only fields of bytes"
    names = [_name(value) if number == _PIECES else None for number, value in records]
    assert set(pieces) <= set(names), f"the model has not all of {pieces}"
    order = sorted(range(len(records)), key=lambda n: (records[n][0] != _PIECES, names[n] in pieces))  # stable
    return b"".join(_field(records[n][0], bytes(records[n][1])) for n in order)


def _name(piece: int | bytes) -> str:
    return bytes(next(value for number, value in fields(bytes(piece)) if number == 1)).decode()


def _field(number: int, value: bytes) -> bytes:
    size, length = b"", len(value)
    while length >= 0x80:
        size, length = size + bytes([length & 0x7F | 0x80]), length >> 7
    return bytes([number << 3 | _BYTES]) + size + bytes([length]) + value


def varint(data: bytes, position: int) -> tuple[int, int]:
    """Read an unsigned number of at most 64 bits, 7 bits a byte, lowest first; return it and the position after it.

    Raise ProtoError if there is none.
    """
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ProtoError(f"its protocol buffer is broken at byte {position}")
