"""Cut menus above the running text of a web page, and residue below it.

What the page model took from a page needs no cut (word F1 on 1,435 pages of seven types falls by .02); the text of
WET files, which is all of a page, does.
"""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import LinesSection, SourceSection
from pipelines.contract.batch import Batch
from pipelines.contract.reasons import Change
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.stages.removed import cut
from pipelines.text.copies import removed
from pipelines.text.extraction.main_lines import main_lines

VERSION = f"1/removed-{removed.VERSION}"
NAME = "lines"

_WET = r"\.wet\b[^#]*#"  # in an origin: the name of a file of extracted text


def stage(section: LinesSection, *, runs: bool = True, only_wet: bool = False) -> Stage:
    """Cut the lines above and below the running text, or only that of WET files. Texts must be normalised first."""
    # The version is among the settings, unlike that of other stages, because it was added later and must not change the
    # fingerprints of sources without this stage.
    made_from = {
        **section.model_dump(mode="json", exclude={"c4", "refinedweb"}),
        "version": VERSION,
        **({"only_wet": True} if only_wet else {}),
    }
    return Stage({}, partial(_open, section, only_wet), {NAME: made_from if runs else None}, runs=runs)


def stage_of_source(section: LinesSection, source: SourceSection) -> Stage:
    """Return the stage of a source's documents: it runs for web pages, of which it leaves alone what the page model wrote."""
    runs = section.enabled and source.kind == "common_crawl"
    return stage(section, runs=runs, only_wet=source.extractor == "corpusmill")


def _open(section: LinesSection, only_wet: bool) -> ForUnit:
    def run(batch: Batch) -> Batch:
        return cut(batch, NAME, Change.LINES, _cut(batch.documents, section.prose_limit, only_wet))

    return for_every_unit(run)


def _cut(documents: pa.RecordBatch, prose_limit: float, only_wet: bool) -> pa.Array:
    """Return the texts, those of WET files or all without the lines around the running text."""
    texts = documents["text"]
    is_wet = pc.match_substring_regex(documents["origin"], _WET) if only_wet else None
    if is_wet is not None and not pc.any(is_wet).as_py():
        return texts
    cut = main_lines(texts, documents["title"], prose_limit)
    return cut if is_wet is None else pc.if_else(is_wet, cut, texts)
