"""Our BERT and Hugging Face's `BertForPreTraining`, and its subsets `BertForMaskedLM` and `BertModel`."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert.activations import NAMES
from training.convert.rules import Rule, inner, with_head
from training.models.bert import GELUS, INIT_STD, NORM_EPSILON, SEGMENTS, BERTShape

ARCHITECTURE = "BertForPreTraining"
OTHER_HEADS = ("classifier.", "qa_outputs.")  # of other tasks
IGNORED = ("embeddings.position_ids", "embeddings.token_type_ids")  # buffers of old checkpoints: 0, 1, 2, …; zeros
HEADS = ("cls.predictions.", "bert.pooler.", "cls.seq_relationship.")  # a folder may lack any of them as a whole
TOKENS, DECODER = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder"
_ACTIVATIONS = {theirs: ours for theirs, ours in NAMES.items() if ours in GELUS}
_NUMBERS = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "width": "hidden_size",
    "vocabulary": "vocab_size",
    "length": "max_position_embeddings",
}
_EXPECTED = {  # what every BERT of ours has; a config without the field has it, too
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


def config(shape: BERTShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape."""
    return {
        "model_type": "bert",
        "architectures": [ARCHITECTURE if shape.pooled else "BertForMaskedLM"],
        "vocab_size": shape.vocabulary,
        "max_position_embeddings": shape.length,
        "hidden_size": shape.width,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.inner_width,
        "hidden_act": "gelu" if shape.activation == "gelu" else "gelu_pytorch_tanh",
        "hidden_dropout_prob": shape.dropout,
        "attention_probs_dropout_prob": shape.dropout,
        "type_vocab_size": shape.segments,
        "initializer_range": INIT_STD,
        "layer_norm_eps": shape.norm_epsilon,
        "pad_token_id": specials.pad,
        "tie_word_embeddings": shape.tied,
        **({} if shape.pooled else {"add_pooling_layer": False}),
    }


def shape(config: Mapping[str, Any]) -> BERTShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not BERT's.

    Use `hidden_dropout_prob` of its two dropouts: they are equal in the published models.
    """
    if config.get("model_type", "bert") != "bert":
        raise UserError(f"model_type is {config['model_type']!r}; this is not a BERT")
    return shape_of(config)


def shape_of(config: Mapping[str, Any]) -> BERTShape:
    """Return the shape of a config.json with BERT's names of the numbers. Raises ValueError, as `shape`."""
    for field, expected in _EXPECTED.items():
        if config.get(field, expected) != expected:
            raise UserError(f"{field} is {config[field]!r}; this program knows only {expected!r}, as BERT was published")
    missing = [theirs for theirs in _NUMBERS.values() if type(config.get(theirs)) is not int]
    if missing:
        raise UserError(f"{missing[0]} must be a whole number, and is {config.get(missing[0])!r}; give the config.json of a BERT")
    activation = config.get("hidden_act", "gelu")
    if activation not in _ACTIVATIONS:
        raise UserError(f"hidden_act is {activation!r}; this program knows only {', '.join(_ACTIVATIONS)}")
    segments = config.get("type_vocab_size", SEGMENTS)
    if type(segments) is not int or segments < 1:
        raise UserError(f"type_vocab_size is {segments!r}; it must be a whole number from 1")
    numbers = {ours: config[theirs] for ours, theirs in _NUMBERS.items()}
    return BERTShape(
        **numbers,
        dropout=float(config.get("hidden_dropout_prob", 0.1)),
        activation=_ACTIVATIONS[activation],
        inner=inner(config.get("intermediate_size"), config["hidden_size"]),
        norm_epsilon=config.get("layer_norm_eps", NORM_EPSILON),
        tied=bool(config.get("tie_word_embeddings", True)),
        segments=segments,
        pooled=bool(config.get("add_pooling_layer", True)),
    )


def rules(shape: BERTShape) -> list[Rule]:
    """Return the rules that name every weight in `BertForPreTraining`'s state dict; without a pooler, in `BertForMaskedLM`'s."""
    table = head_rules(shape, TOKENS, DECODER, "cls.predictions.bias", f"{DECODER}.bias") + body_rules(shape, "bert")
    table += weight_and_bias("token_head.dense", "cls.predictions.transform.dense")
    table += weight_and_bias("token_head.norm", "cls.predictions.transform.LayerNorm")
    if not shape.pooled:
        return table
    return table + weight_and_bias("pooler", "bert.pooler.dense") + weight_and_bias("pair_head", "cls.seq_relationship")


def head_rules(shape: BERTShape, tokens: str, decoder: str, bias: str, own_bias: str) -> list[Rule]:
    """Return the rules of the token embedding and of what predicts tokens: the matrix `decoder`, and its bias.

    A tied head has the bias under either name. One of its own has `own_bias`; `bias` is then a copy that no one reads.
    """
    weight = f"{decoder}.weight"
    if shape.tied:
        return [Rule("embeddings.tokens.weight", (tokens,), also=(weight,)), Rule("token_head.bias", (bias,), also=(own_bias,))]
    return [
        Rule("embeddings.tokens.weight", (tokens,)),
        Rule("head.weight", (weight,)),
        Rule("token_head.bias", (own_bias,), copies=(bias,)),
    ]


def body_rules(shape: BERTShape, theirs: str) -> list[Rule]:
    """Return the rules of positions, segments and layers of a BERT or RoBERTa, whose weights begin with `theirs`."""
    places = (("positions", "position"), *((("segments", "token_type"),) if shape.segments else ()))
    table = [Rule(f"embeddings.{ours}.weight", (f"{theirs}.embeddings.{name}_embeddings.weight",)) for ours, name in places]
    table += weight_and_bias("embeddings.norm", f"{theirs}.embeddings.LayerNorm")
    for n in range(shape.layers):
        table += _layer_rules(f"layers.{n}", f"{theirs}.encoder.layer.{n}")
    return table


def complete(shape: BERTShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights, with new ones for missing heads, and the names of the new ones.

    Folders of `BertForMaskedLM` have no pooler and no pair head, those of `BertModel` have no heads.
    """
    weights = dict(theirs) if shape.tied else with_head(theirs, f"{DECODER}.weight", TOKENS)
    return draw_heads(shape, weights, rules(shape), HEADS)


def draw_heads(
    shape: BERTShape, theirs: Mapping[str, Tensor], rules: Sequence[Rule], heads: Sequence[str]
) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights, with new ones for `heads` (beginnings of names) of which there are none, and the names of those.

    Drawn weights are untrained, so the importer must report them. A head that is partly there stays unchanged. The draws are
    always the same.
    """
    weights, drawn = dict(theirs), list[str]()
    generator = torch.Generator().manual_seed(0)
    for head in heads:
        missing = [rule for rule in rules if rule.theirs[0].startswith(head) and rule.ours != "head.weight"]
        names = {name for rule in missing for name in rule.names}
        if names & theirs.keys():
            continue
        for rule in missing:
            weights[rule.theirs[0]] = _new(rule, shape, generator)
            drawn.append(rule.theirs[0])
    return weights, drawn


def _new(rule: Rule, shape: BERTShape, generator: torch.Generator) -> Tensor:
    """Draw a weight of a head as `init` does."""
    if rule.ours.endswith("bias"):
        return torch.zeros({"pair_head.bias": 2, "token_head.bias": shape.vocabulary}.get(rule.ours, shape.width))
    if "norm" in rule.ours:
        return torch.ones(shape.width)
    weight = torch.empty(2 if rule.ours == "pair_head.weight" else shape.width, shape.width)
    return nn.init.trunc_normal_(weight, std=INIT_STD, a=-2 * INIT_STD, b=2 * INIT_STD, generator=generator)


def _layer_rules(ours: str, theirs: str) -> list[Rule]:
    rules = weight_and_bias(
        f"{ours}.attention.query_key_value", *(f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
    )
    for mine, other in (
        ("attention.output", "attention.output.dense"),
        ("attention_norm", "attention.output.LayerNorm"),
        ("feed_forward.inner", "intermediate.dense"),
        ("feed_forward.output", "output.dense"),
        ("feed_forward_norm", "output.LayerNorm"),
    ):
        rules += weight_and_bias(f"{ours}.{mine}", f"{theirs}.{other}")
    return rules


def weight_and_bias(ours: str, *theirs: str) -> list[Rule]:
    """Return the rules of a weight and its bias; several of theirs are joined."""
    return [Rule(f"{ours}.{kind}", tuple(f"{name}.{kind}" for name in theirs)) for kind in ("weight", "bias")]
