"""Optimisers against their definitions in NumPy; schedules at the steps that matter."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from training.models.families import build, make, shape
from training.models.gpt import GPTShape
from training.run.config import TrainSection
from training.run.updates import optimizers as optim

SHAPE = GPTShape(vocabulary=11, length=4, layers=1, heads=1, width=8)
GRADIENTS = [[0.5, -1.0], [0.25, 2.0], [-3.0, 0.1]]
BETAS = (0.9, 0.98)


def settings(**changed: Any) -> TrainSection:
    return TrainSection.model_validate({"steps": 13, "learning_rate": 1.0, "warmup_steps": 4, "min_share": 0.1, **changed})


def shares(**changed: Any) -> list[float]:
    chosen = settings(**changed)
    return [optim.share(step, chosen) for step in range(chosen.steps)]


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    found = shares()
    assert found[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert found[8] == pytest.approx(0.55)  # half way: the mean of peak and end
    assert found[12] == pytest.approx(0.1)
    assert all(a > b for a, b in pairwise(found[4:]))


def test_the_rate_falls_along_a_line() -> None:
    assert shares(schedule="linear", min_share=0.0)[4:] == pytest.approx([1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8, 0])


def test_the_rate_falls_as_the_root_of_the_step() -> None:
    found = shares(schedule="inverse_sqrt", min_share=0.0, steps=101)
    assert (found[4], found[16], found[100]) == pytest.approx((1.0, 0.5, 0.2))
    assert min(shares(schedule="inverse_sqrt", min_share=0.3, steps=101)[4:]) == 0.3


@pytest.mark.parametrize(("shape", "last"), [("linear", [0.775, 0.55, 0.325, 0.1]), ("sqrt", [0.55, 0.3636039, 0.2205771, 0.1])])
def test_the_rate_is_flat_and_cools_down_at_the_end(shape: str, last: list[float]) -> None:
    found = shares(schedule="wsd", cooldown_steps=4, cooldown=shape)
    assert found[3:9] == [1.0] * 6
    assert found[9:] == pytest.approx(last)
    assert shares(schedule="wsd", steps=40)[35:] == pytest.approx([1.0, 0.775, 0.55, 0.325, 0.1])  # a tenth of all


def test_no_warmup_and_a_single_step_have_a_rate() -> None:
    for schedule in ("cosine", "linear", "inverse_sqrt", "wsd"):
        least = 0.25 if schedule == "wsd" else 1.0
        assert shares(steps=1, warmup_steps=0, schedule=schedule, min_share=0.25) == [least]


def test_the_peak_grows_with_the_batch() -> None:
    given = {"learning_rate": 0.02, "base_batch_rows": 16}
    assert optim.peak(settings(learning_rate=0.02), 64) == 0.02
    assert optim.peak(settings(batch_scaling="linear", **given), 64) == pytest.approx(0.08)
    assert optim.peak(settings(batch_scaling="sqrt", **given), 64) == pytest.approx(0.04)


@pytest.mark.parametrize("name", ["adamw", "google_adam", "adafactor", "rms_adamw", "muon"])
def test_only_matrices_and_embeddings_decay(name: str) -> None:
    model = make(SHAPE, 1)
    made = optim.optimizers(model, settings(optimizer=name, weight_decay=0.3), batch_rows=8)
    groups = [group for optimizer in made for group in optimizer.param_groups]
    decayed = {id(p) for group in groups if group["weight_decay"] == 0.3 for p in group["params"]}
    still = {id(p) for group in groups if group["weight_decay"] == 0.0 for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert len(decayed) + len(still) == len(list(model.parameters())) == sum(len(group["params"]) for group in groups)
    assert "embeddings.tokens.weight" in names and "layers.0.attention.output.weight" in names
    assert not [name for name in names if "norm" in name or name.endswith("bias")]
    assert optim.set_learning_rates(made, 0.5) == 0.5
    assert {group["lr"] for group in groups} == {0.5}


def test_muon_is_for_the_matrices_of_layers() -> None:
    model = make(SHAPE, 1)
    muon, adamw = optim.optimizers(model, settings(optimizer="muon"), batch_rows=8)
    names = {id(weight): name for name, weight in model.named_parameters()}
    hidden = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    rest = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert hidden and all(name.startswith("layers.") and name.endswith(".weight") for name in hidden)
    assert "embeddings.tokens.weight" in rest and not hidden & rest


def test_muon_makes_each_joined_matrix_orthogonal_by_itself() -> None:
    """One weight of queries, keys and values moves as three weights of torch's Muon do."""
    generator = torch.Generator().manual_seed(3)
    weight, *gradients = (torch.randn(24, 8, generator=generator) for _ in range(4))
    gradients = [gradient * torch.tensor([1.0, 10, 100]).repeat_interleave(8)[:, None] for gradient in gradients]
    joined = torch.nn.Parameter(weight.clone())
    apart = [torch.nn.Parameter(part.clone()) for part in weight.chunk(3)]
    ours = optim.Muon([{"params": [joined], "blocks": 3}], lr=0.1, weight_decay=0.3)
    theirs = torch.optim.Muon(apart, lr=0.1, weight_decay=0.3, adjust_lr_fn="match_rms_adamw")
    for gradient in gradients:
        joined.grad = gradient.clone()
        for part, share in zip(apart, gradient.chunk(3), strict=True):
            part.grad = share.clone()
        ours.step()
        theirs.step()
    assert torch.equal(joined, torch.cat([part.detach() for part in apart]))
    assert ours.state[joined]["momentum_buffer"].shape == (24, 8)
    moved = [float(part.norm()) for part in (joined.detach() - weight * (1 - 0.1 * 0.3) ** 3).chunk(3)]
    assert max(moved) < 1.5 * min(moved)  # though the gradients differ a hundredfold


@pytest.mark.parametrize("family", ["gpt", "bert", "bart", "t5", "composed"])
def test_muon_knows_every_matrix_that_is_joined(family: str) -> None:
    """Each block of rows has as many rows as the matrix would have by itself."""
    numbers = {"composed": {"feed_forward": "swiglu"}, "t5": {"gated": True}}.get(family, {})
    with torch.device("meta"):
        model = build(shape(family, "demo", numbers))
    rows: set[tuple[int, int]] = set()
    for blocks, weights in optim.hidden_matrices(model).items():
        rows |= {(blocks, len(weight) // blocks) for weight in weights}
    width, inner = 128, next(len(w) for n, w in model.named_parameters() if n.endswith("feed_forward.output.weight"))
    assert inner == width
    joined = {"gpt": {3}, "bert": {3}, "bart": {2, 3}, "t5": {2, 3}, "composed": {2, 3}}[family]
    assert {blocks for blocks, _ in rows if blocks > 1} == joined
    assert {size for blocks, size in rows if blocks == 3} == {width}


def updated(name: str, **changed: Any) -> NDArray[np.float64]:
    """A 1 x 2 matrix of ones after the gradients above, one a step."""
    layer = torch.nn.Linear(2, 1, bias=False).double()
    torch.nn.init.ones_(layer.weight)
    chosen = settings(optimizer=name, learning_rate=0.1, betas=BETAS, epsilon=1e-6, weight_decay=0.2, **changed)
    (optimizer,) = optim.optimizers(layer, chosen, batch_rows=8)
    for gradient in GRADIENTS:
        layer.weight.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    return layer.weight.detach().numpy()[0]


def defined(corrected: bool, scaled: bool) -> NDArray[np.float64]:
    """The same by the formulas of the papers."""
    w, m, v = np.ones(2), np.zeros(2), np.zeros(2)
    for t, given in enumerate(GRADIENTS, start=1):
        g = np.array(given)
        m, v = BETAS[0] * m + (1 - BETAS[0]) * g, BETAS[1] * v + (1 - BETAS[1]) * g * g
        first, second = (1 - beta**t for beta in BETAS) if corrected else (1.0, 1.0)
        size = max(1e-3, math.sqrt(float((w * w).mean()))) if scaled else 1.0
        w = w - 0.1 * (size * (m / first) / (np.sqrt(v / second) + 1e-6) + 0.2 * w)
    return w


def test_googles_adam_has_no_bias_correction() -> None:
    assert updated("google_adam") == pytest.approx(defined(corrected=False, scaled=False), rel=1e-12)


def test_rms_adamw_steps_in_proportion_to_the_weights() -> None:
    assert updated("rms_adamw") == pytest.approx(defined(corrected=True, scaled=True), rel=1e-12)


@pytest.mark.parametrize("name", ["rms_adamw", "adafactor"])
@pytest.mark.parametrize(("weight", "size"), [(0.0, 1e-3), (0.9e-3, 1e-3), (1.1e-3, 1.1e-3)])
def test_small_weights_move_as_if_their_rms_were_a_thousandth(name: str, weight: float, size: float) -> None:
    """Without the floor, weights that begin at 0 would stay there."""
    layer = torch.nn.Linear(2, 1, bias=False).double()
    torch.nn.init.constant_(layer.weight, weight)
    chosen = settings(optimizer=name, learning_rate=0.1, betas=BETAS, epsilon=1e-12, weight_decay=0.0)
    (optimizer,) = optim.optimizers(layer, chosen, batch_rows=8)
    layer.weight.grad = torch.ones_like(layer.weight)  # the first update is 1 times the rate and the RMS
    optimizer.step()
    assert layer.weight.detach().numpy()[0] == pytest.approx(np.full(2, weight - 0.1 * size), rel=1e-6)


def test_adamw_is_decoupled_and_corrected() -> None:
    assert updated("adamw") == pytest.approx(defined(corrected=True, scaled=False), rel=1e-6)


def test_clipping_returns_the_norm_before() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert float(optim.clip([parameter], 1.0)) == 5.0
    assert torch.allclose(parameter.grad, torch.tensor([0.6, 0.8]))
    assert float(optim.clip([parameter], None)) == pytest.approx(1.0)
    assert math.isclose(float(parameter.grad.norm()), 1.0, rel_tol=1e-5)
