"""Prompts: what each family is asked, that scores are the models' own, and the command's files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from tuning import labelled, write_config, write_records

from pipelines.contract.settings import ConfigError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.arguments import add_prompt, parse
from training.checkpoints import trained
from training.evaluation.likelihood import Question
from training.generation.texts import speller
from training.prompts import prompt as command
from training.prompts.config import load
from training.prompts.prompt import prompt
from training.prompts.questions import about_answer, about_label
from training.prompts.scoring import CONTENT_FREE, Scorer, Shot, content_free, normalized
from training.prompts.shots import draw
from training.run.device import Device
from training.tasks import tuned
from training.tasks.errors import PromptError
from training.tasks.finetune import finetune
from training.tasks.labels.patterns import Filled, Spelled, spell
from training.tasks.labels.patterns import parse as pattern
from training.tasks.predict import predict

CONFIG = """
[task]
test = "{folder}/test.jsonl"
train = "{folder}/train.jsonl"
[model]
base = "{base}"
[prompt]
patterns = ["{{text}} near {{label}} evening", "the {{label}} stood {{text}}"]
verbalizer = {{ river = "the river", town = "town" }}
[run]
out = "{folder}/out"
device = "cpu"
threads = 1
"""


def written(folder: Path, base: Path) -> Path:
    write_records(folder / "test.jsonl", labelled(12, seed=1))
    write_records(folder / "train.jsonl", labelled(20))
    path = folder / "prompt.toml"
    path.write_text(CONFIG.format(folder=folder, base=base))
    return path


def loud(base: Path) -> trained.Trained:
    """Weights so large that predictions differ."""
    found = trained.load(base)
    with torch.no_grad():
        for name, weight in found.model.named_parameters():
            if "norm" not in name:
                weight.mul_(5)
    return found


def scorer_of(found: trained.Trained, **more: Any) -> Scorer:
    words = speller(found.model, found.tokenizer)
    settings: dict[str, Any] = {"length": 128, "separator": " and ", "per_token": False, **more}
    return Scorer(found.model, words, ["the river", "town"], **settings)


def test_records_are_put_into_patterns_as_text() -> None:
    parsed = pattern("{second}: {text} is {label}, {text}")
    assert parsed.filled({"text": " a {label} {second} ", "second": "b"}) == Filled(
        "b: a {label} {second} is ", ", a {label} {second}"
    )
    assert pattern("say {text}").filled({"text": "a"}) == Filled("say a", None)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{txt} {label}", "has a slot {txt}"),
        ("{label} {text} {label}", "has {label} twice"),
        ("it was {label}", "neither {text} nor {second}"),
    ],
)
def test_patterns_that_cannot_be_used_are_refused(source: str, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        pattern(source)


@pytest.mark.parametrize("family", ["gpt", "bert", "t5"])
def test_a_label_has_the_ids_that_it_has_in_the_text(family: str, bases: Mapping[str, Path]) -> None:
    found = trained.load(bases[family])
    words = speller(found.model, found.tokenizer)
    filled = [Filled("the old ", " near the river"), Filled("", " stood"), Filled("people of the ", "")]
    for spelled, one in zip(spell(words, filled, ["house", "town", "evening"]), filled, strict=True):
        label = found.tokenizer.decode(list(spelled.ids[spelled.start : spelled.end]))
        assert label.strip() in ("house", "town", "evening")
        assert found.tokenizer.decode(list(spelled.ids[: spelled.start])).strip() == one.before.strip()


def test_each_family_is_asked_as_it_was_trained(bases: Mapping[str, Path]) -> None:
    text = Spelled([50, 51, 52, 53, 54], 2, 4)
    asked: dict[str, Sequence[Question]] = {}
    special: dict[str, Any] = {}
    for family, base in bases.items():
        found = trained.load(base)
        words = speller(found.model, found.tokenizer)
        asked[family], special[family] = about_label(words, text), words.specials
    s = special["gpt"]
    assert asked["gpt"] == [Question([s.end, 50, 51, 52, 53], 2, [52, 53, 54])]
    s = special["bert"]
    assert asked["bert"] == [
        Question([s.begin, 50, 51, s.mask, s.mask, 54, s.end], 3, [52]),
        Question([s.begin, 50, 51, 52, s.mask, 54, s.end], 4, [53]),
    ]
    s = special["bart"]
    assert asked["bart"] == [Question([s.begin, 50, 51, s.mask, 54, s.end], 3, [52, 53], [s.decoder_start, s.begin, 50, 51, 52])]
    s = special["t5"]
    hole = s.sentinels[0]
    assert asked["t5"] == [Question([50, 51, hole, 54, s.end], 1, [52, 53], [s.decoder_start, hole, 52])]
    found = trained.load(bases["bart"])
    s, words = special["bart"], speller(found.model, found.tokenizer)
    assert about_answer(words, [50], [51, 52]) == [
        Question([s.begin, 50, s.end], 1, [51, 52, s.end], [s.decoder_start, s.begin, 51, 52])
    ]


@torch.inference_mode()
def test_a_masked_model_scores_a_label_piece_by_piece(bases: Mapping[str, Path]) -> None:
    found = loud(bases["bert"])
    scorer, special = scorer_of(found), speller(found.model, found.tokenizer).specials
    scores = scorer.scores(pattern("{text} near {label} evening"), [{"text": "the old house"}]).scores
    encode, model = found.tokenizer.encode, found.model
    assert special.mask is not None and special.begin is not None
    for number, label in enumerate(scorer.said):
        before, ids, after = encode("the old house near"), encode(label), encode("evening")
        total = 0.0
        for at, piece in enumerate(ids):
            row = [special.begin, *before, *ids[:at], *[special.mask] * (len(ids) - at), *after, special.end]
            logits: Any = model(torch.tensor([row]))
            total += float(logits[0][0, 1 + len(before) + at, : found.tokenizer.size].double().log_softmax(-1)[piece])
        assert scores[0, number] == pytest.approx(total, abs=1e-4)


@torch.inference_mode()
def test_a_causal_model_reads_shots_and_scores_the_label(bases: Mapping[str, Path]) -> None:
    found = loud(bases["gpt"])
    shots = [Shot({"text": "many stories"}, 1), Shot({"text": "people"}, 0)]
    scores = {
        per_token: scorer_of(found, per_token=per_token).scores(pattern("{text} of {label}"), [{"text": "house"}], shots).scores
        for per_token in (False, True)
    }
    end, model = speller(found.model, found.tokenizer).specials.end, found.model
    for number, label in enumerate(("the river", "town")):
        context = "many stories of town and people of the river and house of"
        start, ids = len(found.tokenizer.encode(context)), found.tokenizer.encode(f"{context} {label}")
        made: Any = model(torch.tensor([[end, *ids[:-1]]]))
        logits = made[0, start:, : found.tokenizer.size].double().log_softmax(-1)
        total = float(logits.gather(1, torch.tensor(ids[start:])[:, None]).sum())
        assert scores[False][0, number] == pytest.approx(total, abs=1e-4)
        assert scores[True][0, number] == pytest.approx(total / (len(ids) - start), abs=1e-4)


def test_a_long_prompt_loses_its_first_shots_and_then_text(bases: Mapping[str, Path]) -> None:
    scorer = scorer_of(loud(bases["gpt"]))
    shots, near = [Shot({"text": "many stories"}, 1), Shot({"text": "people"}, 0)], pattern("{text} near {label}")
    texts = [{"text": "the old house " * 14}, {"text": "the river " * 90}, {"text": "evening"}]
    scored = scorer.scores(near, texts, shots)
    assert (scored.cropped, scored.without_shots) == (1, 2)
    assert scored.scores[0] == pytest.approx(scorer.scores(near, texts[:1], shots[1:]).scores[0], abs=1e-4)
    assert scored.scores[2] == pytest.approx(scorer.scores(near, texts[2:], shots).scores[0], abs=1e-4)
    with pytest.raises(PromptError, match="alone has more than 128 tokens"):
        scorer.scores(pattern("{text} " + "near the " * 90 + "{label}"), texts)


def test_a_text_without_content_has_no_preference_after_calibration(bases: Mapping[str, Path]) -> None:
    scorer, near = scorer_of(loud(bases["gpt"])), pattern("{text} near {label}")
    free = scorer.scores(near, [{"text": text} for text in CONTENT_FREE]).scores
    bias = content_free(near, scorer, [])
    assert bias == pytest.approx(np.log(np.exp(log_softmax(free, 1)).mean(0)))
    assert normalized(bias[None], bias) == pytest.approx(np.log([[0.5, 0.5]]))


def test_shots_are_fixed_and_balanced() -> None:
    labels = np.array([0] * 50 + [1] * 5 + [2] * 5)
    chosen = draw(labels, 6, 7, 0, balanced=True)
    assert chosen.tolist() == draw(labels, 6, 7, 0, balanced=True).tolist()
    assert sorted(labels[chosen[:3]]) == sorted(labels[chosen[3:]]) == [0, 1, 2]
    assert draw(labels, 6, 7, 1, balanced=True).tolist() != chosen.tolist() == draw(labels, 9, 7, 0, balanced=True)[:6].tolist()
    assert len(set(draw(labels, 60, 7, 0, balanced=False).tolist())) == 60
    assert np.bincount(labels[draw(labels, 30, 7, 0, balanced=True)]).tolist() == [20, 5, 5]
    with pytest.raises(PromptError, match="61 are more than the training file's 60 records"):
        draw(labels, 61, 7, 0, balanced=True)


@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_every_family_answers_every_record(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = written(tmp_path, bases[family])
    report = prompt(load(path, ("prompt.shots=1", "prompt.draws=2", "prompt.calibration=content_free")))
    answers = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    assert json.loads((tmp_path / "out/report.json").read_text()) == report
    assert set(report["figures"]) == {*report["settings"]["patterns"], "average"} and len(answers) == 12
    again = prompt(load(path, ("prompt.shots=1", "prompt.calibration=content_free")))
    for source in report["settings"]["patterns"]:
        right = [answer["patterns"][source] == one["label"] for answer, one in zip(answers, labelled(12, seed=1), strict=True)]
        assert again["figures"][source]["accuracy"] == {"mean": pytest.approx(np.mean(right)), "deviation": 0.0}


def test_a_pattern_without_label_asks_a_t5_as_its_fine_tuning_did(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(60))
    finetune(write_config(tmp_path, bases["t5"], "classification", train), ("train.epochs=1",))
    model = tuned.load(tmp_path / "run")
    path = written(tmp_path, tmp_path / "run")
    prompt(load(path, ('prompt.patterns=["classification: {text}"]', "prompt.verbalizer={river='river', town='town'}")))
    wanted = predict(model, model.read(str(tmp_path / "test.jsonl")), Device("cpu", "float32"))
    answers = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    for answer, one in zip(answers, wanted, strict=True):
        assert answer["label"] == one["label"]
        assert answer["probabilities"] == pytest.approx(one["probabilities"], abs=2e-4)


def test_the_command_prints_accuracy_by_pattern(
    bases: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, bases["gpt"])
    assert command.run(parse(add_prompt, [str(path), "--set", "prompt.shots=9", "--set", "task.limit=5"])) == 0
    out = capsys.readouterr().out
    assert "5 records, 2 labels, 9 shots" in out and "5 prompts lost shots" not in out and "10 prompts lost shots" in out
    assert '"{text} near {label} evening"' in out and '"average of 2 patterns"' in out
    rows = [{"text": one["text"]} for one in labelled(4)]
    write_records(tmp_path / "test.jsonl", rows)
    assert command.run(parse(add_prompt, [str(path), "--json"])) == 0
    assert "figures" not in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("prompt.patterns=['{text}']",), "a gpt needs {label} in the pattern"),
        (
            ("prompt.verbalizer={river='river', lake='lake'}",),
            r"test.jsonl, line 2: the label 'town' is not in prompt.verbalizer",
        ),
        (("prompt.shots=21",), "21 are more than the training file's 20 records"),
        (("task.length=256",), "256 tokens are more than the model's 128 positions"),
    ],
)
def test_settings_that_cannot_be_followed_are_named(
    settings: tuple[str, ...], message: str, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(PromptError, match=message):
        prompt(load(written(tmp_path, bases["gpt"]), settings))


def test_draws_and_shots_need_each_other_and_a_file(bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = written(tmp_path, bases["gpt"])
    with pytest.raises(ConfigError, match="without shots there is one result"):
        load(path, ("prompt.draws=2",))
    with pytest.raises(ConfigError, match=r"prompt\.verbalizer\.river"):
        load(path, ("prompt.verbalizer={river=' ', town='town'}",))
    path.write_text(path.read_text().replace("train =", "# train ="))
    with pytest.raises(ConfigError, match=r"are drawn from task\.train"):
        load(path, ("prompt.shots=1",))


def test_labels_of_the_files_are_their_own_words(tokenizer: Tokenizer, bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = written(tmp_path, bases["bert"])
    path.write_text(path.read_text().replace("verbalizer", "# verbalizer"))
    assert prompt(load(path))["labels"] == ["river", "town"]
