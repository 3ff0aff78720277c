"""Passages, their index, and answers from them."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.run.device import Device
from training.search.asking import ask, encoder_of, ranked, vectors
from training.search.passages import Index, SearchError, cut, index
from training.search.sentences import sentence_at
from training.tasks import tuned
from training.tasks.errors import TaskError

CPU = Device("cpu", "float32")
ROWS = [
    {"title": "Rivers", "url": "https://a.org/rivers", "text": "The old river runs. It is near the town."},
    {"title": None, "url": None, "text": "Nothing to see here."},
    {"title": "Houses", "url": "https://a.org/houses", "text": "A house is a home. " * 60},
]


def batches() -> Iterator[pa.RecordBatch]:
    yield pa.RecordBatch.from_pylist(ROWS[:1], pa.schema([(name, pa.string()) for name in ("title", "url", "text")]))
    yield pa.RecordBatch.from_pylist(ROWS[1:], pa.schema([(name, pa.string()) for name in ("title", "url", "text")]))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Index:
    return index(tmp_path_factory.mktemp("search"), "1a2b", batches)


def test_an_index_is_made_once_for_a_corpus(made: Index) -> None:
    def none() -> Iterator[pa.RecordBatch]:
        raise AssertionError("the index is there")

    again = index(made.folder.parent, "1a2b", none)
    assert again.passages.equals(made.passages) and len(again) == 5
    with pytest.raises(AssertionError):
        index(made.folder.parent, "another", none)
    assert [path.name for path in made.folder.parent.iterdir()] == [made.folder.name], "nothing is left of a failure"
    assert made.folder.name.startswith("1a2b-"), "named by its corpus, for gc"
    with pytest.raises(SearchError, match="no words"):
        index(made.folder.parent, "empty", list)


def test_passages_with_rare_words_come_first(made: Index) -> None:
    assert ranked(made, "Where is the RIVER?", 3, None, CPU)[0] == 0
    assert ranked(made, "zebra?", 3, None, CPU) == ranked(made, "?! a", 3, None, CPU) == [], "words have two letters"
    scores = made.scores("river here")
    assert scores.shape == (5,) and (scores > 0).tolist() == [True, True, False, False, False]


@given(text=st.text(alphabet="ab .!?\n", max_size=200), words=st.integers(1, 9))
def test_passages_have_every_word_once_and_few_at_a_time(text: str, words: int) -> None:
    passages = list(cut(text, words))
    assert " ".join(passages).split() == text.split()
    for passage in passages:
        first, last = sentence_at(passage, 0, 1)
        assert len(passage.split()) <= words or (first, last) == (0, len(passage)), "one sentence alone may be longer"


def test_answers_have_their_source(made: Index, tuned_runs: Mapping[str, Path]) -> None:
    reader, encoder = tuned.load(tuned_runs["reader"]), encoder_of(made, tuned.load(tuned_runs["encoder"]), CPU)
    for chosen in (None, encoder):
        found = ask(made, "the river near the town", reader, CPU, encoder=chosen)
        assert found and [one.probability for one in found] == sorted((one.probability for one in found), reverse=True)
        for one in found:
            [row] = [row for row in ROWS if row["title"] == one.title]
            assert f"{one.before}{one.answer}{one.after}" in str(row["text"]) and row["url"] == one.url
    assert ask(made, "the river", reader, CPU, threshold=1.1) == []
    assert ask(made, "zebra", reader, CPU) == []
    with pytest.raises(TaskError, match=r"is a similarity run; --reader needs .* corpusmill finetune .*squad_bert\.toml"):
        tuned.load_for(tuned_runs["encoder"], "question_answering", "--reader")


def test_vectors_are_kept_for_an_encoder(made: Index, tuned_runs: Mapping[str, Path]) -> None:
    encoder = encoder_of(made, tuned.load(tuned_runs["encoder"]), CPU)
    [path] = made.folder.glob("vectors-*.npy")
    np.testing.assert_allclose(np.load(path), vectors(encoder.tuned, made.passages["text"].to_pylist(), CPU), atol=1e-5)
    assert ranked(made, "zebra", 2, encoder, CPU), "an encoder needs no word in common"
