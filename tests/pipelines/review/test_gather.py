"""What the page shows of a corpus: counts of all documents, verdicts that agree with the build's, excerpts that may be seen."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from reviewed import corpus, document

from flows.commands.corpora.review import published
from pipelines.review import counts
from pipelines.review.counts import Counter, Sums
from pipelines.review.gather import gather
from pipelines.review.rows import Rows

PROSE = "The harbour was quiet in the morning, and the boats lay side by side until the wind came up from the south. "


def test_every_document_of_a_build_is_judged_as_the_build_judged_it(tiny) -> None:
    built = published(str(tiny.out))
    review = gather(built["corpus"], built["classifier"])
    rows = review.sample.rows
    assert review.sample.is_whole and rows.num_rows == sum(review.fates.values()) > 20
    assert list(review.outcomes) == rows["reason"].to_pylist()
    report = json.loads((tiny.out / "report.json").read_text())
    kept = {name: lines[-1]["documents_out"] for name, lines in report["funnel"].items()}
    assert {source: count for (source, stage, _), count in review.fates.items() if not stage} == kept


def test_documents_are_counted_by_language_licence_year_host_and_length(tmp_path: Path) -> None:
    rows = [
        document(1, PROSE, url="https://A.org/1", license="CC0-1.0", date="2019-05"),
        document(2, PROSE * 2, url="http://user@a.org:80/2", date="2019"),
        document(3, "kurz", url="x", language=None, date="20191", stage="quality", reason="gopher_word_count"),
        document(4, PROSE, source="wiki", language="de", url="https://b.de/ü"),
    ]
    counter = gather(corpus(tmp_path, rows), None).counter
    long = len(PROSE)
    assert counter.languages.table().to_pylist() == [
        {"source": "web", "language": "en", "documents": 2, "characters": 3 * long, "kept": 2, "kept_characters": 3 * long},
        {"source": "web", "language": "und", "documents": 1, "characters": 4, "kept": 0, "kept_characters": 0},
        {"source": "wiki", "language": "de", "documents": 1, "characters": long, "kept": 1, "kept_characters": long},
    ]
    hosts = {row["host"]: (row["documents"], row["kept"]) for row in counter.hosts.table().to_pylist()}
    assert hosts == {"a.org": (2, 2), "b.de": (1, 1), None: (1, 0)}
    years = {row["year"]: row["documents"] for row in counter.years.table().to_pylist() if row["source"] == "web"}
    assert years == {"2019": 2, None: 1}
    lengths = {row["length"]: row["documents"] for row in counter.lengths.table().to_pylist() if row["source"] == "web"}
    edge = next(n for n, start in enumerate(counts.LENGTHS) if start > long)
    assert lengths[0] == 1 and lengths[edge] == 1 and sum(lengths.values()) == 3


def test_counts_of_many_hosts_are_bounded_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = Sums(("host",), most=100)
    for batch in range(60):
        hosts = [f"h{n % 40}" for n in range(400)] + [f"rare{batch}-{n}" for n in range(2000)]
        columns = {"host": pa.array(hosts), "characters": pa.array(np.ones(len(hosts), np.int64))}
        sums.add(columns, pa.array([True] * len(hosts)))
    table = sums.table()
    assert table.num_rows == 100 and sums.is_partial
    top = {row["host"]: row["documents"] for row in table.slice(0, 40).to_pylist()}
    assert top == {f"h{n}": 600 for n in range(40)}


def test_batches_may_be_cut_anywhere() -> None:
    columns = {
        "source": pa.array(["a", "b", "a"]),
        "language": pa.array(["en", None, "en"]),
        "license": pa.array([None, "x", None], pa.string()),
        "date": pa.array(["2001-01-01", None, "0999"]),
        "url": pa.array(["https://a.org", None, "ftp://[::1]/x"]),
        "stage": pa.array([None, "read", None], pa.string()),
        "reason": pa.array([None, "empty", None], pa.string()),
        "characters": pa.array([3, 0, 9], pa.int64()),
        "id": pa.array([b"0"] * 3),
    }
    whole, cut = Counter(), Counter()
    whole.add(Rows(columns, 0, 0))
    for n in range(3):
        cut.add(Rows({name: column.slice(n, 1) for name, column in columns.items()}, 0, n))
    for name in ("languages", "reasons", "licenses", "years", "hosts", "lengths"):
        assert getattr(whole, name).table().equals(getattr(cut, name).table()), name


def test_excerpts_are_masked_and_leave_out_what_may_not_be_seen(tmp_path: Path) -> None:
    mail = "Write to jane.doe@mail.example or call. " + PROSE * 5
    rows = [
        document(1, mail, title="jane.doe@mail.example"),
        document(2, "secret " + PROSE, stage="exclude", reason="excluded"),
        document(3, "secret " + PROSE, stage="exclude", reason="blocked"),
        document(4, "secret " + PROSE, stage="private", reason="private_data"),
        document(5, "short", stage="quality", reason="gopher_word_count"),
        document(6, "x" * 300 + " jane.doe@mail.example", stage="deduplicate", reason="exact_duplicate"),
    ]
    review = gather(corpus(tmp_path, rows), None)
    texts = [one.text for one in review.excerpts]
    assert len(texts) == 3 and not any("secret" in text or "jane" in text for text in texts)
    shown = next(one for one in review.excerpts if one.text.startswith("Write"))
    assert shown.title == "<EMAIL>" and shown.text.startswith("Write to <EMAIL> or") and shown.is_cut and len(shown.text) == 320


@pytest.mark.parametrize("rows", [[], [document(1, PROSE)], [document(1, "", stage="read", reason="empty")]])
def test_a_corpus_of_nothing_and_of_one_document(tmp_path: Path, rows) -> None:
    review = gather(corpus(tmp_path, rows), None)
    assert review.sample.rows.num_rows == len(rows) == sum(review.fates.values())


def test_excerpts_come_from_a_bounded_number_of_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.review.excerpts.GROUPS", 3)
    rows = [document(n, f"{n} {PROSE}") for n in range(200)]
    review = gather(corpus(tmp_path, rows, group=10), None)
    groups = review.sample.rows["group"].to_pylist()
    assert len({groups[one.row] for one in review.excerpts}) == 3
    for one in review.excerpts:  # and each is of its document
        assert review.sample.rows["measures"][one.row]["characters"].as_py() == len(one.text) or one.is_cut
