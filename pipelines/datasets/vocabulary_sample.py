"""The sample on which a vocabulary is trained: passages of the train split, a set number of bytes per language.

Documents are cut into passages (text/tokenization/passages.py), because a few whole novels would give a vocabulary of their
heroes' names. A language gets the passages with the smallest sampling keys (hashes of the document's id and the passage's
number), in key order, until they hold its bytes; the last passage is cut there. So the sample does not depend on the order of
parts or rows.

Memory: at most twice the sample, one batch of the corpus, and, while a language is thinned, a copy of its remaining passages.
Limits: the corpus is read twice, first for the bytes of each language, because sizes are not stored apart from the texts.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import schema
from pipelines.text.tokenization.passages import Passages, passage_keys, passages

COUNTED_COLUMNS = ("work", "language", "text")
DRAWN_COLUMNS = ("id", "work", "source", "language", "text")
_SAMPLE = pa.schema(
    [
        ("id", pa.binary(16)),
        ("passage", pa.int64()),
        ("source", pa.string()),
        ("language", pa.string()),
        ("text", pa.large_string()),
        ("key", pa.float64()),
    ]
)
_TEXT = 4


def language_bytes(documents: Iterable[pa.RecordBatch], validation_share: float) -> dict[str, int]:
    """Return the bytes of text in the train split by language, from the columns work, language, text."""
    counts: dict[str, int] = {}
    for batch in documents:
        train = pa.array(~schema.is_validation(batch["work"], validation_share))
        rows = pa.table({"language": _languages(batch), "bytes": pc.binary_length(batch["text"]).cast(pa.int64())}).filter(train)
        for row in rows.group_by("language").aggregate([("bytes", "sum")]).to_pylist():
            counts[row["language"]] = counts.get(row["language"], 0) + row["bytes_sum"]
    return dict(sorted(counts.items()))


class Draw:
    """A sampler of documents in batches, in any order; it holds only passages that the sample may still need."""

    def __init__(self, bytes_by_language: Mapping[str, int], validation_share: float) -> None:
        self._validation_share = validation_share
        self._pools = {language: _Pool(limit) for language, limit in bytes_by_language.items() if limit}

    def add(self, batch: pa.RecordBatch) -> None:
        """Add documents (columns id, work, source, language, text)."""
        cut = passages(batch["text"])
        keys = passage_keys(schema.sampling_key(batch["id"])[cut.texts], cut.numbers)
        languages = _languages(batch).dictionary_encode()
        pools = [self._pools.get(language) for language in languages.dictionary.to_pylist()]
        limits = np.array([pool.limit if pool else -1.0 for pool in pools])[languages.indices.to_numpy()]
        limits[schema.is_validation(batch["work"], self._validation_share)] = -1.0
        chosen = np.flatnonzero(keys <= limits[cut.texts])
        rows = _rows(batch, cut, chosen, keys)
        for language, pool in zip(languages.dictionary.to_pylist(), pools, strict=True):
            if pool is not None:
                pool.add(rows.filter(pc.equal(rows["language"], language)))

    def sample(self) -> pa.Table:
        """Return the sample, ordered by id and passage: id, passage, source, language, text."""
        tables = [pool.finish() for pool in self._pools.values()]
        self._pools.clear()
        order = [("id", "ascending"), ("passage", "ascending")]
        return pa.concat_tables([_SAMPLE.empty_table(), *tables]).drop_columns(["key"]).sort_by(order).combine_chunks()


def _rows(batch: pa.RecordBatch, cut: Passages, chosen: NDArray[np.int64], keys: NDArray[np.float64]) -> pa.Table:
    texts = pa.array(cut.texts[chosen])
    columns = [
        batch["id"].take(texts),
        pa.array(cut.numbers[chosen]),
        batch["source"].take(texts),
        _languages(batch).take(texts),
        pa.array(cut.cut_out(chosen), pa.large_string()),
        pa.array(keys[chosen]),
    ]
    return pa.Table.from_arrays(columns, schema=_SAMPLE)


class _Pool:
    """The passages of one language with the smallest keys so far."""

    def __init__(self, size: int) -> None:
        self._size = size  # bytes
        self._rows: list[pa.Table] = []
        self.held = 0  # bytes
        self.limit = 1.0  # a passage with a larger key is not needed

    def add(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._rows.append(rows)
            self.held += pc.sum(pc.binary_length(rows["text"])).as_py()
        if self.held > 2 * self._size:
            self._thin()

    def finish(self) -> pa.Table:
        """Return the rows, which hold at most `size` bytes."""
        if self.held > self._size:
            self._thin()
        rows = pa.concat_tables([_SAMPLE.empty_table(), *self._rows])
        return rows.filter(pc.greater(pc.binary_length(rows["text"]), 0))  # the last passage may have been cut to nothing

    def _thin(self) -> None:
        """Keep the rows with the smallest keys up to the size in bytes; cut the last one."""
        ordered = pa.concat_tables(self._rows).sort_by([("key", "ascending"), ("id", "ascending"), ("passage", "ascending")])
        held = np.cumsum(pc.binary_length(ordered["text"]).to_numpy())
        last = int(np.searchsorted(held, self._size))
        self.limit = ordered["key"][last].as_py()
        room = self._size - (int(held[last - 1]) if last else 0)
        cut = pa.array([_beginning(ordered["text"][last].as_py(), room)], pa.large_string())
        crossing = ordered.slice(last, 1)
        self._rows = [ordered.slice(0, last).combine_chunks(), crossing.set_column(_TEXT, _SAMPLE.field(_TEXT), cut)]
        self.held = (int(held[last - 1]) if last else 0) + int(pc.binary_length(cut)[0].as_py())


def _beginning(text: str, most_bytes: int) -> str:
    """Return as many whole characters as fit into `most_bytes` of UTF-8."""
    return text.encode()[:most_bytes].decode(errors="ignore")


def _languages(batch: pa.RecordBatch) -> pa.Array:
    return pc.fill_null(batch["language"], schema.UNKNOWN_LANGUAGE)
