import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.contract.tokenizers.families import Specials
from training.data.draws import key, words
from training.data.rows.batch import IGNORE, RowBatch
from training.objectives.span_corruption import SpanCorruption, noise_counts, widths

SENTINELS = (90, 89, 70, *range(1000, 1400))  # ids in no order
T5 = Specials(pad=0, begin=None, end=1, mask=None, decoder_start=0, sentinels=SENTINELS)


def batch(rows: list[list[int]]) -> RowBatch:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.array([i for row in rows for i in row], dtype=np.int32)
    return RowBatch(ids, offsets, offsets, np.arange(len(rows) + 1), np.empty(0, np.int64))


class Segmentation:
    """T5's random_segmentation: flags of the items that begin a segment; here drawn one by one, with the row's draws."""

    def __init__(self, row_key: np.uint64) -> None:
        self.drawn = iter(words(np.array([row_key]), 5000)[0].tolist())

    def __call__(self, items: int, segments: int) -> list[int]:
        first_in_segment, to_place = [1], segments - 1
        for left in range(items - 1, 0, -1):
            taken = ((next(self.drawn) >> 32) * left) >> 32 < to_place
            first_in_segment.append(int(taken))
            to_place -= taken
        return np.bincount(np.cumsum(first_in_segment) - 1).tolist()


def noise_mask(length: int, share: float, mean_span: float, row_key: np.uint64) -> NDArray[np.bool_]:
    """random_spans_noise_mask of t5/data/preprocessors.py; spans no more than tokens of text."""
    n = max(length, 2)
    noise = min(max(round(n * share), 1), n - 1)
    spans = min(max(round(noise / mean_span), 1), n - noise)
    segmentation = Segmentation(row_key)
    noise_spans = segmentation(noise, spans)
    text_spans = segmentation(n - noise, spans)
    return np.concatenate([np.repeat([False, True], pair) for pair in zip(text_spans, noise_spans, strict=True)], dtype=np.bool_)[
        :length
    ]


def to_sentinels(row: list[int], mask: NDArray[np.bool_]) -> list[int]:
    """noise_span_to_unique_sentinel: every masked run becomes the next sentinel."""
    out, number = [], 0
    for place, token in enumerate(row):
        if not mask[place]:
            out.append(token)
        elif place == 0 or not mask[place - 1]:
            out.append(SENTINELS[number])
            number += 1
    return out


def expected(row: list[int], objective: SpanCorruption, row_key: np.uint64) -> tuple[list[int], int, list[int], list[int]]:
    mask = noise_mask(len(row), objective.share, objective.mean_span, row_key)
    inputs, targets = [*to_sentinels(row, mask), 1], [*to_sentinels(row, ~mask), 1]
    assert len(inputs) <= objective.length and len(targets) <= objective.target_length
    padding = objective.target_length - len(targets)
    return (
        inputs + [0] * (objective.length - len(inputs)),
        len(inputs),
        [0, *targets[:-1]] + [0] * padding,
        targets + [IGNORE] * padding,
    )


@pytest.mark.parametrize(
    ("inputs", "tokens", "targets"),
    [(64, 70, 14), (114, 126, 26), (128, 141, 29), (256, 284, 58), (512, 568, 114), (1024, 1137, 229), (2048, 2274, 456)],
)
def test_the_golden_table(inputs: int, tokens: int, targets: int) -> None:
    assert widths(inputs, 0.15, 3.0) == (tokens, targets)


def test_t5s_wish_for_equal_lengths_at_one_half() -> None:
    # 84 tokens: 42 noise, 14 spans, 57 wide both; 85: 42 (half to even), 14, 58 and 57. 86: 43, 14, 58 and 58; 87: 44, 15: 59.
    assert widths(57, 0.5, 3.0) == (84, 57)
    assert widths(58, 0.5, 3.0) == (86, 58)
    # 3 tokens: 2 noise (1.5, half to even), 2 spans of 1: inputs 4, targets 5, so one token less
    assert widths(4, 0.5, 1.0) == (2, 4)


def test_the_example_of_the_docstring() -> None:
    objective = SpanCorruption(8, T5, share=0.5, mean_span=2.0)
    assert (objective.row_tokens, objective.target_length, objective.overlap) == (10, 8, 0)
    found = objective(batch([[5, 6, 7, 8, 9, 10, 11, 12]]), np.array([3], np.uint64))
    assert found["inputs"].tolist() == [[5, 90, 7, 8, 9, 89, 1, 0]]
    assert found["lengths"].tolist() == [7]
    assert found["decoder_inputs"].tolist() == [[0, 90, 6, 89, 10, 11, 12, 0]]
    assert found["targets"].tolist() == [[90, 6, 89, 10, 11, 12, 1, IGNORE]]
    assert {name: array.dtype for name, array in found.items()} == dict.fromkeys(found, np.dtype(np.int64))
    assert objective.counts(found) == {"tokens": 7}


@given(st.data())
def test_exact_arrays(data: st.DataObject) -> None:
    share = data.draw(st.sampled_from([0.01, 0.15, 0.25, 0.5, 0.51, 0.9]) | st.floats(0.01, 0.95))
    objective = SpanCorruption(data.draw(st.integers(2, 150)), T5, share, data.draw(st.floats(1, 9)))
    lengths = [*data.draw(st.lists(st.integers(0, objective.row_tokens), max_size=5)), objective.row_tokens]
    rows = [list(range(2000 + 5000 * n, 2000 + 5000 * n + length)) for n, length in enumerate(lengths)]
    keys = key(data.draw(st.integers(0, 2**63)), np.arange(len(rows)))
    found = objective(batch(rows), keys)
    for n, row in enumerate(rows):
        inputs, length, decoder_inputs, targets = expected(row, objective, keys[n])
        assert found["inputs"][n].tolist() == inputs
        assert found["lengths"][n] == length
        assert found["decoder_inputs"][n].tolist() == decoder_inputs
        assert found["targets"][n].tolist() == targets


def test_a_row_depends_on_its_key_alone() -> None:
    objective = SpanCorruption(64, T5)
    rows, keys = [list(range(n, n + 50 + n % 21)) for n in range(40)], key(7, np.arange(40))
    together, alone = objective(batch(rows), keys), objective(batch(rows[17:18]), keys[17:18])
    assert all((together[name][17] == alone[name][0]).all() for name in together)


def test_rows_of_no_and_of_one_and_of_two_tokens() -> None:
    found = SpanCorruption(64, T5)(batch([[], [5], [5, 6]]), key(1, np.arange(3)))
    assert [row[:length].tolist() for row, length in zip(found["inputs"], found["lengths"], strict=True)] == [
        [1],
        [5, 1],
        [5, 90, 1],
    ]
    assert [row[row != IGNORE].tolist() for row in found["targets"]] == [[1], [90, 1], [90, 6, 1]]


def test_targets_may_be_wider_than_spans_need() -> None:
    narrow, wide = SpanCorruption(64, T5), SpanCorruption(64, T5, least_target_length=40)
    assert (wide.row_tokens, wide.target_length) == (narrow.row_tokens, 40)
    assert SpanCorruption(64, T5, least_target_length=3).target_length == 14
    rows, keys = batch([list(range(2000, 2070))]), key(1, np.arange(1))
    one, other = narrow(rows, keys), wide(rows, keys)
    assert (one["inputs"] == other["inputs"]).all() and one["targets"][0].tolist() == other["targets"][0, :14].tolist()
    assert (other["targets"][0, 14:] == IGNORE).all() and (other["decoder_inputs"][0, 14:] == 0).all()


def test_every_mask_is_as_likely() -> None:
    objective = SpanCorruption(8, T5, share=0.5, mean_span=2.0)  # 8 tokens: 4 noise in 2 spans, 3 * 3 masks
    count = 90_000
    rows = RowBatch(
        np.tile(np.arange(5, 13, dtype=np.int32), count), np.arange(count + 1) * 8, np.arange(count + 1) * 8,
        np.arange(count + 1), np.empty(0, np.int64),
    )  # fmt: skip
    masks, seen = np.unique(objective(rows, key(5, np.arange(count)))["inputs"], axis=0, return_counts=True)
    assert len(masks) == 9
    assert abs(seen - 10_000).max() < 5 * np.sqrt(10_000 * 8 / 9)


def test_statistics_of_a_million_tokens() -> None:
    objective = SpanCorruption(512, T5)
    count = 2000
    assert objective.row_tokens == 568
    ids = np.tile(np.arange(5000, 5568, dtype=np.int32), count)
    offsets = np.arange(count + 1) * 568
    found = objective(RowBatch(ids, offsets, offsets, np.arange(count + 1), np.empty(0, np.int64)), key(2, np.arange(count)))
    assert (found["lengths"] == 512).all() and objective.counts(found) == {"tokens": 114 * count}  # nothing is padding
    is_sentinel = np.isin(found["targets"][:, :-1], SENTINELS)
    assert (is_sentinel.sum(axis=1) == 28).all()  # 85 noise tokens in 28 spans
    places = np.flatnonzero(np.concatenate([is_sentinel, np.ones((count, 1), np.bool_)], axis=1))
    spans = np.diff(places) - 1
    spans = spans[spans > 0]  # not from a row's end to the next row's first sentinel
    # A span of a uniformly random composition of 85 into 28 is 1 long with probability 27 / 84.
    assert abs(np.mean(spans == 1) - 27 / 84) < 5 * np.sqrt(0.22 / len(spans))
    # Non-noise comes first and noise last; in between every place is noise as often.
    hidden = np.bincount(found["targets"][found["targets"] >= 5000] - 5000, minlength=568) / count
    assert (hidden[0], hidden[-1]) == (0, 1) and hidden.sum() == pytest.approx(85)
    assert abs(hidden[100:300].mean() - hidden[300:500].mean()) < 0.006


def test_too_few_sentinels() -> None:
    hundred = Specials(0, None, 1, None, 0, tuple(range(100)))
    assert SpanCorruption(1800, hundred).row_tokens == 1999  # 300 noise tokens, 100 spans
    message = r"span corruption of 2,274 tokens makes 114 spans, but the vocabulary has 100 sentinels; lower rows\.length"
    with pytest.raises(ValueError, match=message):
        SpanCorruption(2048, hundred)


def test_counts_of_noise_are_t5s() -> None:
    noise, spans = noise_counts(568, 0.15, 3.0)
    assert noise[[0, 1, 2, 3, 10, 30, 50, 568]].tolist() == [0, 0, 1, 1, 2, 4, 8, 85]  # 1.5, 4.5, 7.5: half to even
    assert spans[[0, 1, 2, 3, 10, 30, 50, 568]].tolist() == [0, 1, 1, 1, 1, 1, 3, 28]


def test_numbers_out_of_their_range_are_refused() -> None:
    assert SpanCorruption(2, T5, share=0.001, mean_span=1).overlap == 0
    for wrong in ({"length": 1}, {"share": 0.0}, {"share": 1.0}, {"mean_span": 0.9}):
        with pytest.raises(AssertionError):
            SpanCorruption(**({"length": 64, "specials": T5} | wrong))  # type: ignore[arg-type]
    narrow = SpanCorruption(8, T5)
    narrow(batch([[5] * narrow.row_tokens]), key(1, np.arange(1)))
    with pytest.raises(AssertionError):
        narrow(batch([[5] * (narrow.row_tokens + 1)]), key(1, np.arange(1)))
    with pytest.raises(AssertionError):
        narrow(batch([[5]]), key(1, np.arange(2)))


def test_as_many_spans_as_sentinels_are_enough() -> None:
    spans = int(noise_counts(568, 0.15, 3.0)[1].max())
    assert SpanCorruption(512, Specials(0, None, 1, None, 0, tuple(range(spans)))).row_tokens == 568
    with pytest.raises(ValueError, match=rf"of 568 tokens makes {spans} spans, but the vocabulary has {spans - 1} sentinels"):
        SpanCorruption(512, Specials(0, None, 1, None, 0, tuple(range(spans - 1))))


@pytest.mark.parametrize(("length", "share", "mean_span", "expected"), [
    (8, 0.5, 2.0, (10, 8)), (16, 0.5, 3.0, (22, 16)), (64, 0.5, 3.0, (94, 64)), (20, 0.5, 1.0, (18, 20)),
    (3, 0.15, 3.0, (2, 3)), (5, 0.5, 4.0, (6, 5)), (9, 0.9, 9.0, (44, 45)),
])  # fmt: skip
def test_widths_of_other_numbers(length: int, share: float, mean_span: float, expected: tuple[int, int]) -> None:
    tokens, targets = widths(length, share, mean_span)
    noise, spans = noise_counts(tokens, share, mean_span)
    assert tokens - noise[-1] + spans[-1] + 1 <= length
    assert targets >= noise[-1] + spans[-1] + 1
    assert (tokens, targets) == expected
