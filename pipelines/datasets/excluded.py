"""Whether other lists of `[exclude]` would leave a finished unit as it is, so that a takedown reads only the units that it names.

The columns that are compared are a hundredth of a unit's input.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract import files
from pipelines.contract.manifest import Sidecar
from pipelines.contract.reasons import DropReason
from pipelines.contract.tables import read_batches
from pipelines.sources.collector import READ
from pipelines.stages import repeated_keys
from pipelines.stages.exclusion import exclude
from pipelines.stages.exclusion.takedown import Takedown

_NAMES = ["id", "work", "url"]


class SameExclusion:
    """Whether these lists name exactly the documents that a finished unit has dropped by other lists, with the same names."""

    def __init__(self, open_lists: Callable[[], Takedown], *, whatever_is_left: bool) -> None:
        """Take the function that opens the lists; it is called when a unit has other lists.

        `whatever_is_left`: a unit may also have left other documents to earlier units than are wanted (see repeated_keys).
        """
        self._open, self._whatever_is_left = open_lists, whatever_is_left

    @cached_property
    def _lists(self) -> Takedown:
        return self._open()

    def __call__(self, uri: str, sidecar: Sidecar, wanted: Mapping[str, str]) -> bool:
        """Return whether the unit of this sidecar, in a documents dataset, would be the same."""
        left = sidecar.made_from.get(repeated_keys.NAME)
        if not self._whatever_is_left and left != wanted.get(repeated_keys.NAME):
            return False
        if sidecar.made_from.get(exclude.NAME) == wanted[exclude.NAME]:
            return True
        return all(map(self._are_as_named, _reached(uri, sidecar)))

    def _are_as_named(self, rows: pa.RecordBatch) -> bool:
        return exclude.details(self._lists, rows).equals(rows["excluded"])


def _reached(uri: str, sidecar: Sidecar) -> Iterator[pa.RecordBatch]:
    """Yield all documents of a unit that came to the stage `exclude`, and the detail with which it dropped them, else null.

    Those that were left to earlier units came to it when the unit was read for the first time.
    """
    for part in sidecar.parts:
        path = files.join(uri, part.path)
        if part.table == "documents":
            for rows in read_batches(path, _NAMES):
                yield rows.append_column("excluded", pa.nulls(rows.num_rows, pa.string()))
        elif part.table == "drops":
            for rows in read_batches(path, [*_NAMES, "stage", "reason", "detail"]):
                by_reader = pc.equal(rows["stage"].cast(pa.string()), READ)
                later = rows.filter(pc.or_(repeated_keys.is_left(rows), pc.invert(by_reader)))
                is_excluded = pc.equal(later["reason"].cast(pa.string()), DropReason.EXCLUDED.value)
                detail = pc.if_else(is_excluded, later["detail"].cast(pa.string()), pa.scalar(None, pa.string()))
                yield later.select(_NAMES).append_column("excluded", detail)
