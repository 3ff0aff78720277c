"""Our GPT and Hugging Face's `GPT2LMHeadModel`."""

from collections.abc import Mapping
from typing import Any

from pipelines.contract.families import Specials
from training.convert.rules import Rule
from training.models.gpt import NORM_EPSILON, GPTShape

ARCHITECTURE = "GPT2LMHeadModel"
IGNORED = ("attn.bias", "attn.masked_bias")  # ends of names: masks that old checkpoints keep beside the weights


def config(shape: GPTShape, specials: Specials) -> dict[str, Any]:
    """config.json of a model of this shape."""
    return {
        "model_type": "gpt2",
        "architectures": [ARCHITECTURE],
        "vocab_size": shape.vocabulary,
        "n_positions": shape.length,
        "n_embd": shape.width,
        "n_layer": shape.layers,
        "n_head": shape.heads,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": NORM_EPSILON,
        "resid_pdrop": shape.dropout,
        "embd_pdrop": shape.dropout,
        "attn_pdrop": shape.dropout,
        "bos_token_id": specials.begin,
        "eos_token_id": specials.end,
        "pad_token_id": specials.pad,
        "tie_word_embeddings": True,
    }


def shape(config: Mapping[str, Any]) -> GPTShape:
    """The shape of a config.json. Raises ValueError, naming the field, for a model that is not GPT-2's."""
    raise NotImplementedError


def rules(shape: GPTShape) -> list[Rule]:
    """What every weight is called in `GPT2LMHeadModel`'s state dict."""
    found = [
        Rule("embeddings.tokens.weight", ("transformer.wte.weight",), also=("lm_head.weight",)),
        Rule("embeddings.positions.weight", ("transformer.wpe.weight",)),
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
                found.append(Rule(f"layers.{n}.{ours}.{kind}", (f"transformer.h.{n}.{theirs}.{kind}",), transposed))
    return [*found, *(Rule(f"norm.{kind}", (f"transformer.ln_f.{kind}",)) for kind in ("weight", "bias"))]
