"""RefinedWeb's rule on lines (arXiv 2306.01116, appendix G.2), as a rule for whole pages.

Lines of capitals, numbers, counters and single words are flagged, and a page is dropped if too many of its words are in them.
`stages/cut_lines` removes such lines.

Limits: its patterns of short lines ("sign-in", "Read more...", "items in cart") are of English sites and not published.
"""

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.rule import Rule, share

RULES = (Rule("max_flagged_words", DropReason.REFINEDWEB_LINES, share("flagged_words", "words"), "above"),)
