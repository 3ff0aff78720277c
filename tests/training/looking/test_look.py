"""Looking inside: weights are those of the forward pass, attributions add up, and the page shows them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tuning import labelled, write_config, write_records

from flows.commands.main import main
from training.checkpoints import trained
from training.looking.attention import weights
from training.looking.attributions import integrated_gradients
from training.looking.calibration import calibration
from training.looking.look import LookError, look
from training.looking.probing import probe, states
from training.looking.sharpness import sharpness
from training.models.attention import CrossAttention, split_heads
from training.run.pretrain import pretrain
from training.tasks.finetune import finetune

IDS = torch.arange(20, 26)[None]


@torch.no_grad()
@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_the_weights_give_what_each_attention_gave(family: str, bases: Mapping[str, Path]) -> None:
    body: Any = trained.load(bases[family]).model
    given: dict[str, tuple[Any, torch.Tensor]] = {}
    for name, layer in body.named_modules():
        if name.endswith("attention"):
            layer.register_forward_hook(lambda _, got, out, name=name: given.__setitem__(name, (got, out)))

    def forward() -> object:
        return body.decode(IDS[:, :4], body.encode(IDS)) if family in ("bart", "t5") else body.hidden(IDS)

    found = weights(body, forward)
    assert [one.name for one in found] == list(given)
    for one in found:
        layer, (got, out) = body.get_submodule(one.name), given[one.name]
        if isinstance(layer, CrossAttention):
            value = split_heads(layer.key_value(got[1]), layer.heads, 2)[1]
        else:
            value = split_heads(layer.query_key_value(got[0]), layer.heads, 3)[2]
        assert one.of_memory == isinstance(layer, CrossAttention)
        torch.testing.assert_close(layer.output((one.heads[None] @ value).transpose(1, 2).flatten(2)), out)
        torch.testing.assert_close(one.heads.sum(-1), torch.ones(one.heads.shape[:2]))


def test_attributions_of_a_linear_score_are_its_terms() -> None:
    tokens = torch.nn.Embedding(10, 3)
    slope = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    found = integrated_gradients(
        tokens, lambda rows: (tokens(rows["inputs"]) * slope).sum((1, 2)), {"inputs": torch.tensor([[1, 5, 6, 2]])}, {1, 2}, 0
    )
    difference = (tokens.weight[[1, 5, 6, 2]] - tokens.weight[[1, 0, 0, 2]]).detach()
    assert found.by_token == pytest.approx((difference * slope).sum(1).tolist(), abs=1e-5)
    assert found.by_token[0] == found.by_token[3] == 0 and found.gap == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(("family", "text"), [("bert", "the old [MASK] stood near"), ("gpt", "the old house stood")])
def test_attributions_of_a_pretrained_model_are_complete(family: str, text: str, bases: Mapping[str, Path]) -> None:
    found = look(str(bases[family]), text)
    made = found.attributions
    assert made is not None and abs(made.score - made.empty_score) > 1e-5
    assert abs(made.gap) < 0.02 * abs(made.score - made.empty_score)
    assert len(made.by_token) == len(found.pieces) == found.attention[0].heads.shape[1]
    assert found.calibration is None and found.steps == []


@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_the_command_writes_a_page_of_a_classifier(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    path = write_config(tmp_path, bases[family], "classification", train, f'validation = "{train}"')
    report = finetune(path, ("train.epochs=2",))
    run = str(tmp_path / "run")
    text = "the old <b>river</b>"
    assert main(["look", run, "--text", text, "--out", str(tmp_path / "look.html")]) == 0
    shown, found = (tmp_path / "look.html").read_text(), look(run, text)
    assert "<b>river" not in shown and "<script" not in shown and "http" not in re.sub("http-equiv", "", shown)
    assert found.calibration is not None and found.records == 64 and len(found.steps) == 8
    accuracy = sum(one.accuracy * one.answers for one in found.calibration.bins) / 64
    assert accuracy == pytest.approx(report["validation"]["accuracy"])
    assert f"{found.calibration.error:.4f}" in shown and "8 steps: median gradient norm" in shown
    if family == "t5":
        assert found.attributions is None
    else:
        assert found.attributions is not None and found.target in ("river", "town")
        assert abs(found.attributions.gap) < 1e-2 * max(1, abs(found.attributions.score - found.attributions.empty_score))
    own = found.neighbours[0]
    assert all(piece != own[0] and -1 <= cosine <= 1 for piece, cosine in own[1])


def test_the_error_of_calibration_is_the_mean_distance_from_the_line() -> None:
    found = calibration([1.0, 1.0, 0.55, 0.6, 0.61], [True, False, True, True, False])
    assert [(round(one.start, 1), one.answers) for one in found.bins] == [(0.5, 2), (0.6, 1), (0.9, 2)]
    assert found.error == pytest.approx((2 * abs(1 - 0.575) + 0.61 + 2 * 0.5) / 5)


def test_what_cannot_be_looked_at_is_named(bases: Mapping[str, Path]) -> None:
    base = str(bases["gpt"])
    for more, message in (
        ({"text": " "}, "--text: is empty"),
        ({"text": "the old house " * 40}, "at most 64 can be drawn"),
        ({"text": "a", "second": "b"}, "--second: is for a model that was fine-tuned on pairs"),
        ({"text": "a", "records": "x.jsonl"}, r"--records: x\.jsonl: no such file"),
    ):
        with pytest.raises(LookError, match=message):
            look(base, **more)


def test_the_sharpness_of_a_quadratic_is_its_greatest_curvature() -> None:
    layer = torch.nn.Linear(4, 1, bias=False)
    weight, curvatures = layer.weight, torch.tensor([0.5, 7.0, 2.0, 1.0])
    before = weight.detach().clone()
    assert sharpness(layer, lambda: 0.5 * (curvatures * weight[0] ** 2).sum()) == pytest.approx(7, rel=0.02)
    assert torch.equal(layer.weight, before)
    assert sharpness(layer, lambda: -(weight**2).sum()) == pytest.approx(-2, rel=0.02), "a saddle has its sign"


@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_states_are_means_of_what_each_layer_reads_and_gives(family: str, bases: Mapping[str, Path]) -> None:
    body: Any = trained.load(bases[family]).model
    body.eval()
    rows = {"inputs": torch.tensor([[20, 21, 22, 23], [24, 25, 0, 0]]), "lengths": torch.tensor([4, 2])}
    found = states(body, rows)
    alone = states(body, {"inputs": rows["inputs"][1:, :2], "lengths": torch.tensor([2])})
    encoder = body.encoder if family in ("bart", "t5") else body
    assert len(found) == len(encoder.layers) + 1
    for layer, of_one in zip(found, alone, strict=True):
        assert layer.shape == (2, body.shape.width) and layer[1] == pytest.approx(of_one[0], abs=1e-5), "padding is no part"


def test_labels_are_read_off_states_that_have_them() -> None:
    draws = np.random.default_rng(1)
    labels = ["river", "town"] * 40 + ["rare"] * 2
    noise = draws.normal(size=(82, 6)).astype(np.float32)
    told = noise + np.array([[5.0 * (label == "river")] * 6 for label in labels], np.float32)
    found = probe([noise, told], labels)
    assert found is not None and found.records == 80 and found.commonest == 0.5
    assert found.layers[0].accuracy < 0.75 and found.layers[1].accuracy > 0.95
    assert probe([noise], ["river"] * 80 + ["rare"] * 2) is None


def test_a_pretrained_model_is_probed_and_a_run_has_its_sharpness(bases: Mapping[str, Path], tmp_path: Path) -> None:
    records = write_records(tmp_path / "train.jsonl", labelled(64))
    found = look(str(bases["gpt"]), "the old river", records=str(records))
    assert found.probed is not None and found.probed.records == 64 and found.calibration is None
    with pytest.raises(LookError, match=r"--sharpness: .* is no run's folder"):
        look(str(bases["gpt"]), "the old river", sharp=True)
    finetune(write_config(tmp_path, bases["bert"], "classification", records, f'validation = "{records}"'), ("train.epochs=1",))
    page = tmp_path / "look.html"
    assert main(["look", str(tmp_path / "run"), "--text", "the river", "--sharpness", "--out", str(page)]) == 0
    shown, found = page.read_text(), look(str(tmp_path / "run"), "the river", sharp=True)
    assert "Labels by layer" in shown and "2 / sharpness" in shown
    assert [step for step, _ in found.sharp] and all(np.isfinite(value) and value != 0 for _, value in found.sharp)


def test_a_pretraining_run_has_its_sharpness(tiny_config: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ("train.steps=2", "train.warmup_steps=0", "train.save_every=1", "train.eval_rows=8")
    pretrain(tiny_config, (f"run.out={str(run)!r}", *changes))
    found = look(str(run), "the old bridge", sharp=True)
    assert [step for step, _ in found.sharp] == [1, 2] and all(value != 0 for _, value in found.sharp)
