"""The families' models by name, and what they have in common.

Code that trains or uses a model calls it in these ways:

    losses(examples)      the objective's examples -> {term: sum of the loss over its predictions}, see training/objectives;
                          for BERT also {"<term>_right": the number of its right predictions}; models that write take
                          label_smoothing=
    logits(hidden)        (…, D) -> (…, V)
    GPT       hidden(inputs, real=, positions=, documents=, cache=), forward(the same without cache) -> logits
    BERT      hidden(inputs, segments=, real=), forward(…) -> logits of tokens (B, T, V) and of the pair (B, 2) or None
    Composed  as GPT, and ComposedEncoder hidden(inputs, real=, positions=, documents=), forward(the same) -> logits
    BART, T5  encode(inputs, real=) -> memory (B, S, D); decode(decoder_inputs, memory, real=, cache=) -> hidden (B, T, D),
              where `real` (B, S) is of the memory; forward(inputs, decoder_inputs, real=) -> logits
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, fields, replace
from types import NoneType
from typing import Any, cast, get_args

import torch
from torch import nn

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Family
from training.models import bart, bert, composed, composed_encoder, gpt, t5

Shape = gpt.GPTShape | bert.BERTShape | bart.BARTShape | t5.T5Shape | composed.ComposedShape
Masked = bert.BERT | composed_encoder.ComposedEncoder  # they fill masks
Model = gpt.GPT | bart.BART | t5.T5 | composed.Composed | Masked
SIZES: Mapping[str, Mapping[str, Shape]] = {
    "gpt": gpt.SIZES,
    "bert": bert.SIZES,
    "bart": bart.SIZES,
    "t5": t5.SIZES,
    "composed": composed.SIZES,
}
_FROM_ZERO: Mapping[type[Shape], tuple[str, ...]] = {  # whole numbers that may be 0
    bert.BERTShape: ("segments", "first_position"),
    t5.T5Shape: ("decoder_layers",),
}
_MODELS: Mapping[type[Shape], Callable[[Any], Model]] = {
    gpt.GPTShape: gpt.GPT,
    bert.BERTShape: bert.BERT,
    bart.BARTShape: bart.BART,
    t5.T5Shape: t5.T5,
    composed.ComposedShape: lambda shape: (composed.Composed if shape.causal else composed_encoder.ComposedEncoder)(shape),
}
_PIECES: Mapping[type[Shape], Family] = {bert.BERTShape: "bert", bart.BARTShape: "bart", t5.T5Shape: "t5"}


def shape(family: str, size: str, numbers: Mapping[str, Any]) -> Shape:
    """Return a size of a family with some of its numbers replaced.

    Raises ValueError, naming the field, for a size or a number that the family does not have, or a value out of range.
    """
    sizes = SIZES[family]
    if size not in sizes:
        raise UserError(f"size: {family} has no size {size!r}, but {', '.join(sizes)}")
    known = {field.name: field for field in fields(sizes[size])}
    for name, value in numbers.items():
        if name not in known:
            raise UserError(f"{name}: {family} has no such number, but {', '.join(known)}")
        _check(name, value, getattr(sizes[size], name), kind_of(known[name]), least(sizes[size], name))
    return replace(sizes[size], **numbers)


def kind_of(field: Field[Any]) -> type:
    """Return the type of a shape's number: int, float, bool or str, also of one that may be None."""
    kinds = cast(tuple[type, ...], get_args(field.type) or (field.type,))
    return next(kind for kind in kinds if kind is not NoneType)


def least(shape: Shape, name: str) -> int:
    """Return the smallest value of a whole number of a shape."""
    return 0 if name in _FROM_ZERO.get(type(shape), ()) else 1


def has_number(family: str, name: str) -> bool:
    """Return whether the family's shape has a number of this name."""
    return any(name in asdict(shape) for shape in SIZES[family].values())


def shape_of_dict(family: str, numbers: Mapping[str, Any]) -> Shape:
    """The shape that `dataclasses.asdict` made these numbers of. Raises ValueError when they are not those of the family.

    A checkpoint that was written before a number existed has the number's default, which is what all models had then.
    """
    known = next(iter(SIZES[family].values()))
    needed = {field.name for field in fields(known) if field.default is MISSING}
    if not needed <= set(numbers) <= set(asdict(known)):
        raise UserError(f"the numbers of a {family} are {', '.join(asdict(known))}, not {', '.join(numbers)}")
    values: dict[str, Any] = dict(numbers)
    if isinstance(left := values.get("layer_heads"), list):  # JSON has no tuples
        values["layer_heads"] = tuple(cast(list[int], left))
    return type(known)(**values)


def _check(name: str, value: object, like: object, kind: type, smallest: int) -> None:
    """Raise ValueError unless a value of this kind can stand in the place of another."""
    if kind is float:
        if not isinstance(value, int | float) or not 0 <= value < 1:
            raise UserError(f"{name}: must be a number from 0 to less than 1, not {value!r}")
    elif type(value) is not kind:
        raise UserError(f"{name}: must be like {kind.__name__ if like is None else repr(like)}, not {value!r}")
    elif kind is int and not smallest <= int(str(value)) <= 2**24:
        raise UserError(f"{name}: must be from {smallest} to 2^24, not {value}")


def pieces_of(shape: Shape) -> Family:
    """Return the family whose special pieces a model of this shape reads: GPT's, or BERT's if it fills masks."""
    if isinstance(shape, composed.ComposedShape) and not shape.causal:
        return "bert"
    return _PIECES.get(type(shape), "gpt")


def build(shape: Shape) -> Model:
    """Return a model of this shape, with weights drawn from torch's generator."""
    return _MODELS[type(shape)](shape)


def make(shape: Shape, seed: int) -> Model:
    """Return a new model whose weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(shape)


def parameters(model: nn.Module) -> int:
    """Return the number of weights; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers of all stacks: the units of compilation and of activation checkpointing."""
    return [layer for stack in model.modules() if isinstance(stack, nn.ModuleList) for layer in stack]
