"""The chunked cross-entropy against PyTorch's over all logits at once."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from training.data.rows.batch import IGNORE
from training.models import loss as losses
from training.models.loss import cross_entropy, cross_entropy_and_right

VOCABULARY, WIDTH = 29, 16


def draw(dtype: torch.dtype = torch.float64, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """hidden (3, 7, D), weight, bias, and targets (3, 7) of which three are ignored."""
    generator = torch.Generator().manual_seed(5)
    hidden, weight, bias = (
        (torch.randn(*size, generator=generator, dtype=torch.float64) * spread).to(dtype).requires_grad_()
        for size in ((3, 7, WIDTH), (VOCABULARY, WIDTH), (VOCABULARY,))
    )
    targets = torch.randint(0, VOCABULARY, (3, 7), generator=generator)
    targets[1, 2:5] = IGNORE
    return hidden, weight, bias, targets


def whole(hidden: Tensor, weight: Tensor, targets: Tensor, bias: Tensor | None = None) -> Tensor:
    logits = functional.linear(hidden, weight, bias).reshape(-1, len(weight))
    return functional.cross_entropy(logits, targets.reshape(-1), ignore_index=IGNORE, reduction="sum")


@pytest.mark.parametrize("rows", [1, 4, 18, 100])
@pytest.mark.parametrize("biased", [True, False])
def test_loss_and_gradients_are_those_of_all_logits(rows: int, biased: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.LOGITS_PER_CHUNK, "cpu", VOCABULARY * rows)  # 18 predictions: 18, 5 and 1 chunks
    hidden, weight, bias, targets = draw()
    learnt = (hidden, weight, bias) if biased else (hidden, weight)
    expected = whole(hidden, weight, targets, bias if biased else None)
    total = cross_entropy(hidden, weight, targets, bias if biased else None)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-14)
    wanted = torch.autograd.grad(expected / 18, learnt)
    for ours, theirs in zip(torch.autograd.grad(total / 18, learnt), wanted, strict=True):
        assert (ours - theirs).abs().max() < 1e-14
    with torch.no_grad():
        assert torch.equal(cross_entropy(hidden, weight, targets, bias if biased else None), total)


def test_gradients_pass_gradcheck() -> None:
    hidden, weight, bias, targets = draw()
    assert torch.autograd.gradcheck(
        lambda *learnt: cross_entropy(learnt[0], learnt[1], targets, learnt[2]), (hidden, weight, bias)
    )


def test_ignored_targets_on_a_gpu_are_weighed_with_nothing_instead_of_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, targets = draw()
    wanted = torch.autograd.grad(whole(hidden, weight, targets, bias), (hidden, weight, bias))
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # the way that never asks the device
    total = cross_entropy(hidden, weight, targets, bias)
    for ours, theirs in zip(torch.autograd.grad(total, (hidden, weight, bias)), wanted, strict=True):
        assert (ours - theirs).abs().max() < 1e-13


def test_nothing_to_predict_costs_nothing() -> None:
    hidden, weight, bias, targets = draw()
    total = cross_entropy(hidden, weight, torch.full_like(targets, IGNORE), bias)
    total.backward()
    assert float(total.detach()) == 0
    assert not any(learnt.grad is None or learnt.grad.any() for learnt in (hidden, weight, bias))


def test_what_does_not_learn_gets_no_gradient() -> None:
    hidden, weight, _, targets = draw()
    cross_entropy(hidden, weight.detach(), targets).backward()
    wanted = torch.autograd.grad(whole(hidden, weight, targets), hidden)[0]
    assert hidden.grad is not None
    assert (hidden.grad - wanted).abs().max() < 1e-13
    assert not cross_entropy(hidden.detach(), weight.detach(), targets).requires_grad


def test_large_logits_overflow_nothing() -> None:
    hidden, weight, bias, targets = draw(torch.float32, spread=100.0)  # logits of ten thousands
    total = cross_entropy(hidden, weight, targets, bias)
    expected = whole(hidden.double(), weight.double(), targets, bias.double())
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)
    total.backward()
    assert all(learnt.grad is not None and torch.isfinite(learnt.grad).all() for learnt in (hidden, weight, bias))


def test_autocast_multiplies_in_bfloat16_and_adds_in_float32() -> None:
    hidden, weight, bias, targets = draw(torch.float32)
    expected = whole(hidden, weight, targets, bias)
    wanted = torch.autograd.grad(expected, (hidden, weight, bias))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total = cross_entropy(hidden, weight, targets, bias)
    assert total.dtype == torch.float32
    got = torch.autograd.grad(total, (hidden, weight, bias))
    assert 0 < abs(float(total.detach()) / float(expected.detach()) - 1) < 1e-2  # bfloat16 keeps 8 bits
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert float((ours - theirs).norm() / theirs.norm()) < 2e-2


class Largest(TorchDispatchMode):
    """Remembers the most numbers that a tensor had."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return made


@pytest.mark.parametrize("function", [cross_entropy, whole])
def test_the_logits_are_never_held(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.LOGITS_PER_CHUNK, "cpu", 2**14)
    hidden = torch.randn(512, 8, requires_grad=True)
    weight = torch.randn(1024, 8, requires_grad=True)
    targets = torch.arange(512)
    with Largest() as largest:
        function(hidden, weight, targets).backward()
    assert (largest.numbers == 2**14) == (function is cross_entropy)
    assert (largest.numbers == 512 * 1024) == (function is whole)  # what the hook would have seen


def test_a_chunk_has_at_least_a_row() -> None:
    hidden = torch.zeros(2, 4)
    weight = torch.zeros(2**22 + 1, 4)
    assert float(cross_entropy(hidden, weight, torch.tensor([0, 5]))) == pytest.approx(2 * math.log(2**22 + 1), rel=1e-6)


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_right_predictions_are_counted(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(losses.LOGITS_PER_CHUNK, "cpu", VOCABULARY * rows)
    hidden, weight, bias, targets = draw()
    best = functional.linear(hidden, weight, bias).argmax(-1)
    targets[0, :4] = best[0, :4]
    right = int(((best == targets) & (targets != IGNORE)).sum())
    loss, found = cross_entropy_and_right(hidden, weight, targets, bias)
    assert found.dtype == torch.int64 and int(found) == right >= 4
    loss.backward()
    assert hidden.grad is not None and not found.requires_grad
    assert int(cross_entropy_and_right(hidden * math.nan, weight, targets, bias)[1]) == 0
