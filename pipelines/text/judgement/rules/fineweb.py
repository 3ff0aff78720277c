"""FineWeb's own rules (arXiv 2406.17557, section 3.6), for pages whose lines look like a menu or a list.

The rule on new lines is in its code alone (datatrove's FineWebQualityFilter), and so is the limit of .01 for characters in
duplicate lines: the paper has .1, and so has FineWeb-2.
"""

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.rule import Rule, share, where_marked

RULES = (
    Rule("min_punctuated_lines", DropReason.FINEWEB_PUNCTUATION, where_marked(share("punctuated_lines", "lines")), "at_most"),
    Rule("max_short_lines", DropReason.FINEWEB_SHORT_LINES, share("short_lines", "lines"), "at_least"),
    Rule(
        "max_duplicate_line_characters",
        DropReason.FINEWEB_DUPLICATE_LINES,
        share("duplicate_line_characters", "line_characters"),
        "at_least",
    ),
    Rule("max_newlines", DropReason.FINEWEB_LIST, share("newlines", "words"), "above"),
)
