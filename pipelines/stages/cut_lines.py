"""Remove the lines of web pages that C4's and RefinedWeb's rules name. Off by default: headings, lists and code go, too."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import LinesSection
from pipelines.contract.batch import Batch, rewrite, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.stages.removed import noted
from pipelines.text.copies import removed
from pipelines.text.judgement import lines
from pipelines.text.judgement.lines import LineRules

VERSION = f"2/removed-{removed.VERSION}"
NAME = "cut_lines"


def stage(section: LinesSection, *, has_rules: bool) -> Stage:
    """Cut the lines of sources that have rules (Change.LINE_RULES), and sift EMPTY where no line would stay."""
    rules = line_rules(section)
    runs = has_rules and rules != LineRules()
    settings = section.model_dump(mode="json", include={"c4", "refinedweb"}) if runs else None
    return Stage({NAME: VERSION}, partial(_open, rules), {NAME: settings}, runs=runs)


def line_rules(section: LinesSection) -> LineRules:
    """Return the lines that the config has cut."""
    c4, refinedweb = section.c4, section.refinedweb
    phrases = () if c4 is None else ((lines.JAVASCRIPT,) if c4.javascript else ()) + (lines.POLICIES if c4.policies else ())
    kinds = 0
    if refinedweb is not None:
        kinds |= lines.UPPERCASE if refinedweb.capitals else 0
        kinds |= lines.NUMBER if refinedweb.numbers else 0
        kinds |= lines.COUNTER if refinedweb.counters else 0
        kinds |= lines.ONE_WORD if refinedweb.single_words else 0
    return LineRules(
        terminal=c4 is not None and c4.terminal_marks,
        min_words=c4.min_words or 0 if c4 is not None else 0,
        max_word_length=c4.max_word_length if c4 is not None else None,
        phrases=phrases,
        kinds=kinds,
    )


def _open(rules: LineRules) -> ForUnit:
    def run(batch: Batch) -> Batch:
        texts = lines.cut(batch.documents["text"], rules)
        empty = pc.equal(pc.binary_length(texts), 0)
        batch = noted(batch, NAME, Change.LINE_RULES, texts)
        batch = sift(batch, NAME, pc.if_else(empty, DropReason.EMPTY.value, pa.scalar(None, pa.string())))
        return rewrite(batch, NAME, Change.LINE_RULES, texts.filter(pc.invert(empty)))

    return for_every_unit(run)
