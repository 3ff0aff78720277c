"""Quotas block by block: their laws, and exact numbers of mixtures that were worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.data.order.mixture import BLOCK_SLOTS, MixtureError, Quotas, Stage, bounded, check, quotas, unbounded


@st.composite
def some_quotas(draw: st.DrawFn) -> Quotas:
    """Up to four sources that have more than a slot or none, and up to three rare ones."""
    rare = draw(st.lists(st.integers(2, 9), max_size=3))
    cuts = sorted(draw(st.lists(st.integers(0, BLOCK_SLOTS - len(rare)), max_size=3)))
    common = np.diff([0, *cuts, BLOCK_SLOTS - len(rare)]).tolist()
    order = draw(st.permutations([(slots, 1) for slots in common] + [(1, every) for every in rare]))
    heir = max(range(len(order)), key=lambda source: order[source][0])
    return Quotas(tuple(slots for slots, _ in order), tuple(every for _, every in order), heir)


@given(some_quotas())
def test_a_blocks_places_are_those_draws_of_its_sources_that_come_next(quota: Quotas) -> None:
    places = np.arange(BLOCK_SLOTS)
    sources = np.arange(len(quota.slots))
    drawn = np.zeros(len(sources), dtype=np.int64)
    for block in range(12):
        assert quota.before(np.full(len(sources), block), sources).tolist() == drawn.tolist()
        chosen, ranks = quota.assign(np.full(BLOCK_SLOTS, block), places)
        for source in sources:
            mine = ranks[chosen == source]
            assert sorted(mine.tolist()) == list(range(len(mine)))
            drawn[source] += len(mine)


def test_blocks_and_places_are_broadcast_together() -> None:
    quota = Quotas((1, 3, 1, 1019), (3, 1, 2, 1), heir=3)
    chosen, ranks = quota.assign(np.arange(7), np.array([0, 0, 0, 0, 4, 4, 4]))
    assert (chosen.tolist(), ranks.tolist()) == ([0, 3, 3, 0, 2, 3, 2], [0, 1019, 1019, 0, 0, 1020, 0])
    assert quota.before(np.arange(7), np.full(7, 0)).tolist() == [0, 1, 1, 1, 2, 2, 2]
    assert quota.before(np.arange(7), np.full(7, 1)).tolist() == [0, 3, 6, 9, 12, 15, 18]
    assert quota.before(np.arange(4), np.full(4, 3)).tolist() == [0, 1019, 1019 * 2 + 2, 1019 * 3 + 3]


def test_quotas_are_rounded_to_the_largest_want_and_the_largest_excess() -> None:
    assert quotas([3, 2, 2], 7).tolist() == [3, 2, 2]
    assert quotas([5, 3, 2], 4).tolist() == [2, 1, 1]
    assert quotas([1, 1, 1, 97], 4).tolist() == [1, 1, 1, 1]
    assert quotas([0.5, 0.5, 60, 39], 10).tolist() == [1, 1, 5, 3]  # 6.0 and 3.9 are wanted: each gives way as far as it must
    assert quotas([2.0], 1).tolist() == quotas([1.0, 1.0], 2).tolist()[:1] == [1]
    for weights in ([1.0, 1.0, 1.0], [], [1.0, -1.0], [0.0]):
        with pytest.raises(MixtureError, match=r"^a mixture needs 1 to 2 sources with weights above 0, got \["):
            quotas(weights, 2)


ROWS = {f"s{n:04}": 1 for n in range(BLOCK_SLOTS + 1)}
ONE = {"s0000": 1.0}


def test_a_mixture_has_one_to_1024_sources() -> None:
    check([Stage("f", None, dict(list(ROWS.items())[:BLOCK_SLOTS]))], ROWS)
    check([Stage("f", None, ONE)], ROWS)
    check([], ROWS)
    for weights, count in (({}, 0), (ROWS, 1025)):
        with pytest.raises(MixtureError, match=rf"^f: a mixture needs 1 to 1024 sources, and has {count}$"):
            check([Stage("f", None, weights)], ROWS)


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_is_a_number_above_0(weight: float) -> None:
    with pytest.raises(MixtureError, match=rf"^f: the weight of 's0001' is {weight}; weights must be above 0"):
        check([Stage("f", None, {**ONE, "s0001": weight})], ROWS)
    check([Stage("f", None, {**ONE, "s0001": 1e-300})], ROWS)


@pytest.mark.parametrize(("ends", "is_right"), [
    ([None], True), ([1, None], True), ([5, 6, None], True), ([5, 6, 7, None], True),
    ([0, None], False), ([-1, None], False), ([5], False), ([5, 5, None], False), ([6, 5, None], False),
    ([None, None], False), ([5, None, None], False), ([None, 5, None], False), ([5, 6], False),
])  # fmt: skip
def test_stages_end_one_after_the_other_and_the_last_one_with_the_training(ends: list[int | None], is_right: bool) -> None:
    found = [Stage("f", end, ONE) for end in ends]
    if is_right:
        check(found, ROWS)
    else:
        with pytest.raises(MixtureError, match=r"^data\.stages: every stage but the last needs an until_step, and they must"):
            check(found, ROWS)


def test_a_source_that_a_stage_does_not_name_has_no_slot_there() -> None:
    found = [Stage("f", 10, {"c": 1, "a": 3}), Stage("g", None, {"b": 1})]
    assert unbounded(found, ["a", "b", "c"]) == (Quotas((768, 0, 256), (1, 1, 1)), Quotas((0, 1024, 0), (1, 1, 1)))


def most(*rows: int) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


def test_a_source_is_held_at_its_bound_with_the_same_factor_in_all_stages() -> None:
    """Of 10 + 20 blocks the source would have half and a quarter, 10,240 slots: it has a quarter of each of them."""
    found = [Stage("f", 10 * BLOCK_SLOTS, {"a": 1, "b": 1}), Stage("g", None, {"a": 1, "b": 3})]
    slots = 30 * BLOCK_SLOTS
    assert bounded(found, ["a", "b"], most(2560, slots), slots) == (Quotas((128, 896), (1, 1), 1), Quotas((64, 960), (1, 1), 1))
    assert bounded(found, ["a", "b"], most(10_240, slots), slots) == (Quotas((512, 512), (1, 1)), Quotas((256, 768), (1, 1), 1))
    assert bounded(found, ["a", "b"], most(10_239, slots), slots) == (
        Quotas((511, 513), (1, 1), 1),
        Quotas((255, 769), (1, 1), 1),
    )


def test_a_cut_block_counts_whole_and_a_stage_after_the_end_is_by_its_weights() -> None:
    found = [Stage("f", 1025, {"a": 1, "b": 1}), Stage("g", 9999, {"b": 1}), Stage("h", None, {"a": 1, "b": 3})]
    first, second, third = bounded(found, ["a", "b"], most(600, 10**6), 1025)
    assert first == Quotas((300, 724), (1, 1), 1)  # two blocks of 300
    assert (second, third) == (Quotas((0, 1024), (1, 1)), Quotas((256, 768), (1, 1)))
    first, second, third = bounded(found, ["a", "b"], most(600, 10**6), 1026)
    assert (first, second) == (Quotas((300, 724), (1, 1), 1), Quotas((0, 1024), (1, 1), 1))


def test_a_rare_source_has_a_slot_in_every_nth_block_and_none_if_it_has_no_row_to_give() -> None:
    slots = 10 * BLOCK_SLOTS
    found = [Stage("f", None, {"a": 1, "b": 1, "c": 2})]
    assert bounded(found, ["a", "b", "c"], most(10, 9, slots), slots) == (Quotas((1, 1, 1022), (1, 2, 1), 2),)
    assert bounded(found, ["a", "b", "c"], most(3, 1, slots), slots) == (Quotas((1, 1, 1022), (4, 10, 1), 2),)
    assert bounded(found, ["a", "b", "c"], most(0, 1, slots), slots) == (Quotas((0, 1, 1023), (1, 10, 1), 2),)


def test_a_stage_without_a_source_that_is_left_is_refused() -> None:
    slots = 10 * BLOCK_SLOTS
    found = [Stage("f", None, {"a": 1, "b": 1})]
    message = r"^f: with data\.max_epochs its sources \['a', 'b'\] have fewer rows than train\.steps needs; lower it, raise"
    with pytest.raises(MixtureError, match=message):
        bounded(found, ["a", "b", "c"], most(100, 100, 100), slots)
