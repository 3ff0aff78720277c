"""Encoders of composed blocks and Hugging Face's `ModernBertForMaskedLM` (Warner et al. 2024, arXiv 2412.13663).

config.json has the published fields, which transformers reads from 4.48 on; release 5 writes `layer_types` and `rope_parameters`
in place of four of them, and both are read.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert.activations import activation, activation_name
from training.convert.rules import Rule
from training.models.composed import GATED, INIT_STD, NORM_EPSILONS, ComposedShape

ARCHITECTURE = "ModernBertForMaskedLM"
OTHER_HEADS = ("classifier.",)  # of other tasks
_TOKENS, _DECODER = "model.embeddings.tok_embeddings.weight", "decoder"
_HEADS = ("head.", "decoder.")  # a folder may lack any of them as a whole
_GLOBAL, _LOCAL = "full_attention", "sliding_attention"
_GATES = {ours: theirs for theirs, ours in GATED.items()}  # the feed-forward by its activation
_NUMBERS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "inner": "intermediate_size",
    "vocabulary": "vocab_size",
    "length": "max_position_embeddings",
}
_BIASES = ("attention_bias", "mlp_bias", "norm_bias", "classifier_bias")
_EXPECTED = {"decoder_bias": True, "tie_word_embeddings": True}  # a config without the field has it, too
_BLOCKS = {"norm": "layer", "norm_place": "pre", "positions": "rotary", "embedding_norm": True}


def config(shape: ComposedShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape."""
    named = activation_name(shape.activation)
    return {
        "model_type": "modernbert",
        "architectures": [ARCHITECTURE],
        **{theirs: getattr(shape, ours) for ours, theirs in _NUMBERS.items()},
        "intermediate_size": shape.inner_width,
        "hidden_activation": named,
        "classifier_activation": named,
        "norm_eps": NORM_EPSILONS["layer"] if shape.norm_epsilon is None else shape.norm_epsilon,
        **dict.fromkeys(_BIASES, shape.biases),
        **_EXPECTED,
        "global_attn_every_n_layers": 1 if shape.window is None else shape.global_every,
        "local_attention": shape.window or 128,
        "global_rope_theta": float(shape.rotary_base),
        "local_rope_theta": float(shape.local_rotary_base or shape.rotary_base),
        **dict.fromkeys(("attention_dropout", "embedding_dropout", "mlp_dropout"), shape.dropout),
        "initializer_range": INIT_STD,
        "bos_token_id": specials.begin,
        "cls_token_id": specials.begin,
        "eos_token_id": specials.end,
        "sep_token_id": specials.end,
        "pad_token_id": specials.pad,
    }


def refuse_other_blocks(shape: ComposedShape) -> None:
    """Raise UserError, naming the number, for an encoder whose blocks are not ModernBERT's."""
    for name, wanted in _BLOCKS.items():
        if getattr(shape, name) != wanted:
            raise UserError(f"{name} is {getattr(shape, name)!r}, and Hugging Face's ModernBERT has only {wanted!r}")
    if shape.feed_forward not in GATED:
        raise UserError(f"feed_forward is {shape.feed_forward!r}, and Hugging Face's ModernBERT has only {', '.join(GATED)}")


def shape(config: Mapping[str, Any]) -> ComposedShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not ModernBERT's.

    Use `embedding_dropout` of its three dropouts: all are 0 in the published models.
    """
    if config.get("model_type", "modernbert") != "modernbert":
        raise UserError(f"model_type is {config['model_type']!r}; this is not a ModernBERT")
    for field, expected in _EXPECTED.items():
        if config.get(field, expected) != expected:
            raise UserError(f"{field} is {config[field]!r}; this program knows only {expected!r}, as ModernBERT was published")
    missing = [theirs for theirs in _NUMBERS.values() if type(config.get(theirs)) is not int]
    if missing:
        raise UserError(
            f"{missing[0]} must be a whole number, and is {config.get(missing[0])!r}; give a ModernBERT's config.json"
        )
    biases = bool(config.get(_BIASES[0], False))
    if (other := next((field for field in _BIASES if bool(config.get(field, False)) != biases), None)) is not None:
        raise UserError(f"{other} is {config.get(other)!r} beside {_BIASES[0]} = {biases}; this program knows all or none")
    inner, head = (activation(config, field, "gelu") for field in ("hidden_activation", "classifier_activation"))
    if inner != head:
        raise UserError(
            f"classifier_activation is {head!r} beside hidden_activation = {inner!r}; this program knows one for both"
        )
    every, local = _every(config), config.get("local_attention", 128)
    return ComposedShape(
        **{ours: config[theirs] for ours, theirs in _NUMBERS.items()},
        dropout=float(config.get("embedding_dropout", 0.0)),
        norm="layer",
        norm_place="pre",
        positions="rotary",
        feed_forward=_GATES[inner],
        biases=biases,
        causal=False,
        norm_epsilon=config.get("norm_eps", NORM_EPSILONS["layer"]),
        embedding_norm=True,
        rotary_base=_base(config, _GLOBAL, "global_rope_theta", 160_000),
        window=None if every == 1 else local,
        global_every=every,
        local_rotary_base=_base(config, _LOCAL, "local_rope_theta", 10_000),
    )


def _every(config: Mapping[str, Any]) -> int:
    """Return the distance of global layers. Raises UserError for other ones than 0, n, 2 n and so on."""
    kinds = cast("Sequence[str] | None", config.get("layer_types"))
    if kinds is None:
        every = config.get("global_attn_every_n_layers", 3)
        if type(every) is not int or every < 1:
            raise UserError(f"global_attn_every_n_layers is {every!r}; it must be a whole number from 1")
        return every
    layers: int = config["num_hidden_layers"]
    every = next((n for n in range(1, len(kinds)) if kinds[n] == _GLOBAL), layers)
    if len(kinds) != layers or list(kinds) != [_LOCAL if n % every else _GLOBAL for n in range(layers)]:
        raise UserError(
            f"layer_types is {list(kinds)}; this program knows only global layers at equal distances from the first on"
        )
    return every


def _base(config: Mapping[str, Any], kind: str, field: str, default: int) -> int:
    """Return the base of the rotary positions in layers of a kind. Raises UserError for scaled ones."""
    turns = dict((config.get("rope_parameters") or {}).get(kind) or {})
    if config.get("rope_scaling") is not None or turns.get("rope_type", "default") != "default":
        raise UserError(f"rope_parameters of {kind} are {turns}; this program knows only positions that are not scaled")
    base = turns.get("rope_theta", config.get(field, default))
    if type(base) not in (int, float) or base != int(base):
        raise UserError(f"{field} is {base!r}; it must be a whole number")
    return int(base)


def rules(shape: ComposedShape) -> list[Rule]:
    """Return the rules that name every weight in `ModernBertForMaskedLM`'s state dict."""
    table = [
        Rule("embeddings.tokens.weight", (_TOKENS,), also=(f"{_DECODER}.weight",)),
        Rule("token_head.bias", (f"{_DECODER}.bias",)),
    ]
    names = {"embeddings.norm": "model.embeddings.norm", "norm": "model.final_norm"}
    for n in range(shape.layers):
        ours, theirs = f"layers.{n}", f"model.layers.{n}"
        names |= {f"{ours}.attention_norm": f"{theirs}.attn_norm"} if n else {}
        names |= {f"{ours}.attention.query_key_value": f"{theirs}.attn.Wqkv", f"{ours}.attention.output": f"{theirs}.attn.Wo"}
        names |= {f"{ours}.feed_forward_norm": f"{theirs}.mlp_norm"}
        names |= {f"{ours}.feed_forward.gate_inner": f"{theirs}.mlp.Wi", f"{ours}.feed_forward.output": f"{theirs}.mlp.Wo"}
    names |= {"token_head.dense": "head.dense", "token_head.norm": "head.norm"}
    kinds = ("weight", "bias") if shape.biases else ("weight",)
    return table + [Rule(f"{ours}.{kind}", (f"{theirs}.{kind}",)) for ours, theirs in names.items() for kind in kinds]


def complete(shape: ComposedShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights, with new ones for missing heads, and the names of the new ones.

    Folders of `ModernBertModel` have no head, those of classifiers none of the vocabulary; the draws are always the same.
    """
    weights, drawn = dict(theirs), list[str]()
    generator = torch.Generator().manual_seed(0)
    for head in _HEADS:
        missing = [rule for rule in rules(shape) if rule.theirs[0].startswith(head)]
        if {rule.theirs[0] for rule in missing} & theirs.keys():
            continue
        for rule in missing:
            weights[rule.theirs[0]] = _new(rule, shape, generator)
            drawn.append(rule.theirs[0])
    return weights, drawn


def _new(rule: Rule, shape: ComposedShape, generator: torch.Generator) -> Tensor:
    """Draw a weight of a head as `composed.init` does."""
    if rule.ours.endswith("bias"):
        return torch.zeros(shape.vocabulary if rule.ours == "token_head.bias" else shape.width)
    if "norm" in rule.ours:
        return torch.ones(shape.width)
    return torch.empty(shape.width, shape.width).normal_(0, INIT_STD, generator=generator)
