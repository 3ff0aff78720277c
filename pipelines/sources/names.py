"""Which files a kind of source reads, judged by their names; the case of letters does not matter."""

import re
from dataclasses import dataclass

from pipelines.contract.storage.compressed import uncompressed


@dataclass(frozen=True, slots=True)
class Names:
    """The names of the files that a kind reads."""

    reads: re.Pattern[str]  # searched in a lower-case name without its compression
    shown: str  # these names, for messages
    packed: re.Pattern[str] | None = None  # the same for compressed files, if more of them are read
    hints: tuple[tuple[re.Pattern[str], str], ...] = ()  # what to do about other files, by a pattern of their names
    may_be_empty: re.Pattern[str] | None = None  # a file of this whole name may have no byte

    def read(self, path: str) -> bool:
        """Return whether the kind reads a file of this name."""
        name = path.rsplit("/", 1)[-1].lower()
        stem = uncompressed(name)
        pattern = self.packed if self.packed and stem != name else self.reads
        return pattern.search(stem) is not None

    def empty(self, path: str) -> bool:
        """Return whether an empty file of this name is a whole one, without a record."""
        return not self.read(path) or (self.may_be_empty is not None and self.may_be_empty.search(path.lower()) is not None)
