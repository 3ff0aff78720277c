"""A batch is full at 50,000 rows, however short its texts are: record by record and in columns."""

import numpy as np
import pyarrow as pa

from pipelines.config import SourceSection
from pipelines.contract.reasons import DropReason
from pipelines.sources.collector import Collector, Record
from pipelines.sources.records.columns import Gathered
from pipelines.units.descriptor import Unit

SECTION = SourceSection(name="s", kind="books", root=".", snapshot="1")
UNIT = Unit(name="u", source="s", uri="a.jsonl", root=".", bytes=1, identity="x")


def test_records_kept_and_dropped_fill_a_batch() -> None:
    collector = Collector(SECTION)
    for n in range(49_999):
        record = Record(str(n), f"a#{n}", "x")
        if n % 2:
            collector.keep(record)
        else:
            collector.drop(record, DropReason.UNREADABLE)
    assert list(collector.full()) == []
    collector.keep(Record("last", "a#last", "x"))
    (batch,) = collector.full()
    assert batch.ledger.lines["read"].documents_in == 50_000


def test_rows_of_columns_fill_a_batch() -> None:
    gathered = Gathered(SECTION, UNIT)
    gathered.add({"text": pa.array(["x"] * 49_999)}, np.arange(49_999))
    assert list(gathered.full()) == []
    gathered.add({"text": pa.array(["x"])}, np.array([49_999]))
    (batch,) = gathered.full()
    assert batch.documents.num_rows == 50_000
