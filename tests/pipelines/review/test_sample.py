"""The sample: of every fate the lowest hashes, however the documents are cut into batches; weights that add up to the corpus."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.schema import DROPS, sampling_key
from pipelines.review.rows import Rows
from pipelines.review.sample import COLUMNS, Drawer, Sample, allotted

FATES = [("web", "", ""), ("web", "quality", "poor_signs"), ("wiki", "", ""), ("web", "read", "empty")]


def drawn(fates: list[int], seed: int, most: int, cuts: list[int]) -> Sample:
    ids = np.random.default_rng(seed).bytes(16 * len(fates))
    keys = [ids[16 * n : 16 * n + 16] for n in range(len(fates))]
    rows = [{"id": key, "source": FATES[f][0], "stage": FATES[f][1] or None, "reason": FATES[f][2] or None}
            for key, f in zip(keys, fates, strict=True)]  # fmt: skip
    counts = Counter(FATES[fate] for fate in fates)
    drawer = Drawer(counts, most)
    bounds = [0, *sorted(cuts), len(rows)]
    for group, (start, end) in enumerate(pairwise(bounds)):
        columns = {name: pa.array([row.get(name) for row in rows[start:end]], DROPS.field(name).type) for name in COLUMNS}
        columns["characters"] = pa.array([7] * (end - start), pa.int64())
        if end > start:
            drawer.add(Rows(columns, 0, group))
    return drawer.finish()


@given(st.lists(st.sampled_from(range(4)), max_size=300), st.integers(0, 3), st.integers(5, 60), st.data())
def test_of_every_fate_the_lowest_hashes_are_drawn_however_batches_are_cut(fates, seed, most, data) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(fates)), max_size=6))
    one, other = drawn(fates, seed, most, []), drawn(fates, seed, most, cuts)
    assert one.rows["id"].to_pylist() == other.rows["id"].to_pylist() and one.weights.tolist() == other.weights.tolist()
    counts = Counter(FATES[fate] for fate in fates)
    wanted = allotted(counts, most)
    ids = np.random.default_rng(seed).bytes(16 * len(fates))
    for fate, count in wanted.items():
        mine = [ids[16 * n : 16 * n + 16] for n, f in enumerate(fates) if FATES[f] == fate]
        keys = sampling_key(pa.array(mine, pa.binary(16)))
        lowest = {mine[n] for n in np.argsort(keys, kind="stable")[:count]}
        got = {row["id"] for row in one.rows.to_pylist() if (row["source"], row["stage"] or "", row["reason"] or "") == fate}
        assert got == lowest
    assert np.isclose(one.weights.sum(), len(fates)) and one.documents == len(fates)
    assert one.is_whole == (len(fates) <= most)


def test_a_rare_fate_is_drawn_and_a_common_one_does_not_fill_the_sample() -> None:
    sizes = allotted({("a", "", ""): 10_000_000, ("a", "quality", "poor_signs"): 40_000, ("a", "read", "empty"): 3}, 4000)
    assert sizes["a", "read", "empty"] == 3 and 3990 <= sum(sizes.values()) <= 4000
    assert 200 < sizes["a", "quality", "poor_signs"] < sizes["a", "", ""]


def test_an_empty_corpus_has_an_empty_sample() -> None:
    nothing = drawn([], 0, 10, [])
    assert (
        nothing.rows.num_rows == 0 and nothing.is_whole and {*COLUMNS, "part", "group", "row"} <= set(nothing.rows.column_names)
    )
