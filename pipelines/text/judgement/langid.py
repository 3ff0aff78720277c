"""Language identification with fastText's lid.176 on a bounded sample of each text.

Limits: one language per document; a page in two languages gets the one of most of its sample.
"""

import hashlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.errors import UserError

LID_176_FTZ_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"  # fasttext.cc, 938,013 bytes
_LABEL = "__label__"
_UNSURE = 0.8  # below this probability, a long text is judged a second time
_LONG = 4  # times `prefix_characters`


class LanguageModelError(UserError):
    """The model file is missing or not the expected one."""


class LanguageModel:
    """A loaded lid.176; not picklable: load it in the worker."""

    def __init__(self, path: str | Path, sha256: str = LID_176_FTZ_SHA256) -> None:
        """Load and verify the file; each file is loaded once per process.

        Raise LanguageModelError, with the path and the fix, if it cannot be read or has another checksum.
        """
        self._model = _load(str(path), sha256)

    def labels(self) -> frozenset[str]:
        """Return the languages that the model can name, as it writes them."""
        return frozenset(label.removeprefix(_LABEL) for label in self._model.get_labels())

    def identify(self, texts: pa.Array, prefix_characters: int) -> tuple[pa.Array, pa.Array]:
        """Return the most probable language of each text (ISO 639, as in lid.176) and its probability (float32, 0 to 1).

        A text without words gets null and 0. The model judges the beginning; if it is unsure about the beginning of a long text
        (a table of contents in capitals, a list of names), it also judges the middle, and the higher probability wins.
        """
        names, scores = self._judged(beginning(texts, prefix_characters))
        long = pc.greater_equal(pc.utf8_length(texts), _LONG * prefix_characters)
        is_unsure = pc.and_(pc.less(scores, _UNSURE), long)
        if not pc.any(is_unsure).as_py():
            return names, scores
        second_names, unsure_scores = self._judged(middle(texts.filter(is_unsure), prefix_characters))
        second_scores = pc.replace_with_mask(pa.nulls(len(texts), pa.float32()), is_unsure, unsure_scores)
        better = pc.fill_null(pc.greater(second_scores, scores), False)
        replaced_names = pc.replace_with_mask(names, is_unsure, second_names)
        return pc.if_else(better, replaced_names, names), pc.if_else(better, second_scores, scores)

    def _judged(self, lines: pa.Array) -> tuple[pa.Array, pa.Array]:
        labels, scores = self._model.f.multilinePredict([f"{line}\n" for line in lines.to_pylist()], 1, 0.0, "strict")
        names = pa.array([label[0].removeprefix(_LABEL) if label else None for label in labels], pa.string())
        values = np.array([score[0] if len(score) else 0.0 for score in scores], np.float32)
        wordless = pc.equal(pc.utf8_trim_whitespace(lines), "")
        # A float32 softmax may exceed 1 slightly.
        return pc.if_else(wordless, _NONE, names), pc.if_else(wordless, _ZERO, pa.array(np.minimum(values, 1)))


def beginning(texts: pa.Array, characters: int) -> pa.Array:
    """Return the first characters of each text on one line, for the model."""
    return pc.replace_substring(pc.utf8_slice_codeunits(texts, 0, characters), "\n", " ")


def middle(texts: pa.Array, characters: int) -> pa.Array:
    """Return so many characters from the start of each text's second half, on one line."""
    halves = [text[len(text) // 2 :][:characters] for text in texts.to_pylist()]  # a loop: few texts need it
    return pc.replace_substring(pa.array(halves, pa.string()), "\n", " ")


@lru_cache(maxsize=4)
def _load(path: str, sha256: str) -> Any:
    from fasttext.FastText import _FastText  # pyright: ignore[reportPrivateUsage] # load_model prints a warning, this does not

    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise LanguageModelError(
            f"{path}: the language model cannot be read ({os.strerror(error.errno or 0)}); set language.model to a copy of "
            "lid.176.ftz, or leave it out to have it fetched"
        ) from None
    if digest != sha256:
        raise LanguageModelError(
            f"{path}: is not the language model (sha256 {digest[:12]}…, wanted {sha256[:12]}…); delete it to have it fetched"
        )
    return _FastText(model_path=path)


_NONE = pa.scalar(None, pa.string())
_ZERO = pa.scalar(0, pa.float32())
