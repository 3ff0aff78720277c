"""The kinds of source. A new kind is only added to this table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.config import SourceSection
from pipelines.contract.batch import Batch
from pipelines.sources import books, wikipedia
from pipelines.sources.listing import NOT_READ, counted
from pipelines.sources.names import Names
from pipelines.sources.records import reader as records
from pipelines.sources.web import common_crawl
from pipelines.units.descriptor import Unit


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source: the names of its files, and the functions that list its units and read one."""

    version: int
    names: Names
    units: Callable[[SourceSection], list[Unit]]
    reader: Callable[[SourceSection, Unit], Iterator[Batch]]
    has_keys: Callable[[SourceSection], bool]  # whether its documents have keys other than their places, which may be repeated
    columnar: bool = False  # no Python loop over documents: workers may be threads

    def read(self, section: SourceSection, unit: Unit) -> Iterator[Batch]:
        """Return the batches of a unit."""
        return counted(section, unit) if NOT_READ in unit.parameters else self.reader(section, unit)


def _always(_section: SourceSection) -> bool:
    return True


def _never(_section: SourceSection) -> bool:
    return False


def _if_named(section: SourceSection) -> bool:
    return section.id_field is not None


KINDS = {
    "wikipedia": Kind(wikipedia.VERSION, wikipedia.NAMES, wikipedia.units, wikipedia.read, _always),
    "books": Kind(books.VERSION, books.NAMES, books.units, books.read, _never),
    "common_crawl": Kind(common_crawl.VERSION, common_crawl.NAMES, common_crawl.units, common_crawl.read, _always),
    "records": Kind(records.VERSION, records.NAMES, records.units, records.read, _if_named, columnar=True),
}
