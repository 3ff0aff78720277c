"""C4's rules for whole pages (arXiv 1910.10683, section 2.2).

Limits: C4's removal of lines is not applied (pages keep their headings and lists); its list of bad words is not used.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow.compute as pc

from pipelines.contract.reasons import DropReason
from pipelines.text.judgement.rules.measured import Rule, Texts, has_sentence_marks


def c4(texts: Texts) -> Iterator[Rule]:
    """Find pages that are not prose: placeholder text, code, fewer than three sentences."""
    c = texts.counts
    lorem = np.asarray(pc.match_substring_regex(texts.texts, "(?i)lorem ipsum"))
    yield DropReason.C4_LOREM_IPSUM, lorem, lorem.astype(np.float64)
    yield DropReason.C4_CURLY_BRACKET, c.curly_brackets > 0, c.curly_brackets.astype(np.float64)
    yield DropReason.C4_FEW_SENTENCES, has_sentence_marks(c) & (c.sentences < 3), c.sentences.astype(np.float64)
