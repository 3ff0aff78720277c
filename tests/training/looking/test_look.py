"""Looking inside: weights are those of the forward pass, attributions add up, and the page shows them."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tuning import labelled, write_config, write_records

from flows.commands.main import main
from training.checkpoints import trained
from training.looking.attention import weights
from training.looking.attributions import integrated_gradients
from training.looking.calibration import calibration
from training.looking.look import LookError, look
from training.models.attention import CrossAttention, split_heads
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
        ({"text": "a", "records": "x.jsonl"}, "--records: calibration is of a model that was fine-tuned"),
    ):
        with pytest.raises(LookError, match=message):
            look(base, **more)
