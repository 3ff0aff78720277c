"""Prompt and prefix tuning: exactly what a body makes of the same tokens or keys; only they and the head are trained."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from tuning import SHAPES, labelled, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError
from training.models.composed import SIZES as COMPOSED
from training.models.families import make
from training.run.device import Device
from training.run.progress import read_metrics
from training.tasks import tuned
from training.tasks.config import load
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.predict import predict
from training.tasks.tuning import soft_prompts

IDS = torch.arange(20, 32).reshape(2, 6)


@pytest.fixture(scope="module")
def long_bases(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Bases whose positions have room for a prompt."""
    out: dict[str, Path] = {}
    for family, shape_of in SHAPES.items():
        shape: Any = shape_of(tokenizer.size)
        shape = shape if family == "t5" else replace(shape, length=64)
        out[family] = tmp_path_factory.mktemp("long") / family
        trained.save(out[family], make(shape, 1), family, tokenizer, {})
    return out


def hidden(body: Any, family: str, ids: Tensor, real: Tensor | None = None) -> Tensor:
    """What the heads see."""
    if family in ("bart", "t5"):
        return body.decode(IDS, body.encode(ids, real=real), real=real)
    return body.hidden(ids) if family == "gpt" else body.hidden(ids, real=real)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_a_prompt_reads_as_the_tokens_whose_embeddings_it_has(family: str, bases: Mapping[str, Path]) -> None:
    body: Any = trained.load(bases[family]).model
    first = [7, 40, 9]
    plain = hidden(body, family, torch.cat([torch.tensor(first).expand(2, -1), IDS], 1))
    names = {name for name, _ in body.named_parameters()}
    soft_prompts.add_prompt(body, first)
    ids = torch.tensor(soft_prompts.prompt_ids(body, 3))
    assert ids.tolist() == [body.shape.vocabulary + n for n in range(3)]
    prompted = hidden(body, family, torch.cat([ids.expand(2, -1), IDS], 1))
    assert torch.equal(plain, prompted)
    assert {name for name, weight in body.named_parameters() if weight.requires_grad} == {"embeddings.tokens.prompt"}
    assert {name for name, _ in body.named_parameters()} == {*names, "embeddings.tokens.prompt"}
    body.embeddings.tokens.prompt.copy_(torch.randn(3, 32, generator=torch.Generator().manual_seed(1)))
    assert not torch.allclose(plain, hidden(body, family, torch.cat([ids.expand(2, -1), IDS], 1)), atol=1e-3)


@torch.no_grad()
def test_a_prefix_of_a_causal_model_is_a_text_before_the_row(bases: Mapping[str, Path]) -> None:
    body: Any = trained.load(bases["gpt"]).model
    first, positions = [7, 40, 9], torch.arange(3, 9)[None]
    plain = body.hidden(torch.cat([torch.tensor(first).expand(2, -1), IDS], 1))[:, 3:]
    soft_prompts.add_prefix(body, first)
    torch.testing.assert_close(body.hidden(IDS, positions=positions), plain)
    real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    masked = body.hidden(IDS, positions=positions, real=real)
    torch.testing.assert_close(masked[0], plain[0])
    torch.testing.assert_close(masked[1, :4], plain[1, :4])
    cache = body.empty_cache()
    steps = [body.hidden(IDS[:, n : n + 1], positions=positions[:, n : n + 1], cache=cache) for n in range(6)]
    torch.testing.assert_close(torch.cat(steps, 1), plain)


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "bart", "t5"])
def test_a_prefix_that_no_token_heeds_changes_nothing(family: str, bases: Mapping[str, Path]) -> None:
    """Keys that are far from every query get no weight."""
    body: Any = trained.load(bases[family]).model
    real = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    plain, plain_whole = hidden(body, family, IDS, real), hidden(body, family, IDS)
    soft_prompts.add_prefix(body, [7, 40, 9])
    changed = hidden(body, family, IDS, real)
    assert (changed - plain).abs().max() > 1e-3
    for layer in body.modules():
        if isinstance(layer, soft_prompts.Prefixed):
            layer.query_key_value.bias = torch.nn.Parameter(torch.ones(layer.query_key_value.out_features) * 3)
            layer.prefix_key.fill_(-1e4)
    unheeded, unheeded_whole = hidden(body, family, IDS, real), hidden(body, family, IDS)
    other: Any = trained.load(bases[family]).model
    for layer in other.modules():
        if type(layer) is soft_prompts.SelfAttention:
            layer.query_key_value.bias = torch.nn.Parameter(torch.ones(layer.query_key_value.out_features) * 3)
    torch.testing.assert_close(unheeded, hidden(other, family, IDS, real))
    torch.testing.assert_close(unheeded_whole, hidden(other, family, IDS))
    assert plain_whole.shape == unheeded_whole.shape


@pytest.mark.parametrize("tuning", ["prompt", "prefix"])
@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_a_frozen_body_learns_by_its_prompt_and_predicts(
    family: str, tuning: str, long_bases: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    path = write_config(tmp_path, long_bases[family], "classification", train, f'validation = "{train}"')
    rate = 0.3 if family == "t5" else 0.03
    settings = ("model.soft_tokens=6", "train.epochs=4", f"train.learning_rate={rate}", "task.length=40")
    report = finetune(path, (f"model.tuning={tuning}", *settings))
    model = tuned.load(tmp_path / "run")
    weights = {name: weight for name, weight in model.model.named_parameters() if weight.requires_grad}
    trained_count = sum(weight.numel() for weight in weights.values())
    assert f"of which {trained_count:,} are trained" in capsys.readouterr().out
    soft = sum(w.numel() for name, w in weights.items() if name.rsplit(".", 1)[-1] in ("prompt", "prefix_key", "prefix_value"))
    assert soft == (6 * 32 if tuning == "prompt" else 2 * 2 * 6 * 32)
    base = trained.load(long_bases[family]).model.state_dict()
    after = model.model.body.state_dict()
    assert all(torch.equal(base[name], after[name]) for name in base)
    begun, _ = tuned.begin(load(path, (f"model.tuning={tuning}", *settings)), load(path).train.seed)
    assert all((weights[name] != weight).any(-1).all() for name, weight in begun.model.named_parameters() if name in weights)
    lines = [line["validation_loss"] for line in read_metrics(tmp_path / "run/metrics.jsonl") if "validation_loss" in line]
    assert min(lines) < report["first"]["loss"] or family == "bert"  # [CLS] of a new BERT hardly depends on the row
    answers = predict(model, model.read(str(train), labelled=False), Device("cpu", "float32"))
    assert len(answers) == 64 and {answer["label"] for answer in answers} <= {"river", "town"}
    with pytest.raises(CheckpointError, match=f"its {tuning} is no part of the body"):
        trained.load(tmp_path / "run")


@pytest.mark.parametrize("family", ["gpt", "t5"])
def test_a_task_of_texts_trains_its_prompt(family: str, long_bases: Mapping[str, Path], tmp_path: Path) -> None:
    rows = [{"inputs": one["text"], "targets": one["label"]} for one in labelled(24)]
    train = write_records(tmp_path / "train.jsonl", rows)
    path = write_config(tmp_path, long_bases[family], "text_to_text", train, "length = 48\ntarget_length = 8")
    finetune(path, ("model.tuning=prompt", "model.soft_tokens=5", "train.epochs=1", "train.weight_decay=0.0"))
    first = trained.load(long_bases[family]).model.embeddings.tokens.weight
    after = tuned.load(tmp_path / "run").model.body.embeddings.tokens.prompt
    assert all((vector[None] != first).any(1).all() for vector in after)  # none is an embedding any more


def test_what_does_not_fit_is_refused(bases: Mapping[str, Path], tokenizer: Tokenizer, tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(20))
    path = write_config(tmp_path, bases["bert"], "classification", train)
    with pytest.raises(TaskError, match="16 tokens and a prompt of 20 are more than the model's 32 positions"):
        finetune(path, ("model.tuning=prompt", "task.length=16"))
    encoder = make(replace(COMPOSED["modernbert-demo"], vocabulary=tokenizer.size), 1)
    with pytest.raises(TaskError, match='"prefix" is not made for'):
        soft_prompts.add_prefix(encoder, [1, 2])
