"""A smaller model learns from a tuned one (Hinton et al. 2015, arXiv 1503.02531; Sanh et al. 2019, arXiv 1910.01108, 2).

    [model]
    base = "build/finetune/sst2"         # the teacher's run: the student begins as some of its layers,
    layers = 2                           # the first, the last, and those evenly between
    [distill]
    teacher = "build/finetune/sst2"

    loss = labels_share * task loss + logits_share * t^2 * KL(teacher || student) + hidden_share * MSE of hidden states

The divergence is of the softmax of logits / t. Layer j of n in the student is compared with layer (j + 1) * N / n - 1 of N in
the teacher (TinyBERT, Jiao et al. 2020, arXiv 1909.10351, 3), at all real tokens. In evaluations the loss is the task's alone.

Limits: tasks with a head of classes (classification, named_entities, relations, and numbers, by their squared difference).
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models import attention, families
from training.models.families import Model, Shape
from training.models.tuned import Tuned
from training.tasks.config import DistillSection
from training.tasks.errors import TaskError
from training.tasks.input.rows import INPUTS, LENGTHS

_KINDS = ("classification", "named_entities", "relations")
_LAYERS = ("layers", "encoder_layers", "decoder_layers")  # fields of shapes


def fewer_layers(base: Model, layers: int) -> Model:
    """Return a model of the first `layers` of each stack of another, evenly spaced from its first to its last.

    Raises TaskError for more layers than a stack has.
    """
    numbers = {name: getattr(base.shape, name) for name in _LAYERS if getattr(base.shape, name, 0)}
    if layers > min(numbers.values()):
        raise TaskError(f"model.layers: {layers} are more than the base's {min(numbers.values())}; lower it")
    shape: Shape = replace(base.shape, **dict.fromkeys(numbers, layers), **_heads_of_layers(base.shape, layers))
    model, weights = families.build(shape), dict[str, Tensor]()
    theirs = base.state_dict()
    stacks = {name: len(stack) for name, stack in base.named_modules() if isinstance(stack, nn.ModuleList)}
    for name in model.state_dict():
        weights[name] = theirs[_source(name, stacks, layers)]
    model.load_state_dict(weights)
    return model


def _heads_of_layers(shape: Shape, layers: int) -> dict[str, Any]:
    """Return the heads that pruning left in the chosen layers, as a field of the shape."""
    left = getattr(shape, "layer_heads", None)
    return {} if left is None else {"layer_heads": tuple(left[number] for number in chosen(len(left), layers))}


def _source(name: str, stacks: Mapping[str, int], layers: int) -> str:
    for stack, count in stacks.items():
        if name.startswith(f"{stack}."):
            number, _, rest = name.removeprefix(f"{stack}.").partition(".")
            return f"{stack}.{chosen(count, layers)[int(number)]}.{rest}"
    return name


def chosen(count: int, layers: int) -> list[int]:
    """Return which of `count` layers a student of `layers` takes.

    >>> chosen(12, 6)  # DistilBERT's
    [0, 2, 4, 7, 9, 11]
    """
    return [round(n * (count - 1) / max(1, layers - 1)) for n in range(layers)]


def losses(
    section: DistillSection,
    task: Callable[[Tuned, Mapping[str, Tensor]], dict[str, Tensor]],
    counts: Callable[[Any], dict[str, int]],
    teacher: Tuned,
) -> Callable[[Tuned, Mapping[str, Tensor]], dict[str, Tensor]]:
    """Return the losses of a student: those of its task, with what the teacher says, as sums over the task's predictions."""
    teacher.eval().requires_grad_(False)

    def distilled(student: Tuned, examples: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if not student.training:
            return task(student, examples)
        teacher.to(examples[INPUTS].device)
        with watched(teacher) as wanted, torch.no_grad():
            task(teacher, examples)
        with watched(student) as found:
            (term, of_labels), *_ = task(student, examples).items()
        count = counts(examples)[term]
        added = section.logits_share * divergence(found.logits, wanted.logits, section.temperature)
        if section.hidden_share:
            added = added + section.hidden_share * distance(found.hidden, wanted.hidden, examples[LENGTHS])
        return {term: section.labels_share * of_labels + count * added}

    return distilled


class _Seen:
    """The logits of a pass, and the outputs of all layers."""

    def __init__(self) -> None:
        self.hidden: list[Tensor] = []
        self.heads: list[Tensor] = []

    @property
    def logits(self) -> Tensor:
        """What the head returned."""
        return self.heads[-1]


@contextmanager
def watched(model: Tuned) -> Generator[_Seen]:
    """Keep what the layers and the head of a model return within this context."""
    seen = _Seen()

    def keep(into: list[Tensor]) -> Callable[[nn.Module, Any, Tensor], None]:
        return lambda _module, _inputs, output: into.append(output)

    assert model.head is not None
    hooks = [layer.register_forward_hook(keep(seen.hidden)) for layer in families.layers(model.body)]
    hooks.append(model.head.register_forward_hook(keep(seen.heads)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Return the mean over predictions of t^2 * KL(teacher || student): logits (…, C); or half (difference of numbers)^2."""
    if student.shape[-1] == 1:
        return functional.mse_loss(student.float(), teacher.float()) / 2
    one, two = (logits.float().flatten(0, -2) / temperature for logits in (student, teacher))
    kl = functional.kl_div(one.log_softmax(-1), two.log_softmax(-1), reduction="batchmean", log_target=True)
    return kl * temperature**2


def distance(student: Sequence[Tensor], teacher: Sequence[Tensor], lengths: Tensor) -> Tensor:
    """Return the mean squared difference of hidden states (B, T, D) at real tokens, over the layers of the student."""
    real = attention.real_tokens(lengths, student[0].shape[1])
    pairs = [(one, teacher[(n + 1) * len(teacher) // len(student) - 1]) for n, one in enumerate(student)]
    return torch.stack([functional.mse_loss(one[real], two[real]) for one, two in pairs]).mean()


def refuse(section: DistillSection, kind: str, student: Tuned, teacher: Tuned, tokenizers: tuple[Tokenizer, Tokenizer]) -> None:
    """Raise TaskError if a student cannot learn from a teacher of the same task."""
    if kind not in _KINDS or student.head is None:
        raise TaskError(f"distill: a {kind} of this family has no head of classes; {', '.join(_KINDS)} can be distilled")
    if tokenizers[0].sha256 != tokenizers[1].sha256:
        raise TaskError(f"distill.teacher: {section.teacher} has another tokenizer than model.base; name a student with the same")
    if section.hidden_share and (
        student.body.shape.width != teacher.body.shape.width or type(student.body) is not type(teacher.body)
    ):
        raise TaskError("distill.hidden_share: hidden states of the student have another width than the teacher's; set it to 0.0")


def begin_as(student: Tuned, teacher: Tuned) -> None:
    """Let the student's head begin as the teacher's, where they have the same shapes."""
    assert student.head is not None and teacher.head is not None
    theirs = teacher.head.state_dict()
    if {name: tensor.shape for name, tensor in theirs.items()} == {n: t.shape for n, t in student.head.state_dict().items()}:
        student.head.load_state_dict(theirs)
