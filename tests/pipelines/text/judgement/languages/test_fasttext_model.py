"""Models are read and applied as fastText does it; files that are no model of languages are refused."""

import random
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
import pyarrow as pa
import pytest
from fasttext.FastText import _FastText

from pipelines.text.judgement.languages.fasttext_file import LanguageModelError, read
from pipelines.text.judgement.languages.fasttext_model import FastTextModel
from pipelines.text.judgement.languages.opened import opened

WORDS = {
    "eng_Latn": "the river had been rising since morning and nobody in our village slept because it could flood all the fields",
    "deu_Latn": "der fluss war seit dem morgen gestiegen und niemand im dorf schlief weil jeder wusste was über uns kommen würde",
    "srp_Cyrl": "река је расла од јутра и нико у селу није спавао јер су сви знали шта може да уради за једну ноћ",
    "srp_Latn": "reka je rasla od jutra i niko u selu nije spavao jer su svi znali šta može da uradi za jednu noć",
}
TEXTS = [
    "the village slept",
    "der fluss   war\tüber uns, und niemand schlief!",
    "река је расла 42 x_y — niko nije spavao",
    "日本語の文章 😀",
    "x",
    "",
    " \n ",
    "the " * 500,
    "__label__eng_Latn of the river </s> the",
]


def trained(folder: Path, **options: Any) -> Any:
    chance = random.Random(7)
    lines = [
        f"__label__{label} {' '.join(chance.choices(words.split(), k=8))}" for label, words in WORDS.items() for _ in range(100)
    ]
    chance.shuffle(lines)
    (folder / "train.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    settings = {"dim": 10, "minn": 2, "maxn": 4, "bucket": 3000, "epoch": 3, "thread": 1, "loss": "softmax", "verbose": 0}
    return fasttext.train_supervised(input=str(folder / "train.txt"), **settings | options)


def saved(model: Any, path: Path) -> Path:
    model.save_model(str(path))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def dense(folder: Path) -> Path:
    return saved(trained(folder), folder / "dense.bin")


def probabilities(path: Path | str, texts: list[str]) -> tuple[list[str], np.ndarray]:
    model = FastTextModel(read(path))
    encoded = [text.encode() for text in texts]
    ends = np.cumsum([len(one) for one in encoded])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    return model.labels, model.probabilities(*model.sums(data, ends - [len(one) for one in encoded], ends))


def compared(path: Path | str, texts: list[str]) -> int:
    """Compare all probabilities with fastText's; return of how many texts: one of nothing that the model knows has none here."""
    count = 0
    labels, found = probabilities(path, texts)
    reference = _FastText(model_path=str(path))
    for text, row in zip(texts, found, strict=True):
        # fastText takes "__label__…" for a label, here it is a word; of nothing that it knows, it judges the end of the line.
        if "__label__" in text or not row.any():
            continue
        expected = {label: score for score, label in reference.f.predict(text.replace("\n", " ") + "\n", -1, -1.0, "strict")}
        assert [expected.get(label, 0) for label in labels] == pytest.approx(row.tolist(), abs=2e-5)
        count += 1
    return count


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": "hs"},
        {"wordNgrams": 3},
        {"maxn": 0, "wordNgrams": 2},
        {"minn": 1, "maxn": 1},
        {"dim": 16, "minn": 3, "maxn": 6},
    ],
)
def test_probabilities_are_those_of_fasttext(tmp_path: Path, options: dict[str, Any]) -> None:
    assert compared(saved(trained(tmp_path, **options), tmp_path / "m.bin"), TEXTS) >= len(TEXTS) // 2


@pytest.mark.parametrize("options", [{}, {"qnorm": True}, {"qnorm": True, "cutoff": 400}, {"dsub": 3, "cutoff": 300}])
@pytest.mark.parametrize("loss", ["softmax", "hs"])
def test_quantised_models_too(tmp_path: Path, loss: str, options: dict[str, Any]) -> None:
    model = trained(tmp_path, loss=loss)
    model.quantize(input=str(tmp_path / "train.txt"), thread=1, verbose=0, **options)
    assert compared(saved(model, tmp_path / "m.ftz"), TEXTS) >= len(TEXTS) // 2


def test_a_quantised_output_too(tmp_path: Path) -> None:
    labels = [f"{a}{b}" for a in "abcdefghijklmnopqr" for b in "abcdefghijklmnop"]  # fastText quantises from 256 rows on
    lines = [f"__label__{label} {label * n} the river {label}" for label in labels for n in (2, 3)]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    model = fasttext.train_supervised(
        input=str(tmp_path / "train.txt"), dim=8, minn=2, maxn=3, bucket=1000, epoch=2, thread=1, verbose=0
    )
    model.quantize(input=str(tmp_path / "train.txt"), qout=True, qnorm=True, cutoff=300, thread=1, verbose=0)
    assert compared(saved(model, tmp_path / "m.ftz"), ["the river", "aaaaaa bb", "nothing"]) >= 2


def test_lid_176(language_model: str) -> None:
    texts = [*TEXTS, *WORDS.values(), "Ceci n'est pas une pipe. " * 40]
    assert compared(language_model, texts) >= len(texts) // 2


def test_sums_of_passages_add_up_to_the_whole(dense: Path) -> None:
    model = FastTextModel(read(dense))
    data = np.frombuffer(b"the village slept der fluss", np.uint8)
    parts, counts = model.sums(data, np.array([0, 12, 18]), np.array([12, 18, 27]))
    whole, count = model.sums(data, np.array([0]), np.array([27]))
    assert counts.sum() == count[0]
    assert parts.sum(axis=0) == pytest.approx(whole[0], abs=1e-5)


def test_a_dense_matrix_is_a_view_of_the_file(dense: Path) -> None:
    assert not read(dense).rows.flags.owndata
    assert not read(dense).rows.flags.writeable


def test_labels_become_codes(dense: Path) -> None:
    found = opened((str(dense),), ("en+de",))
    assert sorted(found.codes) == ["de", "en", "sr", "sr-Latn"]
    texts = [" ".join(words.split()) for words in WORDS.values()]
    assert found.identify(pa.array(texts)).language.to_pylist() == ["en", "de", "sr", "sr-Latn"]


def test_every_truncated_file_is_refused(dense: Path, tmp_path: Path) -> None:
    whole = dense.read_bytes()
    for size in (1, 30, 60, 100, 500, 2000, len(whole) // 2, len(whole) - 1):
        path = tmp_path / "m.bin"
        path.write_bytes(whole[:size])
        with pytest.raises(LanguageModelError, match=r"m\.bin: (is truncated|is damaged).*correct language.model"):
            read(path)


def test_a_missing_an_empty_and_a_foreign_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"m\.bin: the language model cannot be read \(No such file"):
        read(tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"")
    with pytest.raises(LanguageModelError, match=r"m\.bin: the language model is an empty file"):
        read(tmp_path / "m.bin")
    (tmp_path / "m.bin").write_bytes(b"<html>404 Not Found</html>" * 10)
    with pytest.raises(LanguageModelError, match=r"m\.bin: is no fastText model"):
        read(tmp_path / "m.bin")


def test_models_of_another_kind_are_refused(folder: Path, dense: Path, tmp_path: Path) -> None:
    vectors = fasttext.train_unsupervised(input=str(folder / "train.txt"), dim=4, bucket=100, epoch=1, thread=1, verbose=0)
    with pytest.raises(LanguageModelError, match="is a fastText model of word vectors"):
        read(saved(vectors, tmp_path / "m.bin"))
    with pytest.raises(LanguageModelError, match="was trained with the loss ova"):
        read(saved(trained(tmp_path, loss="ova"), tmp_path / "m.bin"))
    old = bytearray(dense.read_bytes())
    old[4:8] = (11).to_bytes(4, "little")
    (tmp_path / "m.bin").write_bytes(old)
    with pytest.raises(LanguageModelError, match="has format version 11"):
        read(tmp_path / "m.bin")


def test_a_classifier_of_quality_is_no_model_of_languages(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("__label__hq good text\n__label__cc bad text\n" * 20)
    model = fasttext.train_supervised(input=str(tmp_path / "train.txt"), dim=4, bucket=100, epoch=1, thread=1, verbose=0)
    with pytest.raises(LanguageModelError, match=r"q\.bin: the label 'hq' of the model is no code of a language"):
        opened((str(saved(model, tmp_path / "q.bin")),), ())
