"""Drop documents whose language is unwanted or uncertain, according to the columns that `judge` filled."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import LanguageSection
from pipelines.contract.batch import Batch, sift
from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Stage, for_every_unit

VERSION = 1
NAME = "language"


def stage(section: LanguageSection) -> Stage:
    """Sift LANGUAGE_UNWANTED and LANGUAGE_UNCERTAIN (detail: the language and its score).

    The stage raises UserError on a batch that was not judged.
    """
    settings = {NAME: section.model_dump(mode="json", exclude={"model"})}
    return Stage({NAME: VERSION}, partial(_open, section), settings, runs=section.enabled)


def _open(section: LanguageSection) -> ForUnit:
    kept_languages = pa.array(section.keep, pa.string())

    def run(batch: Batch) -> Batch:
        language, score = batch.documents["language"], batch.documents["language_score"]
        if score.null_count:
            raise UserError(f"stage {NAME}: {score.null_count} documents were not judged; build them with language.enabled")
        none = pa.scalar(None, pa.string())
        uncertain = pc.if_else(pc.less(score, section.score_limit), DropReason.LANGUAGE_UNCERTAIN.value, none)
        unwanted = pc.and_(bool(section.keep), pc.invert(pc.is_in(language, kept_languages)))
        reasons = pc.if_else(unwanted, DropReason.LANGUAGE_UNWANTED.value, uncertain)
        shown = pc.round(score.cast(pa.float64()), 3).cast(pa.string())
        return sift(batch, NAME, reasons, pc.binary_join_element_wise(pc.fill_null(language, "?"), shown, " "))

    return for_every_unit(run)
