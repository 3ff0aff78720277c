"""Histograms and largest clusters, in exact values."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipelines.clustering.report import (
    EXCERPT_CHARACTERS,
    Removed,
    excerpts,
    largest_clusters,
    similarity_histogram,
    size_histogram,
    with_excerpts,
)
from pipelines.contract.batch import documents_from
from pipelines.contract.manifest import Manifest, Part
from pipelines.units.context import Dataset


def test_sizes_go_by_powers_of_two_without_gaps() -> None:
    found = size_histogram(np.array([2, 2, 4, 9, 16, 17]))
    assert [(b["least"], b["most"], b["clusters"], b["documents"]) for b in found] == [
        (2, 2, 2, 4),
        (3, 4, 1, 4),
        (5, 8, 0, 0),
        (9, 16, 2, 25),
        (17, 32, 1, 17),
    ]
    assert size_histogram(np.empty(0, np.int64)) == []


@given(arrays.arrays(np.int64, st.integers(0, 50), elements=st.integers(2, 10_000)))
def test_every_cluster_is_in_one_bin(sizes: np.ndarray) -> None:
    found = size_histogram(sizes)
    assert sum(entry["clusters"] for entry in found) == len(sizes)
    assert sum(entry["documents"] for entry in found) == sizes.sum()


def test_a_similarity_at_the_threshold_is_in_the_first_bin_from_it() -> None:
    values = np.array([0.1, 0.7, 0.7499, 0.75, 0.9999, 1.0, 1.0], np.float32)
    assert [(b["from"], b["to"], b["removed"]) for b in similarity_histogram(values, 0.7)] == [
        (0.0, 0.7, 1),
        (0.7, 0.75, 2),
        (0.75, 0.8, 1),
        (0.8, 0.85, 0),
        (0.85, 0.9, 0),
        (0.9, 0.95, 0),
        (0.95, 1.0, 1),
        (1.0, 1.0, 2),
    ]


@given(
    arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(0, 1, width=32)),
    st.floats(0, 1),
)
def test_every_removal_is_in_one_bin(values: np.ndarray, threshold: float) -> None:
    found = similarity_histogram(values, threshold)
    assert sum(entry["removed"] for entry in found) == len(values)
    assert all(before["to"] == after["from"] for before, after in pairwise(found))


def ids(*numbers: int) -> np.ndarray:
    return np.array([[0, number] for number in numbers], np.uint64)


def name(number: int) -> str:
    return f"{number:032x}"


REMOVED = Removed(
    cluster=ids(1, 1, 1, 5),
    survivor=ids(9, 9, 8, 6),
    similarity=np.array([0.9, 1.0, 0.8, 0.75], np.float32),
    grain=np.array(["near", "exact", "near", "url"]),
)


def test_a_cluster_says_how_alike_it_is_and_who_survived_most_of_it() -> None:
    assert largest_clusters([(name(1), 5), (name(7), 2)], REMOVED) == [
        {
            "cluster": name(1),
            "members": 5,
            "removed": 3,
            "similarity": {"least": 0.8, "median": 0.9, "greatest": 1.0},
            "grains": {"exact": 1, "near": 2, "url": 0},
            "survivor": name(9),
            "survivors": 2,
        },
        {
            "cluster": name(7),  # all of it was published before: nothing was removed
            "members": 2,
            "removed": 0,
            "similarity": None,
            "grains": {"exact": 0, "near": 0, "url": 0},
            "survivor": None,
            "survivors": 2,
        },
    ]


def test_excerpts_are_found_by_id_in_whatever_row_group(tmp_path) -> None:
    rows = [
        {
            "id": bytes.fromhex(name(number)),
            "work": bytes.fromhex(name(number)),
            "source": "web",
            "snapshot": "1",
            "origin": str(number),
            "url": f"https://example.org/{number}",
            "text": f"{number} " * 200,
        }
        for number in (9, 6, 4)
    ]
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    (tmp_path / "documents").mkdir()
    pq.write_table(pa.Table.from_batches([documents_from(columns)]), tmp_path / "documents" / "u.parquet", row_group_size=1)
    part = Part(table="documents", unit="u", path="documents/u.parquet", rows=3, bytes=0, sha256="")
    made = Manifest(dataset="documents/web", fingerprint="", made_from={}, parts=(part,))
    dataset = Dataset(str(tmp_path), made)

    found = excerpts([dataset], [name(4), name(6), name(100)])
    assert list(found) == [name(4), name(6)]
    assert found[name(6)] == {
        "source": "web",
        "title": None,
        "url": "https://example.org/6",
        "text": ("6 " * 200)[:EXCERPT_CHARACTERS] + "…",
    }
    told = with_excerpts(largest_clusters([(name(1), 5), (name(7), 2)], REMOVED), [dataset])
    assert [entry["excerpt"] and entry["excerpt"]["text"][:2] for entry in told] == ["9 ", None]
