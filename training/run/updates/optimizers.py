"""Optimisers and learning rates, each as its source defines it.

    adamw         decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101)
    google_adam   BERT's, without bias correction (google-research/bert, optimization.py)
    adafactor     torch's: second moments of a matrix from its rows and columns (Shazeer and Stern 2018, arXiv 1804.04235)
    rms_adamw     AdamW with steps in proportion to the size of the weights, as in Adafactor (nanoT5's AdamWScale)
    muon          orthogonal updates of hidden matrices (Jordan 2024), with steps as large as AdamW's (Moonlight, arXiv
                  2502.16982, 2.2), and AdamW for the rest; queries, keys and values apart, and the halves of a gate

Matrices and embeddings decay, norms and biases do not. A learning rate is its group's peak times the schedule's share, and
thus a function of the step alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim._muon import (  # torch exports it for whole weights only
    _zeropower_via_newtonschulz,  # pyright: ignore[reportPrivateUsage]
)

from training.models.families import layers
from training.run.config import TrainSection

_BLOCKS = {"query_key_value": 3, "key_value": 2, "gate_inner": 2}  # matrices in one weight (models/attention.py, blocks.py)
_SMALLEST_RMS = 1e-3  # of weights: a floor, so that steps of small weights do not vanish (Adafactor's epsilon 2)


class _ByWeight(torch.optim.Optimizer, ABC):
    """An optimiser that updates each weight by itself."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update all weights that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, self.state[weight], group)

    @abstractmethod
    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        """Update a weight by its gradient; `state` is what the optimiser keeps of it."""


class _Adam(_ByWeight):
    """An optimiser whose groups have "lr", "betas", "eps" and "weight_decay"."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float], eps: float) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": 0.0})


class GoogleAdam(_Adam):
    """Adam without bias correction, with decoupled decay: w -= rate (m / (sqrt(v) + epsilon) + decay w)."""

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        mean, root = _moments(state, gradient, group["betas"])
        change = mean / (root + group["eps"])
        weight.add_(change.add_(weight, alpha=group["weight_decay"]), alpha=-group["lr"])


class RMSAdamW(_Adam):
    """AdamW whose rate is multiplied by the root mean square of the weights (at least 0.001)."""

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        state["step"] = state.get("step", 0) + 1
        mean, root = _moments(state, gradient, group["betas"])
        first, second = (1 - beta ** state["step"] for beta in group["betas"])
        size = (weight.norm() / math.sqrt(weight.numel())).clamp(min=_SMALLEST_RMS)
        change = mean / first / (root / math.sqrt(second) + group["eps"]) * size
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"])


class Muon(_ByWeight, torch.optim.Muon):
    """torch's Muon, where each of a group's "blocks" of rows is a matrix of its own: queries, keys and values.

    The state is that of torch's, of the whole weight.
    """

    def __init__(self, groups: list[dict[str, Any]], lr: float, weight_decay: float) -> None:
        super().__init__(groups, lr=lr, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")

    def _update(self, weight: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        momentum: Tensor = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        change = gradient.lerp(momentum, group["momentum"])  # Nesterov's
        blocks, rows = group["blocks"], len(weight) // group["blocks"]
        if blocks > 1 and isinstance(change, DTensor):  # a share of rows may have a part of a block
            whole = self._orthogonal(change.full_tensor(), group)
            change = distribute_tensor(whole, change.device_mesh, change.placements, src_data_rank=None)
        else:
            change = self._orthogonal(change, group)
        rate = group["lr"] * 0.2 * math.sqrt(max(rows, weight.shape[1]))
        weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-rate)

    def _orthogonal(self, change: Tensor, group: dict[str, Any]) -> Tensor:
        def orthogonal(block: Tensor) -> Tensor:
            return _zeropower_via_newtonschulz(block, group["ns_coefficients"], group["ns_steps"], group["eps"])

        blocks = group["blocks"]
        return orthogonal(change) if blocks == 1 else torch.cat([orthogonal(block) for block in change.chunk(blocks)])


def optimizers(
    model: nn.Module, settings: TrainSection, batch_rows: int, shares: Mapping[str, float] | None = None
) -> list[torch.optim.Optimizer]:
    """Return the optimisers: one, or two for muon. Each group's "peak" is its peak learning rate.

    `shares` has the share of the rate that a weight gets, by name; 1 by default.
    """
    rate, betas, epsilon = peak(settings, batch_rows), settings.betas, settings.epsilon
    made: list[torch.optim.Optimizer]
    match settings.optimizer:
        case "adamw":
            made = [_adamw(_groups(model.parameters(), settings.weight_decay), settings, rate)]
        case "google_adam":
            made = [GoogleAdam(_groups(model.parameters(), settings.weight_decay), rate, betas, epsilon)]
        case "rms_adamw":
            made = [RMSAdamW(_groups(model.parameters(), settings.weight_decay), rate, betas, epsilon)]
        case "adafactor":
            made = [torch.optim.Adafactor(_groups(model.parameters(), settings.weight_decay), lr=rate)]
        case "muon":
            hidden = hidden_matrices(model)
            chosen = {id(weight) for weights in hidden.values() for weight in weights}
            rest = [weight for weight in model.parameters() if id(weight) not in chosen]
            groups = [{"params": weights, "blocks": blocks} for blocks, weights in hidden.items()]
            made = [Muon(groups, rate, settings.weight_decay), _adamw(_groups(rest, settings.weight_decay), settings, rate)]
    known = {id(weight): (shares or {}).get(name, 1.0) for name, weight in model.named_parameters()}
    for optimizer in made:
        optimizer.param_groups[:] = [
            {**group, "params": [w for w in group["params"] if known[id(w)] == share], "peak": rate * share}
            for group in optimizer.param_groups
            for share in sorted({known[id(weight)] for weight in group["params"]}, reverse=True)
        ]
    return made


def hidden_matrices(model: nn.Module) -> dict[int, list[Tensor]]:
    """Return the matrices of the layers, which Muon updates, without tables of positions (T5's relative bias).

    The key is the number of matrices of the papers that are one here, of equal sizes, one below the other.
    """
    found: dict[int, list[Tensor]] = {}
    for layer in layers(model):
        for name, weight in layer.named_parameters():
            if weight.ndim == 2 and name.endswith(".weight") and "bias" not in name:
                found.setdefault(_BLOCKS.get(name.split(".")[-2], 1), []).append(weight)
    return found


def peak(settings: TrainSection, batch_rows: int) -> float:
    """Return the peak learning rate, scaled to the size of the batch.

    Linear: k times the rows, k times the rate (Goyal et al. 2017, arXiv 1706.02677, 2.1; for SGD). Root: sqrt(k) times the rate
    (Malladi et al. 2022, arXiv 2205.10330; for Adam and its relatives).
    """
    more = batch_rows / (settings.base_batch_rows or batch_rows)
    return settings.learning_rate * (math.sqrt(more) if settings.batch_scaling == "sqrt" else more)


def share(step: int, settings: TrainSection) -> float:
    """Return the learning rate of update `step` (from 0) as a share of the peak.

    A linear warm-up has 1 / warmup_steps in the first update (never 0), and the peak in update `warmup_steps`. The decay ends at
    min_share with the last update; inverse_sqrt does not depend on the number of steps and never falls below min_share.
    """
    warmup, steps, least = settings.warmup_steps, settings.steps, settings.min_share
    if step < warmup:
        return 1.0 if settings.warmup == "constant" else (step + 1) / warmup
    way = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    match settings.schedule:
        case "cosine":
            return least + (1 - least) * 0.5 * (1 + math.cos(math.pi * way))
        case "linear":
            return 1 - (1 - least) * way
        case "constant":
            return 1.0
        case "inverse_sqrt":
            return max(least, math.sqrt(max(1, warmup) / max(1, step)))
        case "wsd":
            cooldown = settings.cooldown_steps or max(1, steps // 10)
            gone = min(1.0, max(0, step + 1 - (steps - cooldown)) / cooldown)
            return 1 - (1 - least) * (math.sqrt(gone) if settings.cooldown == "sqrt" else gone)


def set_learning_rates(optimizers: Sequence[torch.optim.Optimizer], share: float) -> float:
    """Set every group's learning rate to its peak times the share; return the first group's."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    for group in groups:
        group["lr"] = group["peak"] * share
    return float(groups[0]["lr"])


def clip(parameters: Iterable[Tensor], limit: float | None) -> Tensor:
    """Scale all gradients so that their global norm is at most `limit`; return the norm before, a scalar tensor."""
    norm = nn.utils.clip_grad_norm_(parameters, math.inf if limit is None else limit)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _adamw(groups: list[dict[str, Any]], settings: TrainSection, rate: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(groups, lr=rate, betas=settings.betas, eps=settings.epsilon, fused=True)


def _groups(weights: Iterable[Tensor], decay: float) -> list[dict[str, Any]]:
    """Split weights into matrices and embeddings, which decay, and vectors (norms, biases), which do not."""
    both = list(weights)
    matrices, vectors = [w for w in both if w.ndim >= 2], [w for w in both if w.ndim < 2]
    return [{"params": p, "weight_decay": d} for p, d in ((matrices, decay), (vectors, 0.0)) if p]


def _moments(state: dict[str, Any], gradient: Tensor, betas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Update both moments; return the first and the square root of the second."""
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    mean: Tensor = state["exp_avg"].mul_(betas[0]).add_(gradient, alpha=1 - betas[0])
    square: Tensor = state["exp_avg_sq"].mul_(betas[1]).addcmul_(gradient, gradient, value=1 - betas[1])
    return mean, square.sqrt()
