"""Gopher's rules on the quality and the repetition of pages (arXiv 2112.11446, appendix A1.1)."""

import numpy as np

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.measures import Measures
from pipelines.text.judgement.repetition import DUPLICATE, TOP
from pipelines.text.judgement.rules.rule import Rule, Values, measure, share


def _word_length(m: Measures) -> Values:
    """Return the mean length of words, if most are of alphabets written with spaces."""
    length = m["measured_characters"] / np.maximum(m["measured_words"], 1)
    return np.where(2 * m["measured_words"] >= m["words"], length, np.nan)


def _symbols(m: Measures) -> Values:
    return np.maximum(m["hashes"], m["ellipses"]) / np.maximum(m["tokens"], 1)


QUALITY = (
    Rule("min_words", DropReason.GOPHER_WORD_COUNT, measure("words"), "below"),
    Rule("max_words", DropReason.GOPHER_WORD_COUNT, measure("words"), "above"),
    Rule("min_word_length", DropReason.GOPHER_WORD_LENGTH, _word_length, "below"),
    Rule("max_word_length", DropReason.GOPHER_WORD_LENGTH, _word_length, "above"),
    Rule("max_symbols", DropReason.GOPHER_SYMBOLS, _symbols, "above"),
    Rule("max_bullet_lines", DropReason.GOPHER_BULLETS, share("bullet_lines", "lines"), "above"),
    Rule("max_ellipsis_lines", DropReason.GOPHER_ELLIPSES, share("ellipsis_lines", "lines"), "above"),
    # A share of words, as in the paper, not of tokens: a bullet, a dash or the "»" between links is not a word. datatrove and
    # dolma count them; 12 articles of one Russian site were dropped only for that.
    Rule("min_letter_words", DropReason.GOPHER_ALPHABETIC, share("letter_words", "words"), "below"),
    Rule("min_letter_tokens", DropReason.GOPHER_ALPHABETIC, share("letter_words", "tokens"), "below"),
    Rule("min_stop_words", DropReason.GOPHER_STOP_WORDS, measure("distinct_stop_words"), "below"),
)

REPETITION = (  # table A1
    Rule("max_duplicate_lines", DropReason.GOPHER_DUPLICATE_LINES, share("duplicate_lines", "lines"), "above"),
    Rule(
        "max_duplicate_line_characters",
        DropReason.GOPHER_DUPLICATE_LINES,
        share("duplicate_line_characters", "line_characters"),
        "above",
    ),
    Rule(
        "max_duplicate_paragraphs", DropReason.GOPHER_DUPLICATE_PARAGRAPHS, share("duplicate_paragraphs", "paragraphs"), "above"
    ),
    Rule(
        "max_duplicate_paragraph_characters",
        DropReason.GOPHER_DUPLICATE_PARAGRAPHS,
        share("duplicate_paragraph_characters", "paragraph_characters"),
        "above",
    ),
    *(
        Rule(
            f"max_top_{n}gram_characters",
            DropReason.GOPHER_TOP_NGRAM,
            share(f"top_{n}gram_characters", "token_characters"),
            "above",
        )
        for n in TOP
    ),
    *(
        Rule(
            f"max_duplicate_{n}gram_characters",
            DropReason.GOPHER_DUPLICATE_NGRAMS,
            share(f"duplicate_{n}gram_characters", "token_characters"),
            "above",
        )
        for n in DUPLICATE
    ),
)
