"""Figures of one record batch, computed column by column.

Figures of several batches are combined by name: `…_min` by minimum, `…_max` by maximum, all others by sum.
"""

import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import Grain

Figures = dict[str, Any]  # numbers; None if there was nothing to measure


def join(a: Figures, b: Figures) -> Figures:
    """Return the figures of two batches together."""
    return {name: _joiner(name)(a.get(name), b.get(name)) for name in {**a, **b}}


def _joiner(name: str) -> Callable[[Any, Any], Any]:
    operation = min if name.endswith("_min") else max if name.endswith("_max") else _plus
    return lambda x, y: y if x is None else x if y is None else operation(x, y)


def _plus(x: Any, y: Any) -> Any:
    return x + y


def documents(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of documents, or of drops, whose texts may be empty or hold anything."""
    text = batch["text"]
    lengths = pc.utf8_length(text)
    return {
        **_nulls(batch),
        "characters": pc.sum(lengths).as_py() or 0,
        **_range("text_length", lengths),
        **_range("language_score", batch["language_score"]),
        **_range("quality_score", batch["quality_score"]),
        "empty_texts": _count(pc.equal(lengths, 0)),
        "texts_not_nfc": not_nfc(text),
        "texts_with_carriage_return": _count(pc.match_substring(text, "\r")),
        "texts_with_nul": _count(pc.match_substring(text, "\0")),
        "unknown_rules": _count(pc.invert(pc.is_in(_without_own_name(batch["rule"]), pa.array([*DropReason])))),
    }


def _without_own_name(rules: pa.Array) -> pa.Array:
    """Return the DropReasons of rules; "own_rule:NAME" names one of the config."""
    return pc.replace_substring_regex(rules.drop_null(), f"^{DropReason.OWN_RULE.value}:.*", DropReason.OWN_RULE.value)


def not_nfc(text: pa.Array) -> int:
    """Count the texts that are not in normal form C.

    On Polish text unicodedata's quick check reads 225 MB/s; pyarrow 25's utf8_normalize makes 30 MB/s. Hence the loop.
    """
    not_ascii = text.filter(pc.invert(pc.string_is_ascii(text)))
    return sum(not unicodedata.is_normalized("NFC", entry) for entry in not_ascii.to_pylist() if entry is not None)


def tokens(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of a token shard's rows; `facts` holds the vocabulary's size and special ids.

    >>> row = {"tokens": [5, 2], "sentence_starts": [0, 9], "utf8_bytes": 3, "id": bytes(16)}
    >>> rows = pa.RecordBatch.from_pylist([row])
    >>> figures = tokens(rows, {"vocabulary_size": 5, "special_ids": [2]})
    >>> figures["ids_beyond_vocabulary"], figures["special_ids"], figures["starts_beyond_tokens"]
    (1, 1, 1)
    """
    ids = batch["tokens"].flatten().to_numpy(zero_copy_only=False)
    lengths = _lengths(batch["tokens"])
    return {
        **_nulls(batch),
        "tokens": len(ids),
        "utf8_bytes": pc.sum(batch["utf8_bytes"]).as_py() or 0,
        "id_max": int(ids.max()) if len(ids) else None,
        "empty_rows": int((lengths == 0).sum()),
        "ids_beyond_vocabulary": int((ids >= facts["vocabulary_size"]).sum()),
        "special_ids": int(np.isin(ids, np.asarray(facts["special_ids"], ids.dtype)).sum()),
        **_sentence_figures(batch["sentence_starts"], lengths),
    }


def _sentence_figures(starts: pa.Array, lengths: np.ndarray[Any, Any]) -> Figures:
    flat = starts.flatten().to_numpy(zero_copy_only=False).astype(np.int64)
    row = np.repeat(np.arange(len(starts)), _lengths(starts))
    falls = (np.diff(flat) <= 0) & (np.diff(row) == 0)
    return {
        "sentences": len(flat),
        "starts_unsorted": int(falls.sum()),
        "starts_beyond_tokens": int((flat >= lengths[row]).sum()),
    }


def index(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of signatures."""
    return {**_nulls(batch), **_range("characters", batch["characters"])}


def repeated(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of repeated lines or paragraphs."""
    return {**_nulls(batch), **_range("documents", batch["documents"])}


def runs(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of runs of words to cut."""
    empty = pc.greater_equal(batch["first"], batch["behind"])
    return {**_nulls(batch), "empty_runs": _count(empty), **_range("first", batch["first"])}


def not_increasing(hashes: pa.ChunkedArray) -> int:
    """Count the hashes that are not greater than the one before."""
    values = hashes.to_numpy()
    return int(np.count_nonzero(values[1:] <= values[:-1]))


def clusters(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return the figures of clusters."""
    here = pc.is_null(batch["corpus"])  # an earlier corpus may hold the same record: a copy like any other
    unlike = pc.and_(pc.equal(batch["grain"], "exact"), pc.less(batch["similarity"], 1.0))
    return {
        **_nulls(batch),
        "own_survivors": _count(pc.and_(pc.equal(batch["id"], batch["survivor"]), here)),
        "unknown_grains": _count(pc.invert(pc.is_in(batch["grain"], pa.array([*Grain])))),
        "unnamed_corpora": _count(pc.fill_null(pc.equal(batch["corpus"], ""), False)),
        "exact_but_unlike": _count(unlike),
        **_range("similarity", batch["similarity"]),
    }


def no_figures(batch: pa.RecordBatch, facts: Mapping[str, Any]) -> Figures:
    """Return no figures: of a table unknown to all suites only the rows are counted."""
    return {}


def _nulls(batch: pa.RecordBatch) -> Figures:
    """Count the nulls in columns that must not have any."""
    required = [entry.name for entry in batch.schema if not entry.nullable]
    return {"nulls_in_required_columns": sum(batch[name].null_count for name in required)}


def _range(name: str, values: pa.Array) -> Figures:
    """Return minimum and maximum; a NaN becomes infinity, which no limit allows."""
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), float("inf"), values)
    extremes = pc.min_max(values).as_py()
    return {f"{name}_min": extremes["min"], f"{name}_max": extremes["max"]}


def _count(mask: pa.Array) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _lengths(lists: pa.Array) -> np.ndarray[Any, Any]:
    return pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False).astype(np.int64)
