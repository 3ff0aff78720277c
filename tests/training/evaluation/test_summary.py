import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.arguments import add_evaluate, parse
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError
from training.evaluation import summary as evaluate_model
from training.evaluation.blimp import BlimpReport, SetScore, score
from training.evaluation.summary import Evaluation, EvaluationError, SourceScore, evaluate, save, table
from training.run.pretrain import pretrain

STEPS = ("train.steps=6", "train.save_every=3", "train.eval_every=3", "sample.tokens=0", "train.tensorboard=false")


@pytest.fixture
def run(tiny_config: Path, tmp_path: Path) -> Path:
    pretrain(tiny_config, (*STEPS, "train.keep_best=true"))
    return tmp_path / "run"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    lines = [("the old house stood", "house old the stood"), ("the people told stories", "people the stories told")] * 3
    texts = [json.dumps({"sentence_good": good, "sentence_bad": bad}) for good, bad in lines]
    (folder / "order.jsonl").write_text("\n".join(texts))
    return folder


def lines_of(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "validation_loss" in line]


def test_figures_of_the_newest_checkpoint_are_those_of_the_training(run: Path) -> None:
    found = evaluate(run, device="cpu")
    last = lines_of(run)[-1]
    assert (found.step, found.family, found.blimp) == (6, "gpt", None)
    assert found.checkpoint == str(run / "checkpoints" / "step-00000006")
    assert found.validation is not None
    assert found.validation.loss == last["validation_loss"]
    assert found.validation.bits_per_byte == last["validation_bits_per_byte"]
    assert [of.source for of in found.sources] == ["books"]
    assert found.sources[0].loss == last["validation_loss/books"]
    assert found.validation.rows == 16 and found.validation.predictions == sum(of.predictions for of in found.sources)
    assert found.parameters == sum(weight.numel() for weight in trained.load(run).model.parameters())


def test_rows_and_checkpoints_are_those_that_are_asked_for(run: Path) -> None:
    few = evaluate(run, rows=5, device="cpu", checkpoint="step-00000003")
    assert few.step == 3 and few.validation is not None and few.validation.rows == 5
    by_path = evaluate(run, rows=5, device="cpu", checkpoint=str(run / "checkpoints" / "step-00000003"))
    assert by_path == few
    every = evaluate(run, rows=10**6, device="cpu").validation
    assert every is not None and every.rows > 16
    none = evaluate(run, rows=0, device="cpu")
    assert (none.validation, none.sources, none.tokens) == (None, (), None)
    kept = save(run, few)
    assert kept is not None
    before = kept.read_bytes()
    assert save(run, none) is None and kept.read_bytes() == before  # nothing was measured, nothing is replaced


def test_the_best_is_the_one_that_training_kept(run: Path) -> None:
    best = checkpoint.best(run / "checkpoints")
    assert best is not None
    lowest = min(lines_of(run), key=lambda line: line["validation_loss"])
    found = evaluate(run, checkpoint="best", device="cpu")
    assert found.checkpoint == str(best.path) and found.validation is not None
    assert found.step == lowest["step"] and found.validation.loss == lowest["validation_loss"]
    (run / "checkpoints" / "BEST").unlink()
    with pytest.raises(EvaluationError, match=r"keeps no best checkpoint; train with train.keep_best = true"):
        evaluate(run, checkpoint="best")
    with pytest.raises(EvaluationError, match=r"step-00000009: is not a checkpoint of .*; give newest, best, one of step-000"):
        evaluate(run, checkpoint="step-00000009")


def test_blimp_is_that_of_the_model_and_an_import_is_asked_for_it_alone(run: Path, tmp_path: Path, pairs: Path) -> None:
    whole = trained.load(run)
    found = evaluate(run, blimp=pairs, pairs=4, device="cpu")
    assert found.blimp == score(whole, pairs, 4) and found.blimp is not None and found.blimp.pairs == 4
    trained.save(tmp_path / "import", whole.model, whole.family, whole.tokenizer, {"source": "somewhere"})
    imported = evaluate(tmp_path / "import", blimp=pairs, pairs=None, device="cpu", threads=1)
    assert imported.blimp == score(whole, pairs, None)
    assert imported.step == 0 and imported.validation is None and imported.tokens is None
    with pytest.raises(ValueError, match="holds no sets"):
        evaluate(run, blimp=tmp_path / "nowhere")


def test_a_run_that_was_moved_is_read_where_it_is(run: Path, tmp_path: Path) -> None:
    before = evaluate(run, device="cpu")
    moved = run.rename(tmp_path / "moved")
    after = evaluate(moved, device="cpu")
    assert after.validation == before.validation and not run.exists()
    assert after.checkpoint == str(moved / "checkpoints" / "step-00000006")


def test_what_cannot_be_evaluated_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no complete checkpoint"):
        evaluate(tmp_path / "nowhere")
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"train": {"stepz": 3}}))
    with pytest.raises(EvaluationError, match=r"config\.json: is not a config of this release .*give rows = 0"):
        evaluate(run)


def test_another_tokenizer_is_refused(run: Path, tmp_path: Path, make_dataset: Any) -> None:
    texts = [["many other words make another vocabulary", "of pieces that mean something else " * 20]]
    other = make_dataset(tmp_path / "other", {("train", "a", "en"): texts, ("validation", "a", "en"): texts}, vocabulary=290)
    settings = json.loads((run / "config.json").read_text())
    settings["data"]["tokens"] = str(other)
    (run / "config.json").write_text(json.dumps(settings))
    with pytest.raises(EvaluationError, match=r"other.*: has another tokenizer .* than .*step-00000006"):
        evaluate(run)
    assert evaluate(run, rows=0).validation is None


EVALUATION = Evaluation(
    checkpoint="build/run/checkpoints/step-00000009",
    step=9,
    family="gpt",
    parameters=1_234_567,
    vocabulary=4_096,
    tokens="build/demo",
    sources=(SourceScore("wiki", 90, 1_440, 5_000.0, 4.25, 1.5), SourceScore("books", 10, 160, 700.4, 3.0, 1.25)),
    validation=SourceScore("all", 100, 1_600, 5_700.4, 4.125, 1.46875),
    blimp=BlimpReport((SetScore("island", 50, 0.5), SetScore("agreement", 1_000, 0.75))),
)
SHOWN = """\
model    gpt, 1,234,567 parameters, 4,096 pieces: build/run/checkpoints/step-00000009

validation  rows  predictions  bytes  nats each  bits a byte
wiki          90        1,440  5,000      4.250        1.500
books         10          160    700      3.000        1.250
all          100        1,600  5,700      4.125        1.469

BLiMP           pairs  accuracy
island             50     0.500
agreement       1,000     0.750
mean of 2 sets  1,050     0.625 ± 0.036"""


def test_the_table_is_for_a_person() -> None:
    assert table(EVALUATION) == SHOWN


def test_a_berts_terms_have_columns() -> None:
    terms = {"tokens_loss": 4.25, "pairs_loss": 0.7, "tokens_accuracy": 0.125, "pairs_accuracy": 0.5}
    wiki = SourceScore("wiki", 90, 1_440, None, 4.25, None, terms)
    shown = table(replace(EVALUATION, family="bert", sources=(wiki,), validation=replace(wiki, source="all"), blimp=None))
    assert shown.splitlines()[2:4] == [
        "validation  rows  predictions  nats each  right  nats a pair  pairs right",
        "wiki          90        1,440      4.250  0.125        0.700        0.500",
    ]


def test_json_has_the_mean_beside_the_sets() -> None:
    found = EVALUATION.as_json()
    assert json.loads(json.dumps(found)) == found
    assert found["blimp"]["mean"] == 0.625 and found["blimp"]["pairs"] == 1_050
    assert found["blimp"]["sets"][1] == {"name": "agreement", "pairs": 1_000, "accuracy": 0.75}
    assert found["validation"]["bits_per_byte"] == 1.46875
    assert found["sources"][0]["source"] == "wiki"


def evaluated(words: list[str]) -> None:
    assert evaluate_model.run(parse(add_evaluate, words)) == 0


def test_the_command_prints_and_keeps_what_it_found(run: Path, pairs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate_model.run(
        parse(add_evaluate, [str(run), "--blimp", str(pairs), "--pairs", "2", "--rows", "3", "--device", "cpu", "--threads", "1"])
    )
    printed = capsys.readouterr().out
    found = evaluate(run, blimp=pairs, pairs=2, rows=3, device="cpu", threads=1)
    kept = run / "evaluations" / "step-00000006.json"
    assert printed == f"{table(found)}\n\nkept     {kept}\n"
    assert json.loads(kept.read_text()) == found.as_json()
    evaluated([str(run), "--rows", "3", "--json", "--device", "cpu"])
    assert json.loads(capsys.readouterr().out) == json.loads(kept.read_text())
    assert torch.get_num_threads() == 1  # the run's
    alone = run / "checkpoints" / "step-00000006"
    evaluated([str(alone), "--device", "cpu", "--threads", "1"])
    said = capsys.readouterr()
    assert said.out.startswith("model    gpt") and "nothing was measured" in said.err
    assert save(alone, found) is None and not (alone / "evaluations").exists()
