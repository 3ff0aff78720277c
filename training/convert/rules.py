"""Weights under other names: a table of rules a project and family, read in both directions.

Rule("layers.0.attention.query_key_value.weight", ("h.0.attn.c_attn.weight",), transposed=True)
Rule("layers.0.attention.query_key_value.bias", ("q.bias", "k.bias", "v.bias"))      joined along the first dimension
Rule("embeddings.tokens.weight", ("wte.weight",), also=("lm_head.weight",))          one weight under two names
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


class WeightsError(ValueError):
    """Weights are not those of the model; the message names the file, the weight and the fix."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What one weight of ours is called elsewhere."""

    ours: str
    theirs: tuple[str, ...]  # several are joined along the first dimension, in equal parts
    transposed: bool = False  # theirs is (in, out), ours (out, in)
    also: tuple[str, ...] = ()  # other names of the same weight (tied): not written; where they are found, they must be equal


def to_theirs(rules: Sequence[Rule], weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our weights (or their gradients) under the other project's names; shares memory where nothing is transposed or cut."""
    found: dict[str, Tensor] = {}
    for rule in rules:
        parts = weights[rule.ours].chunk(len(rule.theirs))
        found.update({name: part.t() if rule.transposed else part for name, part in zip(rule.theirs, parts, strict=True)})
    return found


def to_ours(
    rules: Sequence[Rule], theirs: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], where: str, ignored: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Another project's weights under our names.

    `shapes` are those of our model, `where` the file for messages, `ignored` names of theirs that hold no weight of the model
    (buffers). Raises WeightsError that names a weight which is missing, too many, of another shape, or not tied as it should be.
    """
    known = {name for rule in rules for name in (*rule.theirs, *rule.also)}
    missing = [name for rule in rules for name in rule.theirs if name not in theirs]
    if missing:
        raise WeightsError(f"{where}: has no weight {_some(missing)}; it is another model, or not whole")
    extra = sorted(set(theirs) - known - set(ignored))
    if extra:
        raise WeightsError(f"{where}: has weights that the model has not: {_some(extra)}")
    return {rule.ours: _ours(rule, theirs, shapes[rule.ours], where) for rule in rules}


def _ours(rule: Rule, theirs: Mapping[str, Tensor], shape: torch.Size, where: str) -> Tensor:
    parts = [theirs[name].t() if rule.transposed else theirs[name] for name in rule.theirs]
    wanted = torch.Size([shape[0] // len(parts), *shape[1:]])
    for name, part in zip(rule.theirs, parts, strict=True):
        if part.shape != wanted:
            told = tuple(reversed(wanted)) if rule.transposed else tuple(wanted)
            raise WeightsError(f"{where}: {name} has the shape {tuple(theirs[name].shape)}, the config's numbers make it {told}")
    for name in rule.also:
        if name in theirs and not torch.equal(theirs[name], theirs[rule.theirs[0]]):
            raise WeightsError(f"{where}: {name} differs from {rule.theirs[0]}, and this model has one weight for both")
    return parts[0].clone() if len(parts) == 1 else torch.cat(parts)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" (and {len(names) - 3} more)" if len(names) > 3 else "")
