"""Figures and samples: exact values, whatever the order and the size of the batches."""

import doctest
import unicodedata

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from expectations import columns
from expectations.sample import TEXT_CHARACTERS, RowSample
from pipelines.contract.batch import documents_from
from pipelines.contract.schema import document_id, sampling_key


def test_the_examples_hold():
    assert doctest.testmod(columns).failed == 0


def rows(texts: list[str]) -> pa.RecordBatch:
    ids = [document_id("web", str(number)) for number in range(len(texts))]
    same = {name: ["x"] * len(texts) for name in ("source", "snapshot", "origin")}
    return documents_from({"id": ids, "work": ids, "text": texts, **same})


@given(st.lists(st.text(), min_size=1), st.integers(0, 20))
def test_figures_of_two_halves_are_the_figures_of_the_whole(texts, cut):
    whole = rows([text.encode("utf-8", "replace").decode() for text in texts])
    halves = columns.join(columns.documents(whole.slice(0, cut), {}), columns.documents(whole.slice(cut), {}))
    assert halves == columns.documents(whole, {})


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_not_nfc_counts_what_normalisation_would_change(texts):
    assert columns.not_nfc(pa.array(texts, pa.string())) == sum(unicodedata.normalize("NFC", text) != text for text in texts)


@given(st.permutations(range(30)), st.integers(1, 40), st.integers(1, 30))
def test_a_sample_is_the_smallest_keys_in_any_order_and_batches(order, wanted, size):
    batch = rows([f"text {number}" for number in range(30)])
    shuffled = batch.take(pa.array(order))
    sample = RowSample(wanted)
    for start in range(0, 30, size):
        sample.offer(shuffled.slice(start, size))
    smallest = np.argsort(sampling_key(batch["id"]), kind="stable")[:wanted]
    assert sample.frame()["text"].tolist() == [f"text {number}" for number in smallest]


def test_a_sample_keeps_the_beginning_of_a_long_text_and_its_length():
    sample = RowSample(1)
    sample.offer(rows(["ą" * (TEXT_CHARACTERS + 5)]))
    (row,) = sample.frame().to_dict("records")
    assert (row["text"], row["characters"]) == ("ą" * TEXT_CHARACTERS, TEXT_CHARACTERS + 5)
    assert row["where"] == row["id"] == document_id("web", "0").hex()
