"""Encode texts with one id per character, as SentencePiece's char model does (char_model.cc).

A character without a piece is encoded as bytes; in a model without byte pieces, a run of them is one unknown piece.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.sentencepiece_proto import BYTE, NORMAL, UNUSED, USER_DEFINED, model_pieces, normalizer
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.text.kernels import jit

_NONE = -1


class Char(NamedTuple):
    """The tables of a model for the kernel."""

    characters: NDArray[np.int32]  # by code point, the id of its piece, or -1
    fallback: NDArray[np.int32]  # by byte, the id of its byte piece, or -1
    unknown: int  # id


def char(tokenizer: Tokenizer) -> Char | None:
    """Return the tables of a model, or None if the kernel does not support the model.

    It supports models whose pieces are single characters and that neither change a text nor put anything before it.
    """
    if tokenizer.library != "sentencepiece" or tokenizer.kind != "char" or normalizer(tokenizer.model).charsmap:
        return None
    if tokenizer.processor.normalize(" a  b ") != f"{SPACE_MARK}a{SPACE_MARK}{SPACE_MARK}b{SPACE_MARK}":
        return None
    pieces = model_pieces(tokenizer.model)
    own = {p.text.decode(): i for i, p in enumerate(pieces) if p.type in (NORMAL, USER_DEFINED)}
    specials = tokenizer.special_ids
    if any(p.type == UNUSED for p in pieces) or not all(len(c) == 1 for c in own) or any(len(name) == 1 for name in specials):
        return None
    characters, fallback = np.full(0x110000, _NONE, np.int32), np.full(256, _NONE, np.int32)
    characters[[ord(" " if c == SPACE_MARK else c) for c in own]] = list(own.values())
    for i, piece in enumerate(pieces):
        if piece.type == BYTE:
            fallback[int(piece.text[3:5], 16)] = i  # <0x41>
    assert tokenizer.unknown_id is not None, "a SentencePiece model has an unknown piece"
    return Char(characters, fallback, tokenizer.unknown_id)


def encode_characters(
    model: Char, data: NDArray[np.uint8], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ids of N texts (UTF-8) in order and N + 1 offsets into them; U+2581 must already be a space."""
    ids, id_offsets = np.empty(len(data), np.int32), np.zeros(len(offsets), np.int64)
    _encode(data, offsets, model.characters, model.fallback, model.unknown, ids, id_offsets)
    return ids[: id_offsets[-1]], id_offsets


@jit
def _encode(  # pragma: no cover (compiled)
    data: Any, offsets: Any, characters: Any, fallback: Any, unknown: int, ids: Any, id_offsets: Any
) -> None:  # fmt: skip
    o = 0
    for text in range(len(offsets) - 1):
        position, end = offsets[text], offsets[text + 1]
        in_unknown = False
        while position < end:
            first = np.int64(data[position])
            width = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            point = first if width == 1 else first & (0x7F >> width)
            for i in range(position + 1, position + width):
                point = point << 6 | np.int64(data[i] & 0x3F)
            piece = characters[point]
            if piece != _NONE:
                ids[o] = piece
                o += 1
            elif fallback[first] != _NONE:
                for i in range(position, position + width):
                    ids[o] = fallback[data[i]]
                    o += 1
            elif not in_unknown:
                ids[o] = unknown
                o += 1
            in_unknown = piece == _NONE
            position += width
        id_offsets[text + 1] = o
