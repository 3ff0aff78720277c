"""MaskedLM beside a transcription of create_masked_lm_predictions (google-research/bert) that answers from the same draws."""

from dataclasses import replace
from itertools import chain
from typing import Any, Protocol

import numpy as np
import pytest
from examples import many
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.contract.tokenizers.families import Specials
from training.data import draws
from training.data.rows.batch import IGNORE, Examples, RowBatch
from training.objectives.masked_lm import MaskedLM

PAD, UNK, CLS, SEP, MASK = range(5)
BERT = Specials(pad=PAD, begin=CLS, end=SEP, mask=MASK, decoder_start=None, sentinels=())
VOCABULARY = 30
LONE = 5
OPENS = np.arange(VOCABULARY) == LONE
STARTS = np.array([piece % 3 != 1 for piece in range(VOCABULARY)])  # 6, 8, 9, 11, 12 … begin a word; 7, 10, 13 … do not

Rows = list[list[list[int]]]  # rows of spans of ids


def batch_of(rows: Rows, random_next: list[bool] | None = None) -> RowBatch:
    spans = [span for row in rows for span in row]
    return RowBatch(
        ids=np.array([token for span in spans for token in span], np.int32),
        rows=np.cumsum([0, *(sum(map(len, row)) for row in rows)]),
        spans=np.cumsum([0, *map(len, spans)]),
        row_spans=np.cumsum([0, *map(len, rows)]),
        sentences=np.empty(0, np.int64),
        random_next=None if random_next is None else np.array(random_next, np.bool_),
    )


class Rng(Protocol):
    """What Google's function asks of Python's random.Random, and which piece it is about to replace."""

    def shuffle(self, items: list[list[int]]) -> None: ...
    def at(self, position: int) -> None: ...
    def random(self) -> float: ...
    def randint(self, low: int, high: int) -> int: ...


class FromKey:
    """Answers from the draws of a row's key, numbered as masked_lm says."""

    def __init__(self, key: int, length: int) -> None:
        self.words = [int(word) for word in draws.words(np.array([key], np.uint64), 4 * length)[0]]
        self.length, self.next = length, 0

    def below(self, limit: int) -> int:
        self.next += 1
        return ((self.words[self.next - 1] >> 32) * limit) >> 32

    def shuffle(self, items: list[list[int]]) -> None:
        for place in range(len(items)):
            self.next = place
            other = place + self.below(len(items) - place)
            items[place], items[other] = items[other], items[place]

    def at(self, position: int) -> None:
        self.next = self.length + 3 * position

    def random(self) -> float:
        self.next += 1
        return (self.words[self.next - 1] >> 11) / 2**53

    def randint(self, low: int, high: int) -> int:
        return low + self.below(high - low + 1)


def google(tokens: list[int], objective: MaskedLM, rng: Rng) -> tuple[list[int], list[int], list[int]]:
    """Tokens with [CLS] and [SEP] -> the masked ones, masked positions, what stood there."""
    candidates: list[list[int]] = []
    for i, token in enumerate(tokens):
        if token in (CLS, SEP):
            continue
        continues = objective.word_start is not None and not objective.word_start[token] and tokens[i - 1] != LONE
        if continues and len(candidates) >= 1:
            candidates[-1].append(i)
        else:
            candidates.append([i])
    rng.shuffle(candidates)
    output = list(tokens)
    to_predict = min(objective.predictions, max(1, round(len(tokens) * objective.share)))
    masked: list[tuple[int, int]] = []
    for word in candidates:
        if len(masked) >= to_predict:
            break
        if len(masked) + len(word) > to_predict:
            continue
        for i in word:
            rng.at(i)
            if rng.random() < 0.8:
                output[i] = MASK
            elif rng.random() >= 0.5:
                output[i] = rng.randint(0, VOCABULARY - 1)
            masked.append((i, tokens[i]))
    masked.sort()
    return output, [i for i, _ in masked], [token for _, token in masked]


def expected(row: list[list[int]], key: int, objective: MaskedLM) -> dict[str, list[int]]:
    tokens, segments = [CLS], [0]
    for number, segment in enumerate(row if objective.pairs else [list(chain(*row))]):
        tokens += [*segment, SEP]
        segments += [number] * (len(segment) + 1)
    output, positions, targets = google(tokens, objective, FromKey(key, objective.length))
    fill, missing = objective.length - len(tokens), objective.predictions - len(positions)
    return {
        "inputs": output + [PAD] * fill,
        "segments": segments + [0] * fill,
        "masked_positions": positions + [0] * missing,
        "targets": targets + [IGNORE] * missing,
    }


def test_the_example_of_the_docstring() -> None:
    objective = MaskedLM(length=10, specials=BERT, vocabulary_size=VOCABULARY, share=0.25, max_predictions=3)
    found = objective(batch_of([[[10, 11, 12], [13, 14]]], [True]), np.zeros(1, np.uint64))
    assert {name: array[0].tolist() for name, array in found.items()} == {
        "inputs": [2, 10, 11, 19, 3, 13, 4, 3, 0, 0],
        "segments": [0, 0, 0, 0, 0, 1, 1, 1, 0, 0],
        "lengths": 8,
        "masked_positions": [3, 6, 0],
        "targets": [12, 14, IGNORE],
        "next_sentence": 1,
    }
    assert {array.dtype for array in found.values()} == {np.dtype(np.int64)}
    assert objective.counts(found) == {"tokens": 2, "pairs": 1}


span = st.lists(st.integers(LONE, VOCABULARY - 1), min_size=1, max_size=25)


@st.composite
def cases(draw: st.DrawFn) -> tuple[MaskedLM, Rows]:
    pairs = draw(st.booleans())
    spans = st.lists(span, min_size=2, max_size=2) if pairs else st.lists(span, max_size=3)
    rows = draw(st.lists(spans, max_size=5))
    longest = max((sum(map(len, row)) for row in rows), default=0)
    objective = MaskedLM(
        length=max(longest, 1) + 3 + draw(st.integers(0, 3)),
        specials=BERT,
        vocabulary_size=VOCABULARY,
        share=draw(st.sampled_from([0.05, 0.15, 0.25, 0.5, 0.9])),
        max_predictions=draw(st.none() | st.integers(1, 12)),
        word_start=draw(st.sampled_from([None, STARTS])),
        pairs=pairs,
    )
    if objective.word_start is not None:
        objective = replace(objective, opens_word=OPENS)
    return objective, rows


@given(cases(), st.integers(0, 2**64 - 1))
@many
def test_as_google_does(case: tuple[MaskedLM, Rows], seed: int) -> None:
    objective, rows = case
    keys = draws.key(seed, np.arange(len(rows)))
    next_sentence = [bool(number % 2) for number in range(len(rows))]
    found = objective(batch_of(rows, next_sentence), keys)
    wanted = [expected(row, int(key), objective) for row, key in zip(rows, keys, strict=True)]
    for name in ("inputs", "segments", "masked_positions", "targets"):
        assert found[name].tolist() == [row[name] for row in wanted]
    assert found["lengths"].tolist() == [sum(map(len, row)) + (3 if objective.pairs else 2) for row in rows]
    assert ("next_sentence" in found) == objective.pairs
    if objective.pairs:
        assert found["next_sentence"].tolist() == [int(is_random) for is_random in next_sentence]
    masked = sum(target != IGNORE for row in wanted for target in row["targets"])
    assert objective.counts(found) == {"tokens": masked, **({"pairs": len(rows)} if objective.pairs else {})}


@pytest.mark.parametrize(("text", "to_predict"), [(1, 1), (8, 2), (13, 2), (28, 4), (48, 8), (58, 8)])
def test_how_many_are_predicted(text: int, to_predict: int) -> None:
    """[CLS] and [SEP] count, halves go to the even number (10 * .15 -> 2, 30 * .15 -> 4); one at least, P at most."""
    objective = MaskedLM(64, BERT, VOCABULARY, max_predictions=8, pairs=False)
    assert objective.counts(objective(batch_of([[[9] * text]]), np.ones(1, np.uint64))) == {"tokens": to_predict}


def test_widths() -> None:
    assert MaskedLM(512, BERT, VOCABULARY).predictions == 77
    assert MaskedLM(128, BERT, VOCABULARY).predictions == 19
    assert MaskedLM(128, BERT, VOCABULARY, max_predictions=20).predictions == 20
    assert (MaskedLM(128, BERT, VOCABULARY).row_tokens, MaskedLM(128, BERT, VOCABULARY).overlap) == (125, 0)
    assert MaskedLM(128, BERT, VOCABULARY, pairs=False).row_tokens == 126


def test_no_rows() -> None:
    found = MaskedLM(16, BERT, VOCABULARY)(batch_of([], []), np.empty(0, np.uint64))
    shapes = {name: array.shape for name, array in found.items()}
    assert {shapes.pop("inputs"), shapes.pop("segments")} == {(0, 16)}
    assert {shapes.pop("masked_positions"), shapes.pop("targets")} == {(0, 2)}
    assert shapes == {"lengths": (0,), "next_sentence": (0,)}


def words_of(found: Examples, original: list[int]) -> list[list[int]]:
    """Which positions of one row's words are masked, for rows of words that are masked whole."""
    masked = {p for p, target in zip(found["masked_positions"][0], found["targets"][0], strict=True) if target != IGNORE}
    words: list[list[int]] = []
    for place, token in enumerate(original):
        if not words or (STARTS[token] or original[place - 1] == LONE):
            words.append([])
        words[-1].append(place + 1)
    parted = [word for word in words if 0 < len(masked & set(word)) < len(word)]
    assert parted == [], "a word is masked in part"
    return [word for word in words if word[0] in masked]


def test_words_are_masked_whole_and_one_that_is_too_long_is_skipped() -> None:
    text = [6, 7, 7, LONE, 7, 7, 9, 10, 10, 10, 10, 10]  # words of 3, 1 (the lone mark), 2 (what is behind it) and 6 pieces
    objective = MaskedLM(14, BERT, VOCABULARY, share=0.3, word_start=STARTS, opens_word=OPENS, pairs=False)
    seen: set[tuple[int, ...]] = set()
    for key in range(200):
        found = objective(batch_of([[text]]), np.array([key], np.uint64))
        seen.add(tuple(len(word) for word in words_of(found, text)))
    assert seen == {(3, 1), (1, 2)}  # 4 are wanted: 3 + 1, or 2 + 1 when 3 and 6 no longer fit


def test_a_separator_opens_no_word_whatever_the_table_of_pieces_says() -> None:
    """The table lets a word begin after every special piece; in Google's code a word of A continues over [SEP] in B."""
    opens = OPENS | (np.arange(VOCABULARY) == SEP) | (np.arange(VOCABULARY) == CLS)
    objective = MaskedLM(14, BERT, VOCABULARY, share=0.3, word_start=STARTS, opens_word=opens)
    row = [[6, 9, LONE], [7, 7, 9, 10]]  # words: 6 | 9 | LONE | 7 7, opened by LONE only where no [SEP] is between | 9 10
    for key in range(100):
        found = objective(batch_of([row], [False]), np.array([key], np.uint64))
        assert {name: values[0].tolist() for name, values in found.items() if name in ("inputs", "masked_positions")} == {
            name: values for name, values in expected(row, key, objective).items() if name in ("inputs", "masked_positions")
        }
        lone = {3, 5, 6} & set(found["masked_positions"][0].tolist())
        assert lone in (set(), {3, 5, 6}), "LONE and the pieces after [SEP] are one word"


def test_a_lone_mark_at_the_end_of_a_row_opens_no_word_in_the_next() -> None:
    objective = MaskedLM(8, BERT, VOCABULARY, share=0.5, word_start=STARTS, opens_word=OPENS, pairs=False)
    alone = objective(batch_of([[[7, 7, 9]]]), np.array([3], np.uint64))
    after = objective(batch_of([[[6, LONE]], [[7, 7, 9]]]), np.array([1, 3], np.uint64))
    assert {name: values[1].tolist() for name, values in after.items()} == {
        name: values[0].tolist() for name, values in alone.items()
    }


def test_a_word_longer_than_what_is_wanted_is_never_masked() -> None:
    objective = MaskedLM(14, BERT, VOCABULARY, word_start=STARTS, pairs=False)
    found = objective(batch_of([[[6, *[7] * 11]]]), np.array([5], np.uint64))
    assert objective.counts(found) == {"tokens": 0}
    assert found["inputs"].tolist() == [[CLS, 6, *[7] * 11, SEP]]


def test_separators_within_a_row_are_no_candidates_and_the_last_is_not_doubled() -> None:
    objective = MaskedLM(12, BERT, VOCABULARY, share=0.9, pairs=False)
    rows: Rows = [[[6, 8, SEP], [9, SEP], [11, 12]], [[6, 8, SEP], [9, SEP]]]
    found = objective(batch_of(rows), np.array([1, 2], np.uint64))
    assert found["lengths"].tolist() == [9, 6]
    for row, separators in zip(found["inputs"], ([3, 5, 8], [3, 5]), strict=True):
        assert row[separators].tolist() == [SEP] * len(separators)
    positions = [
        row[targets != IGNORE].tolist() for row, targets in zip(found["masked_positions"], found["targets"], strict=True)
    ]
    assert positions == [[1, 2, 4, 6, 7], [1, 2, 4]]


def test_a_row_depends_on_its_key_alone() -> None:
    rows: Rows = [[[6 + (n + m) % 20 for m in range(40)], [9] * 20] for n in range(8)]
    keys = draws.key(3, np.arange(8))
    objective = MaskedLM(64, BERT, VOCABULARY)
    whole = objective(batch_of(rows, [False] * 8), keys)
    turned = objective(batch_of(rows[::-1], [False] * 8), keys[::-1].copy())
    for name, array in whole.items():
        np.testing.assert_array_equal(array, turned[name][::-1])
    other = objective(batch_of(rows, [False] * 8), draws.key(4, np.arange(8)))
    assert all((a != b).any() for a, b in zip(whole["masked_positions"], other["masked_positions"], strict=True))


def test_special_pieces_are_needed() -> None:
    with pytest.raises(ValueError, match="family bert"):
        MaskedLM(16, replace(BERT, mask=None), VOCABULARY)
    with pytest.raises(AssertionError, match="longer than row_tokens"):
        MaskedLM(8, BERT, VOCABULARY)(batch_of([[[9] * 3, [9] * 3]], [True]), np.zeros(1, np.uint64))


ROWS, TEXT, PIECES = 2048, 510, 1000  # over a million tokens


@pytest.fixture(scope="module")
def many() -> dict[str, NDArray[Any]]:
    ids = np.random.default_rng(1).integers(5, PIECES, ROWS * TEXT).astype(np.int32)
    rows = np.arange(ROWS + 1) * TEXT
    batch = RowBatch(ids, rows, rows, np.arange(ROWS + 1), np.empty(0, np.int64))
    found = MaskedLM(512, BERT, PIECES, pairs=False)(batch, draws.key(7, 1, np.arange(ROWS)))
    at = np.take_along_axis(found["inputs"], found["masked_positions"], 1)
    chosen = np.zeros((ROWS, 512), np.bool_)
    np.put_along_axis(chosen, found["masked_positions"], True, 1)
    before = np.full((ROWS, 512), CLS)
    before[:, 1:-1], before[:, -1] = ids.reshape(ROWS, TEXT), SEP
    return {**found, "at": at, "chosen": chosen, "before": before}


def test_exactly_the_share_is_masked_and_nothing_else_changes(many: dict[str, NDArray[Any]]) -> None:
    assert (many["chosen"].sum(axis=1) == 77).all()  # round(512 * .15)
    assert (many["targets"] == np.take_along_axis(many["before"], many["masked_positions"], 1)).all()
    assert (np.diff(many["masked_positions"]) > 0).all()
    assert (many["inputs"] == many["before"])[~many["chosen"]].all()


def test_eighty_ten_ten(many: dict[str, NDArray[Any]]) -> None:
    at, targets = many["at"], many["targets"]
    a_piece = 0.1 / PIECES  # a random piece is at times the mask, or the same
    assert_share(at == MASK, 0.8 + a_piece)
    assert_share(at == targets, 0.1 + a_piece)
    assert_share((at != MASK) & (at != targets), 0.1 - 2 * a_piece)


def test_random_pieces_are_of_the_whole_vocabulary(many: dict[str, NDArray[Any]]) -> None:
    replaced = many["at"][(many["at"] != MASK) & (many["at"] != many["targets"])]
    counts = np.bincount(replaced, minlength=PIECES)
    assert (counts[[PAD, UNK, CLS, SEP]] > 0).all()
    assert_uniform(np.delete(counts, MASK))


def test_positions_are_uniform(many: dict[str, NDArray[Any]]) -> None:
    counts = many["chosen"][:, 1:511].sum(axis=0)
    assert_uniform(counts, 1 - 77 / 510)
    assert many["chosen"][:, [0, 511]].sum() == 0


def test_what_becomes_of_a_piece_does_not_hang_on_its_place_or_its_neighbour(many: dict[str, NDArray[Any]]) -> None:
    hidden = many["at"] == MASK
    p = 0.8 + 0.1 / PIECES
    assert_share(hidden[:, 1:] & hidden[:, :-1], p * p, spread=1.5)  # neighbouring pairs share a piece
    for part in np.array_split(hidden, 7, axis=1):
        assert_share(part, p)


def test_neighbouring_rows_are_independent(many: dict[str, NDArray[Any]]) -> None:
    """Places that two rows both mask: hypergeometric, 77 of 510 against 77 of 510."""
    both = (many["chosen"][1:] & many["chosen"][:-1]).sum(axis=1)
    share = 77 / 510
    variance = 77 * share * (1 - share) * (510 - 77) / 509
    assert abs(both.mean() - 77 * share) < 4 * np.sqrt(variance / len(both))
    assert abs(both.var() / variance - 1) < 4 * np.sqrt(2 / len(both))


def assert_share(events: NDArray[np.bool_], probability: float, spread: float = 1.0) -> None:
    """The share of events is the probability within 4 standard deviations."""
    deviation = np.sqrt(probability * (1 - probability) / events.size) * spread
    assert abs(events.mean() - probability) < 4 * deviation


def assert_uniform(counts: NDArray[np.int64], variance_per_mean: float = 1.0) -> None:
    """Chi-square within 4 standard deviations of its mean."""
    mean, freedom = counts.mean(), len(counts) - 1
    chi = float(((counts - mean) ** 2).sum() / (mean * variance_per_mean))
    assert abs(chi - freedom) < 4 * np.sqrt(2 * freedom)


def test_pieces_of_a_masked_word_are_drawn_one_by_one() -> None:
    """Words of two pieces: both hidden in .8 * .8 of them, where one draw a word would hide both in .8."""
    rows, words = 512, 255
    ids = np.tile(np.array([6, 7], np.int32), rows * words)
    bounds = np.arange(rows + 1) * 2 * words
    batch = RowBatch(ids, bounds, bounds, np.arange(rows + 1), np.empty(0, np.int64))
    found = MaskedLM(512, BERT, VOCABULARY, word_start=STARTS, pairs=False)(batch, draws.key(5, np.arange(rows)))
    assert (found["masked_positions"][:, 76] == 0).all(), "77 are wanted, 76 make whole words"
    positions = found["masked_positions"][:, :76].reshape(rows, 38, 2)
    assert (positions[:, :, 1] == positions[:, :, 0] + 1).all() and (positions[:, :, 0] % 2 == 1).all()
    hidden = (np.take_along_axis(found["inputs"], found["masked_positions"][:, :76], 1) == MASK).reshape(rows, 38, 2)
    p = 0.8 + 0.1 / VOCABULARY
    assert_share(hidden.all(axis=2), p * p)


def test_numbers_out_of_their_range_are_refused() -> None:
    assert MaskedLM(4, BERT, VOCABULARY).row_tokens == MaskedLM(3, BERT, VOCABULARY, pairs=False).row_tokens == 1
    for length, pairs in ((3, True), (2, False)):
        with pytest.raises(AssertionError):
            MaskedLM(length, BERT, VOCABULARY, pairs=pairs)
    for words in ({"word_start": STARTS[1:]}, {"word_start": STARTS, "opens_word": OPENS[1:]}, {"opens_word": OPENS}):
        with pytest.raises(AssertionError):
            MaskedLM(16, BERT, VOCABULARY, **words)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="family bert"):
        MaskedLM(16, replace(BERT, begin=None), VOCABULARY)
    objective = MaskedLM(8, BERT, VOCABULARY)
    with pytest.raises(AssertionError):
        objective(batch_of([[[9], [9]]], [True]), np.zeros(2, np.uint64))
    with pytest.raises(AssertionError, match="a pair has two spans"):
        objective(batch_of([[[9]]], [True]), np.zeros(1, np.uint64))
    assert MaskedLM(8, BERT, VOCABULARY, share=0.01).predictions == 1
    assert MaskedLM(8, BERT, VOCABULARY, max_predictions=0).predictions == 0
