"""Weights under other names: one table of rules per project and family, applied in both directions.

Rule("layers.0.attention.query_key_value.weight", ("h.0.attn.c_attn.weight",), transposed=True)
Rule("layers.0.attention.query_key_value.bias", ("q.bias", "k.bias", "v.bias"))      joined along the first dimension
Rule("embeddings.tokens.weight", ("wte.weight",), also=("lm_head.weight",))          one weight under two names
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.contract.errors import UserError


class WeightsError(UserError):
    """Weights are not those of the model; the message names the file, the weight and the fix."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The names of one of our weights in another project."""

    ours: str
    theirs: tuple[str, ...]  # several are joined along the first dimension, in equal parts
    transposed: bool = False  # theirs is (in, out), ours (out, in)
    also: tuple[str, ...] = ()  # other names of the same (tied) weight: not written; if present, they must be equal
    copies: tuple[str, ...] = ()  # names of copies that no one uses: written, and read only where theirs is absent

    @property
    def names(self) -> tuple[str, ...]:
        """All names of theirs."""
        return (*self.theirs, *self.also, *self.copies)


def inner(given: int | None, width: int) -> int | None:
    """Return the inner width of a feed-forward block as shapes have it: None for four times the model's, the usual one."""
    return None if given is None or given == 4 * width else given


def with_head(theirs: Mapping[str, Tensor], head: str, tokens: str) -> dict[str, Tensor]:
    """Return their weights with a head of its own, which begins as the token embedding where there is none; warn if so.

    A model that was made with such a head and never trained saves one weight for both.
    """
    if head in theirs or tokens not in theirs:
        return dict(theirs)
    warnings.warn(f"there is no {head}: it begins as {tokens}, as transformers 5 takes it", stacklevel=4)
    return {**theirs, head: theirs[tokens]}


def to_theirs(rules: Sequence[Rule], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights (or their gradients) under the other project's names, as views of ours."""
    views: dict[str, Tensor] = {}
    for rule in rules:
        parts = weights[rule.ours].chunk(len(rule.theirs))
        views.update({name: part.t() if rule.transposed else part for name, part in zip(rule.theirs, parts, strict=True)})
        views.update({name: weights[rule.ours].clone() for name in rule.copies})
    return views


def to_ours(
    rules: Sequence[Rule],
    theirs: Mapping[str, Tensor],
    shapes: Mapping[str, torch.Size],
    where: str,
    ignored: Iterable[str] = (),
    zeros: Iterable[str] = (),
) -> dict[str, Tensor]:
    """Return another project's weights under our names, as contiguous copies of the same dtype.

    A tied weight may be stored under any of its names.

    Args:
        rules: the other project's names of our weights.
        theirs: their weights.
        shapes: those of our model's weights.
        where: the file, for messages.
        ignored: names of theirs, or their ends after a dot, that hold no weight of the model (buffers).
        zeros: the same for tensors that the model does not have, and that may be left out if they are all zeros.

    Raises WeightsError that names a weight that is missing, unknown, of another shape, not real, or not tied as it
    should be.
    """
    missing = [rule.theirs[0] for rule in rules if len(rule.theirs) == 1 and not _names(rule, theirs)]
    missing += [name for rule in rules if len(rule.theirs) > 1 for name in rule.theirs if name not in theirs]
    if missing:
        raise WeightsError(f"{where}: has no weight {_some(missing)}; it is another model than its config says, or not whole")
    _refuse_extra(rules, theirs, where, tuple(ignored), tuple(zeros))
    return {rule.ours: _ours(rule, theirs, shapes[rule.ours], where) for rule in rules}


def _names(rule: Rule, theirs: Mapping[str, Tensor]) -> list[str]:
    """Return the names under which a weight that is not split is stored."""
    return [name for name in (*rule.theirs, *rule.also) if name in theirs] or [name for name in rule.copies if name in theirs][:1]


def _refuse_extra(
    rules: Sequence[Rule], theirs: Mapping[str, Tensor], where: str, ignored: tuple[str, ...], zeros: tuple[str, ...]
) -> None:
    known = {name for rule in rules for name in rule.names}
    unknown = [name for name in sorted(theirs) if name not in known and not _ends(name, ignored)]
    for name in [name for name in unknown if _ends(name, zeros)]:
        if theirs[name].count_nonzero():
            raise WeightsError(f"{where}: {name} is not zero, and the model has no such weight; it is another model")
        unknown.remove(name)
    if unknown:
        raise WeightsError(f"{where}: has weights that the model lacks: {_some(unknown)}; it is another model")


def _ends(name: str, endings: tuple[str, ...]) -> bool:
    return any(name == ending or name.endswith(f".{ending}") for ending in endings)


def _ours(rule: Rule, theirs: Mapping[str, Tensor], shape: torch.Size, where: str) -> Tensor:
    if len(rule.theirs) > 1:
        wanted = torch.Size([shape[0] // len(rule.theirs), *shape[1:]])
        return torch.cat([_part(theirs[name], name, rule, wanted, where) for name in rule.theirs])
    parts = {name: _part(theirs[name], name, rule, shape, where) for name in _names(rule, theirs)}
    first = next(iter(parts))
    for name, part in parts.items():
        if not torch.equal(part, parts[first]):
            raise WeightsError(f"{where}: {name} differs from {first}, and this model has one weight for both")
    return parts[first].clone(memory_format=torch.contiguous_format)


def _part(tensor: Tensor, name: str, rule: Rule, wanted: torch.Size, where: str) -> Tensor:
    """Return one of their weights in our layout, after checking its shape."""
    expected = tuple(reversed(wanted)) if rule.transposed else tuple(wanted)
    if tuple(tensor.shape) != expected:
        raise WeightsError(f"{where}: {name} has the shape {tuple(tensor.shape)}, by the numbers of the config it is {expected}")
    if not tensor.is_floating_point() or tensor.layout != torch.strided:
        held = tensor.dtype if tensor.layout == torch.strided else tensor.layout
        raise WeightsError(f"{where}: {name} holds {held}, not plain real numbers; give the weights as they were published first")
    return tensor.t() if rule.transposed else tensor


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" (and {len(names) - 3} more)" if len(names) > 3 else "")
