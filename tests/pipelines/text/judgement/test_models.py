"""Scores by fastText models that others trained: by labels, on one line, and what is said of files that cannot be used."""

import random
from pathlib import Path

import fasttext
import pyarrow as pa
import pytest

from pipelines.text.judgement import models
from pipelines.text.judgement.models import QualityModelError, load, sha256_of

WORDS = {
    "High": "theorem proof because therefore evidence",
    "Mid": "town river people said year",
    "Low": "buy now click sale free",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, draw = tmp_path_factory.mktemp("model"), random.Random(1)
    lines = [
        f"__label__{label} {' '.join(draw.choices(words.split(), k=12))}" for _ in range(200) for label, words in WORDS.items()
    ]
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    trained = fasttext.train_supervised(
        str(folder / "train.txt"), dim=8, epoch=10, thread=1, seed=1, bucket=1000, wordNgrams=2, verbose=0
    )
    trained.save_model(str(folder / "edu.bin"))
    return folder / "edu.bin"


def test_a_score_is_the_sum_of_the_labels_values(model: Path) -> None:
    texts = pa.array(
        ["theorem and\nproof because evidence", "the town on the river", "buy now free", "theorem proof because", ""]
    )
    both = load(model, {"__label__High": 2.0, "__label__Mid": 1.0})(texts)
    high, mid = load(model, {"__label__High": 1.0})(texts), load(model, {"__label__Mid": 1.0})(texts)
    assert both.to_pylist() == pytest.approx(
        [2 * a + b for a, b in zip(high.to_pylist(), mid.to_pylist(), strict=True)], abs=1e-6
    )
    assert both[0].as_py() > 1.8 and both[1].as_py() == pytest.approx(1, abs=0.2) and both[2].as_py() < 0.2
    known = fasttext.load_model(str(model))
    labels, shares = known.predict("theorem proof because", k=-1)
    assert high[3].as_py() == pytest.approx(dict(zip(labels, shares, strict=True))["__label__High"], abs=1e-6)
    assert load(model, {"__label__High": 1.0})(texts.slice(0, 0)).to_pylist() == []


def test_chunks_and_the_beginning_of_texts(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    score = load(model, {"__label__High": 1.0}, characters=7)
    texts = pa.array(["theorem" + " buy now click" * 50, "buy now" + " theorem" * 50] * 3)
    whole = score(texts).to_pylist()
    assert whole[0] > 0.5 > whole[1]
    monkeypatch.setattr(models, "_TEXTS_PER_CALL", 2)
    assert score(texts).to_pylist() == whole


def test_a_label_that_the_model_does_not_have(model: Path) -> None:
    with pytest.raises(QualityModelError, match=r"edu\.bin: has no label '__label__high'; did you mean '__label__High'\?"):
        load(model, {"__label__high": 1.0})
    with pytest.raises(QualityModelError, match="has no label 'x'; its labels are __label__High, __label__Low, __label__Mid"):
        load(model, {"x": 1.0})


@pytest.mark.parametrize("share", [0.001, 0.3, 0.6, 0.9, 0.9999])
def test_a_file_that_is_cut_off_anywhere(model: Path, tmp_path: Path, share: float) -> None:
    data = model.read_bytes()
    (tmp_path / "cut.bin").write_bytes(data[: min(int(len(data) * share) + 1, len(data) - 1)])
    with pytest.raises(QualityModelError, match=r"cut\.bin: is no fastText model, or is cut off"):
        load(tmp_path / "cut.bin", {"__label__High": 1.0})


def test_files_that_are_no_classifiers(model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.bin").write_text("no model")
    (tmp_path / "cut.bin").write_bytes(model.read_bytes()[:300])
    (tmp_path / "words.txt").write_text("a b c d e f g\n" * 200)
    fasttext.train_unsupervised(str(tmp_path / "words.txt"), dim=4, minCount=1, thread=1, verbose=0).save_model(
        str(tmp_path / "words.bin")
    )
    for name, said in (
        ("text.bin", "is no fastText model"),
        ("cut.bin", "is no fastText model, or is cut off"),
        ("words.bin", "has no labels"),
    ):
        with pytest.raises(QualityModelError, match=said):
            load(tmp_path / name, {"__label__High": 1.0})
    with pytest.raises(QualityModelError, match=r"none\.bin: the model cannot be read \(No such file or directory\)"):
        sha256_of(tmp_path / "none.bin")
