"""Cut menus above the running text of a web page, and residue below it.

What the page model took from a page needs no cut (word F1 on 1,435 pages of seven types falls from .891 to .868); the text of
WET files, which is all of a page, does.
"""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import LinesSection
from pipelines.contract.batch import Batch, rewrite
from pipelines.contract.reasons import Change
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.extraction.main_lines import main_lines

VERSION = 1
NAME = "lines"


_WET = r"\.wet\b[^#]*#"  # in an origin: the name of a file of extracted text


def stage(section: LinesSection, *, runs: bool = True, only_wet: bool = False) -> Stage:
    """Cut the lines above and below the running text, or only that of WET files. Texts must be normalised first."""
    # The version is among the settings, unlike that of other stages, because it was added later and must not change the
    # fingerprints of sources without this stage.
    made_from = {**section.model_dump(mode="json"), "version": VERSION, **({"only_wet": True} if only_wet else {})}
    return Stage({}, partial(_open, section, only_wet), {NAME: made_from if runs else None}, runs=runs)


def _open(section: LinesSection, only_wet: bool) -> ForUnit:
    def run(batch: Batch) -> Batch:
        documents = batch.documents
        texts = documents["text"]
        cut = main_lines(texts, documents["title"], section.prose_limit)
        if only_wet:
            cut = _unless(pc.match_substring_regex(documents["origin"], _WET), cut, texts)
        return rewrite(batch, NAME, Change.LINES, cut)

    return for_every_unit(run)


def _unless(is_wet: pa.BooleanArray, cut: pa.Array, texts: pa.Array) -> pa.Array:
    """Return the cut texts of WET files, and the others as they are."""
    return pc.if_else(is_wet, cut, texts) if pc.any(is_wet).as_py() else texts
