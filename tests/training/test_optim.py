import math

import pytest
import torch

from training import optim
from training.models.families import make
from training.models.gpt import GPTShape


def rate(step: int) -> float:
    return optim.learning_rate(step, peak=1.0, warmup_steps=4, steps=13, min_share=0.1)


def test_the_rate_warms_up_and_falls_along_a_cosine() -> None:
    assert [rate(step) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rate(8) == pytest.approx(0.55)  # half way: the mean of peak and end
    assert rate(12) == pytest.approx(0.1)
    assert all(rate(step) > rate(step + 1) for step in range(4, 12))


def test_no_warmup_and_a_single_step_have_a_rate() -> None:
    assert optim.learning_rate(0, peak=2.0, warmup_steps=0, steps=1, min_share=0.0) == 2.0


def test_only_matrices_and_embeddings_decay() -> None:
    model = make(GPTShape(vocabulary=11, length=4, layers=1, heads=1, width=8), 1)
    optimizer = optim.adamw(model, learning_rate=0.1, weight_decay=0.3, betas=(0.9, 0.95), epsilon=1e-8)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0.3 for p in group["params"]}
    still = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0.0 for p in group["params"]}
    names = {name for name, p in model.named_parameters() if id(p) in decayed}
    assert len(decayed) + len(still) == len(list(model.parameters()))
    assert "embeddings.tokens.weight" in names and "layers.0.attention.output.weight" in names
    assert not [name for name in names if "norm" in name or name.endswith("bias")]


def test_decay_is_decoupled_from_the_gradient() -> None:
    matrix = torch.nn.Linear(2, 2, bias=False)
    before = matrix.weight.detach().clone()
    optimizer = optim.adamw(matrix, learning_rate=0.1, weight_decay=0.5, betas=(0.9, 0.95), epsilon=1e-8)
    matrix.weight.grad = torch.zeros_like(matrix.weight)
    optimizer.step()
    assert torch.allclose(matrix.weight, before * (1 - 0.1 * 0.5))


def test_clipping_returns_the_norm_before() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.tensor([3.0, 4.0])
    assert float(optim.clip([parameter], 1.0)) == 5.0
    assert torch.allclose(parameter.grad, torch.tensor([0.6, 0.8]))
    assert float(optim.clip([parameter], None)) == pytest.approx(1.0)
    assert math.isclose(float(parameter.grad.norm()), 1.0, rel_tol=1e-5)
