"""FineWeb's own rules (arXiv 2406.17557, section 3.5).

Limits: its rule on characters in duplicate lines is missing; Gopher's rules have one.
"""

from collections.abc import Iterator

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.measured import Rule, Texts, has_sentence_marks, share


def fineweb(texts: Texts) -> Iterator[Rule]:
    """Find pages whose lines look like a menu or a list: without full stops, short, or of three words on average."""
    c = texts.counts
    punctuated = share(c.punctuated_lines, c.lines)
    yield DropReason.FINEWEB_PUNCTUATION, has_sentence_marks(c) & (punctuated <= 0.12), punctuated
    short = share(c.short_lines, c.lines)
    yield DropReason.FINEWEB_SHORT_LINES, short >= 0.67, short
    newlines = share(c.newlines, c.words)
    yield DropReason.FINEWEB_LIST, newlines > 0.3, newlines
