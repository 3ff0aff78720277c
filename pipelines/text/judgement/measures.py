"""All measures of texts as one column, schema.MEASURES. Rules are functions of these columns alone."""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import MEASURES
from pipelines.text.characters.counts import count
from pipelines.text.judgement import lines, repetition, words
from pipelines.text.judgement.words import WordLists

VERSION = 4
NAMES = tuple(field.name for field in MEASURES)


def measure(texts: pa.Array, languages: pa.Array, stop_lists: WordLists, bad_lists: WordLists) -> pa.StructArray:
    """Return schema.MEASURES of each text of a StringArray without nulls; `languages` chooses the lists."""
    stop_list, bad_list = stop_lists.numbers(languages), bad_lists.numbers(languages)
    of_words, entropy = words.measure(texts, stop_lists, stop_list)
    columns: dict[str, NDArray[np.int64]] = {
        **_counted(texts),
        **dict(zip(words.FIELDS, of_words.T, strict=False)),
        **dict(zip(lines.FIELDS, lines.measure(texts).T, strict=True)),
        **dict(zip(("javascript_lines", "policy_lines"), lines.mentions(texts), strict=True)),
        **_repeated(texts),
    }
    arrays = {name: pa.array(values.astype(np.int32)) for name, values in columns.items()}
    for name, values, chosen in (
        ("stop_words", of_words[:, words.STOP_WORDS], stop_list),
        ("distinct_stop_words", of_words[:, words.DISTINCT_STOP_WORDS], stop_list),
        ("bad_words", words.occurrences(texts, bad_lists, bad_list), bad_list),
    ):
        arrays[name] = pa.array(values.astype(np.int32), mask=chosen < 0)
    arrays["word_entropy"] = pa.array(entropy.astype(np.float32))
    return pa.StructArray.from_arrays([arrays[name] for name in NAMES], fields=list(MEASURES))


def _counted(texts: pa.Array) -> dict[str, NDArray[np.int64]]:
    c = count(texts)
    return {
        **{name: getattr(c, name) for name in ("tokens", "words", "measured_words", "measured_characters", "letters")},
        **{name: getattr(c, name) for name in ("hashes", "ellipses", "curly_brackets", "sentences", "lines", "newlines")},
        **{name: getattr(c, name) for name in ("short_lines", "bullet_lines", "ellipsis_lines", "punctuated_lines")},
        "letter_words": c.letter_tokens,
        "unmarked_letters": c.unpunctuated_letters,
        "lorem_ipsum": pc.count_substring_regex(texts, "(?i)lorem ipsum").to_numpy(),
    }


def _repeated(texts: pa.Array) -> dict[str, NDArray[np.int64]]:
    r = repetition.measure(texts)
    names = ("duplicate_lines", "duplicate_line_characters", "line_characters", "duplicate_paragraphs")
    return {
        **{
            name: getattr(r, name)
            for name in (*names, "duplicate_paragraph_characters", "paragraph_characters", "paragraphs", "token_characters")
        },
        **{f"top_{n}gram_characters": values for n, values in zip(repetition.TOP, r.top.T, strict=True)},
        **{f"duplicate_{n}gram_characters": values for n, values in zip(repetition.DUPLICATE, r.duplicate.T, strict=True)},
    }


class Measures(Mapping[str, NDArray[np.float64]]):
    """A column of schema.MEASURES as float64 arrays [rows], converted at their first use; null is NaN."""

    def __init__(self, column: pa.StructArray) -> None:
        self._column = column
        self._known: dict[str, NDArray[np.float64]] = {}

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        if name not in self._known:
            field = pc.struct_field(self._column, name).cast(pa.float64())
            self._known[name] = field.to_numpy(zero_copy_only=False)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    @property
    def rows(self) -> int:
        """The number of texts."""
        return len(self._column)
