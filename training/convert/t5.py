"""Our T5 and Hugging Face's `T5ForConditionalGeneration`, 1.0 and 1.1."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert.activations import NAMES
from training.convert.rules import Rule, with_head
from training.models.t5 import NORM_EPSILON, T5Shape

ARCHITECTURE = "T5ForConditionalGeneration"
OTHER_HEADS = ("classification_head.", "classifier.", "qa_outputs.")  # of other tasks
OUTER = "transformer."  # before all names of a model with such a head
IGNORED = ("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",)  # old checkpoints have it; it is not used
_TOKENS, _HEAD = "shared.weight", "lm_head.weight"
_NUMBERS = {
    "encoder_layers": "num_layers",
    "decoder_layers": "num_decoder_layers",
    "heads": "num_heads",
    "head_width": "d_kv",
    "width": "d_model",
    "inner": "d_ff",
    "vocabulary": "vocab_size",
    "buckets": "relative_attention_num_buckets",
    "max_distance": "relative_attention_max_distance",
}
_PUBLISHED = ("relu", "gated-gelu")  # 1.0, 1.1
_PROJECTIONS = {  # feed_forward_proj -> whether it is gated, and dense_act_fn: transformers' configuration_t5.py
    "relu": (False, "relu"),
    "gated-gelu": (True, "gelu_new"),
    "gated-silu": (True, "silu"),
    "gated-relu": (True, "relu"),
    "gelu": (False, "gelu"),
    "gelu_new": (False, "gelu_new"),
    "silu": (False, "silu"),
}
_WHEN_ABSENT = {"relative_attention_num_buckets": 32, "relative_attention_max_distance": 128}  # the first T5 configs


def config(shape: T5Shape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape.

    `tie_word_embeddings` tells Hugging Face whether the head's input is scaled (since release 5, only that); the head itself
    stays untied because the weights contain one.
    """
    numbers = {theirs: getattr(shape, ours) for ours, theirs in _NUMBERS.items()}
    return {
        "model_type": "t5",
        "architectures": [ARCHITECTURE if shape.decoder_layers else "T5EncoderModel"],
        **numbers,
        "feed_forward_proj": _projection(shape),
        "dropout_rate": shape.dropout,
        "layer_norm_epsilon": shape.norm_epsilon,
        "initializer_factor": 1.0,
        "pad_token_id": specials.pad,
        "eos_token_id": specials.end,
        "decoder_start_token_id": specials.decoder_start,
        "is_encoder_decoder": shape.decoder_layers > 0,
        "tie_word_embeddings": shape.tied,
    }


def shape(config: Mapping[str, Any]) -> T5Shape:
    """Return the shape of a config.json of T5, Flan-T5 or mT5. Raises ValueError, naming the field, for another model."""
    kind = config.get("model_type", "t5")
    if kind not in ("t5", "mt5"):
        raise UserError(f"model_type is {kind!r}; this is not a T5")
    feed_forward = config.get("feed_forward_proj", "gated-gelu" if kind == "mt5" else "relu")
    if feed_forward not in _PROJECTIONS:
        raise UserError(f"feed_forward_proj is {feed_forward!r}; this program knows {', '.join(map(repr, _PROJECTIONS))}")
    gated, dense = _PROJECTIONS[feed_forward]
    if NAMES.get(config.get("dense_act_fn", dense), "") != NAMES[dense]:
        raise UserError(f"dense_act_fn is {config['dense_act_fn']!r}; this program knows only {dense!r} in a {feed_forward!r}")
    settings: dict[str, Any] = {"num_decoder_layers": config.get("num_layers"), **_WHEN_ABSENT, **config}
    missing = [theirs for theirs in _NUMBERS.values() if not isinstance(settings.get(theirs), int)]
    if missing:
        raise UserError(f"{missing[0]} must be a whole number, and is {settings.get(missing[0])!r}; give the config.json of a T5")
    numbers = {ours: settings[theirs] for ours, theirs in _NUMBERS.items()}
    return T5Shape(
        **numbers,
        gated=gated,
        tied=_tied(config, kind),
        dropout=config.get("dropout_rate", 0.1),
        activation=None if feed_forward in _PUBLISHED else NAMES[dense],
        norm_epsilon=config.get("layer_norm_epsilon", NORM_EPSILON),
    )


def _projection(shape: T5Shape) -> str:
    """Return Hugging Face's name of the feed-forward: a gated GELU is the one by tanh, one without a gate the exact one."""
    known = ((name, (gated, NAMES[dense])) for name, (gated, dense) in _PROJECTIONS.items())
    name = next((name for name, kind in known if kind == (shape.gated, shape.inner_activation)), None)
    if name is None:
        gate = "with" if shape.gated else "without"
        raise UserError(f"activation is {shape.inner_activation!r} {gate} a gate; Hugging Face's T5 has no such feed-forward")
    return name


def fitted(shape: T5Shape, names: Collection[str]) -> T5Shape:
    """Return the shape for weights of these names: an encoder alone (`T5EncoderModel`) has a config with layers of a decoder."""
    return shape if any(name.startswith("decoder.") for name in names) else replace(shape, decoder_layers=0)


def _tied(config: Mapping[str, Any], kind: str) -> bool:
    """Return whether the head is the token embedding, with scaled input.

    A model written by transformers 5 has this in `scale_decoder_outputs`; its `tie_word_embeddings` is always true. mT5 is 1.1.
    """
    if kind == "mt5":
        return False
    return bool(config.get("scale_decoder_outputs", config.get("tie_word_embeddings", True)))


def rules(shape: T5Shape) -> list[Rule]:
    """Return the rules that name every weight in `T5ForConditionalGeneration`'s state dict."""
    tied = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    stacks = [("encoder", shape.encoder_layers), *([("decoder", shape.decoder_layers)] if shape.decoder_layers else [])]
    head = [] if shape.tied or not shape.decoder_layers else [Rule("head.weight", (_HEAD,))]
    table = [Rule("embeddings.tokens.weight", (_TOKENS,), also=tied if head else (*tied, _HEAD)), *head]
    for stack, layers in stacks:
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        table.append(Rule(f"{stack}.relative_bias.weight", (bias,)))
        for n in range(layers):
            table += _layer_rules(f"{stack}.layers.{n}", f"{stack}.block.{n}.layer", shape, of_decoder=stack == "decoder")
        table.append(Rule(f"{stack}.norm.weight", (f"{stack}.final_layer_norm.weight",)))
    return table


def complete(shape: T5Shape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights with a head, and the names of newly drawn weights, of which there are none.

    A 1.1 model created by transformers 5 starts with the token embedding as its head and saves it once (its config always
    calls them tied). This one then starts the same way, with a warning.
    """
    if shape.tied or not shape.decoder_layers:
        return dict(theirs), []
    return with_head(theirs, _HEAD, _TOKENS), []


def _layer_rules(ours: str, theirs: str, shape: T5Shape, *, of_decoder: bool) -> list[Rule]:
    own, memory, last = f"{theirs}.0.SelfAttention", f"{theirs}.1.EncDecAttention", f"{theirs}.{2 if of_decoder else 1}"
    names = {
        "attention_norm": (f"{theirs}.0.layer_norm",),
        "attention.query_key_value": (f"{own}.q", f"{own}.k", f"{own}.v"),
        "attention.output": (f"{own}.o",),
    }
    if of_decoder:
        names |= {
            "memory_attention_norm": (f"{theirs}.1.layer_norm",),
            "memory_attention.query": (f"{memory}.q",),
            "memory_attention.key_value": (f"{memory}.k", f"{memory}.v"),
            "memory_attention.output": (f"{memory}.o",),
        }
    dense = f"{last}.DenseReluDense"
    inner = (
        {"feed_forward.gate_inner": (f"{dense}.wi_0", f"{dense}.wi_1")}
        if shape.gated
        else {"feed_forward.inner": (f"{dense}.wi",)}
    )
    names |= {"feed_forward_norm": (f"{last}.layer_norm",), **inner, "feed_forward.output": (f"{dense}.wo",)}
    return [Rule(f"{ours}.{name}.weight", tuple(f"{part}.weight" for part in parts)) for name, parts in names.items()]
