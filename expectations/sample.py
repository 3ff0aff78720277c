"""A sample of rows, independent of their order: the rows with the smallest sampling keys."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.schema import sampling_key

TEXT_CHARACTERS = 2000  # kept of each text, so that a thousand books fit in memory


class RowSample:
    """Keeps the `rows` rows with the smallest keys (schema.sampling_key of the id) of all batches offered."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._keys = np.empty(0)
        self._kept: pa.Table | None = None

    def offer(self, batch: pa.RecordBatch) -> None:
        """Keep the rows of a batch that belong to the sample so far."""
        keys = sampling_key(batch["id"])
        limit = self._keys[-1] if len(self._keys) == self._rows else 1.0
        chosen = np.flatnonzero(keys < limit)
        chosen = chosen[np.argsort(keys[chosen], kind="stable")[: self._rows]]
        if len(chosen) == 0:
            return
        rows = pa.Table.from_batches([_narrow(batch.take(pa.array(chosen)))])
        all_rows = rows if self._kept is None else pa.concat_tables([self._kept, rows])
        all_keys = np.concatenate([self._keys, keys[chosen]])
        order = np.argsort(all_keys, kind="stable")[: self._rows]
        self._keys, self._kept = all_keys[order], all_rows.take(pa.array(order)).combine_chunks()

    def frame(self) -> pd.DataFrame:
        """Return the sample, smallest key first."""
        return pd.DataFrame() if self._kept is None else self._kept.to_pandas()


def _narrow(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Make rows readable: ids in hexadecimal, long texts cut, lists as their lengths."""
    shown: dict[str, Any] = {"where": _hexadecimal(rows["id"])}
    for name, values in zip(rows.schema.names, rows.columns, strict=True):
        if pa.types.is_fixed_size_binary(values.type):
            shown[name] = _hexadecimal(values)
        elif pa.types.is_list(values.type):
            shown[name] = pc.list_value_length(values)
        elif name == "text":
            shown["characters"] = pc.utf8_length(values)
            shown["text"] = pc.utf8_slice_codeunits(values, 0, TEXT_CHARACTERS)
        else:
            shown[name] = values
    return pa.RecordBatch.from_pydict(shown)


def _hexadecimal(values: pa.Array) -> pa.Array:
    return pa.array([None if value is None else value.hex() for value in values.to_pylist()], pa.string())
