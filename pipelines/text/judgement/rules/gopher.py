"""Gopher's rules on the quality and the repetition of pages (arXiv 2112.11446, appendix A1.1)."""

from collections.abc import Iterator

import numpy as np

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.measured import Rule, Texts, share

_TOP_NGRAM_LIMITS = (0.20, 0.18, 0.16)  # share of characters; n = 2, 3, 4
_DUPLICATE_NGRAM_LIMITS = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)  # n = 5 to 10


def gopher(texts: Texts) -> Iterator[Rule]:
    """Find pages that are too short or too long, or whose words, symbols and lines are unlike prose."""
    c = texts.counts
    yield DropReason.GOPHER_WORD_COUNT, (c.words < 50) | (c.words > 100_000), c.words.astype(np.float64)
    length = share(c.measured_characters, c.measured_words)
    spaced = 2 * c.measured_words >= c.words
    yield DropReason.GOPHER_WORD_LENGTH, spaced & ((length < 3) | (length > 10)), length
    symbols = share(np.maximum(c.hashes, c.ellipses), c.tokens)
    yield DropReason.GOPHER_SYMBOLS, symbols > 0.1, symbols
    bullets = share(c.bullet_lines, c.lines)
    yield DropReason.GOPHER_BULLETS, bullets > 0.9, bullets
    ellipses = share(c.ellipsis_lines, c.lines)
    yield DropReason.GOPHER_ELLIPSES, ellipses > 0.3, ellipses
    # A share of words, as in the paper, not of tokens: a bullet, a dash or the "»" between links is not a word. datatrove and
    # dolma count them; 12 articles of one Russian site were dropped only for that.
    alphabetic = share(c.letter_tokens, c.words)
    yield DropReason.GOPHER_ALPHABETIC, alphabetic < 0.8, alphabetic
    yield DropReason.GOPHER_STOP_WORDS, texts.english & (c.stop_words < 2), c.stop_words.astype(np.float64)


def gopher_repetition(texts: Texts) -> Iterator[Rule]:
    """Find pages that repeat themselves (table A1)."""
    r = texts.repetition
    yield DropReason.GOPHER_DUPLICATE_LINES, r.lines > 0.30, r.lines
    yield DropReason.GOPHER_DUPLICATE_LINES, r.line_characters > 0.20, r.line_characters
    yield DropReason.GOPHER_DUPLICATE_PARAGRAPHS, r.paragraphs > 0.30, r.paragraphs
    yield DropReason.GOPHER_DUPLICATE_PARAGRAPHS, r.paragraph_characters > 0.20, r.paragraph_characters
    for characters, limit in zip(r.top.T, _TOP_NGRAM_LIMITS, strict=True):
        yield DropReason.GOPHER_TOP_NGRAM, characters > limit, characters
    for characters, limit in zip(r.duplicate.T, _DUPLICATE_NGRAM_LIMITS, strict=True):
        yield DropReason.GOPHER_DUPLICATE_NGRAMS, characters > limit, characters
