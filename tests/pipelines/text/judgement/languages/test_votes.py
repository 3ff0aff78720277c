"""Several models vote, and groups and limits follow from the config."""

import random
from pathlib import Path

import fasttext
import numpy as np
import pyarrow as pa
import pytest

from pipelines.config import LanguageSection
from pipelines.text.judgement.languages.fasttext_file import read
from pipelines.text.judgement.languages.fasttext_model import FastTextModel
from pipelines.text.judgement.languages.opened import opened
from pipelines.text.judgement.languages.votes import Voters

ENGLISH = "the river had been rising since morning and nobody in our village slept"
GERMAN = "der fluss war seit dem morgen gestiegen und niemand im dorf schlief"
FRENCH = "le fleuve montait depuis le matin et personne ne dormait au village"


def model(path: Path, seed: int, **words: str) -> Path:
    chance = random.Random(seed)
    lines = [
        f"__label__{label} {' '.join(chance.choices(text.split(), k=6))}" for label, text in words.items() for _ in range(60)
    ]
    chance.shuffle(lines)
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    settings = {"dim": 8, "minn": 2, "maxn": 3, "bucket": 500, "epoch": 60, "thread": 1, "verbose": 0, "loss": "softmax"}
    fasttext.train_supervised(input=str(path.with_suffix(".txt")), **settings).save_model(str(path))
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return model(folder / "a.bin", 1, en=ENGLISH, de=GERMAN), model(
        folder / "b.bin", 2, eng_Latn=ENGLISH, deu_Latn=GERMAN, fra_Latn=FRENCH
    )


def test_a_vote_is_the_mean_of_the_models_that_know_a_language(models: tuple[Path, Path]) -> None:
    voters = Voters([FastTextModel(read(path)) for path in models])
    assert sorted(voters.codes) == ["de", "en", "fr"]
    data = np.frombuffer(f"{ENGLISH} {FRENCH}".encode(), np.uint8)
    places = np.array([0]), np.array([len(data)])
    together = dict(zip(voters.codes, voters.probabilities(voters.sums(data, *places))[0].tolist(), strict=True))
    each = []
    for path in models:
        alone = Voters([FastTextModel(read(path))])
        each.append(dict(zip(alone.codes, alone.probabilities(alone.sums(data, *places))[0].tolist(), strict=True)))
    means = {"en": (each[0]["en"] + each[1]["en"]) / 2, "de": (each[0]["de"] + each[1]["de"]) / 2, "fr": each[1]["fr"]}
    assert together == pytest.approx({code: mean / sum(means.values()) for code, mean in means.items()}, abs=1e-5)


def test_voters_identify(models: tuple[Path, Path]) -> None:
    found = opened(tuple(map(str, models)), ("de+en",)).identify(pa.array([ENGLISH, GERMAN, FRENCH, ""]))
    assert found.language.to_pylist() == ["en", "de", "fr", "und"]
    assert found.score.to_pylist()[0] > 0.9


def test_labels_of_one_code_are_added(tmp_path: Path) -> None:
    path = model(tmp_path / "m.bin", 3, arb_Arab=GERMAN, ara_Arab=GERMAN, eng_Latn=ENGLISH)
    voters = Voters([FastTextModel(read(path))])
    assert sorted(voters.codes) == ["ar", "en"]
    data = np.frombuffer(GERMAN.encode(), np.uint8)
    probabilities = voters.probabilities(voters.sums(data, np.array([0]), np.array([len(data)])))
    assert probabilities[0, voters.codes.index("ar")] > 0.9


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, {"en": 0.65, "sl": 0.45, "hr": 0.65}),
        ({"score_limit": 0.5}, {"en": 0.5, "sl": 0.5}),
        ({"score_limit": 0.0, "score_limits": {"sl": 0.3}}, {"en": 0, "sl": 0.3}),
        ({"score_limits": {"hr+bs": 0.4, "hr": 0.2}}, {"hr": 0.2, "bs": 0.4, "sr": 0.65}),
        ({"model": "x.bin", "model_sha256": "0" * 64}, {"sl": 0.65}),  # the limits are those of lid.176
        ({"models": [{"path": "x", "sha256": "0" * 64}]}, {"sl": 0.65}),
    ],
)
def test_limits(fields: dict[str, object], limits: dict[str, float]) -> None:
    section = LanguageSection.model_validate(fields)
    assert {code: section.limit_of(code) for code in limits} == limits


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"groups": ["hr+bs", "sr+hr"]}, "'hr' is in two groups"),
        ({"groups": ["hr+"]}, "a group is written"),
        ({"model_sha256": "0" * 64}, "model_sha256 needs model"),
        ({"model": "x", "models": [{"path": "x", "sha256": "0" * 64}]}, "give one or the other"),
        ({"models": [{"path": "x", "sha256": "abc"}]}, "pattern"),
        ({"score_limits": {"hr": 1.5}}, "less than or equal to 1"),
    ],
)
def test_settings_that_contradict_each_other(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LanguageSection.model_validate(fields)
