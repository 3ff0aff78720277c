import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.contract.tokenizers.families import Specials
from training.data.draws import key, words
from training.data.rows.batch import IGNORE, RowBatch
from training.objectives.text_infilling import TextInfilling, _lengths, cumulative_probabilities

BART = Specials(pad=1, begin=0, end=2, mask=99, decoder_start=2, sentinels=())
VOCABULARY = 100
NONE = np.zeros(VOCABULARY, np.bool_)  # no piece opens a word


def batch(rows: Sequence[Sequence[Sequence[int]]]) -> RowBatch:
    """Rows of sentences of ids."""
    sentences = [sentence for row in rows for sentence in row]
    starts = np.concatenate([[0], np.cumsum([len(sentence) for sentence in sentences])]).astype(np.int64)
    offsets = starts[np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)]
    ids = np.array([i for sentence in sentences for i in sentence], dtype=np.int32)
    return RowBatch(ids, offsets, offsets, np.arange(len(rows) + 1), np.unique(starts[:-1]))


class Draws:
    """The draws of a row, one after the other."""

    def __init__(self, row_key: np.uint64, limit: int = 20_000) -> None:
        self.drawn = iter(words(np.array([row_key]), limit)[0].tolist())

    def below(self, limit: int) -> int:
        return ((next(self.drawn) >> 32) * limit) >> 32

    def unit(self) -> float:
        return (next(self.drawn) >> 11) / 2**53

    def permutation(self, size: int, count: int) -> list[int]:
        """randperm(size)[:count]."""
        values = list(range(size))
        for i in range(count):
            j = i + self.below(size - i)
            values[i], values[j] = values[j], values[i]
        return values[:count]

    def token(self, begin: int) -> int:
        return [i for i in range(VOCABULARY) if i != begin][self.below(VOCABULARY - 1)]


def permuted(sentences: Sequence[Sequence[Any]], share: float, draws: Draws) -> list[Any]:
    """fairseq's permute_sentences, of sentences that are known: a part of them is permuted among itself."""
    count = math.ceil(len(sentences) * share)
    chosen = draws.permutation(len(sentences), count)
    arrangement = draws.permutation(count, count)
    ordering = np.arange(len(sentences))
    ordering[chosen] = np.array(chosen, dtype=np.int64)[arrangement]
    return [token for k in ordering for token in sentences[k]]


def infilled(tokens: list[int], starts: list[bool], objective: TextInfilling, draws: Draws) -> list[int]:
    """fairseq's add_whole_word_mask with span-poisson and replace_length=1, on a sequence with its <s> and </s>."""
    source = np.array([0, *tokens, 2])
    is_word_start = np.array([0, *starts, 0], dtype=np.int64)
    budget = math.ceil(is_word_start.sum() * objective.share)
    if budget == 0:
        return source.tolist()
    cumulative = cumulative_probabilities(objective.mean_span)
    lengths: list[int] = []
    while sum(lengths) < budget:
        lengths.append(int(np.searchsorted(cumulative, draws.unit(), side="right")))
    lengths[-1] -= sum(lengths) - budget
    spans = np.array([length for length in lengths if length])
    inserts = len(lengths) - len(spans)
    word_starts = np.flatnonzero(is_word_start)
    indices = word_starts[draws.permutation(len(word_starts), len(spans))]
    source[indices] = 99
    if objective.random_share:
        random = [draws.unit() < objective.random_share for _ in spans]
        tokens_instead = [draws.token(0) for _ in spans]
        for place, instead, token in zip(indices, random, tokens_instead, strict=True):
            source[place] = token if instead else 99
    to_keep = np.ones(len(source), dtype=np.bool_)
    is_word_start[-1] = 255  # spans do not go over the end
    spans = spans - 1
    while len(indices):
        spans = spans - is_word_start[indices + 1]
        indices, spans = indices[spans >= 0] + 1, spans[spans >= 0]
        to_keep[indices] = False
    return inserted(source[to_keep], min(inserts, objective.length - int(to_keep.sum())), objective, draws)


def inserted(source: NDArray[np.int64], count: int, objective: TextInfilling, draws: Draws) -> list[int]:
    """fairseq's add_insertion_noise: new tokens at random places of the result, never at its ends."""
    size = len(source) + count
    places = np.array(draws.permutation(size - 2, count), dtype=np.int64) + 1
    result = np.full(size, -1)
    random = math.ceil(count * objective.random_share)
    for number, place in enumerate(places):
        result[place] = draws.token(0) if number < random else 99
    result[result < 0] = source
    return result.tolist()


def word_flags(tokens: list[int], objective: TextInfilling) -> list[bool]:
    if objective.spans_of == "tokens":
        return [True] * len(tokens)
    before = [None, *tokens][: len(tokens)]
    return [
        bool(objective.word_start[i]) or (last is not None and bool(objective.opens_word[last]))
        for i, last in zip(tokens, before, strict=True)
    ]


def expected_inputs(sentences: Sequence[Sequence[int]], objective: TextInfilling, row_key: np.uint64) -> list[int]:
    draws = Draws(row_key)
    flags = iter(word_flags([i for sentence in sentences for i in sentence], objective))
    flagged = [[(i, next(flags)) for i in sentence] for sentence in sentences]
    text = permuted(flagged, objective.permute_share, draws)
    return infilled([i for i, _ in text], [start for _, start in text], objective, draws)


def test_the_example_of_the_docstring() -> None:
    objective = TextInfilling(10, BART, VOCABULARY, np.ones(VOCABULARY, np.bool_), NONE)
    assert (objective.row_tokens, objective.target_length, objective.overlap) == (8, 10, 0)
    found = objective(batch([[[5, 6, 7], [8, 9, 10, 11, 12]]]), np.array([4900], np.uint64))
    assert found["inputs"].tolist() == [[0, 8, 99, 12, 5, 99, 6, 7, 2, 1]]
    assert found["lengths"].tolist() == [9]
    assert found["targets"].tolist() == [[0, 5, 6, 7, 8, 9, 10, 11, 12, 2]]
    assert found["decoder_inputs"].tolist() == [[2, 0, 5, 6, 7, 8, 9, 10, 11, 12]]
    assert {name: array.dtype for name, array in found.items()} == dict.fromkeys(found, np.dtype(np.int64))
    assert objective.counts(found) == {"tokens": 10}


def rows_of_sentences() -> st.SearchStrategy[list[list[list[int]]]]:
    sentence = st.lists(st.integers(3, 30), min_size=1, max_size=9)
    return st.lists(st.lists(sentence, max_size=6), min_size=1, max_size=5)


@given(
    rows_of_sentences(),
    st.lists(st.booleans(), min_size=VOCABULARY, max_size=VOCABULARY),
    st.sampled_from([None, 5, 6]),
    st.sampled_from([0.01, 0.3, 0.5, 0.95]),
    st.sampled_from([0.2, 1.0, 3.0, 3.5, 17.0]),
    st.sampled_from(["words", "tokens"]),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.sampled_from([0.0, 0.1, 1.0]),
    st.integers(0, 2**63),
    st.integers(0, 20),
)
def test_exact_arrays(
    rows: list[list[list[int]]], starts: list[bool], lone: int | None, share: float, mean_span: float, spans_of: Any,
    permute_share: float, random_share: float, seed: int, room: int,
) -> None:  # fmt: skip
    longest = max(sum(map(len, row)) for row in rows)
    objective = TextInfilling(
        max(longest + 2 + room, 3),
        BART,
        VOCABULARY,
        np.array(starts),
        np.arange(VOCABULARY) == lone,
        share,
        mean_span,
        spans_of,
        permute_share,
        random_share,
    )
    keys = key(seed, np.arange(len(rows)))
    found = objective(batch(rows), keys)
    for n, row in enumerate(rows):
        inputs = expected_inputs(row or [[]], objective, keys[n])
        target = [0, *(i for sentence in row for i in sentence), 2]
        padding = objective.length - len(target)
        assert found["inputs"][n].tolist() == inputs + [1] * (objective.length - len(inputs))
        assert found["lengths"][n] == len(inputs) <= objective.length
        assert found["targets"][n].tolist() == target + [IGNORE] * padding
        assert found["decoder_inputs"][n].tolist() == [2, *target[:-1]] + [1] * padding


def test_a_row_depends_on_its_key_alone() -> None:
    rng = np.random.default_rng(1)
    rows = [[rng.integers(3, 90, 7).tolist() for _ in range(n % 5 + 1)] for n in range(30)]
    objective = TextInfilling(48, BART, VOCABULARY, rng.random(VOCABULARY) < 0.6, np.arange(VOCABULARY) == 4, random_share=0.1)
    keys = key(3, np.arange(30))
    together, alone = objective(batch(rows), keys), objective(batch(rows[23:24]), keys[23:24])
    assert all((together[name][23] == alone[name][0]).all() for name in together)


def million(sentence: int, sentences: int, rows: int) -> RowBatch:
    """Rows of equal sentences; the ids are places in the row."""
    size = sentence * sentences
    ids = np.tile(np.arange(100, 100 + size, dtype=np.int32), rows)
    offsets = np.arange(rows + 1) * size
    return RowBatch(ids, offsets, offsets, np.arange(rows + 1), np.arange(0, rows * size, sentence))


def simulated(rows: int, size: int) -> tuple[float, float]:
    """Share of masked words and masks a row, of the same law by other means: spans laid on a ruler."""
    rng = np.random.default_rng(1)
    covered, masks = 0, 0
    for _ in range(rows):
        lengths = rng.poisson(3.0, 200)
        lengths = lengths[: np.searchsorted(np.cumsum(lengths), math.ceil(size * 0.3)) + 1]
        lengths[-1] -= lengths.sum() - math.ceil(size * 0.3)
        starts = rng.permutation(size)[: np.count_nonzero(lengths)]
        ends = starts + lengths[lengths > 0]
        depth = np.cumsum(np.bincount(starts, minlength=size + 50) - np.bincount(ends, minlength=size + 50))[:size]
        covered += np.count_nonzero(depth)
        masks += np.count_nonzero(lengths == 0) + np.count_nonzero(depth[starts] == 1)
        masks += sum(1 for start in starts[depth[starts] > 1] if not (((starts < start) & (ends > start)).any()))
    return covered / rows / size, masks / rows


def test_statistics_of_a_million_tokens() -> None:
    count, size, mask = 2000, 500, 9999
    objective = TextInfilling(
        size + 2, Specials(1, 0, 2, mask, 2, ()), 10_000, np.ones(10_000, np.bool_), np.zeros(10_000, np.bool_), permute_share=0
    )
    found = objective(million(25, 20, count), key(4, np.arange(count)))
    text = found["inputs"] * (found["inputs"] >= 100)
    kept = np.where(text == mask, 0, text)
    # 150 words are to be masked, in about 50 spans; where spans overlap, fewer of both.
    masked, masks = 1 - np.count_nonzero(kept) / (count * size), np.count_nonzero(text == mask) / count
    expected_masked, expected_masks = simulated(1000, size)
    assert masked == pytest.approx(expected_masked, abs=0.002) and masks == pytest.approx(expected_masks, abs=0.6)
    # Spans run to the right: the first words are masked less often, and from the tenth on all as often.
    by_place = 1 - np.bincount(kept[kept > 0] - 100, minlength=size) / count
    assert by_place[0] < 0.12 and abs(by_place[10:].mean() - by_place[10:260].mean()) < 0.003
    assert (found["lengths"] == np.count_nonzero(text, axis=1) + 2).all()


def test_lengths_of_spans_are_poissons() -> None:
    cumulative = cumulative_probabilities(3.0)
    poisson = [math.exp(-3) * 3**k / math.factorial(k) for k in range(18)]
    assert poisson[16] > 1e-7 > poisson[17]  # the last one that fairseq has
    assert np.allclose(np.diff(cumulative, prepend=0), poisson, atol=1e-8) and cumulative[-1] == 1
    assert len(cumulative_probabilities(50.0)) > 90 and cumulative_probabilities(50.0)[0] < 1e-20
    spans = np.zeros(10**6, np.int64)
    draws, made, empty = _lengths(np.uint64(3), 0, 10**6, 0.9, cumulative, spans)
    assert made + empty == draws and spans.sum() == 900_000
    seen = np.bincount(spans[:made], minlength=18) / draws
    seen[0] = empty / draws
    assert np.abs(seen - poisson).max() < 5 * math.sqrt(0.25 / draws)


def test_sentences_are_permuted_uniformly() -> None:
    count = 48_000
    objective = TextInfilling(
        10, BART, 10_000, np.zeros(10_000, np.bool_), np.zeros(10_000, np.bool_)
    )  # no word: nothing is masked
    found = objective(million(2, 4, count), key(6, np.arange(count)))
    orders, seen = np.unique(found["inputs"], axis=0, return_counts=True)
    assert len(orders) == 24
    assert abs(seen - 2000).max() < 5 * math.sqrt(2000)
    half = TextInfilling(10, BART, 10_000, np.zeros(10_000, np.bool_), np.zeros(10_000, np.bool_), permute_share=0.5)
    orders, seen = np.unique(half(million(2, 4, count), key(6, np.arange(count)))["inputs"], axis=0, return_counts=True)
    assert len(orders) == 7  # as it was, or two of four changed
    assert abs(seen[0] - count / 2) < 5 * math.sqrt(count / 4)


def test_random_tokens_instead_of_masks() -> None:
    objective = TextInfilling(
        502, Specials(1, 5, 2, 9999, 2, ()), 10_000, np.ones(10_000, np.bool_), np.zeros(10_000, np.bool_), random_share=1.0
    )
    found = objective(million(25, 20, 200), key(8, np.arange(200)))
    new = found["inputs"][(found["inputs"] < 100) | (found["inputs"] >= 600)]
    drawn = new[~np.isin(new, [1, 2, 5])]
    assert (new == 9999).mean() < 0.01 and (drawn > 600).mean() > 0.98
    assert (found["inputs"][:, 1:] != 5).all()  # never <s>


def test_no_room_for_insertions() -> None:
    """Nine spans in ten are empty: more masks than the width has room for."""
    objective = TextInfilling(20, BART, VOCABULARY, np.ones(VOCABULARY, np.bool_), NONE, mean_span=0.1)
    found = objective(batch([[list(range(3, 21))]] * 50), key(1, np.arange(50)))
    assert (found["lengths"] == 20).sum() > 40 and (found["inputs"][:, -1][found["lengths"] == 20] == 2).all()


def test_too_small_a_mean() -> None:
    with pytest.raises(ValueError, match=r"objective\.mean_span is 0\.01; raise it to 0\.1 or more"):
        TextInfilling(20, BART, VOCABULARY, np.ones(VOCABULARY, np.bool_), NONE, mean_span=0.01)


def test_a_lone_mark_opens_a_word_within_its_row_only() -> None:
    """Piece 5, the lone mark, is a word, and so is what comes behind it; a 6 at the front of the next row begins none."""
    starts = np.arange(VOCABULARY) == 5
    objective = TextInfilling(8, BART, VOCABULARY, starts, starts, mean_span=16.0)  # no span is empty
    found = objective(batch([[[7, 5]], [[6, 8]], [[5, 6, 7]]]), key(1, np.arange(3)))
    whole = TextInfilling(8, BART, VOCABULARY, starts, NONE, mean_span=16.0)(batch([[[5, 6, 7]]]), key(1, 2))
    assert found["inputs"][0, : found["lengths"][0]].tolist() == [0, 7, 99, 2]
    assert found["inputs"][1, : found["lengths"][1]].tolist() == [0, 6, 8, 2]  # without a word nothing is masked
    assert found["inputs"][2, : found["lengths"][2]].tolist() in ([0, 99, 6, 7, 2], [0, 5, 99, 2])  # one of two words
    assert whole["inputs"].tolist() == [[0, 99, 2, 1, 1, 1, 1, 1]]  # one word of three pieces


def test_numbers_out_of_their_range_are_refused() -> None:
    every = np.ones(VOCABULARY, np.bool_)

    def make(length: int = 3, **numbers: float) -> TextInfilling:
        return TextInfilling(length, BART, VOCABULARY, every, every, **numbers)  # type: ignore[arg-type]

    made = make(permute_share=0.0, random_share=1.0, mean_span=0.1)
    assert (made.row_tokens, made.target_length, made.overlap) == (1, 3, 0)
    make(permute_share=1.0, random_share=0.0, share=0.999)
    for wrong in ({"share": 0.0}, {"share": 1.0}, {"permute_share": -0.1}, {"permute_share": 1.1}, {"random_share": -0.1}):
        with pytest.raises(AssertionError):
            make(**wrong)
    for wrong in ({"random_share": 1.1}, {"length": 2}):
        with pytest.raises(AssertionError):
            make(**wrong)  # type: ignore[arg-type]
    for starts, opens in ((every[1:], every), (every, every[1:])):
        with pytest.raises(AssertionError):
            TextInfilling(3, BART, VOCABULARY, starts, opens)
    with pytest.raises(AssertionError):
        made(batch([[[5, 6]]]), key(1, np.arange(1)))  # a row of two tokens
    with pytest.raises(AssertionError):
        made(batch([[[5]]]), key(1, np.arange(2)))


@pytest.mark.parametrize(("mean_span", "longest"), [(0.1, 5), (3.0, 17), (20.0, 48)])
def test_lengths_end_at_the_first_improbable_one_above_the_mean(mean_span: float, longest: int) -> None:
    probabilities = [math.exp(-mean_span + n * math.log(mean_span) - math.lgamma(n + 1)) for n in range(longest + 1)]
    assert probabilities[-1] < 1e-7 <= probabilities[-2]
    found = cumulative_probabilities(mean_span)
    assert len(found) == longest + 1 and found[-1] == 1.0
    assert found == pytest.approx(np.cumsum(probabilities) / sum(probabilities), rel=1e-12)


def test_the_piece_0_may_be_inserted_where_it_does_not_begin_a_text() -> None:
    """Nine of ten masks are of empty spans: without them there would be a tenth of the zeros."""
    specials = Specials(pad=1, begin=3, end=2, mask=99, decoder_start=2, sentinels=())
    objective = TextInfilling(60, specials, VOCABULARY, NONE | True, NONE, mean_span=0.1, random_share=1.0)
    inputs = objective(batch([[[50] * 20]] * 400), key(1, np.arange(400)))["inputs"]
    assert (inputs == 0).sum() > 100 and 0.7 < (inputs == 0).sum() / (inputs == 7).sum() < 1.4
