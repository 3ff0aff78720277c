"""Mask private data, and drop documents that are full of it.

The last stage before a document is published: language, rules, classifier and copies are judged by what people wrote, and
vocabularies and token shards see the masks. Each mask is a row of the table `masks`, with its place and without the text that it
covers.

Limits: only `text` is masked. Titles, authors and addresses of documents stay as they are, and so do the intermediate dataset
`documents` and the drops, which are evidence and no part of what is published for training.
"""

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
import stdnum
from numpy.typing import NDArray

from pipelines.config import MACHINE, PrivateSection
from pipelines.contract.batch import Batch, edited, sift
from pipelines.contract.reasons import Change, DropReason
from pipelines.contract.schema import MASKS
from pipelines.stages.base import BatchFunction, ForUnit, Model, Stage, for_every_unit
from pipelines.text.judgement.annotators import names as names_of_persons
from pipelines.text.judgement.annotators import process
from pipelines.text.judgement.annotators.process import Annotator
from pipelines.text.judgement.private import find as finding
from pipelines.text.judgement.private.find import find, joined
from pipelines.text.judgement.private.findings import TYPES, Findings, PrivateType, tokens_with
from pipelines.text.judgement.private.masking import Masked, mask

VERSION = f"1/find-{finding.VERSION}"
_OF_NAMES = {"names", "name_labels", "person"}  # settings
NAME = "private"
TABLE = "masks"


def stage(section: PrivateSection, names: Model | None = None) -> Stage:
    """Mask the types that the section names, and sift PRIVATE_DATA (detail: the numbers by type). Adds the table "masks".

    `names` is the model of `section.names`.
    """
    settings = {NAME: made_from(section, names) if section.searched else None}
    return Stage({NAME: VERSION}, partial(_open, section, names), settings, runs=bool(section.searched))


def made_from(section: PrivateSection, names: Model | None = None) -> dict[str, Any]:
    """Return what determines the masks: the settings, the model, and the libraries that know numbering plans and checksums."""
    libraries = {"phonenumbers": phonenumbers.__version__, "python-stdnum": stdnum.__version__}
    known = section.model_dump(mode="json", exclude=_OF_NAMES if names is None else MACHINE["private"])
    model = {} if names is None else {"names": names.sha256, "annotators": process.VERSION}
    return {**known, **model, "libraries": libraries}


def model_of_names(section: PrivateSection) -> Model | None:
    """Return the model that finds names, if any is wanted. Raise AnnotatorError if it cannot be used."""
    if PrivateType.PERSON not in section.searched:
        return None
    annotator = _annotator(section)
    try:
        names_of_persons.check_names(annotator, section.name_labels)
        return Model(annotator.run, annotator.facts.checkpoint)
    finally:
        annotator.close()


def _annotator(section: PrivateSection, checkpoint: str | None = None) -> Annotator:
    assert section.names is not None
    return Annotator("private.names", section.names, "named_entities", checkpoint=checkpoint)


def _open(section: PrivateSection, names: Model | None) -> ForUnit:
    return for_every_unit(masking(section, None if names is None else _annotator(section, names.sha256)))


def masking(section: PrivateSection, names: Annotator | None = None) -> BatchFunction:
    """Return the function that sifts and masks a batch; `names` finds names of persons.

    No stage that drops documents may follow: masks are rows of their own.
    """
    tokens = tokens_with(section.tokens)

    def run(batch: Batch) -> Batch:
        documents = batch.documents
        found = find(
            documents["text"],
            section.searched,
            languages=documents["language"],
            public_addresses_only=section.ip_addresses == "public",
        )
        if names is not None:
            persons = names_of_persons.find_labels(names, documents["text"], section.name_labels, PrivateType.PERSON)
            found = joined(found, persons)
        is_dropped = _is_dense(documents["text"], found, section)
        batch = sift(batch, NAME, *_verdicts(found, is_dropped))
        found = _of_kept(found, is_dropped)
        masked = mask(batch.documents["text"], found, tokens)
        removed, added = _changes(found, masked, tokens)
        rows = _rows(batch.documents, found, masked)
        batch = edited(batch, NAME, masked.texts, added=added, removed=removed)
        return replace(batch, tables={**batch.tables, TABLE: rows})

    return run


def _is_dense(texts: pa.Array, found: Findings, section: PrivateSection) -> NDArray[np.bool_]:
    """Return which documents have too many occurrences of the types that are dropped."""
    codes = [number for number, type_ in enumerate(TYPES) if section.action(type_) == "drop"]
    counts = np.bincount(found.rows[np.isin(found.types, codes)], minlength=len(texts))
    lengths = np.maximum(pc.utf8_length(texts).to_numpy(), 1)
    return (counts > section.count_limit) & (counts * 1000 > section.density_limit * lengths)


def _verdicts(found: Findings, is_dropped: NDArray[np.bool_]) -> tuple[pa.Array, pa.Array]:
    """Return the reason against each document (null: none), and how often it has each type ("3 email, 2 phone")."""
    details: list[str | None] = [None] * len(is_dropped)
    for row in np.flatnonzero(is_dropped).tolist():
        counts = Counter(TYPES[code].value for code in found.types[found.rows == row].tolist())
        details[row] = ", ".join(f"{counts[type_]} {type_}" for type_ in sorted(counts))
    reasons = pc.if_else(pa.array(is_dropped), DropReason.PRIVATE_DATA.value, pa.scalar(None, pa.string()))
    return reasons, pa.array(details, pa.string())


def _of_kept(found: Findings, is_dropped: NDArray[np.bool_]) -> Findings:
    """Return the findings of the documents that stay, with their new row numbers."""
    if not is_dropped.any():
        return found
    stays = ~is_dropped[found.rows]
    rows = found.rows[stays] - np.cumsum(is_dropped)[found.rows[stays]]
    return Findings(rows, found.starts[stays], found.ends[stays], found.types[stays], found.kinds.filter(pa.array(stays)))


def _changes(found: Findings, masked: Masked, tokens: list[str]) -> tuple[Counter[str], Counter[str]]:
    """Return the characters that were removed and those that were added, by Change."""
    removed: Counter[str] = Counter()
    added: Counter[str] = Counter()
    for code, type_ in enumerate(TYPES):
        is_type = found.types == code
        change = Change(f"private_{type_}")
        removed[change] = int(masked.characters[is_type].sum())
        added[change] = int(is_type.sum()) * len(tokens[code])
    return removed, added


def _rows(documents: pa.RecordBatch, found: Findings, masked: Masked) -> pa.RecordBatch:
    rows = pa.array(found.rows)
    columns = [
        documents["id"].take(rows),
        documents["language"].take(rows),
        pa.array([TYPES[code].value for code in found.types.tolist()], pa.string()),
        found.kinds,
        pa.array(masked.starts),
        pa.array(masked.starts_before),
        pa.array(masked.characters),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=MASKS)
