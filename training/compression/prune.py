"""Take the heads of attention that matter least out of a BERT or a GPT: `corpusmill compress RUN --prune-heads 0.4 --out DIR`.

The importance of head h of a layer is how much the loss of a row moves with a factor on the head's output (Michel et al. 2019,
arXiv 1905.10650, 4.1):

    I_h = mean over rows of | dL / dfactor_h |  where factor_h = 1,      divided by the l2 norm of the layer's importances

The rows are a fine-tuning's training records, or other records of its task, or training rows of a pretraining. The least
important heads of all layers together go, but for the last of a layer. The matrices of attention are smaller then: the model
needs less memory and time, and every command opens it; fine-tuning it again usually wins back much of what was lost.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from training.checkpoints import store as checkpoints
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import Checkpoint
from training.checkpoints.trained import BODY, TASK
from training.compression.small import CompressionError, whole, write
from training.data.draws import key
from training.generation.answers import evaluated
from training.models import heads
from training.models.attention import SelfAttention
from training.models.bert import BERT
from training.models.families import Model
from training.models.gpt import GPT
from training.models.loss import RIGHT
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.feed import TRAIN, open_feed
from training.run.state import CONFIG
from training.run.validation import micro_batch, validation
from training.tasks import tuned as tuning

PRUNED = "pruned"  # in the state: {"share", "of", "kept"}, the heads of each layer that are left, and "importance"
Examples = Mapping[str, Tensor]
Losses = Callable[[Examples], Mapping[str, Tensor]]
_SEED = 20_261_130  # chooses the records


def prune(run: str | Path, share: float, out: str | Path, data: str | None, rows: int, device: Device) -> Path:
    """Write a run's model without this share of its heads into a new folder; return the checkpoint's path.

    Args:
        run: a fine-tuning or a pretraining; adapters are added to their layers first.
        share: of all heads, between 0 and 1.
        out: a folder that is empty or does not exist.
        data: records of the task on which heads are judged; None: the training records or rows of the run.
        rows: at most so many of them, chosen by hash.
        device: where heads are judged.

    Raises CheckpointError, CompressionError, TaskError, DatasetError.
    """
    found = whole(run, out)
    _refuse(found)
    scores = _scores(found, here(run), data, rows, device)
    source = trained.load(found.path)
    kept = most_important(scores, share, str(found.path))
    smaller = heads.without_heads(source.model, kept)
    described = trained.described(smaller, source.family, source.tokenizer)
    facts = {"share": share, "of": str(found.path), "kept": kept, "importance": scores.tolist()}
    return write(run, out, found, _with_head(found, smaller), {**described, PRUNED: facts}, checkpoints.FORMAT)


def _refuse(found: Checkpoint) -> None:
    """Raise CompressionError for a run whose heads cannot be taken out."""
    if (family := found.fact("model")["family"]) not in ("bert", "gpt"):
        raise CompressionError(f"{found.path}: is a {family}; heads can be taken out of BERT and GPT")
    if found.state.get(TASK, {}).get("body", {}).get("tuning") in ("prompt", "prefix"):
        raise CompressionError(f"{found.path}: has a trained prompt or prefix, which is for all its heads; prune its model.base")


def _scores(found: Checkpoint, run: Path, data: str | None, rows: int, device: Device) -> Tensor:
    """Return the importance of the heads by what the run was trained on."""
    if TASK in found.state:
        return _on_task(found.path, data, rows, device)
    if data is not None:
        raise CompressionError(f"{run}: has no task, so its heads are judged on the text of its pretraining; leave out --data")
    if not (run / CONFIG).exists():
        raise CompressionError(
            f"{run}: has no task and no text to judge heads on; fine-tune it first, or name a pretraining's folder"
        )
    return _on_text(found.path, run, rows, device)


def _on_task(path: Path, data: str | None, rows: int, device: Device) -> Tensor:
    tuned = tuning.load(path)
    records = tuned.read(data or tuned.section.train)
    chosen = np.zeros(len(records), bool)
    chosen[np.argsort(key(_SEED, np.arange(len(records))), kind="stable")[:rows]] = True
    encoded = tuned.task.rows(records.where(chosen))
    batches = (device.tensors(encoded.batch(numbers)) for numbers in tuning.batches(encoded))
    tuned.model.to(device.name)
    return importance(heads.can_lose_heads(tuned.model.body), tuned.model, tuned.model.losses, batches)


def _on_text(path: Path, run: Path, rows: int, device: Device) -> Tensor:
    config = PretrainConfig.model_validate_json((run / CONFIG).read_bytes())
    feed = open_feed(config, folder=config.data.rows or run / "rows", split=TRAIN)
    model = heads.can_lose_heads(trained.load(path).model.to(device.name))
    batches = (device.tensors(held.examples) for held in validation(feed, TRAIN, rows, micro_batch(config)).batches)
    return importance(model, model, model.losses, batches)


def importance(body: BERT | GPT, model: nn.Module, losses: Losses, batches: Iterable[Examples]) -> Tensor:
    """Return how much each head matters to a model with this body: (layers, most heads), -1 where a layer has fewer heads."""
    counts, like = body.shape.heads_by_layer, next(body.parameters())
    sums, rows = [torch.zeros(count, dtype=torch.float64) for count in counts], 0
    with evaluated(model):
        for examples in batches:
            size = len(next(iter(examples.values())))
            factors = [like.new_ones(size, count).requires_grad_() for count in counts]
            with scaled(body, factors):
                loss = sum(value for name, value in losses(examples).items() if not name.endswith(RIGHT))
            assert isinstance(loss, Tensor)
            for total, slope in zip(sums, torch.autograd.grad(loss, factors), strict=True):
                total += slope.abs().sum(0).double().cpu()
            rows += size
    assert rows, "no rows"
    out = torch.full((len(counts), max(counts)), -1.0, dtype=torch.float64)
    for line, total in zip(out, sums, strict=True):
        line[: len(total)] = total / total.norm().clamp_min(1e-30)
    return out


@contextmanager
def scaled(body: Model, factors: Sequence[Tensor]) -> Generator[None]:
    """Multiply the heads of each layer by factors (B, H) or (1, H) within this context."""
    attentions = [module for module in body.modules() if isinstance(module, SelfAttention)]

    def scale(factor: Tensor, _module: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        mixed = given[0].unflatten(2, (factor.shape[1], -1))  # (B, T, H, K)
        return ((mixed * factor[:, None, :, None]).flatten(2),)

    hooks = [
        attention.output.register_forward_pre_hook(partial(scale, factor))
        for attention, factor in zip(attentions, factors, strict=True)
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def most_important(scores: Tensor, share: float, where: str) -> list[list[int]]:
    """Return the heads to keep in each layer: all but this share of them, at least one in each layer.

    >>> most_important(torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.3, 0.2]]), 0.5, "a run")
    [[0, 2], [1]]

    Raises CompressionError if the share is no head, or more than can go.
    """
    present = scores >= 0
    total, layers = int(present.sum()), len(scores)
    count = round(share * total)
    if not 1 <= count <= total - layers:
        raise CompressionError(
            f"{where}: --prune-heads {share:g} are {count} of its {total} heads; from 1 to {total - layers} can go, as each of "
            f"{layers} layers keeps one"
        )
    order = [(layer, head) for layer, head in present.nonzero().tolist() if head != int(scores[layer].argmax())]
    order.sort(key=lambda place: float(scores[place]))
    gone = set(order[:count])
    return [
        [head for head in range(len(line)) if present[layer, head] and (layer, head) not in gone]
        for layer, line in enumerate(scores)
    ]


def _with_head(found: Checkpoint, body: Model) -> dict[str, Tensor]:
    """Return the weights for a checkpoint: those of the body, and of the task's head as they were."""
    weights: dict[str, Any] = body.state_dict()
    if TASK not in found.state:
        return weights
    head = {name: tensor for name, tensor in found.load("model").items() if not name.startswith(BODY)}
    return head | {BODY + name: tensor for name, tensor in weights.items()}
