"""Remove the lines of a document that are in other languages than most of it."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import UNKNOWN_LANGUAGE
from pipelines.text.judgement.languages.identify import Identifier
from pipelines.text.judgement.languages.passages import Passages

_GAPS = re.compile(r"\n{3,}")


def without_other_languages(documents: pa.RecordBatch, identifier: Identifier) -> pa.Array:
    """Return the texts; those of documents in several languages (column `languages`) without the lines in all but `language`.

    A line goes if more than half of its running text is in passages of another language. What is no running text, and what is in
    no known language, stays.
    """
    is_mixed = pc.and_(pc.is_valid(documents["languages"]), pc.not_equal(documents["language"], UNKNOWN_LANGUAGE))
    texts = documents["text"]
    if not pc.any(is_mixed).as_py():
        return texts
    mixed = documents.filter(is_mixed)
    cut, is_other = identifier.others(mixed["text"], mixed["language"])
    kept = [_kept(cut, is_other, row, text) for row, text in enumerate(mixed["text"].to_pylist())]  # a loop: few texts need it
    return pc.replace_with_mask(texts, is_mixed, pa.array(kept, pa.string()))


def _kept(cut: Passages, is_other: NDArray[np.bool_], row: int, text: str) -> str:
    """Return the lines of a text that stay."""
    lines = text.split("\n")
    ends = np.cumsum([len(line.encode()) + 1 for line in lines])
    here = slice(cut.offsets[row], cut.offsets[row + 1])
    starts_here, ends_here = cut.starts[here] - cut.text_starts[row], cut.ends[here] - cut.text_starts[row]
    covered = np.zeros((2, ends[-1] + 1), np.int64)  # by passages of the document's language, of others
    np.add.at(covered, (is_other[here].astype(int), starts_here), 1)
    np.add.at(covered, (is_other[here].astype(int), ends_here), -1)
    bytes_of = np.diff(np.cumsum(np.cumsum(covered, axis=1), axis=1)[:, ends - 1], prepend=0, axis=1)
    stays = bytes_of[1] <= bytes_of[0]
    return _GAPS.sub("\n\n", "\n".join(line for line, keep in zip(lines, stays, strict=True) if keep)).strip("\n")
