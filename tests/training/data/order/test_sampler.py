from typing import Any

import numpy as np
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from training.data.config import DataSection
from training.data.draws import key
from training.data.order.mixture import BLOCK_SLOTS, MixtureError, Quotas, Stage, quotas, stages
from training.data.order.sampler import MAX_SLOT, Sampler, Share, permute, sampler
from training.data.rows.layout import Stream


def streams(*sizes: int) -> list[Stream]:
    first, made = 0, []
    for number, size in enumerate(sizes):
        made.append(Stream(f"source{number}", first, size, size * 10))
        first += size
    return made


def test_every_size_up_to_2000_is_permuted_one_to_one() -> None:
    for size in range(1, 2001):
        image = permute(np.arange(size), size, key(7, size))
        assert np.array_equal(np.sort(image), np.arange(size)), size


@given(st.integers(2, 10**12), st.integers(0, 2**64 - 1))
@few
def test_a_large_permutation_stays_inside_and_never_meets(size: int, seed: int) -> None:
    positions = np.unique(np.random.default_rng(seed).integers(0, size, 1000))
    image = permute(positions, size, key(seed))
    assert image.min() >= 0 and image.max() < size
    assert len(np.unique(image)) == len(positions)


def test_a_large_permutation_looks_random() -> None:
    size = 1_000_003
    image = permute(np.arange(size), size, key(3))
    first = image[:100_000] / size
    assert abs(first.mean() - 0.5) < 4 * (1 / 12 / 100_000) ** 0.5  # four standard errors
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 4 / 100_000**0.5
    assert np.histogram(first, bins=100, range=(0, 1))[0].std() < 1.5 * 1000**0.5
    assert (np.diff(image) == 1).sum() < 10  # neighbours are torn apart: about one pair stays in a random permutation
    assert (image == np.arange(size)).sum() < 10


def test_the_order_is_this_order_for_ever() -> None:
    """Another answer needs another VERSION: a resumed run would see other rows."""
    assert permute(np.arange(10), 10, key(1, 2)).tolist() == [2, 4, 3, 7, 1, 6, 9, 0, 8, 5]
    assert sampler(streams(60, 40), 5).rows(95, 10).tolist() == [18, 64, 0, 33, 29, 60, 55, 68, 52, 47]
    mixed = sampler(streams(60, 40), 5, {"source0": 1, "source1": 2})
    assert mixed.rows(5000, 10).tolist() == [76, 40, 16, 71, 36, 81, 65, 52, 69, 63]


def test_every_row_comes_once_an_epoch_in_another_order_each() -> None:
    drawn = sampler(streams(60, 0, 40), seed=5).rows(0, 300).reshape(3, 100)
    for epoch in drawn:
        assert np.array_equal(np.sort(epoch), np.arange(100))
    assert not np.array_equal(drawn[0], drawn[1])


@given(st.integers(1, 300), st.integers(1, 64), st.integers(0, 200))
@few
def test_a_batch_is_a_piece_of_the_slots_whatever_was_asked_before(size: int, rows: int, step: int) -> None:
    for mixture in (None, {"source0": 1.0, "source1": 2.5}):
        made = sampler(streams(size, 7), 9, mixture)
        whole = made.rows(0, (step + 1) * rows)
        assert np.array_equal(made.batch(step, rows), whole[step * rows :])


def test_a_mixture_gives_every_block_its_quotas_and_every_source_its_epochs() -> None:
    made = sampler(streams(100, 3000, 50), 11, {"source0": 3, "source1": 1})
    drawn = made.rows(0, 4 * BLOCK_SLOTS)
    of_first = drawn < 100
    assert of_first.reshape(4, BLOCK_SLOTS).sum(axis=1).tolist() == [768] * 4
    assert drawn.max() < 3100  # source2 has no weight
    assert np.unique(drawn[~of_first], return_counts=True)[1].max() == 1  # 1,024 draws of 3,000: none twice
    counts = np.bincount(drawn[of_first], minlength=100)  # 3,072 draws of 100 rows: 30 or 31 epochs
    assert set(counts.tolist()) == {30, 31}
    assert not np.array_equal(of_first[:BLOCK_SLOTS], of_first[BLOCK_SLOTS : 2 * BLOCK_SLOTS])  # a new order each block


def test_quotas_are_exact() -> None:
    assert quotas([1]).tolist() == [1024]
    assert quotas([1, 1, 1]).tolist() == [342, 341, 341]
    assert quotas([1e-9, 1]).tolist() == [1, 1023]
    assert quotas([1.0] * 1024).tolist() == [1] * 1024


def test_a_place_at_the_edge_of_a_quota_belongs_to_the_next_source() -> None:
    quota = Quotas((3, 1, 1020), (1, 2, 1), heir=2)
    places = np.array([0, 2, 3, 4, 1023])
    chosen, ranks = quota.assign(np.zeros(5, np.int64), places)
    assert (chosen.tolist(), ranks.tolist()) == ([0, 0, 1, 2, 2], [0, 2, 0, 0, 1019])
    chosen, ranks = quota.assign(np.ones(5, np.int64), places)  # a block without source 1: the heir has its place
    assert (chosen.tolist(), ranks.tolist()) == ([0, 0, 2, 2, 2], [0, 2, 1020, 0, 1019])


@pytest.mark.parametrize("weights", [[], [0.0, 1.0], [1.0] * 1025])
def test_impossible_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(MixtureError, match="a mixture needs"):
        quotas(weights)


def test_slots_beyond_int64_are_refused_and_the_last_ones_are_drawn() -> None:
    for made in (sampler(streams(2**62, 5), 1), sampler(streams(2**62, 5), 1, {"source0": 1, "source1": 9})):
        last = made.rows(MAX_SLOT - 3000, 3000)
        assert last.min() >= 0 and last.max() < 2**62 + 5
        with pytest.raises(ValueError, match="this training has the slots"):
            made.rows(MAX_SLOT, 1)
        with pytest.raises(ValueError, match="this training has the slots"):
            made.batch(2**60, 512)
    assert permute(np.array([2**63 - 2]), 2**63 - 1, key(1))[0] >= 0


# Mixtures that change during the training


@st.composite
def staged(draw: st.DrawFn) -> tuple[list[Stream], list[Stage]]:
    """Up to four sources of 1 to 3,000 rows, up to four stages of 1 to 3,000 slots, each with some of the sources."""
    sizes = draw(st.lists(st.integers(1, 3000), min_size=1, max_size=4))
    lengths = draw(st.lists(st.integers(1, 3000), max_size=3))
    names = st.sampled_from([f"source{n}" for n in range(len(sizes))])
    weights = st.dictionaries(names, st.floats(0.001, 10), min_size=1)
    ends = [*np.cumsum(lengths).tolist(), None]
    return streams(*sizes), [Stage(f"data.stages.{n}.mixture", end, draw(weights)) for n, end in enumerate(ends)]


def by_source(made: Sampler, rows: np.ndarray) -> list[int]:
    return [int(((rows >= stream.first) & (rows < stream.first + stream.rows)).sum()) for stream in made.streams]


def edges(found: list[Stage], blocks: int) -> list[tuple[int, int, Stage]]:
    """Where each block begins and ends, cut where its stage ends; and its stage."""
    out: list[tuple[int, int, Stage]] = []
    begin = 0
    for stage in found:
        end = stage.until_slot or begin + blocks * BLOCK_SLOTS
        out.extend((at, min(at + BLOCK_SLOTS, end), stage) for at in range(begin, end, BLOCK_SLOTS))
        begin = end
    return out


@given(staged(), st.integers(0, 2**63))
@few
def test_blocks_have_their_quotas_and_every_epoch_of_every_source_is_a_permutation_across_stages(
    mixture: tuple[list[Stream], list[Stage]], seed: int
) -> None:
    given_streams, found = mixture
    made = sampler(given_streams, seed, found)
    blocks = edges(found, 2)
    drawn = made.rows(0, blocks[-1][1])
    counts = np.zeros(sum(stream.rows for stream in given_streams), dtype=np.int64)
    for begin, end, stage in blocks:
        named = sorted(stage.weights)
        wanted = dict(zip(named, quotas([stage.weights[name] for name in named]).tolist(), strict=True))
        got = by_source(made, drawn[begin:end])
        for stream, count in zip(made.streams, got, strict=True):
            quota = wanted.get(stream.source, 0)
            assert count == quota if end - begin == BLOCK_SLOTS else count <= quota
        counts += np.bincount(drawn[begin:end], minlength=len(counts))
        for stream in made.streams:  # so far: every row once an epoch, those of this epoch at most once more
            mine = counts[stream.first : stream.first + stream.rows]
            assert mine.max() - mine.min() <= 1
        assert made.draws(end).tolist() == by_source(made, drawn[:end])


@given(staged(), st.integers(0, 12_000), st.lists(st.integers(0, 700), min_size=1, max_size=12))
@few
def test_slots_give_the_same_rows_however_they_are_asked_for(
    mixture: tuple[list[Stream], list[Stage]], first: int, sizes: list[int]
) -> None:
    for found in (mixture[1], None):
        made = sampler(mixture[0], 3, found)
        whole = made.rows(first, sum(sizes))
        begins = np.cumsum([0, *sizes[:-1]]) + first
        again = {at: made.rows(int(begins[at]), sizes[at]) for at in reversed(range(len(sizes)))}
        assert np.array_equal(np.concatenate([again[at] for at in range(len(sizes))]), whole)


@given(staged(), st.integers(1, 60_000), st.floats(1, 60))
@few
def test_no_source_is_seen_more_often_than_max_epochs(
    mixture: tuple[list[Stream], list[Stage]], slots: int, max_epochs: float
) -> None:
    try:
        made = sampler(*mixture[:1], 3, mixture[1], max_epochs=max_epochs, slots=slots)
    except MixtureError as error:
        assert "train.steps" in str(error) and "data.max_epochs" in str(error)
        return
    drawn = made.rows(0, slots)
    shares = made.plan(slots)
    assert [share.draws for share in shares] == by_source(made, drawn)
    assert all(share.draws <= max_epochs * share.rows for share in shares)
    assert sum(share.draws for share in shares) == slots
    for stream in made.streams:
        mine = drawn[(drawn >= stream.first) & (drawn < stream.first + stream.rows)]
        counts = np.bincount(mine - stream.first, minlength=stream.rows)
        assert counts.max() <= np.ceil(max_epochs) and counts.max() - counts.min() <= 1
    with pytest.raises(ValueError, match="this training has the slots"):
        made.rows(slots, 1)


def test_a_stage_begins_with_a_block_of_its_own_and_goes_on_in_the_same_epoch() -> None:
    one = {"source0": 1.0, "source1": 3.0}
    made = sampler(streams(700, 5000), 4, [Stage("a", 1500, one), Stage("b", None, one)])
    drawn = made.rows(0, 1500 + 2 * BLOCK_SLOTS)
    assert by_source(made, drawn[1500 : 1500 + BLOCK_SLOTS]) == [256, 768]
    counts = np.bincount(drawn[drawn < 700], minlength=700)
    assert counts.sum() == made.draws(len(drawn))[0] == 877 and set(counts.tolist()) == {1, 2}


def test_what_a_bounded_source_loses_goes_to_the_others_in_proportion() -> None:
    names = {"source0": 8.0, "source1": 1.0, "source2": 1.0}
    slots = 100 * BLOCK_SLOTS
    free = sampler(streams(100, 10**6, 10**6), 1, names, slots=slots)
    assert [share.draws for share in free.plan(slots)] == [81900, 10300, 10200]  # of 1,024: 819, 103, 102
    made = sampler(streams(10_000, 10**6, 10**6), 1, names, max_epochs=4, slots=slots)
    assert [share.draws for share in made.plan(slots)] == [40_000, 31_200, 31_200]  # 400 a block
    assert [share.epochs for share in made.plan(slots)] == [4, 0.0312, 0.0312]
    assert [share.tokens for share in made.plan(slots)] == [400_000, 312_000, 312_000]


def test_what_goes_to_the_others_may_take_one_of_them_to_its_bound_too() -> None:
    slots = 100 * BLOCK_SLOTS
    names = {"source0": 8.0, "source1": 1.0, "source2": 1.0}
    made = sampler(streams(10_000, 5000, 10**6), 1, names, max_epochs=4, slots=slots)
    assert [share.draws for share in made.plan(slots)] == [40_000, 20_000, 42_400]  # 400 and 200 a block, the rest


def test_a_source_of_less_than_one_slot_a_block_has_one_in_every_nth_block() -> None:
    names = {"source0": 1.0, "source1": 1.0, "source2": 1.0, "source3": 1.0}
    slots = 100 * BLOCK_SLOTS
    made = sampler(streams(10, 7, 10**6, 4000), 1, names, max_epochs=2, slots=slots)
    quota = made.segments[0].quotas
    assert quota == Quotas((1, 1, 942, 80), (5, 8, 1, 1), heir=2)
    assert [share.draws for share in made.plan(slots)] == [20, 13, 94_367, 8000]
    drawn = made.rows(0, slots)
    assert np.flatnonzero([by_source(made, drawn[at : at + BLOCK_SLOTS])[1] for at in range(0, slots, BLOCK_SLOTS)]).tolist() == [
        *range(0, 100, 8)
    ]
    heirs = drawn[(drawn >= 17) & (drawn < 17 + 10**6)]
    assert len(heirs) == len(np.unique(heirs)) == 94_367  # under one epoch: no draw of the heir comes twice


_ONE = {"source0": 1.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mixture": {"books": 1}},
            r"data\.mixture: there is no source 'books'; the sources with rows are \['source0', 'source2'",
        ),
        ({"mixture": {"source1": 1}}, r"data\.mixture: 'source1' has no rows; the sources with rows are \['source0', 'source2'"),
        ({"mixture": {"source0": 0.0}}, r"data\.mixture: the weight of 'source0' is 0\.0; weights must be above 0"),
        ({"mixture": {"source0": float("nan")}}, "the weight of 'source0' is nan"),
        ({"mixture": [Stage("data.stages.1.mixture", None, {"x": 1})]}, r"data\.stages\.1\.mixture: there is no source 'x'"),
        ({"mixture": [Stage("s", 5, _ONE)]}, r"data\.stages: every stage but the last needs an until_step"),
        ({"mixture": [Stage("s", 5, _ONE), Stage("s", 5, _ONE), Stage("s", None, _ONE)]}, "they must increase"),
        ({"max_epochs": 3.0}, r"data\.max_epochs: needs the planned number of steps"),
        (
            {"max_epochs": 3.0, "slots": 46},
            r"train\.steps: the training draws 46 rows, more than data\.max_epochs = 3 allows with the 15 rows",
        ),
        (
            {"mixture": _ONE, "max_epochs": 3.0, "slots": 16},
            "the training draws 16 rows, more than data.max_epochs = 3 allows with the 5",
        ),
    ],
)
def test_a_mixture_that_cannot_be_drawn_is_refused_with_field_and_fix(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(MixtureError, match=message):
        sampler(streams(5, 0, 10), 1, **arguments)


def test_a_stage_whose_sources_are_exhausted_is_named() -> None:
    found = [Stage("data.stages.0.mixture", 2048, {"source0": 1}), Stage("data.stages.1.mixture", None, {"source1": 1})]
    with pytest.raises(
        MixtureError, match=r"data\.stages\.1\.mixture: with data\.max_epochs its sources \['source1'\] have fewer"
    ):
        sampler(streams(100_000, 10), 1, found, max_epochs=2, slots=4096)


def test_stages_of_a_config() -> None:
    rows = {"a": 1000, "b": 10, "empty": 0}
    common = {"tokens": "t", "batch_rows": 8}
    assert stages(DataSection.model_validate(common), rows) == ()
    warm = DataSection.model_validate({**common, "temperature": 3})
    (stage,) = stages(warm, rows)
    assert stage.until_slot is None and stage.weights == pytest.approx({"a": 10, "b": 10 ** (1 / 3)})
    followed = {**common, "stages": [{"until_step": 5, "mixture": {"a": 1}}, {"mixture": {"b": 2}}]}
    assert stages(DataSection.model_validate(followed), rows) == (
        Stage("data.stages.0.mixture", 40, {"a": 1}),
        Stage("data.stages.1.mixture", None, {"b": 2}),
    )
    with pytest.raises(MixtureError, match=r"data\.stages\.0\.mixture: 'empty' has no rows"):
        stages(DataSection.model_validate({**common, "stages": [{"mixture": {"empty": 1}}]}), rows)


def test_the_order_of_stages_is_this_order_for_ever() -> None:
    one, two, three = {"source0": 1, "source1": 2}, {"source0": 1, "source1": 1}, {"source0": 3, "source1": 1}
    made = sampler(streams(60, 40), 5, [Stage("a", 1500, one), Stage("b", 4000, two), Stage("c", None, three)])
    assert [made.rows(first, 10).tolist() for first in (1495, 2520, 3995, 5020)] == [
        [21, 93, 80, 38, 66, 12, 64, 27, 30, 55],
        [20, 22, 61, 25, 41, 36, 10, 17, 88, 87],
        [37, 39, 31, 76, 93, 3, 21, 53, 35, 16],
        [84, 71, 94, 7, 56, 74, 16, 25, 11, 49],
    ]
    places = [(segment.first_slot, segment.first_block, segment.cut_block) for segment in made.segments]
    assert places == [(0, 0, 1), (1500, 2, 2), (4000, 5, -1)]
    assert [len(found.cut_ranks) for found in made.segments] == [1500 - 1024, 2500 - 2048, 0]


def test_draws_begin_with_none() -> None:
    for mixture in (None, {"source0": 1, "source1": 2}):
        assert sampler(streams(60, 40), 5, mixture).draws(0).tolist() == [0, 0]
    assert MAX_SLOT == 9_223_372_036_854_775_807


def test_shares_of_one_permutation_are_in_proportion() -> None:
    made = sampler(streams(60, 0, 40), 5)
    assert made.draws(250).tolist() == [150, 100] and made.draws(3).tolist() == [1, 1]
    assert made.plan(250) == (Share("source0", 60, 150, 2.5, 1500), Share("source2", 40, 100, 2.5, 1000))
    for first, count in ((-1, 1), (MAX_SLOT, 1)):
        with pytest.raises(ValueError, match="this training has the slots 0 to"):
            made.rows(first, count)
    assert made.rows(7, 0).tolist() == sampler(streams(6), 1, {"source0": 1}).rows(7, 0).tolist() == []


def test_a_bound_without_a_mixture_is_of_all_rows_together() -> None:
    assert sampler(streams(5, 10), 1, max_epochs=1.5, slots=22).end == 22  # 22.5 rows
    with pytest.raises(MixtureError, match=r"draws 23 rows, more than data\.max_epochs = 1\.5 allows with the 15 rows"):
        sampler(streams(5, 10), 1, max_epochs=1.5, slots=23)
    both = {"source0": 1.0, "source1": 1.0}
    with pytest.raises(MixtureError, match=r"data\.mixture: with data\.max_epochs its sources"):  # 7 + 16, but in whole blocks
        sampler(streams(5, 11), 1, both, max_epochs=1.5, slots=23)
    with pytest.raises(MixtureError, match=r"draws 24 rows, more than"):
        sampler(streams(5, 11), 1, both, max_epochs=1.5, slots=24)


@pytest.mark.parametrize(
    ("size", "images"),
    [
        (1, [0, 0]),
        (4, [0, 1]),
        (17, [10, 12]),
        (2**62, [20341068510486508, 1843172368405737598]),
        (2**62 + 1, [91710695533116672, 2067834464682370476]),
        (2**63 - 1, [4650402502169114445, 2715696241488406227]),
    ],
)
def test_the_first_and_the_last_position_of_a_size_have_these_images(size: int, images: list[int]) -> None:
    assert permute(np.array([0, size - 1]), size, key(1)).tolist() == images
