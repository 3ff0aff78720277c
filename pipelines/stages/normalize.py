"""Characters: repair, clean and compose; then drop what is empty or beyond repair."""

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import NormalizeSection
from pipelines.contract.batch import Batch, Stage, rewrite, sift
from pipelines.contract.reasons import DropReason
from pipelines.text.characters import normalize

VERSION = 1
NAME = "normalize"


def stage(section: NormalizeSection) -> Stage:
    """Rewrite the texts step by step, then sift EMPTY and GARBLED (detail: the share of U+FFFD)."""

    def run(batch: Batch) -> Batch:
        for change, texts in normalize.steps(batch.documents["text"], repair=section.repair_encoding):
            batch = rewrite(batch, NAME, change, texts)
        texts = batch.documents["text"]
        share = normalize.garbled_share(texts)
        garbled = pc.if_else(pc.greater(share, section.garbled_share_limit), DropReason.GARBLED.value, _NONE)
        reasons = pc.if_else(pc.equal(texts, ""), DropReason.EMPTY.value, garbled)
        details = pc.if_else(pc.is_valid(garbled), pc.round(share, 4).cast(pa.string()), _NONE)
        return sift(batch, NAME, reasons, details)

    return run


_NONE = pa.scalar(None, pa.string())
