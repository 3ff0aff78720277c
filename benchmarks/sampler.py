"""The order of rows at any size: what it costs to find the rows of a step, and that an epoch is a permutation.

    make bench-sampler                                        # 10,000,000,000 simulated rows
    make bench-sampler OPTIONS="--rows 1000000 --whole 1000000"

Nothing is stored per row, so a sampler of ten billion rows costs as much as one of a thousand. The table shows the memory
allocated for it (tracemalloc) and the time of batches at random steps, including the first and the last, at that size and at
a tenth of it. A whole epoch of `--whole` rows is drawn and ticked off in a bitmap. The peer is a shuffled array of row
numbers (NumPy, int64) of `--peer` rows, which loaders with an index keep.
"""

import argparse
import random
import time
import tracemalloc
from collections.abc import Callable

import numpy as np

from training.data.order.mixture import Stage
from training.data.order.sampler import Sampler, sampler
from training.data.rows.layout import Stream

SOURCES = 20


def main() -> None:
    arguments = parsed()
    sampler([Stream("warm", 0, 100, 100)], 1).batch(0, 8)  # compiles the kernels
    print(
        f"{'sampler':36}{'rows':>16}{'allocated':>12}{'made in':>12}{'a batch of ' + str(arguments.batch_rows):>18}{'a row':>10}"
    )
    nanoseconds = {}
    for rows in (arguments.rows // 10, arguments.rows):
        for name, make in samplers(rows).items():
            nanoseconds[name, rows] = measured(name, rows, make, arguments.batch_rows)
    whole_epoch(arguments.whole)
    shuffled = peer(arguments.peer)
    print()
    for name in samplers(10):
        per_row = nanoseconds[name, arguments.rows]
        result(f"sampler_{name.replace(' ', '_')}_rows_per_s", 1e9 / per_row, "rows/s", ">=1000000")
        smaller = nanoseconds[name, arguments.rows // 10]
        result(f"sampler_{name.replace(' ', '_')}_time_to_a_tenth_of_the_rows", per_row / smaller, "x", "about 1, at most 4")
    result("shuffled_array_bytes_per_row", shuffled, "bytes", "ours: 0")


def samplers(rows: int) -> dict[str, Callable[[], Sampler]]:
    """Return samplers without a mixture, with a mixture of twenty sources, and with stages and a bound."""
    streams = [Stream(f"source{n:02}", rows // SOURCES * n, max(rows // SOURCES, 1), rows) for n in range(SOURCES)]
    weights = {stream.source: 1.0 + n for n, stream in enumerate(streams)}
    stages = [Stage("first", max(rows // 3, 1), weights), Stage("second", None, dict.fromkeys(weights, 1.0))]
    return {
        "one permutation": lambda: sampler(streams, 1),
        "mixture of 20": lambda: sampler(streams, 1, weights),
        "two stages with max_epochs": lambda: sampler(streams, 1, stages, max_epochs=1.2, slots=max(rows, 2)),
    }


def measured(name: str, rows: int, make: Callable[[], Sampler], batch_rows: int) -> float:
    """Print a line and return nanoseconds per row, the median of 200 batches."""
    tracemalloc.start()
    began = time.perf_counter()
    made = make()
    seconds = time.perf_counter() - began
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    steps = rows // batch_rows
    draw = random.Random(1)
    taken: list[float] = []
    for step in [0, steps - 1, *(draw.randrange(steps) for _ in range(198))]:
        began = time.perf_counter()
        numbers = made.batch(step, batch_rows)
        taken.append(time.perf_counter() - began)
        assert len(numbers) == batch_rows and 0 <= numbers.min() <= numbers.max() < rows
    median = sorted(taken)[100]
    print(
        f"{name:36}{rows:16,}{allocated / 1024:9.1f} KiB{seconds * 1e3:9.2f} ms{median * 1e6:15.0f} us"
        f"{median / batch_rows * 1e9:7.0f} ns"
    )
    return median / batch_rows * 1e9


def whole_epoch(rows: int) -> None:
    """Draw every row of an epoch once."""
    made = sampler([Stream("all", 0, rows, rows)], 3)
    seen = np.zeros(rows, dtype=np.bool_)
    began = time.perf_counter()
    for first in range(0, rows, 2**20):
        seen[made.rows(first, min(2**20, rows - first))] = True
    seconds = time.perf_counter() - began
    assert seen.all()
    print(f"\nan epoch of {rows:,} rows, every row once: {seconds:.1f} s, {rows / seconds / 1e6:.1f} M rows/s")


def peer(rows: int) -> float:
    """Return the bytes per row of a shuffled array."""
    tracemalloc.start()
    began = time.perf_counter()
    shuffled = np.random.default_rng(1).permutation(rows)
    seconds = time.perf_counter() - began
    allocated = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(
        f"a shuffled array of {rows:,} row numbers: {allocated / 2**20:.0f} MiB, {seconds:.1f} s; "
        f"ten billion would be {8e10 / 2**30:.0f} GiB"
    )
    assert len(shuffled) == rows
    return allocated / rows


def result(name: str, value: float, unit: str, goal: str) -> None:
    print(f"RESULT\t{name}\t{value:.3g}\t{unit}\t{goal}")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**10, help="simulated rows")
    parser.add_argument("--batch-rows", type=int, default=512)
    parser.add_argument("--whole", type=int, default=3 * 10**7, help="rows of the epoch that is drawn whole")
    parser.add_argument("--peer", type=int, default=10**7, help="rows of the shuffled array")
    return parser.parse_args()


if __name__ == "__main__":
    main()
