"""Draw documents of a corpus that a condition is true of: those whose ids hash lowest, so the same ones every time.

Columns are read first, one row group at a time, and of them only the rows drawn so far are kept; texts are read last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.config import PrivateSection
from pipelines.contract import files
from pipelines.contract.schema import sampling_key
from pipelines.review.rows import UNSHOWN, Rows, parts, read
from pipelines.review.where import OF_DROPS, Where
from pipelines.text.judgement.private.findings import tokens_with
from pipelines.text.judgement.private.masking import masked_texts
from pipelines.units.context import Dataset

SHOWN = (
    *("id", "source", "origin", "url", "title", "license", "language", "language_score", "rule", "rule_value", "quality_score"),
    *("stage", "reason", "detail"),
)
_NOTHING = Where("characters >= 0")


@dataclass(frozen=True, slots=True)
class Drawn:
    """Documents with their texts, and how many there were."""

    documents: list[dict[str, Any]]  # SHOWN, characters and text; the id is hexadecimal
    matched: int  # documents that the condition is true of
    hidden: int  # of these, those whose text is never shown: taken down, blocked, dropped for private data


def draw(corpus: Dataset, where: str | None, count: int, *, dropped: bool = False, most_characters: int | None = None) -> Drawn:
    """Draw `count` documents; of each text at most `most_characters` are returned.

    Dropped documents are among them if `dropped`, or if the condition names what only they have (a reason, for one).
    Raise WhereError if the condition is none.
    """
    names = [model["name"] for model in corpus.manifest.config.get("quality", {}).get("models", ())]
    condition = Where(where, names) if where else _NOTHING
    with_drops = dropped or bool(condition.names & OF_DROPS)
    matched, hidden, held = 0, 0, pa.table({})
    for rows in read(corpus, list(dict.fromkeys((*SHOWN, *condition.columns)))):
        meant = condition.matches(rows.columns)
        if not with_drops:
            meant = pc.and_(meant, pc.is_null(rows.columns["stage"]))
        secret = pc.fill_null(pc.is_in(rows.columns["reason"], pa.array(sorted(UNSHOWN), pa.string())), False)
        matched += pc.sum(meant).as_py() or 0
        hidden += pc.sum(pc.and_(meant, secret)).as_py() or 0
        held = _lowest(held, rows, pc.and_(meant, pc.invert(secret)), count)
    return Drawn(_with_texts(parts(corpus), held, corpus, most_characters), matched, hidden)


def _lowest(held: pa.Table, rows: Rows, meant: pa.Array, count: int) -> pa.Table:
    """Return the `count` rows with the lowest keys among those held and those meant."""
    at = np.flatnonzero(meant.to_numpy(zero_copy_only=False))
    if not len(at):
        return held
    keys = sampling_key(rows.columns["id"])[at]
    at = at[np.argsort(keys, kind="stable")[:count]]
    place = pa.array(at)
    taken = {name: rows.columns[name].take(place) for name in (*SHOWN, "characters")}
    where = {"part": np.full(len(at), rows.part), "group": np.full(len(at), rows.group), "row": at}
    taken |= {name: pa.array(values) for name, values in where.items()}
    taken |= {"key": pa.array(sampling_key(taken["id"]))}
    table = pa.concat_tables([held, pa.table(taken)]) if held.num_rows else pa.table(taken)
    return table.take(pc.sort_indices(table, [("key", "ascending"), ("id", "ascending")])[:count])


def _with_texts(uris: Sequence[str], held: pa.Table, corpus: Dataset, most: int | None) -> list[dict[str, Any]]:
    documents = held.to_pylist()
    for part, group in sorted({(int(document["part"]), int(document["group"])) for document in documents}):
        here = [one for one in documents if (one["part"], one["group"]) == (part, group)]
        with files.reading(uris[part]) as stream:
            texts = pq.ParquetFile(stream).read_row_group(group, columns=["text"], use_threads=False)["text"]
        for document in here:
            text = str(texts[document["row"]].as_py())
            document["text"] = text if most is None else text[: 2 * most]  # masked before it is cut
    _mask(documents, PrivateSection.model_validate(corpus.manifest.config["private"]))
    return [_shown(document, most) for document in documents]


def _mask(documents: list[dict[str, Any]], private: PrivateSection) -> None:
    """Mask private data, which only published texts are free of."""
    names = ("title", "text")
    strings = [document[name] or "" for document in documents for name in names]
    tokens, public_only = tokens_with(private.tokens), private.ip_addresses == "public"
    masked = iter(masked_texts(strings, private.searched, tokens, public_addresses_only=public_only))
    for document in documents:
        document |= {name: next(masked) or None for name in names}


def _shown(document: dict[str, Any], most: int | None) -> dict[str, Any]:
    text = document["text"] or ""
    shown = {name: document[name] for name in (*SHOWN, "characters")}
    return shown | {"id": document["id"].hex(), "text": text if most is None else text[:most]}
