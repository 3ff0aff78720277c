"""Repair, clean and compose characters; then drop texts that are empty or beyond repair."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import NormalizeSection
from pipelines.contract.batch import Batch, rewrite, sift
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.characters import normalize

VERSION = 1
NAME = "normalize"


def stage(section: NormalizeSection) -> Stage:
    """Rewrite the texts step by step, then sift EMPTY and GARBLED (detail: the share of U+FFFD)."""
    return Stage({NAME: VERSION}, partial(_open, section), {NAME: section.model_dump(mode="json")})


def _open(section: NormalizeSection) -> ForUnit:

    def run(batch: Batch) -> Batch:
        for change, texts in normalize.steps(batch.documents["text"], repair=section.repair_encoding):
            batch = rewrite(batch, NAME, change, texts)
        texts = batch.documents["text"]
        share = normalize.garbled_share(texts)
        garbled = pc.if_else(pc.greater(share, section.garbled_share_limit), DropReason.GARBLED.value, _NONE)
        reasons = pc.if_else(pc.equal(texts, ""), DropReason.EMPTY.value, garbled)
        details = pc.if_else(pc.is_valid(garbled), pc.round(share, 4).cast(pa.string()), _NONE)
        return sift(batch, NAME, reasons, details)

    return for_every_unit(run)


_NONE = pa.scalar(None, pa.string())
