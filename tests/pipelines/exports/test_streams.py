"""Ends of text stand behind every document, whatever the documents are."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contract.shards import ShardRun
from pipelines.exports.streams import joined, lengths, texts


@given(st.lists(st.lists(st.integers(1, 9), max_size=4), min_size=1, max_size=6), st.integers(0, 3))
def test_documents_are_joined(documents: list[list[int]], before: int) -> None:
    ids = np.array([9] * before + [i for document in documents for i in document] + [9], np.uint16)
    offsets = np.cumsum([before, *map(len, documents)]).astype(np.int32)  # a batch need not begin at 0
    run = ShardRun("memory", ids, offsets)
    assert joined(run, 0).tolist() == [i for document in documents for i in [*document, 0]]
    assert texts(run).tolist() == [i for document in documents for i in document]
    assert lengths(run).tolist() == [len(document) for document in documents]
