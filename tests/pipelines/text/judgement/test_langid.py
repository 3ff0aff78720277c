from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from places import SHARED

from pipelines.text.judgement.langid import LanguageModel, LanguageModelError, beginning, middle

DATA = SHARED / "langid"
MODEL = DATA / "lid.176.ftz"
needs_model = pytest.mark.skipif(not MODEL.exists(), reason="../shared/data/langid/lid.176.ftz is not here")


@needs_model
def test_languages_and_scores() -> None:
    texts = ["This is a sentence\nin English.", "Это предложение на русском языке.", "", "\n \n", "これは日本語の文章です。"]
    names, scores = LanguageModel(MODEL).identify(pa.array(texts), 1000)
    assert names.to_pylist() == ["en", "ru", None, None, "ja"]
    assert scores.type == pa.float32()
    assert [score > 0.9 for score in scores.to_pylist()] == [True, True, False, False, True]
    assert max(scores.to_pylist()) <= 1


@needs_model
def test_only_the_prefix_is_judged() -> None:
    text = "Dies ist ein deutscher Satz. " + "This is an English sentence. " * 50
    assert LanguageModel(MODEL).identify(pa.array([text]), 28)[0].to_pylist() == ["de"]
    assert LanguageModel(MODEL).identify(pa.array([text]), 10_000)[0].to_pylist() == ["en"]


@needs_model
def test_a_long_text_with_a_doubtful_beginning_is_judged_by_its_middle() -> None:
    contents = "I. PENELOPE\nII. ULYSSES\nIII. VIII. XIV. XIX. MAULEVRIER ET LESBIA\n" * 2
    book = contents + "The old man walked slowly home through the rain, and nobody in the street knew him.\n" * 12
    sure = "Dies ist ein deutscher Satz, und er ist nicht kurz. " * 3 + "This is an English sentence. " * 50
    texts = pa.array([contents, book, sure, ""])
    names, scores = LanguageModel(MODEL).identify(texts, len(contents))
    assert names.to_pylist()[1:] == ["en", "de", None]
    assert scores[0].as_py() < 0.65 < 0.9 < scores[1].as_py()
    alone, score = LanguageModel(MODEL).identify(texts.slice(1, 1), len(contents))
    assert (alone[0], score[0]) == (names[1], scores[1])


def test_the_middle() -> None:
    assert middle(pa.array(["abcdé\nüx", "abc", ""]), 3).to_pylist() == ["é ü", "bc", ""]


@needs_model
def test_loading_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    LanguageModel(MODEL).identify(pa.array(["text"]), 100)
    assert capfd.readouterr() == ("", "")


@needs_model
@pytest.mark.parametrize("language", ["de", "el", "en", "fr", "ja", "pl", "ru", "tr", "zh"])
def test_real_sentences(language: str) -> None:
    lines = [line for line in (DATA / "sentences" / f"{language}.txt").read_text(encoding="utf-8").split("\n") if line.strip()]
    names, _ = LanguageModel(MODEL).identify(pa.array(lines), 1000)
    assert names.to_pylist().count(language) > 0.95 * len(lines)


def test_the_sample_is_one_line_of_characters() -> None:
    assert beginning(pa.array(["é\nü\nx", ""]), 4).to_pylist() == ["é ü ", ""]


def test_a_missing_or_damaged_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match=r"lid.176.ftz: the language model cannot be read .No such file"):
        LanguageModel(tmp_path / "lid.176.ftz")
    (tmp_path / "lid.176.ftz").write_bytes(b"half a download")
    with pytest.raises(LanguageModelError, match="is not the language model"):
        LanguageModel(tmp_path / "lid.176.ftz")


def judged_by(monkeypatch: pytest.MonkeyPatch, scores: dict[str, float]) -> LanguageModel:
    """A model that gives these scores, whose languages are the texts themselves."""

    def judge(_self: LanguageModel, lines: pa.Array) -> tuple[pa.Array, pa.Array]:
        return lines, pa.array([scores[line] for line in lines.to_pylist()], pa.float32())

    monkeypatch.setattr(LanguageModel, "_judged", judge)
    return object.__new__(LanguageModel)


@pytest.mark.parametrize(
    ("text", "beginning_score", "middle_score", "expected"),
    [
        ("aabbccdd", 0.5, 0.75, ("cc", 0.75)),  # four times the sample: judged a second time
        ("aabbccd", 0.5, 0.75, ("aa", 0.5)),
        ("aabbccdd", 0.5, 0.5, ("aa", 0.5)),
        ("aabbccdd", 0.5, 0.25, ("aa", 0.5)),
        ("aabbccdd", 0.8125, 0.875, ("aa", 0.8125)),  # sure enough
        ("aabbccdd", 0.796875, 0.875, ("cc", 0.875)),
    ],
)
def test_when_the_middle_is_judged_and_which_answer_wins(
    monkeypatch: pytest.MonkeyPatch, text: str, beginning_score: float, middle_score: float, expected: tuple[str, float]
) -> None:
    scores = {"aa": beginning_score, "bc": middle_score, "cc": middle_score, "zz": 0.25, "yy": 1.0}
    names, found = judged_by(monkeypatch, scores).identify(pa.array(["zz", text, "yyyyyyyyyyyy"]), 2)
    assert list(zip(names.to_pylist(), found.to_pylist(), strict=True)) == [("zz", 0.25), expected, ("yy", 1.0)]


_ANSWERS = {"de\n": ("__label__de", 1.0000123), "??\n": None, " \n": ("__label__en", 0.9), "en\n": ("__label__en", 0.5)}


class _Answers:
    """What fastText returns for a few lines: a label and a score each, or nothing."""

    @property
    def f(self) -> "_Answers":
        return self

    def multilinePredict(self, lines: list[str], k: int, threshold: float, errors: str) -> tuple[list[Any], list[Any]]:
        assert (k, threshold, errors) == (1, 0.0, "strict")
        answers = [_ANSWERS[line] for line in lines]
        return [[a[0]] if a else [] for a in answers], [[a[1]] if a else [] for a in answers]


def test_a_text_without_a_word_or_an_answer_has_no_language_and_no_score_is_above_1() -> None:
    model = object.__new__(LanguageModel)
    model._model = _Answers()
    names, scores = model.identify(pa.array(["de", "??", " ", "en"]), 2)
    assert names.to_pylist() == ["de", None, None, "en"]
    assert scores.to_pylist() == [1.0, 0.0, 0.0, 0.5]


def test_a_file_of_another_sha256_is_named_with_both(tmp_path: Path) -> None:
    path = tmp_path / "m.ftz"
    path.write_bytes(b"")
    message = r"m\.ftz: is not the language model \(sha256 e3b0c44298fc…, wanted 8f3472cfe873…\); delete it to have it fetched"
    with pytest.raises(LanguageModelError, match=message):
        LanguageModel(path)
