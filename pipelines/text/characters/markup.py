"""Words that are HTML's and not the text's: what an extractor left of tags and entities.

    >>> from pipelines.text.characters.word_spans import words
    >>> texts = pa.array(['He said &quot;no&quot;<br class="x">and left, 2 < 3 &c'])
    >>> spans = without_markup(texts, words(texts))
    >>> [texts[0].as_py()[a:b] for a, b in zip(spans.starts, spans.ends)]
    ['He', 'said', 'no', 'and', 'left', '2', '3', 'c']

A tag is "<", perhaps "/", a word, and anything but "<" up to a ">" at most 300 bytes later; an entity is "&", perhaps "#", a word
and ";".
"""

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.text.characters.code_points import buffers
from pipelines.text.characters.word_spans import Words
from pipelines.text.kernels import jit

VERSION = 1

_TAG_BYTES = 300
_LESS, _GREATER, _SLASH, _AMPERSAND, _HASH, _SEMICOLON = b"<>/&#;"


def without_markup(texts: pa.Array, words: Words) -> Words:
    """Return the words of texts (a StringArray without nulls) except those in tags and entities; the same if there are none."""
    data, offsets = buffers(texts)
    keep = np.ones(len(words.hashes), np.bool_)
    if not _mark(data, offsets, words.starts, words.ends, words.offsets, keep):
        return words
    kept_before = np.concatenate([[0], np.cumsum(keep)])
    return Words(words.hashes[keep], words.starts[keep], words.ends[keep], kept_before[words.offsets], words.is_character[keep])


@jit
def _mark(data: Any, texts: Any, starts: Any, ends: Any, offsets: Any, keep: Any) -> int:
    """Set `keep` to False for the words of tags and entities; return their number."""
    found = 0
    for row in range(len(offsets) - 1):
        base, end = texts[row], texts[row + 1]
        tag_end = base
        for word in range(offsets[row], offsets[row + 1]):
            first, after = base + starts[word], base + ends[word]
            if first >= tag_end:
                before = data[first - 1] if first > base else 0
                two_before = data[first - 2] if first - 1 > base else 0
                if before == _LESS or (before == _SLASH and two_before == _LESS):
                    tag_end = _end_of_tag(data, after, end)
                elif before == _AMPERSAND or (before == _HASH and two_before == _AMPERSAND):
                    tag_end = after if after < end and data[after] == _SEMICOLON else base
            if first < tag_end:
                keep[word] = False
                found += 1
    return found


@jit
def _end_of_tag(data: Any, begin: int, end: int) -> int:
    """Return the place after the ">" of the tag; 0 if there is none, or another "<" first."""
    for i in range(begin, min(end, begin + _TAG_BYTES)):
        if data[i] == _GREATER:
            return i + 1
        if data[i] == _LESS:
            return 0
    return 0
