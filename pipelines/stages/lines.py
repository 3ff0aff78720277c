"""Lines: of a web page only the running text stays; menus above it and residue below are cut off."""

from pipelines.config import LinesSection
from pipelines.contract.batch import Batch, Stage, rewrite
from pipelines.contract.reasons import Change
from pipelines.text.extraction.main_lines import main_lines

VERSION = 1
NAME = "lines"


def stage(section: LinesSection) -> Stage:
    """Rewrite the texts, which `normalize` has seen, without the lines above and below their running text."""

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        return rewrite(batch, NAME, Change.LINES, main_lines(documents["text"], documents["title"], section.prose_limit))

    return run
