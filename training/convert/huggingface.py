"""Models in Hugging Face's folders: config.json, generation_config.json, model.safetensors.

The families' modules name the numbers and weights (`config`, `shape`, `rules`); this module holds what they share.
transformers is not imported.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert import bart, bert, distilbert, gpt, modernbert, roberta, t5
from training.convert.formats import weight_files
from training.convert.formats.weight_files import SHARD_BYTES
from training.convert.rules import Rule, WeightsError, to_ours, to_theirs
from training.models import families
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Model, Shape

CONFIG, GENERATION_CONFIG = "config.json", "generation_config.json"


@dataclass(frozen=True, slots=True)
class TaskHead:
    """What a class of a task adds to a family's model, in Hugging Face's names."""

    architecture: str
    weights: Mapping[str, Tensor]
    config: Mapping[str, Any]  # entries of config.json, the labels among them
    left_out: tuple[str, ...]  # beginnings of names of the family's weights that this class lacks


class Names(Protocol):
    """A family's module that maps our model to Hugging Face's.

    It may also define IGNORED and ZEROS, for `rules.to_ours`; OTHER_HEADS, weights that are left out; OUTER, which other
    classes put before all names; `complete`, which draws missing heads; and `fitted`, which fits the shape to the weights' names.
    """

    @property
    def ARCHITECTURE(self) -> str: ...  # noqa: D102
    def config(self, shape: Any, specials: Specials, /) -> dict[str, Any]: ...  # noqa: D102
    def shape(self, config: Mapping[str, Any], /) -> Any: ...  # noqa: D102
    def rules(self, shape: Any, /) -> list[Rule]: ...  # noqa: D102


BERTS: Mapping[str, Names] = {"bert": bert, "roberta": roberta, "distilbert": distilbert}  # by config.json's model_type
_BY_TYPE: Mapping[str, Names] = {**BERTS, "modernbert": modernbert}  # models whose family alone does not tell their names
FAMILIES: Mapping[str, Names] = {"bert": bert, "gpt": gpt, "bart": bart, "t5": t5}
MODEL_TYPES: Mapping[
    str, tuple[str, str]
] = {  # config.json's model_type -> family, and the prefix of names in a model with a head
    "bert": ("bert", "bert."),
    "roberta": ("bert", "roberta."),
    "distilbert": ("bert", "distilbert."),
    "gpt2": ("gpt", "transformer."),
    "bart": ("bart", "model."),
    "t5": ("t5", ""),
    "mt5": ("t5", ""),  # T5 1.1 over another vocabulary
    "modernbert": ("composed", "model."),
}
_OLD_ENDINGS = (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias"))  # in the first conversions
_GENERATION = (
    "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id",
)  # fmt: skip
_GENERATING = ("gpt", "bart", "t5")


def write(
    folder: Path,
    model: Model,
    family: str,
    specials: Specials,
    tokenizer_size: int,
    shard_bytes: int = SHARD_BYTES,
    head: TaskHead | None = None,
) -> None:
    """Write a model so that `AutoModel….from_pretrained(folder)` loads it; its tokenizer's files come from elsewhere.

    Tied weights are written once; the padding of the vocabulary beyond `tokenizer_size` is left out. config.json is written
    last: a folder without it is incomplete. Raises ValueError for a family that Hugging Face lacks, WeightsError if the
    files cannot be written.
    """
    names = names_of(family, model.shape)
    if tokenizer_size > model.shape.vocabulary:
        raise UserError(
            f"the tokenizer has {tokenizer_size} pieces, the model only {model.shape.vocabulary}; they do not belong to one run"
        )
    shape = replace(model.shape, vocabulary=tokenizer_size)
    rules, shapes, weights = names.rules(shape), shapes_of(shape), model.state_dict()
    assert {rule.ours for rule in rules} == set(shapes) == set(weights), "the rules are not of this model"
    cropped = {name: weights[name][: shapes[name][0]] for name in shapes}
    assert all(tensor.shape == shapes[name] for name, tensor in cropped.items()), "the vocabulary is not the first dimension"
    folder.mkdir(parents=True, exist_ok=True)
    theirs, config = to_theirs(rules, cropped), names.config(shape, specials)
    if head is not None:
        theirs = {name: tensor for name, tensor in theirs.items() if not name.startswith(head.left_out)} | dict(head.weights)
        config |= {"architectures": [head.architecture], **head.config}
    weight_files.write(folder, theirs, shard_bytes)
    if head is None and family in _GENERATING and getattr(shape, "decoder_layers", None) != 0:
        generation = {name: config[name] for name in _GENERATION if config.get(name) is not None}
        _write_json(folder / GENERATION_CONFIG, generation)
    _write_json(folder / CONFIG, config)


def read(folder: Path) -> tuple[str, Shape, dict[str, Tensor]]:
    """Return family, shape and weights (float32, under our names) of a folder.

    `pipelines.contract.tokenizers.published` reads its tokenizer. Raises WeightsError, with the file and the field or weight,
    for a model of another family, or an incomplete one.
    """
    path = folder / CONFIG
    config = weight_files.read_json(path)
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise WeightsError(f"{path}: model_type is {kind!r}; models of {', '.join(MODEL_TYPES)} can be read")
    family, prefix = MODEL_TYPES[kind]
    names = _BY_TYPE.get(kind) or _of_family(family)
    shape = _shape(names, config, path)
    theirs, where = weight_files.read(folder)
    _refuse_more_layers(shape, len(theirs), path)
    theirs = _without_other_heads(names, theirs, where)
    if (fitted := getattr(names, "fitted", None)) and (found := fitted(shape, theirs)) != shape:
        warnings.warn(f"{where}: has no weights of a decoder; the model is an encoder alone", stacklevel=2)
        shape = found
    rules = names.rules(shape)
    theirs = _with_todays_names(theirs, rules, prefix)
    if complete := getattr(names, "complete", None):
        theirs, drawn = complete(shape, theirs)
        if drawn:
            warnings.warn(f"{where}: has no {', '.join(drawn)}; new ones are drawn, which have learnt nothing", stacklevel=2)
    ignored, zeros = getattr(names, "IGNORED", ()), getattr(names, "ZEROS", ())
    ours = to_ours(rules, theirs, shapes_of(shape), where, ignored, zeros)
    return family, shape, {name: tensor.float() for name, tensor in ours.items()}


def other_ids(folder: Path, family: str, shape: Shape, specials: Specials) -> list[str]:
    """Return one line for each id in a folder's config.json that differs from the tokenizer's special piece."""
    theirs, ours = weight_files.read_json(folder / CONFIG), names_of(family, shape).config(shape, specials)
    return [
        f"{folder / CONFIG}: {name} is {theirs[name]}, and the tokenizer's is {ours[name]}, which is taken"
        for name in _GENERATION
        if theirs.get(name) is not None and ours.get(name) is not None and theirs[name] != ours[name]
    ]


def shapes_of(shape: Shape) -> dict[str, torch.Size]:
    """Return the shapes of a model's weights by name, without allocating them."""
    with torch.device("meta"):
        return {name: tensor.shape for name, tensor in families.build(shape).state_dict().items()}


def names_of(family: str, shape: Shape) -> Names:
    """Return the module that maps a model of this shape; for a BERT by its numbers. Raises UserError if Hugging Face has none."""
    if isinstance(shape, ComposedShape) and not shape.causal:
        modernbert.refuse_other_blocks(shape)
        return modernbert
    if not isinstance(shape, BERTShape):
        return _of_family(family)
    kind = "distilbert" if shape.segments == 0 else "roberta" if shape.first_position else "bert"
    if kind != "bert" and shape.pooled:
        raise UserError(
            f"a BERT of {shape.segments} segments, whose positions begin at {shape.first_position}, is Hugging Face's "
            f"{kind}, which has no head for pairs; set model.pooled to false"
        )
    if kind == "distilbert" and shape.first_position:
        raise UserError(f"first_position is {shape.first_position} beside segments = 0; Hugging Face has no such model")
    return BERTS[kind]


def _of_family(family: str) -> Names:
    if family not in FAMILIES:
        raise UserError(
            f"{family} is not a published family, so Hugging Face cannot load it; {', '.join(FAMILIES)} can be exported"
        )
    return FAMILIES[family]


def _shape(names: Names, config: Mapping[str, Any], path: Path) -> Shape:
    try:
        shape = names.shape(config)
    except KeyError as error:
        raise WeightsError(f"{path}: has no field {error}; give the file as it was published") from error
    except (TypeError, ZeroDivisionError) as error:
        raise WeightsError(f"{path}: has a number that no model can have ({error})") from error
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    for field in fields(shape):
        value, kind, least = getattr(shape, field.name), families.kind_of(field), families.least(shape, field.name)
        if value is None:
            continue
        if kind is int and (type(value) is not int or not least <= value <= 2**24):
            raise WeightsError(
                f"{path}: makes the model's {field.name} {value!r}; it must be a whole number from {least} to 2^24"
            )
        if kind is float and (type(value) not in (int, float) or not 0 <= value < 1):
            raise WeightsError(f"{path}: makes the model's {field.name} {value!r}; it must be a number from 0 to less than 1")
    return shape


def _refuse_more_layers(shape: Shape, weights: int, path: Path) -> None:
    """Refuse, before building them, more layers than there are weights."""
    for field in fields(shape):
        if "layers" in field.name and getattr(shape, field.name) > weights:
            raise WeightsError(
                f"{path}: makes the model's {field.name} {getattr(shape, field.name)}, but there are {weights} weights"
            )


def _without_other_heads(names: Names, theirs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Leave out the heads of other tasks, with a warning; and what their classes put before all names."""
    outer: str = getattr(names, "OUTER", "\0")
    todays = {name.removeprefix(outer): tensor for name, tensor in theirs.items()}
    left_out = [name for name in todays if name.startswith(getattr(names, "OTHER_HEADS", ()))]
    if left_out:
        warnings.warn(f"{where}: {', '.join(left_out)} are left out: a head of another task", stacklevel=3)
    return {name: tensor for name, tensor in todays.items() if name not in left_out}


def _with_todays_names(theirs: Mapping[str, Tensor], rules: Sequence[Rule], prefix: str) -> dict[str, Tensor]:
    """Return weights saved without a head, or by the first releases, under current names."""
    known = {name for rule in rules for name in rule.names}

    def name_today(name: str) -> str:
        for old, current in _OLD_ENDINGS:
            if name.endswith(old):
                name = name.removesuffix(old) + current
        return prefix + name if name not in known and prefix + name in known else name

    return {name_today(name): tensor for name, tensor in theirs.items()}


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    files.write_text(str(path), json.dumps(content, indent=2) + "\n")
