"""Cut menus above the running text of a web page, and residue below it."""

from functools import partial

from pipelines.config import LinesSection
from pipelines.contract.batch import Batch, rewrite
from pipelines.contract.reasons import Change
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.extraction.main_lines import main_lines

VERSION = 1
NAME = "lines"


def stage(section: LinesSection, *, runs: bool = True) -> Stage:
    """Cut the lines above and below the running text. Texts must be normalised first."""
    # The version is among the settings, unlike that of other stages, because it was added later and must not change the
    # fingerprints of sources without this stage.
    settings = {NAME: {**section.model_dump(mode="json"), "version": VERSION} if runs else None}
    return Stage({}, partial(_open, section), settings, runs=runs)


def _open(section: LinesSection) -> ForUnit:
    def run(batch: Batch) -> Batch:
        documents = batch.documents
        return rewrite(batch, NAME, Change.LINES, main_lines(documents["text"], documents["title"], section.prose_limit))

    return for_every_unit(run)
