"""What holds a run near an older model: exact penalties and gradients, and a resume that is bit-equal."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.contract.settings import ConfigError
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError
from training.models import families
from training.models.families import Model
from training.models.loss import Predicted, recorded
from training.run.pretrain import pretrain
from training.run.progress import read_metrics
from training.run.remember.distillation import distillation
from training.run.remember.fisher import fisher
from training.run.remember.memory import REMEMBER, Elastic, Teacher

SHAPE = {"layers": 1, "heads": 2, "width": 8, "vocabulary": 11, "length": 6, "dropout": 0.0}


def gpt(seed: int) -> Model:
    return families.make(families.shape("gpt", "demo", SHAPE), seed)


def rows(count: int) -> dict[str, Tensor]:
    ids = torch.randint(0, 11, (count, 6), generator=torch.Generator().manual_seed(5))
    targets = ids.roll(-1, 1)
    targets[:, -1] = -100
    return {"inputs": ids, "targets": targets}


def test_the_fisher_information_is_that_of_each_row_by_hand() -> None:
    model, examples = gpt(1), rows(3)
    expected = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    for row in range(3):
        logits = model(examples["inputs"][row : row + 1]).log_softmax(-1)[0, :5]
        loss = -logits[torch.arange(5), examples["targets"][row, :5]].sum()
        for (name, weight), grad in zip(
            model.named_parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True
        ):
            assert weight.shape == grad.shape
            expected[name] += grad**2 / 15
    one_by_one = ({name: values[row : row + 1] for name, values in examples.items()} for row in range(3))
    found = fisher(model, one_by_one, 15)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-9)
    assert all(weight.grad is None for weight in model.parameters())


def test_the_penalty_and_its_gradient_are_those_of_autograd() -> None:
    model, older = gpt(1).double(), gpt(2).double()
    weights = {name: weight.detach() for name, weight in older.named_parameters()}
    generator = torch.Generator().manual_seed(3)
    importance = {name: torch.rand(weight.shape, generator=generator, dtype=torch.float64) for name, weight in weights.items()}
    memory = Elastic(fingerprint="", strength=0.7, weights=weights, fisher=importance)
    loss = model.losses(rows(2))["tokens"]
    penalty = sum(
        (0.35 * (importance[name] * (weight - weights[name]) ** 2).sum() for name, weight in model.named_parameters()),
        torch.zeros((), dtype=torch.float64),
    )
    expected = torch.autograd.grad(loss + penalty, list(model.parameters()))
    model.losses(rows(2))["tokens"].backward()
    assert memory.pull(model) == pytest.approx(float(penalty.detach()), rel=1e-12)
    for weight, grad in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, grad, rtol=1e-9, atol=1e-12)
    assert memory.losses(model, rows(2)).keys() == {"tokens"}


def test_a_weight_where_it_was_is_not_held_and_one_without_a_gradient_is_left() -> None:
    model = gpt(1)
    weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    memory = Elastic(fingerprint="", strength=9.0, weights=weights, fisher={n: torch.ones_like(w) for n, w in weights.items()})
    assert memory.pull(model) == 0.0 and all(weight.grad is None for weight in model.parameters())
    model.losses(rows(1))["tokens"].backward()
    before = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    assert memory.pull(model) == 0.0
    assert all(
        torch.equal(weight.grad, grad) for weight, grad in zip(model.parameters(), before, strict=True) if weight.grad is not None
    )


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("biased", [False, True])
def test_the_divergence_and_its_gradients_are_those_of_autograd(
    temperature: float, biased: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.run.remember.distillation.LOGITS_PER_CHUNK", {"cpu": 3 * 11})  # chunks of 3 rows
    draw = torch.Generator().manual_seed(1)
    sizes = ((7, 4), (11, 4), (11,))
    new, old = ([torch.randn(*size, generator=draw, dtype=torch.float64) for size in sizes] for _ in "ab")
    targets = torch.tensor([1, 2, -100, 3, 4, 5, 0])
    given = [value.requires_grad_() for value in (new if biased else new[:2])]
    was = Predicted(old[0], old[1], targets, old[2] if biased else None)
    found = distillation(Predicted(given[0], given[1], targets, given[2] if biased else None), was, temperature)
    p = ((old[0] @ old[1].T + (old[2] if biased else 0)) / temperature).softmax(-1)
    q = ((given[0] @ given[1].T + (given[2] if biased else 0)) / temperature).log_softmax(-1)
    expected = temperature**2 * ((p * (p.log() - q)).sum(-1) * (targets != -100)).sum()
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=0)
    for grad, wanted in zip(torch.autograd.grad(found, given), torch.autograd.grad(expected, given), strict=True):
        torch.testing.assert_close(grad, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("family", ["gpt", "bert", "bart", "t5"])
def test_a_model_that_is_its_own_teacher_has_no_divergence(family: str) -> None:
    two = {"encoder_layers": 1, "decoder_layers": 1}
    layers = {"bart": two, "t5": two | {"head_width": 4, "inner": 16}}.get(family, {"layers": 1})
    numbers = {"heads": 2, "width": 8, "vocabulary": 11, "dropout": 0.0, **layers}
    shape = families.shape(family, "demo", numbers)
    model, other = families.make(shape, 1), families.make(shape, 2)
    ids = rows(2)["inputs"]
    targets = rows(2)["targets"]
    examples = {"inputs": ids, "targets": targets, "decoder_inputs": ids, "lengths": torch.tensor([6, 6])}
    examples |= {"masked_positions": torch.arange(6).expand(2, 6), "segments": torch.zeros_like(ids)} if family == "bert" else {}
    own = Teacher(fingerprint="", strength=1.0, model=model, temperature=2.0).losses(model, examples)
    # exactly 0 but for T5, where torch rounds differently without gradients
    assert own[REMEMBER].item() == pytest.approx(0, abs=1e-5 if family == "t5" else 0)
    assert own["tokens"].item() == model.losses(examples)["tokens"].item()
    own[REMEMBER].backward()
    moved = [weight.grad.abs().max().item() for weight in model.parameters() if weight.grad is not None]
    assert max(moved) <= (1e-4 if family == "t5" else 0)
    apart = Teacher(fingerprint="", strength=3.0, model=other, temperature=2.0).losses(model, examples)
    with recorded() as found:
        model.losses(examples)
        other.losses(examples)
    expected = 3 * distillation(found[0], found[1], 2.0).item()
    assert apart[REMEMBER].item() == pytest.approx(expected) and expected > 0


@pytest.fixture(scope="module")
def old(
    dataset_folder: Path, make_config: Callable[[Path, Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """A config, and a finished run of it."""
    place = tmp_path_factory.mktemp("old")
    config = make_config(dataset_folder, place)
    pretrain(config, ("sample.tokens=0",))
    return config, place / "run"


@pytest.mark.parametrize("method", ["ewc", "distill"])
def test_a_resumed_run_is_bit_equal_though_the_older_one_is_gone(method: str, old: tuple[Path, Path], tmp_path: Path) -> None:
    config, older = old
    begin, whole, half = tmp_path / "older", tmp_path / "whole", tmp_path / "half"
    shutil.copytree(older, begin)
    changed = (f'train.init_from="{begin}"', f'remember.method="{method}"', "remember.rows=5", "sample.tokens=0", "train.keep=9")
    pretrain(config, (*changed, f'run.out="{whole}"'))
    lines = read_metrics(whole / "metrics.jsonl")
    held = [line["remember_loss"] for line in lines if "loss" in line]
    assert len(held) == 12 and all(value >= 0 for value in held) and held[-1] > 0
    if method == "ewc":
        assert held[0] == 0  # the weights have not moved
    plain = tmp_path / "plain"
    pretrain(config, (changed[0], "sample.tokens=0", f'run.out="{plain}"'))
    losses = [[line["loss"] for line in read_metrics(run / "metrics.jsonl") if "loss" in line] for run in (whole, plain)]
    assert losses[0][0] == losses[1][0] and losses[0][-1] != losses[1][-1]  # the loss is that of the text, and is held apart

    shutil.copytree(whole, half)
    (half / "report.json").unlink()
    for path in (half / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > 6:
            shutil.rmtree(path)
    shutil.rmtree(begin)
    with pytest.raises(CheckpointError, match=r"remember\.strength was 1\.0, and is 2\.0 here"):
        pretrain(config, (*changed, f'run.out="{half}"', "remember.strength=2.0"))
    other = "ewc" if method == "distill" else "distill"
    with pytest.raises(CheckpointError, match=r"began with another remember\.method than"):
        pretrain(config, (*changed, f'run.out="{half}"', f'remember.method="{other}"'))
    pretrain(config, (*changed, f'run.out="{half}"'))
    names = ("step", "loss", "remember_loss", "gradient_norm", "validation_loss")
    found = [[[line.get(name) for name in names] for line in read_metrics(run / "metrics.jsonl")] for run in (whole, half)]
    assert found[0] == found[1]
    ends = [checkpoint.newest(run / "checkpoints", pytest.fail) for run in (whole, half)]
    first, second = (one.load("model") for one in ends if one)
    assert all(torch.equal(first[name], second[name]) for name in first)

    memory = half / "remember" / "memory.pt"
    memory.write_bytes(memory.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"memory\.pt: is not the file that was written; remove .*remember, and it is made"):
        pretrain(config, (*changed, f'run.out="{half}"'))


def test_the_memory_holds_what_the_older_run_held_itself_by(old: tuple[Path, Path], tmp_path: Path) -> None:
    config, older = old
    first, second = tmp_path / "first", tmp_path / "second"
    for begin, out in ((older, first), (first, second)):
        changed = ('remember.method="ewc"', "remember.rows=5", "sample.tokens=0", "train.steps=3")
        pretrain(config, (*changed, f'train.init_from="{begin}"', f'run.out="{out}"'))
    before, after = (torch.load(run / "remember" / "memory.pt", weights_only=True) for run in (first, second))
    facts = json.loads((second / "remember" / "memory.json").read_text())
    assert facts["made_from"]["earlier"] == json.loads((first / "remember" / "memory.json").read_text())["fingerprint"]
    assert all((after["fisher"][name] >= value).all() for name, value in before["fisher"].items())
    assert torch.equal(after["weights"]["norm.weight"], trained.load(first).model.state_dict()["norm.weight"])


def test_what_cannot_be_remembered_is_refused(old: tuple[Path, Path], tmp_path: Path) -> None:
    config, older = old
    with pytest.raises(ConfigError, match=r"remember\.method needs an older model to remember; name its run in train\.init_from"):
        pretrain(config, ('remember.method="ewc"',))
    with pytest.raises(ConfigError, match=r'its numbers are of a method; set method to "ewc" or "distill", or remove them'):
        pretrain(config, ("remember.strength=3.0",))
    model = trained.load(older)
    imported = tmp_path / "imported"
    trained.save(imported, model.model, "gpt", model.tokenizer, {})
    changed = (f'train.init_from="{imported}"', 'remember.method="ewc"', f'run.out="{tmp_path / "run"}"')
    with pytest.raises(CheckpointError, match=r"is an import, so what it was trained on is not known; name .* remember\.tokens"):
        pretrain(config, changed)
    tokens = json.loads((older / "config.json").read_text())["data"]["tokens"]
    short = ("remember.rows=3", "train.steps=3", "sample.tokens=0")
    pretrain(config, (*changed, *short, f'remember.tokens="{tokens}"'))
    assert "remember_loss" in read_metrics(tmp_path / "run" / "metrics.jsonl")[-1]
