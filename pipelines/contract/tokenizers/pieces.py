r"""The table of a vocabulary's pieces, and the starts of words in a sequence of ids.

In most cases a piece itself shows whether a word begins with it; in the others, the piece before it does. So the table has two
columns, which `word_starts` combines:

    word_start   a word begins with this piece: "▁geese", "Ġgeese", WordPiece's "geese" (not "##ese"), punctuation, a
                 character of a script that is written without spaces, or nothing but white space ("▁", "\n", "ĉ")
    opens_word   a word begins with whatever follows this piece, which is nothing but white space or a special piece

The bytes of one character stay together: a byte piece ("<0xE4>", or the rest of a character in byte-level BPE) begins no
word, so byte pieces continue the word before them, or are a word after a lone "▁".
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
    """Return one row per piece, in the order of the ids: `piece`, `kind`, `utf8_bytes`, `word_start`, `opens_word`.

    `kind` is "special", "byte", "text" or "unused" (an id without a piece; its name is empty). `utf8_bytes` is the number of
    bytes of text in the piece: 0 for special pieces; the "▁" that SentencePiece puts before a line counts; for a tokenizer that
    changes text, it is the size of the piece, not of the original text. The module's docstring defines `word_start` and
    `opens_word`.
    """
    names, kinds = tokenizer.piece_names(), tokenizer.piece_kinds()
    texts = [text_bytes(name, kind, tokenizer.kind) for name, kind in zip(names, kinds, strict=True)]
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
    """Return whether a word begins with each id, given two columns of the table of pieces.

    Args:
        ids: (..., T); rows along the last axis. The first id of a row always begins a word.
        word_start: by id.
        opens_word: by id.
        row_offsets: where rows begin, if `ids` are flat (T,) and hold several rows.

    Returns:
        A mask of the shape of `ids`.

    >>> piece = ["▁", "▁the", "e", "4", "2", "."]  # "▁the" "e" "▁" "4" "2" "."
    >>> starts = np.array([True, True, False, False, False, True])
    >>> opens = np.array([True, False, False, False, False, False])
    >>> word_starts(np.array([1, 2, 0, 3, 4, 5]), starts, opens).tolist()
    [True, False, True, True, False, True]
    """
    starts = word_start[ids]
    starts[..., 1:] |= opens_word[ids[..., :-1]]
    starts[..., :1] = True
    if row_offsets is not None:
        starts[row_offsets[row_offsets < len(ids)]] = True
    return starts


def starts_word(piece: str, kind: str) -> bool:
    """Return whether a word begins with this piece of text, whatever precedes it; `kind` is the tokenizer's."""
    if kind == "wordpiece":
        return not piece.startswith(CONTINUED)
    text = piece
    if kind == "byte_bpe":
        raw = text_bytes(piece, "text", kind)
        text = _first_character(raw)
    return text != "" and _begins_word(text[0])


def _begins_word(character: str) -> bool:
    if character == SPACE_MARK or character.isspace() or character in string.punctuation:
        return True
    if unicodedata.category(character).startswith("P"):
        return True
    return unicodedata.name(character, "").startswith(_UNSPACED_SCRIPTS)


def _first_character(raw: bytes) -> str:
    """Return the first character; a similar one if the bytes end within it; "" if they begin within one."""
    if not raw or 0x80 <= raw[0] < 0xC0:
        return ""
    size = 1 if raw[0] < 0x80 else 2 if raw[0] < 0xE0 else 3 if raw[0] < 0xF0 else 4
    return raw[:size].ljust(size, b"\x80").decode(errors="replace")


def _is_space(text: bytes) -> bool:
    return text != b"" and text.decode(errors="replace").isspace()


def text_bytes(name: str, piece_kind: str, kind: str) -> bytes:
    """Return the text of a piece as bytes."""
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
