"""Cut a page into blocks: runs of text that no block-level element and no empty line interrupts, with what each consists of.

A block is what a browser would set as one paragraph, heading, list item or cell. Text that a browser hides (scripts, options,
templates) belongs to no block.
"""

import functools
import unicodedata
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.text.characters.code_points import CODE_POINTS, categories, decode
from pipelines.text.characters.counts import BLANK, DIGIT, LETTER, SPACELESS, TERMINAL, UNPUNCTUATED, table
from pipelines.text.extraction.pages.scanning import FNV_OFFSET, FNV_PRIME
from pipelines.text.extraction.pages.tags import BLOCK, HEADING, HIDDEN, IDS, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_borrowing, jit_internal

TOKENS_PER_BLOCK = 24  # the first words of a block that the features look at
_WORD_BYTES = 64  # a longer word is hashed by its beginning
PAIR_PRIME = np.uint64(0x9E3779B97F4A7C15)  # of pairs of letters in scripts without spaces
BR, B, STRONG = (IDS[name] for name in ("br", "b", "strong"))
_UPPER = 1 << 14  # bits that the table of characters has free
_MARK = 1 << 13
_COMMA = 1 << 12
_WIDE = 1 << 15
_VOWEL_SIGN = 1 << 5
_CASED = ("Lu", "Lt", "Nl", "So")  # the categories of all characters that have a lower case: letters, "Ⅳ" and "Ⓐ"
_HANGUL_SYLLABLES = (0xAC00, 0xD7A3)  # two or three letters each: a Korean text has half of an English one's characters
_COMMAS = ",;:、，；：،؛·"

# Columns of `counts`.
WIDTH, WORDS, LETTERS, DIGITS, UPPER, TERMINALS, COMMAS, LINK_WIDTH, BOLD_WIDTH, LINKS, BREAKS, FIRST, ENDS = range(13)
# WIDTH counts the characters that are not white space, those of scripts without spaces and of Hangul twice: WIDE of them.
# The vowel signs of Hindi and its neighbours count, accents and the points of Hebrew and Arabic do not.
COPYRIGHT, SEPARATOR, PRICE, AT, QUESTION, QUOTE, NON_ASCII, SPACELESS_WIDTH, NODES, WIDEST_WORD, WIDE = range(13, 24)
COLUMNS = 24


class Blocks(NamedTuple):
    """A row a block, in the order of the page."""

    first: NDArray[np.int32]  # the first text node that is not blank
    after: NDArray[np.int32]  # the node after the last one
    container: NDArray[np.int32]  # the innermost block-level element, or -1
    counts: NDArray[np.int32]  # [blocks, COLUMNS]
    text_hash: NDArray[np.uint64]  # of the words, in lower case
    first_token: NDArray[np.int32]  # an entry more than blocks
    tokens: NDArray[np.uint64]  # hashes of the first words; of scripts without spaces, of pairs of letters


def blocks(tree: Tree) -> Blocks:
    """Return the blocks of a page."""
    columns: Any = _blocks(tree, names().kinds, characters(), lower_case())
    return Blocks._make(columns)


def texts(tree: Tree, blocks: Blocks) -> list[str]:
    """Return the text of each block, without what is hidden in it."""
    kinds = names().kinds
    text = tree.text.tobytes()
    tags, ends, starts, stops = (column.tolist() for column in (tree.tag, tree.end, tree.start, tree.stop))
    out: list[str] = []
    for first, after in zip(blocks.first.tolist(), blocks.after.tolist(), strict=True):
        parts: list[bytes] = []
        node = first
        while node < after:
            if tags[node] == TEXT:
                parts.append(text[starts[node] : stops[node]])
            elif tags[node] == BR:
                parts.append(b"\n")
            elif kinds[tags[node]] & HIDDEN:
                node = ends[node]
                continue
            node += 1
        out.append(b"".join(parts).decode())
    return out


@functools.cache
def characters() -> NDArray[np.uint16]:
    """Return the bits of every code point: those of characters.counts, and capitals, marks, commas and wide letters."""
    bits = table().copy()
    kinds = categories()
    bits[kinds == "Lu"] |= _UPPER
    bits[np.char.startswith(kinds, "M")] |= _MARK
    bits[[ord(c) for c in _COMMAS]] |= _COMMA
    bits[[code for code in np.flatnonzero(bits & _MARK).tolist() if not unicodedata.combining(chr(code))]] |= _VOWEL_SIGN
    bits[bits & SPACELESS != 0] |= _WIDE
    bits[_HANGUL_SYLLABLES[0] : _HANGUL_SYLLABLES[1] + 1] |= _WIDE
    return bits


@functools.cache
def lower_case() -> NDArray[np.uint32]:
    """Return the lower case of every code point, or itself if its lower case is several characters."""
    lower = np.arange(CODE_POINTS, dtype=np.uint32)
    for code in np.flatnonzero(np.isin(categories(), _CASED)).tolist():
        if len(changed := chr(code).lower()) == 1:
            lower[code] = ord(changed)
    return lower


@jit_borrowing
def is_blank(text: Any, start: int, stop: int) -> bool:
    """Return whether a text node has only white space (no-break spaces count)."""
    at = start
    while at < stop:
        byte = text[at]
        if byte == 0xC2 and at + 1 < stop and text[at + 1] == 0xA0:
            at += 2
        elif byte == 32 or 9 <= byte <= 13:
            at += 1
        elif byte == 0xE2 and at + 2 < stop and text[at + 1] == 0x80 and 0x8B <= text[at + 2] <= 0x8F:
            at += 3  # zero width
        elif byte == 0xEF and at + 2 < stop and text[at + 1] == 0xBB and text[at + 2] == 0xBF:
            at += 3  # byte order mark
        else:
            return False
    return True


class _Columns(NamedTuple):
    """The columns of Blocks while they are filled: as many entries as the page can need, but for the tokens."""

    first: Any
    after: Any
    container: Any
    counts: Any
    text_hash: Any
    first_token: Any


# The current block and word, as places in an array.
ROWS, TOKENS, OPEN_END, BROKEN, LINE_BREAKS, LINK, WORD_HASH, WORD_LENGTH, LETTER_BEFORE = range(9)


@jit
def _blocks(tree: Any, kinds: Any, characters: Any, lower: Any) -> Any:
    nodes = tree.tag.size
    most = np.int64((tree.tag == TEXT).sum())
    columns = _empty(most)
    tokens = np.empty(min(most, 1000) * TOKENS_PER_BLOCK, np.uint64)
    inside = np.full(nodes, -1, np.int32)  # of an element: the innermost block-level one, itself or an ancestor
    bold = np.zeros(nodes, np.bool_)
    state = np.zeros(9, np.int64)
    node = 0
    while node < nodes:
        if tree.tag[node] != TEXT:
            _enter(tree, node, kinds, inside, bold, columns, tokens, state)
            node = tree.end[node] if kinds[tree.tag[node]] & HIDDEN else node + 1
            continue
        if is_blank(tree.text, tree.start[node], tree.stop[node]):
            _end_word(columns, tokens, state)
        else:
            if state[BROKEN] or node >= state[OPEN_END]:
                _end_word(columns, tokens, state)
                if state[TOKENS] + TOKENS_PER_BLOCK > tokens.size:
                    tokens = _larger(tokens, state[TOKENS])
                _begin_block(tree, node, inside, columns, state)
            _add_node(tree, node, bold, characters, lower, columns, tokens, state)
        node += 1
    _end_word(columns, tokens, state)
    rows = state[ROWS]
    columns.first_token[rows] = state[TOKENS]
    return (
        columns.first[:rows].copy(),
        columns.after[:rows].copy(),
        columns.container[:rows].copy(),
        columns.counts[:rows].copy(),
        columns.text_hash[:rows].copy(),
        columns.first_token[: rows + 1].copy(),
        tokens[: state[TOKENS]].copy(),
    )


@jit_internal
def _empty(most: int) -> Any:
    return _Columns(
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.empty(most, np.int32),
        np.zeros((most, COLUMNS), np.int32),
        np.zeros(most, np.uint64),
        np.zeros(most + 1, np.int32),
    )


@jit_internal
def _larger(tokens: Any, size: int) -> Any:
    larger = np.empty(2 * tokens.size + TOKENS_PER_BLOCK, np.uint64)
    larger[:size] = tokens[:size]
    return larger


@jit_borrowing
def _enter(tree: Any, node: int, kinds: Any, inside: Any, bold: Any, columns: Any, tokens: Any, state: Any) -> None:
    """Note what an element hands down to its texts, and whether it ends the block before it."""
    tag, parent = tree.tag[node], tree.parent[node]
    kind = kinds[tag]
    inside[node] = node if kind & BLOCK else (inside[parent] if parent >= 0 else -1)
    bold[node] = tag in (B, STRONG) or kind & HEADING != 0 or (parent >= 0 and bold[parent])
    if kind & BLOCK or node >= state[OPEN_END]:
        state[BROKEN] = 1
    if tag == BR:
        state[LINE_BREAKS] += 1
        if state[LINE_BREAKS] >= 2:
            state[BROKEN] = 1
        elif state[ROWS] and not state[BROKEN]:
            columns.counts[state[ROWS] - 1, BREAKS] += 1
            _end_word(columns, tokens, state)


@jit_borrowing
def _begin_block(tree: Any, node: int, inside: Any, columns: Any, state: Any) -> None:
    row, parent = state[ROWS], tree.parent[node]
    container = inside[parent] if parent >= 0 else -1
    columns.first[row], columns.first_token[row], columns.container[row] = node, state[TOKENS], container
    columns.text_hash[row] = FNV_OFFSET
    tokens = state[TOKENS]
    state[:] = 0
    state[ROWS], state[TOKENS], state[LINK] = row + 1, tokens, -1
    state[OPEN_END] = tree.end[container] if container >= 0 else tree.tag.size


@jit_borrowing
def _add_node(tree: Any, node: int, bold: Any, characters: Any, lower: Any, columns: Any, tokens: Any, state: Any) -> None:
    """Add a text node to the current block."""
    row, parent, link = columns.counts[state[ROWS] - 1], tree.parent[node], tree.link[node]
    columns.after[state[ROWS] - 1] = node + 1
    state[LINE_BREAKS] = 0
    row[NODES] += 1
    before = row[WIDTH]
    at, stop = tree.start[node], tree.stop[node]
    while at < stop:
        code, size = decode(tree.text, at)
        bits = int(characters[code])
        if bits & (LETTER | DIGIT) and not bits & SPACELESS:
            at = _count_word(tree.text, at, stop, characters, lower, row, state)
            continue
        at += size
        if bits & BLANK:
            _end_word(columns, tokens, state)
        elif bits & _MARK and state[WORD_LENGTH]:
            row[WIDTH] += (bits & _VOWEL_SIGN) != 0
            state[WORD_HASH] = np.int64((np.uint64(state[WORD_HASH]) ^ np.uint64(code)) * FNV_PRIME)
        else:
            _count_character(code, bits, row)
            if bits & SPACELESS:
                _count_spaceless(code, bits, row, columns, tokens, state)
                continue
            state[LETTER_BEFORE] = 0
            if not (code == 39 or code == 0x2019):  # an apostrophe does not end a word
                _end_word(columns, tokens, state)
            _count_sign(code, bits, row)
    if link >= 0:
        row[LINK_WIDTH] += row[WIDTH] - before
        row[LINKS] += link != state[LINK]
        state[LINK] = link
    if parent >= 0 and bold[parent]:
        row[BOLD_WIDTH] += row[WIDTH] - before


@jit_borrowing
def _count_word(text: Any, at: int, stop: int, characters: Any, lower: Any, row: Any, state: Any) -> int:
    """Count a run of letters and digits, which may go on from the node before; return the place after it.

    The counts of the run are kept apart until it ends: nearly all characters of a page are in one.
    """
    key, length = np.uint64(state[WORD_HASH]) if state[WORD_LENGTH] else FNV_OFFSET, state[WORD_LENGTH]
    width, wide, beyond, letters, digits, upper, first = 0, 0, 0, 0, 0, 0, 0
    while at < stop:
        code, size = decode(text, at)
        bits = int(characters[code])
        if bits & _MARK and length:
            width += (bits & _VOWEL_SIGN) != 0
            key = (key ^ np.uint64(code)) * FNV_PRIME
        elif bits & (LETTER | DIGIT) and not bits & SPACELESS:
            first = first if first else bits
            is_wide = (bits & _WIDE) != 0
            width += 1 + is_wide
            wide += is_wide
            beyond += code > 127
            letters += (bits & LETTER) != 0
            digits += (bits & DIGIT) != 0
            upper += (bits & _UPPER) != 0
            if length < _WORD_BYTES:
                key = (key ^ np.uint64(lower[code])) * FNV_PRIME
            length += 1
        else:
            break
        at += size
    state[WORD_HASH], state[WORD_LENGTH], state[LETTER_BEFORE] = np.int64(key), length, 0
    row[WIDTH] += width
    row[WIDE] += wide
    row[NON_ASCII] += beyond
    row[LETTERS] += letters
    row[DIGITS] += digits
    row[UPPER] += upper
    row[ENDS] = 0
    _note_first(first, row)
    return at


@jit_borrowing
def _count_character(code: int, bits: int, row: Any) -> None:
    """Count what is counted of every character that is not white space."""
    is_wide = (bits & _WIDE) != 0
    row[WIDTH] += 1 + is_wide
    row[WIDE] += is_wide
    row[NON_ASCII] += code > 127
    _note_first(bits, row)


@jit_borrowing
def _note_first(bits: int, row: Any) -> None:
    if row[FIRST] == 0:
        row[FIRST] = 1 + (1 if bits & _UPPER else 2 if bits & LETTER else 3 if bits & DIGIT else 0)


@jit_borrowing
def _end_word(columns: Any, tokens: Any, state: Any) -> None:
    """End the current word, if there is one."""
    if state[WORD_LENGTH]:
        block, key = state[ROWS] - 1, np.uint64(state[WORD_HASH])
        columns.counts[block, WORDS] += 1
        columns.counts[block, WIDEST_WORD] = max(columns.counts[block, WIDEST_WORD], state[WORD_LENGTH])
        columns.text_hash[block] = (columns.text_hash[block] ^ key) * FNV_PRIME
        _add_token(key, columns, tokens, state)
    state[WORD_HASH] = state[WORD_LENGTH] = 0


@jit_borrowing
def _add_token(key: Any, columns: Any, tokens: Any, state: Any) -> None:
    if state[TOKENS] - columns.first_token[state[ROWS] - 1] < TOKENS_PER_BLOCK:
        tokens[state[TOKENS]] = key
        state[TOKENS] += 1


@jit_borrowing
def _count_spaceless(code: int, bits: int, row: Any, columns: Any, tokens: Any, state: Any) -> None:
    """Count a letter of a script without spaces: a word, and a token with the letter before it."""
    _end_word(columns, tokens, state)
    row[WORDS] += 1
    row[LETTERS] += 2
    row[SPACELESS_WIDTH] += 2
    block = state[ROWS] - 1
    columns.text_hash[block] = (columns.text_hash[block] ^ np.uint64(code)) * FNV_PRIME
    if state[LETTER_BEFORE]:
        _add_token((np.uint64(state[LETTER_BEFORE]) ^ np.uint64(code)) * PAIR_PRIME, columns, tokens, state)
    state[LETTER_BEFORE] = code
    row[ENDS] = 2 if bits & UNPUNCTUATED else 0


@jit_borrowing
def _count_sign(code: int, bits: int, row: Any) -> None:
    """Count a character that is neither a letter nor a digit nor white space."""
    if bits & TERMINAL:
        row[TERMINALS] += 1
        row[ENDS] = 3 if code == 0x2026 else 1
        row[QUESTION] += code == 63 or code == 0xFF1F
    elif bits & _COMMA:
        row[COMMAS] += 1
        row[ENDS] = 4 if code == 58 or code == 0xFF1A else 0
    elif code == 34 or 0x2018 <= code <= 0x201F or code == 0xAB or code == 0xBB:
        row[QUOTE] += 1
    elif code == 0xA9:
        row[COPYRIGHT] += 1
    elif code == 64:
        row[AT] += 1
    elif code == 36 or code == 0x20AC or code == 0xA3 or code == 0xA5:
        row[PRICE] += 1
    elif code == 124 or code == 0x203A or code == 0xB7 or code == 0x2022 or code == 47 or code == 62 or code == 0x2192:
        row[SEPARATOR] += 1
        row[ENDS] = 0
