r"""What the pieces of a vocabulary are: the table beside a tokenizer, and where words start in a run of ids.

A piece alone says almost whether a word begins with it; the rest depends on the piece before it. So the table has two
columns, and `word_starts` joins them:

    word_start   a word begins with this piece: "▁geese", "Ġgeese", WordPiece's "geese" (not "##ese"), punctuation, a
                 character of a script that is written without spaces, or nothing but white space ("▁", "\n", "ĉ")
    opens_word   a word begins with whatever comes behind this piece: a piece of white space alone, a special piece

Bytes of one character are never parted: a byte piece ("<0xE4>", or the rest of a character in byte-level BPE) begins
no word, so a run of them continues the word before it, or is a word behind a lone "▁".
"""

import string
import unicodedata

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.spelling import CONTINUED, SPACE_MARK, byte_of_character

# Scripts that are written without spaces, by the first word of their characters' Unicode names.
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")


def piece_table(tokenizer: Tokenizer) -> pa.Table:
    """One row a piece, in the order of the ids: `piece`, `kind`, `utf8_bytes`, `word_start`, `opens_word`.

    `kind` is "special", "byte", "text" or "unused" (an id between others that no piece has; its name is empty).
    `utf8_bytes` counts the bytes of text that the piece stands for (the "▁" that SentencePiece puts before a line
    included, special pieces 0); for a tokenizer that changes text it is the size of the piece, not of what was in the
    text. `word_start` and `opens_word`: see the module.
    """
    names, kinds = tokenizer.piece_names(), tokenizer.piece_kinds()
    texts = [_bytes_of(name, kind, tokenizer.kind) for name, kind in zip(names, kinds, strict=True)]
    first = [kind == "text" and starts_word(name, tokenizer.kind) for name, kind in zip(names, kinds, strict=True)]
    opens = [k == "special" or (k == "text" and _is_space(t)) for t, k in zip(texts, kinds, strict=True)]
    if tokenizer.unknown_id is not None:  # WordPiece: a whole word; otherwise a few letters of one
        first[tokenizer.unknown_id] = opens[tokenizer.unknown_id] = tokenizer.kind == "wordpiece"
    sizes = pa.array([len(text) for text in texts], pa.uint16())
    return pa.table({"piece": names, "kind": kinds, "utf8_bytes": sizes, "word_start": first, "opens_word": opens})


def word_starts(
    ids: NDArray[np.integer],
    word_start: NDArray[np.bool_],
    opens_word: NDArray[np.bool_],
    row_offsets: NDArray[np.integer] | None = None,
) -> NDArray[np.bool_]:
    """Whether a word begins with each id, by the two columns of the table of pieces.

    Args:
        ids: (..., T); rows along the last axis. The first id of a row always begins a word.
        word_start: by id.
        opens_word: by id.
        row_offsets: where rows begin in flat ids (T,), if they hold several.

    Returns:
        A mask of the shape of `ids`.

    >>> piece = ["▁", "▁the", "e", "4", "2", "."]  # "▁the" "e" "▁" "4" "2" "."
    >>> starts = np.array([True, True, False, False, False, True])
    >>> opens = np.array([True, False, False, False, False, False])
    >>> word_starts(np.array([1, 2, 0, 3, 4, 5]), starts, opens).tolist()
    [True, False, True, True, False, True]
    """
    found = word_start[ids]
    found[..., 1:] |= opens_word[ids[..., :-1]]
    found[..., :1] = True
    if row_offsets is not None:
        found[row_offsets[row_offsets < len(ids)]] = True
    return found


def starts_word(piece: str, kind: str) -> bool:
    """Whether a word begins with this piece of text, whatever stands before it (kind: that of the tokenizer)."""
    if kind == "wordpiece":
        return not piece.startswith(CONTINUED)
    text = piece
    if kind == "byte_bpe":
        raw = _bytes_of(piece, "text", kind)
        text = _first_character(raw)
    return text != "" and _begins_word(text[0])


def _begins_word(character: str) -> bool:
    if character == SPACE_MARK or character.isspace() or character in string.punctuation:
        return True
    if unicodedata.category(character).startswith("P"):
        return True
    return unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS)


def _first_character(raw: bytes) -> str:
    """The first character of bytes that may end within it: then one that begins alike; empty within a character."""
    if not raw or 0x80 <= raw[0] < 0xC0:
        return ""
    size = 1 if raw[0] < 0x80 else 2 if raw[0] < 0xE0 else 3 if raw[0] < 0xF0 else 4
    return raw[:size].ljust(size, b"\x80").decode(errors="replace")


def _is_space(text: bytes) -> bool:
    return text != b"" and text.decode(errors="replace").isspace()


def _bytes_of(name: str, piece_kind: str, kind: str) -> bytes:
    """The bytes of text that a piece stands for."""
    if piece_kind in ("special", "unused"):
        return b""
    if piece_kind == "byte":
        return bytes([int(name[3:5], 16)])
    if kind == "byte_bpe":
        table = byte_of_character()
        return bytes(table[c] for c in name) if all(c in table for c in name) else name.encode()
    if kind == "wordpiece":
        return name.removeprefix(CONTINUED).encode()
    return name.replace(SPACE_MARK, " ").encode()
