"""Repair, clean and compose characters; then drop texts that are empty or beyond repair."""

from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config import NormalizeSection
from pipelines.contract.batch import Batch, rewrite, sift, with_columns
from pipelines.contract.reasons import DropReason
from pipelines.stages.base import ForUnit, Stage, for_every_unit
from pipelines.text.characters import code_spaces, normalize

VERSION = 4
NAME = "normalize"


def stage(section: NormalizeSection, kind: str) -> Stage:
    """Rewrite the texts of a kind of source step by step, then sift EMPTY and GARBLED (detail: the share of U+FFFD)."""
    return Stage({NAME: VERSION}, partial(_open, section, kind), {NAME: section.model_dump(mode="json")})


def _open(section: NormalizeSection, kind: str) -> ForUnit:
    is_extracted = kind != "records"  # only extractors mark code
    whitespace = section.whitespace or ("code" if is_extracted else "keep")

    def run(batch: Batch) -> Batch:
        if is_extracted and whitespace != "code":
            documents = batch.documents
            batch = replace(batch, documents=with_columns(documents, text=code_spaces.restore(documents["text"])))
        for change, texts in normalize.steps(batch.documents["text"], repair=section.repair_encoding, whitespace=whitespace):
            batch = rewrite(batch, NAME, change, texts)
        texts = batch.documents["text"]
        is_blank = pc.or_(pc.equal(texts, ""), pc.utf8_is_space(texts))
        share = normalize.garbled_share(texts)
        garbled = pc.if_else(pc.greater(share, section.garbled_share_limit), DropReason.GARBLED.value, _NONE)
        reasons = pc.if_else(is_blank, DropReason.EMPTY.value, garbled)
        details = pc.if_else(pc.is_valid(garbled), pc.round(share, 4).cast(pa.string()), _NONE)
        return sift(batch, NAME, reasons, details)

    return for_every_unit(run)


_NONE = pa.scalar(None, pa.string())
