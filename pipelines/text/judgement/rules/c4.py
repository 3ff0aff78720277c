"""C4's rules for whole pages (arXiv 1910.10683, section 2.2). `stages/cut_lines` has its removal of lines.

C4 counts the sentences of the lines that it keeps: `min_prose_sentences` does that without removing any. Its list of bad words
is that of quality.bad_words.
"""

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.rule import Rule, measure, where_marked

RULES = (
    Rule("max_lorem_ipsum", DropReason.C4_LOREM_IPSUM, measure("lorem_ipsum"), "above"),
    Rule("max_curly_brackets", DropReason.C4_CURLY_BRACKET, measure("curly_brackets"), "above"),
    Rule("max_bad_words", DropReason.C4_BAD_WORDS, measure("bad_words"), "above"),
    Rule("min_sentences", DropReason.C4_FEW_SENTENCES, where_marked(measure("sentences")), "below"),
    Rule("min_prose_sentences", DropReason.C4_FEW_SENTENCES, where_marked(measure("prose_sentences")), "below"),
)
