"""Untrusted texts, made safe to show; the meaning of each reason."""

import re

from pipelines.contract.reasons import DropReason

_LINE_ENDS = re.compile(r"\s*\n\s*")
# Control characters (a terminal obeys them), invisible formats and changes of direction (they make a text look like another),
# lone surrogates. Not the joiners U+200C and U+200D, which Persian, Hindi and emoji need, nor the selectors of Han variants
# from U+E0100, nor the tags that make a black flag that of England or another region.
_UNSAFE = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,7}\U000e007f)"
    "|[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff\ud800-\udfff]"
)
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefe\U00010800-\U00010fff\U0001e800-\U0001efff]")


def visible(text: str, limit: int | None = None) -> str:
    r"""Return the text on one line, without anything that a terminal obeys; at most about `limit` characters of it.

    >>> visible("a \x1b[31mb\nc")
    'a <U+001B>[31mb ¶ c'
    """
    cut = text if limit is None or len(text) <= limit else text[:limit]
    line = _LINE_ENDS.sub(" ¶ ", cut.replace("\t", " "))
    safe = _UNSAFE.sub(lambda match: match[1] or f"<U+{ord(match[0]):04X}>", line)
    return safe if cut is text else f"{safe.rstrip()} … ({len(text) - len(cut):,} more characters)"


def is_right_to_left(text: str) -> bool:
    """Return whether the text has letters of a right-to-left script."""
    return _RIGHT_TO_LEFT.search(text) is not None


MEANINGS = {
    DropReason.UNREADABLE: "the record is broken: its framing, its XML or its payload",
    DropReason.CUT_OFF: "the file is cut off here; the rest is lost",
    DropReason.UNDECODABLE: "its bytes are not text in any encoding that was tried",
    DropReason.REPEATED_KEY: "an earlier record of the same source has the same key",
    DropReason.EMPTY: "nothing was left after extraction, normalisation or cuts",
    DropReason.NOT_TEXT: "it calls itself text and is a file of another type, e.g. a PDF",
    DropReason.NO_MAIN_TEXT: "the extractor found no main text on the page; the detail says how much text is visible",
    DropReason.EXTRACTION_FAILED: "the extractor failed on the record",
    DropReason.BOILERPLATE_ONLY: "no prose: a disambiguation page or a list of links",
    DropReason.OPTED_OUT_NOINDEX: "it asks not to be shown by search engines (noindex)",
    DropReason.OPTED_OUT_NOAI: "it asks not to be used to train models (noai, noimageai)",
    DropReason.OPTED_OUT_TDM: "it reserves text and data mining (tdm-reservation)",
    DropReason.EXCLUDED: "named in the config's [exclude]: a takedown",
    DropReason.BLOCKED: "its host or address is on a block list of the config's [exclude]",
    DropReason.GARBLED: "too many replacement characters",
    DropReason.EXACT_DUPLICATE: "a better document has the same text",
    DropReason.NEAR_DUPLICATE: "a better document has nearly the same text",
    DropReason.SAME_URL: "a better document has the same address",
    DropReason.ALREADY_PUBLISHED: "an earlier corpus has it",
    DropReason.CONTAMINATED: "it contains a run of words from a benchmark's text",
    DropReason.UNFIT_AFTER_CUT: "what was left of it after a cut breaks a rule, or is in an unwanted or uncertain language",
    DropReason.LANGUAGE_UNWANTED: "its language is not one of language.keep",
    DropReason.LANGUAGE_UNCERTAIN: "the score of its language is below the limit of this language",
    DropReason.LANGUAGE_MIXED: "it is in several languages, and language.mixed drops such documents",
    DropReason.C4_LOREM_IPSUM: "it contains lorem ipsum",
    DropReason.C4_CURLY_BRACKET: "it contains a curly bracket: source code, a template",
    DropReason.C4_BAD_WORDS: "it contains words of quality.bad_words",
    DropReason.C4_FEW_SENTENCES: "too few sentences",
    DropReason.GOPHER_WORD_COUNT: "too few or too many words",
    DropReason.GOPHER_WORD_LENGTH: "its words are too short or too long on average",
    DropReason.GOPHER_SYMBOLS: "too many # and … for its words",
    DropReason.GOPHER_BULLETS: "too many lines start with a bullet",
    DropReason.GOPHER_ELLIPSES: "too many lines end with an ellipsis",
    DropReason.GOPHER_ALPHABETIC: "too few of its words contain a letter",
    DropReason.GOPHER_STOP_WORDS: "too few of the commonest words of its language",
    DropReason.GOPHER_DUPLICATE_LINES: "too large a share of it is repeated lines",
    DropReason.GOPHER_DUPLICATE_PARAGRAPHS: "too large a share of it is repeated paragraphs",
    DropReason.GOPHER_TOP_NGRAM: "one word sequence makes up too large a share of it",
    DropReason.GOPHER_DUPLICATE_NGRAMS: "repeated word sequences make up too large a share of it",
    DropReason.FINEWEB_PUNCTUATION: "too few of its lines end with punctuation",
    DropReason.FINEWEB_SHORT_LINES: "too many of its lines are short",
    DropReason.FINEWEB_DUPLICATE_LINES: "too large a share of it is repeated lines",
    DropReason.FINEWEB_LIST: "too many line ends for its words: a list",
    DropReason.REFINEDWEB_LINES: "too many of its words are in lines of capitals, numbers, counters or single words",
    DropReason.POOR_SIGNS: "several signs of no running text: short lines, capitals, digits …; the detail has their number",
    DropReason.OWN_RULE: "it breaks a rule of quality.own; the detail has its name",
    DropReason.LOW_QUALITY: "a score is below the classifier's threshold, or quality.keep is false of its scores",
    DropReason.PRIVATE_DATA: "it holds more private data than [private] allows; the detail has the numbers",
    DropReason.NO_TOKENS: "the vocabulary encodes it as no tokens",
}
"""The meaning of each reason; a test checks that none is missing."""
