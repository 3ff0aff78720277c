"""Measures of documents that break a rule, or none, for tests that need no texts that do."""

from collections.abc import Iterable

import pyarrow as pa

from pipelines.contract.schema import MEASURES


def broken_rules(broken: Iterable[object]) -> pa.Array:
    """A column `measures`: the documents for which `broken` is true hold "lorem ipsum" and are dropped by C4's rules."""
    return pa.array([{"lorem_ipsum": 1 if entry else 0} for entry in broken], MEASURES)
