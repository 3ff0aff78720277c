"""The pieces of a SentencePiece model file, with their types and scores, which its Python interface tells in part only.

A model file is a protocol buffer (sentencepiece_model.proto): field 1 of the message is a piece, whose fields are 1 the
text, 2 the score (float32), 3 the type; field 3 is the normaliser, whose field 2 is its table of replacements. The other
fields are passed over.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True)
class ModelPiece:
    """A piece; its number in the list of all is its id."""

    text: bytes
    score: float
    type: int


def model_pieces(model: bytes) -> tuple[list[ModelPiece], bool]:
    """The pieces of a serialised model, in the order of their ids, and whether its normaliser rewrites characters."""
    pieces, rewrites = [], False
    for number, value in _fields(model):
        if number == 1 and isinstance(value, bytes):
            pieces.append(_piece(value))
        elif number == 3 and isinstance(value, bytes):
            rewrites = any(inner == 2 and table for inner, table in _fields(value))
    return pieces, rewrites


def _piece(message: bytes) -> ModelPiece:
    text, score, kind = b"", 0.0, NORMAL
    for number, value in _fields(message):
        if number == 1 and isinstance(value, bytes):
            text = value
        elif number == 2 and isinstance(value, bytes):
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    return ModelPiece(text, score, kind)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Number and value of each field."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(message, position)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError(f"not a SentencePiece model: a field of wire type {wire} at byte {position}")
        yield number, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """The number that starts at a byte, and where it ends."""
    value, shift = 0, 0
    while True:
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
