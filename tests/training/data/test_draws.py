"""Draws are splitmix64's numbers: the published ones, compiled and in NumPy."""

import numba
import numpy as np
import pytest

from training.data.draws import GOLDEN, below, key, mix, unit, word, words

# The generator's first outputs for the seeds 0 and 1234567 (Vigna's splitmix64.c).
PUBLISHED = {
    0: [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC],
    1234567: [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431],
}


@numba.njit
def _word(key: np.uint64, number: int) -> np.uint64:
    return word(key, number)


@numba.njit
def _below(drawn: np.uint64, limit: int) -> int:
    return below(drawn, limit)


@numba.njit
def _unit(drawn: np.uint64) -> float:
    return unit(drawn)


@pytest.mark.parametrize("seed", PUBLISHED)
def test_draws_are_the_published_ones(seed: int) -> None:
    keys = np.array([seed], dtype=np.uint64)
    assert words(keys, 4).tolist() == [PUBLISHED[seed]]
    assert [int(_word(keys[0], number)) for number in range(4)] == PUBLISHED[seed]
    assert mix(keys + GOLDEN).tolist() == PUBLISHED[seed][:1]


def test_keys_have_a_row_each_and_depend_on_every_number_and_its_place() -> None:
    assert key(0).tolist() == PUBLISHED[0][:1]
    assert key(-1).tolist() == key(2**64 - 1).tolist() != key(2**63 - 1).tolist()
    rows = key(5, 3, np.arange(4))
    assert rows.dtype == np.uint64 and rows.shape == (4,)
    assert rows.tolist() == [int(key(5, 3, row)[0]) for row in range(4)]
    assert len({int(key(*numbers)[0]) for numbers in ((5, 3, 0), (5, 0, 3), (3, 5, 0), (5, 3), (5, 4, 0), (6, 3, 0))}) == 6
    mask = 2**64 - 1
    assert int(key(5, 3)[0]) == int(mix(np.array([(int(key(5)[0]) * int(GOLDEN) + 3 + 1) & mask], dtype=np.uint64))[0])


@pytest.mark.parametrize(
    ("drawn", "limit", "expected"),
    [
        (0, 10, 0),
        (2**64 - 1, 10, 9),
        (2**64 - 1, 1, 0),
        (2**63, 10, 5),
        (2**63 - 1, 10, 4),
        (2**64 - 1, 2**32 - 1, 2**32 - 2),
        (2**32 - 1, 2**32 - 1, 0),
        (2**32, 2**32 - 1, 0),
        (2**33, 2**32 - 1, 1),
    ],
)
def test_a_draw_below_a_limit_is_its_upper_half_times_the_limit(drawn: int, limit: int, expected: int) -> None:
    assert _below(np.uint64(drawn), limit) == expected


@pytest.mark.parametrize(
    ("drawn", "expected"), [(0, 0.0), (2**63, 0.5), (2**62, 0.25), (2**11, 2.0**-53), (2**11 - 1, 0.0), (2**64 - 1, 1 - 2.0**-53)]
)
def test_a_draw_as_a_float_is_its_upper_53_bits(drawn: int, expected: float) -> None:
    assert _unit(np.uint64(drawn)) == expected
