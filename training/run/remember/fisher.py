"""How much each weight of a model matters for a text: the diagonal of its Fisher information."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from training.data.draws import key
from training.data.order.sampler import permute
from training.models.families import Model
from training.run.device import Device
from training.run.feed import Feed

_ROWS_SEED = 20_261_201  # chooses the rows: the same in every run over the same data


def fisher(model: Model, rows: Iterable[dict[str, Tensor]], targets: int) -> dict[str, Tensor]:
    """Return the sum over rows of the squared gradient of the row's loss, divided by the targets of all rows, by weight.

    `rows` are examples of one row each. The loss of a row is the sum over its targets (of BERT with that of its pair), so this
    is the curvature of the mean loss per target, in nats: strength / 2 * F (w - w_old)^2 with a strength of 1 estimates what the
    old loss loses. The gradients are those of the text's own tokens: the empirical Fisher information (Kunstner et al. 2019,
    arXiv 1905.12558, say how it differs from that of tokens the model would draw).
    """
    total = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
    model.eval()
    for examples in rows:
        model.zero_grad(set_to_none=True)
        sums = model.losses(examples)
        torch.stack([value for value in sums.values() if value.requires_grad]).sum().backward()
        for name, weight in model.named_parameters():
            if weight.grad is not None:
                total[name].addcmul_(weight.grad, weight.grad)
    model.zero_grad(set_to_none=True)
    return {name: value / max(1, targets) for name, value in total.items()}


def of_feed(model: Model, feed: Feed, rows: int, device: Device) -> dict[str, Tensor]:
    """Return the Fisher information over the first `rows` rows of a feed (or all) in a fixed hashed order, always the same."""
    numbers = permute(np.arange(min(rows, len(feed.index)), dtype=np.int64), len(feed.index), key(_ROWS_SEED))
    examples = [feed.examples(number[None], key(_ROWS_SEED, number)) for number in numbers]
    targets = sum(feed.counts(one)["tokens"] for one in examples)
    return fisher(model, (device.tensors(one) for one in examples), targets)
