"""Identify the language of each text, as a whole.

    passages of running text  →  a verdict on their sum, and on each  →  units, if they disagree  →  the text's language

The verdict on the sum of all passages is what the model says of the whole text, without what is not running text. Passages that
disagree with it divide the text into units of one language each (divided.py). The text's language is that of its largest unit,
but English of a notice's length does not count beside another language: it is the language of cookies and licences.
"""

import importlib.metadata
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract.schema import LANGUAGES, NO_LINGUISTIC_CONTENT, UNKNOWN_LANGUAGE
from pipelines.text.judgement.languages import scripts
from pipelines.text.judgement.languages.divided import Divided, divide
from pipelines.text.judgement.languages.passages import Passages, passages
from pipelines.text.judgement.languages.votes import Sums, Voters, add_columns, add_rows

VERSION = f"3/unicode-{unicodedata.unidata_version}/langcodes-{importlib.metadata.version('langcodes')}"

NOTICE_LANGUAGE = "en"
NOTICE_LETTERS = 1_200  # of a notice, at most: about 1,500 characters
NOTICE_REST = 0.3  # of the letters: what is in other languages beside a notice, at least
NOTICE_END = 0.8  # of a notice's letters: those at one end of the text, at least. A quotation has English on both sides
ENOUGH_PROSE = 100  # letters of prose, beside which short lines do not count
DOUBTFUL = 0.5  # the probability of the text's language for a passage, below which the text is divided
OWN_SCRIPT = 0.3  # of the letters: those in a script of the language, at least, beside
OTHER_LETTERS = 40  # letters or more in other scripts
CELLS = 2**20  # probabilities of passages in memory: float32, a few copies
_PASSAGES = 8  # of a text of 1,000 characters
NOISE = 0.9  # of the characters: the share of code, tables and numbers from which there is no linguistic content


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The languages of texts."""

    language: pa.Array  # string: a code of the model, "und" or "zxx"
    score: pa.Array  # float32, 0 to 1: the probability of the language's group; of "zxx", the share of what is no language
    languages: pa.Array  # LANGUAGES: the languages with their shares, the largest first; null if there is one


class Identifier:
    """Models that are ready to judge; not picklable: make it in the worker."""

    def __init__(self, voters: Voters, groups: Sequence[Sequence[str]]) -> None:
        """Prepare for groups of languages whose probabilities are summed."""
        self.codes = voters.codes
        self._voters = voters
        self._group = _groups(self.codes, groups)
        self._groups = int(self._group.max()) + 1
        self._written = _written(self.codes)
        self._at_once = max(16, CELLS // (_PASSAGES * len(self.codes)))  # texts
        self._notices = self._group[self.codes.index(NOTICE_LANGUAGE)] if NOTICE_LANGUAGE in self.codes else -1

    def identify(self, texts: pa.Array) -> Verdicts:
        """Return the verdicts on a StringArray without nulls, a few hundred texts at a time."""
        parts = [self._identify(texts.slice(start, self._at_once)) for start in range(0, max(1, len(texts)), self._at_once)]
        if len(parts) == 1:
            return parts[0]
        columns = [(part.language, part.score, part.languages) for part in parts]
        return Verdicts(*map(pa.concat_arrays, zip(*columns, strict=True)))

    def _identify(self, texts: pa.Array) -> Verdicts:
        cut = running(passages(texts))
        sums = self._voters.sums(cut.data, cut.starts, cut.ends)
        whole = self._voters.probabilities(sums.by(cut.texts(), len(texts)))
        divided, judged = self._divided(cut, sums, whole)
        main = _main(divided, cut, self._notices)
        main = main[np.bincount(divided.text, minlength=len(texts))[divided.text[main]] > 1]  # the others are in one language
        whole[divided.text[main]] = judged[main] * self._allowed(divided.group[main])
        language, score = self._named(whole, _letters_by_script(cut, divided, main))
        return _with_noise(cut, language, score, self._shares(divided, judged, len(texts)))

    def _named(self, probabilities: NDArray[np.float32], by_script: NDArray[np.int64]) -> tuple[pa.Array, NDArray[np.float64]]:
        """Return the likeliest language of each text and its group's score: "und" and 0 if the text is not in its script."""
        rows, best = np.arange(len(probabilities)), probabilities.argmax(axis=1)
        score = np.minimum(self._grouped(probabilities)[rows, self._group[best]], 1)
        own = np.where(self._written[best], by_script, 0).sum(axis=1)
        others = by_script.sum(axis=1) - own
        is_known = (probabilities[rows, best] > 0) & ((own >= OWN_SCRIPT * (own + others)) | (others < OTHER_LETTERS))
        names = pa.array(self.codes).take(pa.array(best))
        return pc.if_else(pa.array(is_known), names, UNKNOWN_LANGUAGE), np.where(is_known, score, 0)

    def others(self, texts: pa.Array, language: pa.Array) -> tuple[Passages, NDArray[np.bool_]]:
        """Return all passages of the texts, and which are in another known language than the text's (a code of the model)."""
        cut = passages(texts, whole=True)
        sums = self._voters.sums(cut.data, cut.starts, cut.ends)
        divided, _ = self._divided(cut, sums, self._voters.probabilities(sums.by(cut.texts(), len(texts))))
        own = self._group[pc.index_in(language, pa.array(self.codes)).to_numpy()][divided.text]
        is_other = np.append((divided.group != own) & (divided.group < self._groups), False)  # the last: not divided
        return cut, is_other[divided.unit]

    def _divided(self, cut: Passages, sums: Sums, whole: NDArray[np.float32]) -> tuple[Divided, NDArray[np.float32]]:
        """Return the units of the doubtful texts, and float32[units, codes] of each."""
        rows, probabilities = self._doubtful(cut, sums, whole)
        chosen, text_of = np.unique(cut.texts()[rows], return_inverse=True)
        own, offsets = sums.take(rows), np.searchsorted(text_of, np.arange(len(chosen) + 1))

        def judge_units(unit: NDArray[np.int64], count: int) -> NDArray[np.float32]:
            return self._grouped(self._voters.probabilities(own.by(unit, count)))

        found = divide(probabilities, cut.letters[rows], offsets, judge_units)
        judged = self._voters.probabilities(own.by(found.unit, len(found.text)))
        unit = np.full(len(cut.starts), -1)
        unit[rows] = found.unit
        return replace(found, unit=unit, text=chosen[found.text]), judged

    def _doubtful(self, cut: Passages, sums: Sums, whole: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the passages of texts of which one is hardly in the text's language, and float32[passages, groups]."""
        text_of = cut.texts()
        rows = np.flatnonzero(np.diff(cut.offsets)[text_of] > 1)
        probabilities = self._grouped(self._voters.probabilities(sums.take(rows)))
        group = self._group[whole.argmax(axis=1)]
        is_doubtful = np.zeros(len(whole), np.bool_)
        is_doubtful[text_of[rows[probabilities[np.arange(len(rows)), group[text_of[rows]]] < DOUBTFUL]]] = True
        inside = is_doubtful[text_of[rows]]
        return rows[inside], probabilities[inside]

    def _grouped(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32[N, groups], summed over the languages of each."""
        sums = np.zeros((len(probabilities), self._groups), np.float32)
        add_columns(probabilities, self._group, sums)
        return sums

    def _allowed(self, group: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return bool[units, codes]: the languages of each unit's group; all for no known group."""
        return (self._group[None, :] == group[:, None]) | (group == self._groups)[:, None]

    def _shares(self, divided: Divided, judged: NDArray[np.float32], texts: int) -> pa.Array:
        """Return LANGUAGES: null for texts with fewer than two known languages."""
        is_known = divided.group < self._groups
        several = np.bincount(divided.text[is_known], minlength=texts) > 1
        total = np.bincount(divided.text, divided.letters, texts)
        units = np.flatnonzero(is_known & several[divided.text])
        units = units[np.lexsort((-divided.letters[units], divided.text[units]))]
        best = (judged[units] * self._allowed(divided.group[units])).argmax(axis=1)
        shares = (divided.letters[units] / total[divided.text[units]]).astype(np.float32)
        values = pa.StructArray.from_arrays(
            [pa.array(self.codes).take(pa.array(best, pa.int64())), pa.array(shares)], fields=list(LANGUAGES.value_type)
        )
        offsets = np.searchsorted(divided.text[units], np.arange(texts + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), values, type=LANGUAGES, mask=pa.array(~several))


def running(cut: Passages) -> Passages:
    """Return the passages that are judged: prose alone in a text that has enough of it."""
    text_of = cut.texts()
    prose = np.bincount(text_of, cut.letters * cut.is_prose, len(cut.noise))
    return cut.filter(cut.is_prose | (prose[text_of] < ENOUGH_PROSE))


def _main(divided: Divided, cut: Passages, notices: int) -> NDArray[np.int64]:
    """Return the unit of each divided text that is its language's: the one with the most letters that is no notice."""
    texts = len(cut.noise)
    total = np.bincount(divided.text, divided.letters, texts)[divided.text]
    is_notice = (divided.group == notices) & (divided.letters * cut.scale[divided.text] <= NOTICE_LETTERS)
    is_notice &= total - divided.letters >= NOTICE_REST * total
    is_notice &= _at_one_end(divided, cut, divided.group == notices) >= NOTICE_END * divided.letters
    order = np.lexsort((-divided.letters, is_notice, divided.text))
    return order[np.flatnonzero(np.diff(divided.text[order], prepend=-1))]


def _at_one_end(divided: Divided, cut: Passages, chosen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return how many letters of each chosen unit are before all other units of its text, or after all, whichever are more."""
    rows = np.flatnonzero(divided.unit >= 0)
    text, unit = cut.texts()[rows], divided.unit[rows]
    is_chosen = chosen[unit]
    first, last = np.full(len(cut.noise), len(cut.letters)), np.full(len(cut.noise), -1)
    np.minimum.at(first, text[~is_chosen], rows[~is_chosen])
    np.maximum.at(last, text[~is_chosen], rows[~is_chosen])
    letters = np.where(is_chosen, cut.letters[rows], 0)
    before = np.bincount(unit, letters * (rows < first[text]), len(chosen))
    after = np.bincount(unit, letters * (rows > last[text]), len(chosen))
    return np.maximum(before, after).astype(np.int64)


def _letters_by_script(cut: Passages, divided: Divided, main: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return int64[texts, scripts]: the letters of each text, in its main unit if it is divided."""
    counts = np.zeros((len(cut.noise), cut.scripts.shape[1]), np.int64)
    is_main = np.ones(len(divided.text) + 1, np.bool_)  # the last one: passages of texts that are not divided
    is_main[:-1] = ~np.isin(divided.text, divided.text[main])
    is_main[main] = True
    rows = np.flatnonzero(is_main[divided.unit])
    add_rows(cut.scripts[rows], cut.texts()[rows], counts)
    return counts


def _with_noise(cut: Passages, language: pa.Array, score: NDArray[np.float64], languages: pa.Array) -> Verdicts:
    """Return the verdicts; a text that is nearly all noise has no linguistic content."""
    share = cut.noise / np.maximum(cut.read, 1)
    is_noise = share >= NOISE
    return Verdicts(
        pc.if_else(pa.array(is_noise), NO_LINGUISTIC_CONTENT, language),
        pa.array(np.where(is_noise, share, score).astype(np.float32)),
        pc.if_else(pa.array(is_noise), pa.scalar(None, LANGUAGES), languages),
    )


def _groups(codes: Sequence[str], groups: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """Return the number of each language's group; "sr-Latn" is with "sr", and a language without a group has its own."""
    numbers = {code: number for number, group in enumerate(groups) for code in group}
    alone = len(groups)
    chosen = np.empty(len(codes), np.int64)
    for row, code in enumerate(codes):
        chosen[row] = numbers.get(code, numbers.get(code.split("-")[0], alone))
        alone += chosen[row] == alone
    return chosen


def _written(codes: Sequence[str]) -> NDArray[np.bool_]:
    """Return bool[codes, scripts]: whether a language may be written in a script (0: no letter)."""
    known = [scripts.written_in(code) for code in codes]
    table = np.ones((len(codes), len(scripts.NAMES) + 1), np.bool_)
    for number, name in enumerate(scripts.NAMES[:-1], 1):
        table[:, number] = [not names or name in names for names in known]
    return table
