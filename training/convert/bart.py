"""Our BART and Hugging Face's `BartForConditionalGeneration`."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert.activations import activation, activation_name
from training.convert.rules import Rule, inner, with_head
from training.models.bart import INIT_STD, BARTShape

ARCHITECTURE = "BartForConditionalGeneration"
_TOKENS, _HEAD = "model.shared.weight", "lm_head.weight"
OTHER_HEADS = ("classification_head.", "qa_outputs.")  # of other tasks
ZEROS = ("final_logits_bias",)  # a buffer, zeros in every published BART; our head has no bias
_NUMBERS = {
    "encoder_layers": "encoder_layers",
    "decoder_layers": "decoder_layers",
    "heads": "encoder_attention_heads",
    "width": "d_model",
    "vocabulary": "vocab_size",
    "length": "max_position_embeddings",
}
_EXPECTED = {  # what every BART of ours has; a config without the field has it, too
    "scale_embedding": False,
    "normalize_before": False,  # True in mBART; in configs before transformers 4
    "add_final_layer_norm": False,
    "static_position_embeddings": False,  # Marian's
    "extra_pos_embeddings": 2,
    "normalize_embedding": True,
}


def config(shape: BARTShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape."""
    return {
        "model_type": "bart",
        "architectures": [ARCHITECTURE],
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.length,
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.decoder_heads or shape.heads,
        "encoder_ffn_dim": shape.inner_widths[0],
        "decoder_ffn_dim": shape.inner_widths[1],
        "activation_function": activation_name(shape.activation),
        "dropout": shape.dropout,
        "attention_dropout": shape.dropout,
        "activation_dropout": shape.dropout,
        "init_std": INIT_STD,
        "scale_embedding": False,
        "bos_token_id": specials.begin,
        "pad_token_id": specials.pad,
        "eos_token_id": specials.end,
        "decoder_start_token_id": specials.decoder_start,
        "forced_eos_token_id": specials.end,
        "is_encoder_decoder": True,
        "tie_word_embeddings": shape.tied,
    }


def shape(config: Mapping[str, Any]) -> BARTShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not BART's.

    Use `dropout` of its three dropouts: they are equal in the published models.
    """
    if config.get("model_type", "bart") != "bart":
        raise UserError(f"model_type is {config['model_type']!r}; this is not a BART")
    for field, expected in _EXPECTED.items():
        if config.get(field, expected) != expected:
            raise UserError(f"{field} is {config[field]!r}; this program knows only {expected!r}, as BART was published")
    missing = [theirs for theirs in _NUMBERS.values() if not isinstance(config.get(theirs), int)]
    if missing:
        raise UserError(f"{missing[0]} must be a whole number, and is {config.get(missing[0])!r}; give the config.json of a BART")
    return BARTShape(
        **{ours: config[theirs] for ours, theirs in _NUMBERS.items()},
        dropout=config.get("dropout", 0.1),
        **decoders_own(config, "ffn_dim"),
        activation=activation(config, "activation_function", "gelu"),
        tied=bool(config.get("tie_word_embeddings", True)),
    )


def decoders_own(config: Mapping[str, Any], ffn: str) -> dict[str, Any]:
    """Return the inner widths, and the decoder's where they differ from the encoder's, and its heads. `ffn`: of the names."""
    heads = config["encoder_attention_heads"]
    encoder, decoder = (inner(config.get(f"{stack}_{ffn}"), config["d_model"]) for stack in ("encoder", "decoder"))
    return {
        "inner": encoder,
        "decoder_inner": None if decoder == encoder else decoder or 4 * config["d_model"],
        "decoder_heads": None if config.get("decoder_attention_heads", heads) == heads else config["decoder_attention_heads"],
    }


def rules(shape: BARTShape) -> list[Rule]:
    """Return the rules that name every weight in `BartForConditionalGeneration`'s state dict."""
    stacks = ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight")
    if shape.tied:
        table = [Rule("embeddings.tokens.weight", (_TOKENS,), also=(*stacks, _HEAD))]
    else:  # then Hugging Face reads the stacks' embeddings from the file, too
        table = [Rule("embeddings.tokens.weight", (_TOKENS,), also=stacks, copies=stacks), Rule("head.weight", (_HEAD,))]
    for stack, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        table += stack_rules(stack, layers, f"model.{stack}")
    return table


def complete(shape: BARTShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights with a head, and the names of newly drawn weights, of which there are none."""
    return (dict(theirs) if shape.tied else with_head(theirs, _HEAD, _TOKENS)), []


def stack_rules(stack: str, layers: int, theirs: str) -> list[Rule]:
    """Return the rules of the encoder or decoder, called `theirs` there; fairseq has the same names within it."""
    rules = [Rule(f"{stack}.positions.weight", (f"{theirs}.embed_positions.weight",))]
    rules += _weight_and_bias(f"{stack}.embeddings_norm", f"{theirs}.layernorm_embedding")
    for n in range(layers):
        rules += _layer_rules(f"{stack}.layers.{n}", f"{theirs}.layers.{n}", of_decoder=stack == "decoder")
    return rules


def _layer_rules(ours: str, theirs: str, *, of_decoder: bool) -> list[Rule]:
    joined = [f"{theirs}.self_attn.{part}_proj" for part in "qkv"]
    rules = _weight_and_bias(f"{ours}.attention.query_key_value", *joined)
    rules += _weight_and_bias(f"{ours}.attention.output", f"{theirs}.self_attn.out_proj")
    rules += _weight_and_bias(f"{ours}.attention_norm", f"{theirs}.self_attn_layer_norm")
    if of_decoder:
        rules += _weight_and_bias(f"{ours}.memory_attention.query", f"{theirs}.encoder_attn.q_proj")
        rules += _weight_and_bias(
            f"{ours}.memory_attention.key_value", f"{theirs}.encoder_attn.k_proj", f"{theirs}.encoder_attn.v_proj"
        )
        rules += _weight_and_bias(f"{ours}.memory_attention.output", f"{theirs}.encoder_attn.out_proj")
        rules += _weight_and_bias(f"{ours}.memory_attention_norm", f"{theirs}.encoder_attn_layer_norm")
    rules += _weight_and_bias(f"{ours}.feed_forward.inner", f"{theirs}.fc1")
    rules += _weight_and_bias(f"{ours}.feed_forward.output", f"{theirs}.fc2")
    return rules + _weight_and_bias(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm")


def _weight_and_bias(ours: str, *theirs: str) -> list[Rule]:
    return [Rule(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs)) for kind in ("weight", "bias")]
