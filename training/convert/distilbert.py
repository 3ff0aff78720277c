"""DistilBERT (Sanh et al. 2019, arXiv 1910.01108), a BERT without segments and pairs: `DistilBertForMaskedLM`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert import bert
from training.convert.activations import activation_name
from training.convert.rules import Rule, with_head
from training.models.bert import INIT_STD, NORM_EPSILON, BERTShape

ARCHITECTURE = "DistilBertForMaskedLM"
IGNORED = ("embeddings.position_ids",)
OTHER_HEADS = ("pre_classifier.", "classifier.", "qa_outputs.")
HEADS = ("vocab_transform.", "vocab_layer_norm.", "vocab_projector.")
_TOKENS, _PROJECTOR = "distilbert.embeddings.word_embeddings.weight", "vocab_projector"
_NAMES = {  # config.json's names of numbers -> BERT's
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "dim": "hidden_size",
    "hidden_dim": "intermediate_size",
    "dropout": "hidden_dropout_prob",
    "activation": "hidden_act",
}


def config(shape: BERTShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape. Raises UserError for another epsilon, for which there is no field."""
    if shape.norm_epsilon != NORM_EPSILON:
        raise UserError(f"norm_epsilon is {shape.norm_epsilon}; Hugging Face's DistilBERT has {NORM_EPSILON}")
    return {
        "model_type": "distilbert",
        "architectures": [ARCHITECTURE],
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.length,
        "dim": shape.width,
        "n_layers": shape.layers,
        "n_heads": shape.heads,
        "hidden_dim": shape.inner_width,
        "activation": activation_name(shape.activation),
        "dropout": shape.dropout,
        "attention_dropout": shape.dropout,
        "initializer_range": INIT_STD,
        "sinusoidal_pos_embds": False,
        "pad_token_id": specials.pad,
        "tie_word_embeddings": shape.tied,
    }


def shape(config: Mapping[str, Any]) -> BERTShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not DistilBERT's."""
    if config.get("model_type", "distilbert") != "distilbert":
        raise UserError(f"model_type is {config['model_type']!r}; this is not a DistilBERT")
    missing = [name for name in ("n_layers", "n_heads", "dim") if type(config.get(name)) is not int]
    if missing:
        raise UserError(
            f"{missing[0]} must be a whole number, and is {config.get(missing[0])!r}; give the config.json of a DistilBERT"
        )
    known = {theirs: config[name] for name, theirs in _NAMES.items() if name in config}
    others = {name: config[name] for name in ("vocab_size", "max_position_embeddings", "tie_word_embeddings") if name in config}
    found = bert.shape_of({**known, **others})
    return replace(found, segments=0, pooled=False)


def rules(shape: BERTShape) -> list[Rule]:
    """Return the rules that name every weight in `DistilBertForMaskedLM`'s state dict."""
    weight = f"{_PROJECTOR}.weight"
    table = [
        Rule("embeddings.tokens.weight", (_TOKENS,), also=(weight,) if shape.tied else ()),
        *([] if shape.tied else [Rule("head.weight", (weight,))]),
        Rule("token_head.bias", (f"{_PROJECTOR}.bias",)),
        Rule("embeddings.positions.weight", ("distilbert.embeddings.position_embeddings.weight",)),
        *bert.weight_and_bias("embeddings.norm", "distilbert.embeddings.LayerNorm"),
    ]
    for n in range(shape.layers):
        ours, theirs = f"layers.{n}", f"distilbert.transformer.layer.{n}"
        joined = [f"{theirs}.attention.{part}_lin" for part in "qkv"]
        table += bert.weight_and_bias(f"{ours}.attention.query_key_value", *joined)
        for mine, other in (
            ("attention.output", "attention.out_lin"),
            ("attention_norm", "sa_layer_norm"),
            ("feed_forward.inner", "ffn.lin1"),
            ("feed_forward.output", "ffn.lin2"),
            ("feed_forward_norm", "output_layer_norm"),
        ):
            table += bert.weight_and_bias(f"{ours}.{mine}", f"{theirs}.{other}")
    table += bert.weight_and_bias("token_head.dense", "vocab_transform")
    return table + bert.weight_and_bias("token_head.norm", "vocab_layer_norm")


def complete(shape: BERTShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights, with new ones for missing heads, and the names of the new ones."""
    weights = dict(theirs) if shape.tied else with_head(theirs, f"{_PROJECTOR}.weight", _TOKENS)
    return bert.draw_heads(shape, weights, rules(shape), HEADS)
