"""The text of a tokens dataset as words, word2vec's vectors and their file."""

from pathlib import Path

import numpy as np
import pytest

from training.ancestors.vectors import WordVectors, read_vectors, word2vec
from training.ancestors.words import AncestorError, read, split_words, words_of
from training.data.shards import open_dataset


def test_the_example_of_the_module():
    words = words_of(["The cat.\nThe dog", "A cat"], least=1)
    assert words.vocabulary == ["cat", "the", "a", "dog"]
    assert words.counts.tolist() == [2, 2, 1, 1]
    assert words.ids.tolist() == [1, 0, 1, 3, 2, 0]
    assert words.lines.tolist() == [0, 0, 1, 1, 2, 2]


def test_words_are_runs_of_letters():
    assert split_words("Noah's 3 sons: Élan—vital, can’t_stop 'em") == ["noah's", "sons", "élan", "vital", "can’t", "stop", "em"]


def test_rare_words_leave_no_gap():
    words = words_of(["a b a", "b a"], least=3)
    assert words.vocabulary == ["a"] and words.ids.tolist() == [0, 0, 0] and words.lines.tolist() == [0, 0, 1]
    with pytest.raises(AncestorError, match="no word occurs 9 times"):
        words_of(["a b"], least=9)


def test_the_text_is_the_split(dataset_folder: Path, documents: dict[tuple[str, str, str], list[list[str]]]):
    dataset = open_dataset(str(dataset_folder))
    text = read(dataset, "train")
    wanted = [t for (split, _, _), parts in documents.items() if split == "train" for part in parts for t in part]
    assert sorted(text.texts()) == sorted(wanted)
    assert text.utf8_bytes == sum(len(t.encode()) for t in wanted)
    stream = text.stream()
    assert len(stream) == dataset.totals("train")["tokens"] + len(wanted) and stream[-1] == text.end


def test_a_limit_takes_the_beginning_of_every_document(dataset_folder: Path):
    dataset = open_dataset(str(dataset_folder))
    whole, half = read(dataset, "train"), read(dataset, "train", limit=dataset.totals("train")["utf8_bytes"] // 2)
    assert half.utf8_bytes == pytest.approx(whole.utf8_bytes / 2, rel=0.1)
    assert half.utf8_bytes == sum(len(t.encode()) for t in half.texts())
    for cut, full in zip(half.documents, whole.documents, strict=True):
        assert len(cut) == round(len(full) / 2) and np.array_equal(cut, full[: len(cut)])
    assert len(read(dataset, "train", limit=10**9).stream()) == len(whole.stream())


def test_an_empty_split_is_an_error(dataset_folder: Path):
    with pytest.raises(AncestorError, match="the split 'test' is empty"):
        read(open_dataset(str(dataset_folder)), "test")


@pytest.mark.parametrize("method", ["skipgram", "cbow"])
@pytest.mark.parametrize("subwords", [False, True])
def test_word2vec_repeats_itself_and_finds_words_that_are_alike(method: str, subwords: bool):
    random = np.random.default_rng(1)
    first, second = ["cat", "dog", "horse"], ["saw", "axe", "drill"]
    lines = [f"{random.choice(first)} eats green grass then sleeps" for _ in range(300)]
    lines += [f"{random.choice(second)} cuts dry wood until evening" for _ in range(300)]
    words = words_of(lines, least=5)
    once, again = (word2vec(words, method, dimensions=8, epochs=200, subwords=subwords) for _ in range(2))  # type: ignore[arg-type]
    assert np.array_equal(once.matrix, again.matrix) and once.vocabulary == words.vocabulary
    unit = dict(zip(once.vocabulary, once.matrix / np.linalg.norm(once.matrix, axis=1, keepdims=True), strict=True))
    assert unit["cat"] @ unit["dog"] > unit["cat"] @ unit["saw"]


def test_vectors_are_written_and_read(tmp_path: Path):
    made = WordVectors(["a", "b’c"], np.array([[1, -0.25], [3e-5, 2]], np.float32))
    made.save(tmp_path / "a.vec")
    assert (tmp_path / "a.vec").read_text(encoding="utf-8") == "2 2\na 1 -0.25\nb’c 3e-05 2\n"
    found = read_vectors(tmp_path / "a.vec")
    assert found.vocabulary == made.vocabulary and np.array_equal(found.matrix, made.matrix)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a 1 2\n", "line 1 is not"),
        ("2 2\na 1 2\n", "has 1 vectors, line 1 says 2"),
        ("1 2\na 1\n", "line 2 has 1 numbers, not 2"),
    ],
)
def test_a_wrong_file_of_vectors_is_named(tmp_path: Path, content: str, message: str):
    (tmp_path / "a.vec").write_text(content)
    with pytest.raises(AncestorError, match=message):
        read_vectors(tmp_path / "a.vec")
