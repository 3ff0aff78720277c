"""The kinds of source. A new kind is only added to this table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pipelines.config import SourceSection
from pipelines.contract.batch import Batch
from pipelines.sources import books, wikipedia
from pipelines.sources.records import reader as records
from pipelines.sources.web import common_crawl
from pipelines.units.descriptor import Unit


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of source: the functions that list its units and read one."""

    version: int
    units: Callable[[SourceSection], list[Unit]]
    read: Callable[[SourceSection, Unit], Iterator[Batch]]
    columnar: bool = False  # no Python loop over documents: workers may be threads


KINDS = {
    "wikipedia": Kind(wikipedia.VERSION, wikipedia.units, wikipedia.read),
    "books": Kind(books.VERSION, books.units, books.read),
    "common_crawl": Kind(common_crawl.VERSION, common_crawl.units, common_crawl.read),
    "records": Kind(records.VERSION, records.units, records.read, columnar=True),
}
