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
from pipelines.text.extraction.pages.tags import BLOCK, HEADING, HIDDEN, IDS, TEXT, names
from pipelines.text.extraction.pages.tree import Tree
from pipelines.text.kernels import jit, jit_borrowing

TOKENS_PER_BLOCK = 24  # the first words of a block that the features look at
_WORD_BYTES = 64  # a longer word is hashed by its beginning
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


@jit
def _blocks(tree: Any, kinds: Any, characters: Any, lower: Any) -> Any:
    nodes = tree.tag.size
    most = 0
    for node in range(nodes):
        most += tree.tag[node] == TEXT
    first, after, container = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    counts = np.zeros((most, COLUMNS), np.int32)
    text_hash, first_token = np.zeros(most, np.uint64), np.zeros(most + 1, np.int32)
    tokens = np.empty(most * TOKENS_PER_BLOCK if most < 1000 else 1000 * TOKENS_PER_BLOCK, np.uint64)
    inside = np.full(nodes, -1, np.int32)  # of an element: the innermost block-level one, itself or an ancestor
    bold = np.zeros(nodes, np.bool_)
    rows, token_count = np.int64(0), np.int64(0)
    is_broken, breaks, link = True, 0, -1
    open_end = 0  # of the current block's container
    state = np.zeros(8, np.int64)  # of the current word: see _count_text
    node = 0
    while node < nodes:
        tag, parent = tree.tag[node], tree.parent[node]
        if node >= open_end:
            is_broken = True
        if tag != TEXT:
            kind = kinds[tag]
            inside[node] = node if kind & BLOCK else (inside[parent] if parent >= 0 else -1)
            bold[node] = tag in (B, STRONG) or kind & HEADING != 0 or (parent >= 0 and bold[parent])
            if kind & BLOCK:
                is_broken = True
            elif tag == BR:
                breaks += 1
                if breaks >= 2:
                    is_broken = True
                elif rows and not is_broken:
                    counts[rows - 1, BREAKS] += 1
                    token_count = _end_word(state, counts[rows - 1], text_hash, rows - 1, tokens, token_count, first_token)
            if kind & HIDDEN:
                node = tree.end[node]
                continue
        elif not is_blank(tree.text, tree.start[node], tree.stop[node]):
            breaks = 0
            if is_broken:
                if rows:
                    token_count = _end_word(state, counts[rows - 1], text_hash, rows - 1, tokens, token_count, first_token)
                if token_count + TOKENS_PER_BLOCK > tokens.size:
                    larger = np.empty(2 * tokens.size + TOKENS_PER_BLOCK, np.uint64)
                    larger[:token_count] = tokens[:token_count]
                    tokens = larger
                first[rows], first_token[rows] = node, token_count
                container[rows] = inside[parent] if parent >= 0 else -1
                open_end = tree.end[container[rows]] if container[rows] >= 0 else nodes
                text_hash[rows] = np.uint64(0xCBF29CE484222325)
                state[:] = 0
                is_broken, link = False, -1
                rows += 1
            after[rows - 1] = node + 1
            row = counts[rows - 1]
            row[NODES] += 1
            before = row[WIDTH]
            token_count = _count_text(
                tree.text,
                tree.start[node],
                tree.stop[node],
                characters,
                lower,
                row,
                state,
                text_hash,
                rows - 1,
                tokens,
                token_count,
                first_token,
            )
            if tree.link[node] >= 0:
                row[LINK_WIDTH] += row[WIDTH] - before
                row[LINKS] += tree.link[node] != link
                link = tree.link[node]
            if parent >= 0 and bold[parent]:
                row[BOLD_WIDTH] += row[WIDTH] - before
        elif rows:
            token_count = _end_word(state, counts[rows - 1], text_hash, rows - 1, tokens, token_count, first_token)
        node += 1
    if rows:
        token_count = _end_word(state, counts[rows - 1], text_hash, rows - 1, tokens, token_count, first_token)
    first_token[rows] = token_count
    return (
        first[:rows].copy(),
        after[:rows].copy(),
        container[:rows].copy(),
        counts[:rows].copy(),
        text_hash[:rows].copy(),
        first_token[: rows + 1].copy(),
        tokens[:token_count].copy(),
    )


@jit_borrowing
def _end_word(state: Any, row: Any, text_hash: Any, index: int, tokens: Any, token_count: int, first_token: Any) -> int:
    """End the current word, if there is one: `state` holds its hash and its length."""
    if state[1]:
        key = np.uint64(state[0])
        row[WORDS] += 1
        row[WIDEST_WORD] = max(row[WIDEST_WORD], state[1])
        text_hash[index] = (text_hash[index] ^ key) * np.uint64(0x100000001B3)
        if token_count - first_token[index] < TOKENS_PER_BLOCK:
            tokens[token_count] = key
            token_count += 1
    state[0], state[1] = 0, 0
    return token_count


@jit_borrowing
def _count_text(
    text: Any,
    at: int,
    stop: int,
    characters: Any,
    lower: Any,
    row: Any,
    state: Any,
    text_hash: Any,
    index: int,
    tokens: Any,
    token_count: int,
    first_token: Any,
) -> int:
    """Count the characters of a text node; a word may go on from the node before."""
    while at < stop:
        code, size = decode(text, at)
        at += size
        bits = int(characters[code])
        if bits & BLANK:
            token_count = _end_word(state, row, text_hash, index, tokens, token_count, first_token)
            state[2] = 1
            continue
        if bits & _MARK and state[1]:
            row[WIDTH] += (bits & _VOWEL_SIGN) != 0
            state[0] = np.int64((np.uint64(state[0]) ^ np.uint64(code)) * np.uint64(0x100000001B3))
            continue
        is_wide = (bits & _WIDE) != 0
        row[WIDTH] += 1 + is_wide
        row[WIDE] += is_wide
        if code > 127:
            row[NON_ASCII] += 1
        if row[FIRST] == 0:
            row[FIRST] = 1 + (1 if bits & _UPPER else 2 if bits & LETTER else 3 if bits & DIGIT else 0)
        if bits & SPACELESS:
            token_count = _end_word(state, row, text_hash, index, tokens, token_count, first_token)
            row[WORDS] += 1
            row[LETTERS] += 2
            row[SPACELESS_WIDTH] += 2
            key = (np.uint64(state[3]) ^ np.uint64(code)) * np.uint64(0x9E3779B97F4A7C15)
            text_hash[index] = (text_hash[index] ^ np.uint64(code)) * np.uint64(0x100000001B3)
            if state[3] and token_count - first_token[index] < TOKENS_PER_BLOCK:
                tokens[token_count] = key
                token_count += 1
            state[3] = code
            row[ENDS] = 2 if bits & UNPUNCTUATED else 0
            continue
        state[3] = 0
        if bits & (LETTER | DIGIT):
            low = np.uint64(lower[code])
            start = np.uint64(state[0]) if state[1] else np.uint64(0xCBF29CE484222325)
            if state[1] < _WORD_BYTES:
                state[0] = np.int64((start ^ low) * np.uint64(0x100000001B3))
            state[1] += 1
            row[LETTERS] += (bits & LETTER) != 0
            row[DIGITS] += (bits & DIGIT) != 0
            row[UPPER] += (bits & _UPPER) != 0
            row[ENDS] = 0
            continue
        if not (code == 39 or code == 0x2019):  # an apostrophe does not end a word
            token_count = _end_word(state, row, text_hash, index, tokens, token_count, first_token)
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
    return token_count
