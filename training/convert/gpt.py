"""Our GPT and Hugging Face's `GPT2LMHeadModel`."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert.activations import activation, activation_name
from training.convert.rules import Rule, inner, with_head
from training.models.gpt import NORM_EPSILON, GPTShape

ARCHITECTURE = "GPT2LMHeadModel"
OTHER_HEADS = ("score.", "classifier.", "qa_outputs.", "multiple_choice_head.")  # of other tasks
IGNORED = ("attn.bias", "attn.masked_bias")  # ends of names: masks that old checkpoints keep beside the weights
_TOKENS, _HEAD = "transformer.wte.weight", "lm_head.weight"
_NUMBERS = {"layers": "n_layer", "heads": "n_head", "width": "n_embd", "vocabulary": "vocab_size", "length": "n_positions"}
_EXPECTED = {  # what every GPT-2 has; a config without the field has it, too
    "model_type": ("gpt2",),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),  # True in Mistral's GPT-2
    "reorder_and_upcast_attn": (False,),
    "add_cross_attention": (False,),
}


def config(shape: GPTShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape."""
    return {
        "model_type": "gpt2",
        "architectures": [ARCHITECTURE],
        "vocab_size": shape.vocabulary,
        "n_positions": shape.length,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "n_inner": shape.inner,
        "activation_function": activation_name(shape.activation, "gelu_new"),
        "layer_norm_epsilon": shape.norm_epsilon,
        "resid_pdrop": shape.dropout,
        "embd_pdrop": shape.dropout,
        "attn_pdrop": shape.dropout,
        "bos_token_id": specials.begin,
        "eos_token_id": specials.end,
        "pad_token_id": specials.pad,
        "tie_word_embeddings": shape.tied,
    }


def shape(config: Mapping[str, Any]) -> GPTShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not GPT-2's.

    Use `resid_pdrop` of its three dropouts: they are equal in the published models.
    """
    for field, expected in _EXPECTED.items():
        if config.get(field, expected[0]) not in expected:
            known = " or ".join(map(repr, expected))
            raise UserError(f"{field} is {config[field]!r}; this program knows only {known}, as GPT-2 was published")
    missing = [theirs for theirs in _NUMBERS.values() if type(config.get(theirs)) is not int]
    if missing:
        raise UserError(
            f"{missing[0]} must be a whole number, and is {config.get(missing[0])!r}; give the config.json of a GPT-2"
        )
    return GPTShape(
        **{ours: config[theirs] for ours, theirs in _NUMBERS.items()},
        dropout=config.get("resid_pdrop", 0.1),
        inner=inner(config.get("n_inner"), config["n_embd"]),
        activation=activation(config, "activation_function", "gelu_new"),
        norm_epsilon=config.get("layer_norm_epsilon", NORM_EPSILON),
        tied=bool(config.get("tie_word_embeddings", True)),
    )


def rules(shape: GPTShape) -> list[Rule]:
    """Return the rules that name every weight in `GPT2LMHeadModel`'s state dict.

    Checkpoints of `GPT2Model`, the published `gpt2` among them, have the same names without "transformer." before them.
    """
    table = [
        Rule("embeddings.tokens.weight", (_TOKENS,), also=(_HEAD,) if shape.tied else ()),
        Rule("embeddings.positions.weight", ("transformer.wpe.weight",)),
        *([] if shape.tied else [Rule("head.weight", (_HEAD,))]),
    ]
    for n in range(shape.layers):
        for ours, theirs in (
            ("attention_norm", "ln_1"),
            ("attention.query_key_value", "attn.c_attn"),
            ("attention.output", "attn.c_proj"),
            ("feed_forward_norm", "ln_2"),
            ("feed_forward.inner", "mlp.c_fc"),
            ("feed_forward.output", "mlp.c_proj"),
        ):
            for kind in ("weight", "bias"):
                transposed = kind == "weight" and "norm" not in ours  # Conv1D keeps (in, out)
                table.append(Rule(f"layers.{n}.{ours}.{kind}", (f"transformer.h.{n}.{theirs}.{kind}",), transposed))
    return [*table, *(Rule(f"norm.{kind}", (f"transformer.ln_f.{kind}",)) for kind in ("weight", "bias"))]


def complete(shape: GPTShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights with a head, and the names of newly drawn weights, of which there are none."""
    return (dict(theirs) if shape.tied else with_head(theirs, _HEAD, _TOKENS)), []
