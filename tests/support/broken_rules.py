"""Measures of documents that break a rule, or none, for tests that need no texts that do."""

from collections.abc import Iterable

import pyarrow as pa

from pipelines.contract.schema import MEASURES


def broken_rules(broken: Iterable[object]) -> pa.Array:
    """A column `measures`: the documents for which `broken` is true have one word and are dropped by Gopher's rules."""
    return pa.array([{"words": 1 if entry else 1000} for entry in broken], MEASURES)
