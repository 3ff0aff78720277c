import json
import random
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from places import SHARED

from pipelines.text.judgement import classifier as quality

LABELLED = SHARED / "quality" / "web-documents-labelled.jsonl"

PROSE = "the river had been rising since morning and nobody in the village slept because everyone knew what it could do"
SHOP = "buy now cheap deal free shipping click here cart checkout login subscribe best price offer sale discount"


def texts(words: str, count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(words.split(), k=60)) for _ in range(count)]


def mixed(count: int, seed: int) -> tuple[pa.Array, np.ndarray]:
    """Prose and shop talk in turn."""
    pairs = zip(texts(PROSE, count, seed), texts(SHOP, count, seed + 1), strict=True)
    return pa.array([text for pair in pairs for text in pair]), np.tile([True, False], count)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "quality.bin"
    rows, curated = mixed(200, seed=1)
    quality.train(quality.features(rows), curated, path, seed=7)
    return path


def test_features_are_the_words_alone() -> None:
    rows = pa.array(
        ["The 3 Bears,\nand Goldilocks!", "東京は。", None, "  ", "“Smart” quotes—dash", "ÉCOLE d'été 2024", "__label__crawl"]
    )
    expected = ["the bears and goldilocks", "東 京 は", "", "", "smart quotes dash", "école d été", "label crawl"]
    assert quality.features(rows).to_pylist() == expected


def test_features_see_the_beginning_only() -> None:
    rows = pa.array(["ä" * quality.PREFIX_CHARACTERS + " tail"])
    assert quality.features(rows).to_pylist() == ["ä" * quality.PREFIX_CHARACTERS]


@given(st.lists(st.text(max_size=200), max_size=5))
def test_features_are_safe_for_fasttext(rows: list[str]) -> None:
    """No line break and no label can come from a text, and nothing but words is left."""
    for words in quality.features(pa.array(rows, pa.string())).to_pylist():
        assert words == " ".join(words.split())
        assert "_" not in words
        assert not any(c.isdigit() and c.isascii() for c in words)


def test_it_tells_the_classes_apart(model: Path) -> None:
    rows, curated = mixed(50, seed=3)
    scores = quality.load(model)(rows)
    assert scores.type == pa.float32()
    assert quality.area_under_curve(scores.to_numpy(), curated) == 1.0
    assert 0 <= scores.to_numpy().min() <= scores.to_numpy().max() <= 1


def test_a_score_depends_on_its_text_alone(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, _ = mixed(20, seed=5)
    whole = quality.load(model)(rows).to_pylist()
    monkeypatch.setattr(quality, "_TEXTS_PER_CALL", 3)
    assert quality.load(model)(rows).to_pylist() == whole
    assert quality.load(model)(rows.slice(7, 5)).to_pylist() == whole[7:12]


def test_texts_without_words(model: Path) -> None:
    score = quality.load(model)
    assert score(pa.array(["", "123 …", None])).to_pylist() == [0.0, 0.0, None]
    assert score(pa.array([], pa.string())).to_pylist() == []


def test_the_same_examples_make_the_same_bytes(model: Path, tmp_path: Path) -> None:
    rows, curated = mixed(200, seed=1)
    quality.train(quality.features(rows), curated, tmp_path / "again.bin", seed=7)
    quality.train(quality.features(rows), curated, tmp_path / "other.bin", seed=8)
    assert (tmp_path / "again.bin").read_bytes() == model.read_bytes()
    assert (tmp_path / "other.bin").read_bytes() != model.read_bytes()


def test_the_strongest_words_show_what_was_learned(model: Path) -> None:
    strongest = quality.strongest_words(model, count=10)
    assert set(strongest["curated"]) <= set(PROSE.split())
    assert set(strongest["crawl"]) <= set(SHOP.split())


@pytest.mark.parametrize(
    ("scores", "positive", "expected"),
    [
        ([0.1, 0.9], [False, True], 1.0),
        ([0.9, 0.1], [False, True], 0.0),
        ([0.5, 0.5, 0.5], [True, False, True], 0.5),
        ([0.1, 0.4, 0.35, 0.8], [False, False, True, True], 0.75),
    ],
)
def test_area_under_curve(scores: list[float], positive: list[bool], expected: float) -> None:
    assert quality.area_under_curve(np.array(scores), np.array(positive)) == expected


def test_area_under_curve_needs_both_classes() -> None:
    with pytest.raises(ValueError, match="both classes"):
        quality.area_under_curve(np.array([0.1]), np.array([True]))


@pytest.mark.skipif(not LABELLED.exists(), reason="../shared/data/quality is not here")
def test_features_of_real_pages_keep_most_of_the_text() -> None:
    rows = [json.loads(line)["text"] for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    kept = quality.features(pa.array(rows)).to_pylist()
    shares = [len(words) / min(len(text), quality.PREFIX_CHARACTERS) for words, text in zip(kept, rows, strict=True)]
    assert len(rows) == 249
    assert np.median(shares) > 0.9


def test_the_model_is_trained_with_these_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, Any]] = []
    original = fasttext.train_supervised

    def train(**numbers: Any) -> Any:
        lines = Path(numbers.pop("input")).read_text(encoding="utf-8").splitlines()
        given.append(numbers | {"lines": lines})
        path = tmp_path / "examples.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return original(input=str(path), **numbers)

    monkeypatch.setattr(fasttext, "train_supervised", train)
    words = pa.array(["a b a", "c d c", "a d c"] * 2)
    quality.train(words, np.array([True, False, True] * 2), tmp_path / "m.bin", seed=3)
    expected = {"dim": 16, "epoch": 5, "lr": 0.2, "wordNgrams": 2, "bucket": 2**17, "loss": "softmax", "thread": 1, "seed": 3}
    assert given[0] == expected | {
        "verbose": 0,
        "minCount": 3,
        "lines": ["__label__curated a b a", "__label__crawl c d c", "__label__curated a d c"] * 2,
    }
    assert quality.PREFIX_CHARACTERS == 2000


@pytest.mark.parametrize(("examples", "least"), [(7999, 3), (8000, 4)])
def test_rare_words_are_left_out_in_proportion(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, examples: int, least: int
) -> None:
    given: list[int] = []
    original = fasttext.train_supervised
    monkeypatch.setattr(fasttext, "train_supervised", lambda **n: given.append(n["minCount"]) or original(**n))
    quality.train(pa.array(["a b"] * examples), np.arange(examples) % 2 == 0, tmp_path / "m.bin", seed=1)
    assert given == [least]


class _Model:
    """A model that says of one word that it is curated, of another that it is crawl, each with the share after it."""

    def predict(self, words: list[str], k: int) -> tuple[list[list[str]], list[list[float]]]:
        assert k == 1
        answers = [word.split() or ["crawl", "1"] for word in words]
        return [[f"__label__{label}"] for label, _ in answers], [[float(share)] for _, share in answers]


def test_a_score_is_the_probability_of_the_curated_class_within_0_and_1() -> None:
    words = pa.array(["curated 0.75", "crawl 0.75", "curated 1.00001", "crawl 1.00001", "", "crawl 0.5"])
    scores = quality._scores(_Model(), words)
    assert scores.dtype == np.float32 and scores.tolist() == [0.75, 0.25, 1.0, 0.0, 0.0, 0.5]


def test_strongest_words_are_in_order_and_as_many_as_wanted(model: Path) -> None:
    every = quality.strongest_words(model, count=1000)
    assert every["curated"] == every["crawl"][::-1]
    assert set(every["crawl"]) == set(PROSE.split()) | set(SHOP.split())
    assert quality.strongest_words(model)["crawl"] == every["crawl"][:25]
    assert quality.strongest_words(model, count=2) == {"crawl": every["crawl"][:2], "curated": every["curated"][:2]}


def test_the_area_of_unequal_classes_with_ties() -> None:
    scores, positive = np.array([0.1, 0.2, 0.2, 0.3, 0.3, 0.9]), np.array([False, True, False, True, False, False])
    pairs = [(a > b) + (a == b) / 2 for a in scores[positive] for b in scores[~positive]]
    assert quality.area_under_curve(scores, positive) == sum(pairs) / len(pairs) == 0.5
    for one_class in (np.array([True]), np.array([False])):
        with pytest.raises(ValueError, match="needs both classes"):
            quality.area_under_curve(np.array([0.1]), one_class)
