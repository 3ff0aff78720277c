"""RoBERTa (Liu et al. 2019, arXiv 1907.11692), a BERT without pairs, as Hugging Face's `RobertaForMaskedLM`.

Its positions begin at the row after the padding id's: 514 rows are 512 positions. Its pieces have BART's names.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import Specials
from training.convert import bert
from training.convert.rules import Rule, with_head
from training.models.bert import BERTShape

ARCHITECTURE = "RobertaForMaskedLM"
IGNORED = bert.IGNORED
OTHER_HEADS = ("roberta.pooler.", "pooler.", "classifier.", "qa_outputs.")  # of other tasks, or never trained
HEADS = ("lm_head.",)
_TOKENS, _DECODER, _PAD = "roberta.embeddings.word_embeddings.weight", "lm_head.decoder", 1


def config(shape: BERTShape, specials: Specials) -> dict[str, Any]:
    """Return config.json of a model of this shape. Raises UserError if it counts its positions from another padding id."""
    if shape.first_position != specials.pad + 1:
        raise UserError(
            f"first_position is {shape.first_position}, and Hugging Face's RoBERTa counts positions from its padding id plus 1, "
            f"here {specials.pad + 1}; the tokenizer is another than the model was made for"
        )
    return bert.config(replace(shape, pooled=True), specials) | {
        "model_type": "roberta",
        "architectures": [ARCHITECTURE],
        "max_position_embeddings": shape.first_position + shape.length,
        "bos_token_id": specials.begin,
        "eos_token_id": specials.end,
    }


def shape(config: Mapping[str, Any]) -> BERTShape:
    """Return the shape of a config.json. Raises ValueError, naming the field, for a model that is not RoBERTa's."""
    if config.get("model_type", "roberta") != "roberta":
        raise UserError(f"model_type is {config['model_type']!r}; this is not a RoBERTa")
    pad = config.get("pad_token_id", _PAD)
    if type(pad) is not int or pad < 0:
        raise UserError(f"pad_token_id is {pad!r}; positions are counted from it, so it must be a whole number from 0")
    found = bert.shape_of({"type_vocab_size": 1, **config})
    if found.length <= pad + 1:
        raise UserError(f"max_position_embeddings is {found.length}; the first {pad + 1} are never read")
    return replace(found, first_position=pad + 1, length=found.length - pad - 1, pooled=False)


def rules(shape: BERTShape) -> list[Rule]:
    """Return the rules that name every weight in `RobertaForMaskedLM`'s state dict."""
    table = bert.head_rules(shape, _TOKENS, _DECODER, "lm_head.bias", f"{_DECODER}.bias") + bert.body_rules(shape, "roberta")
    table += bert.weight_and_bias("token_head.dense", "lm_head.dense")
    return table + bert.weight_and_bias("token_head.norm", "lm_head.layer_norm")


def complete(shape: BERTShape, theirs: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return their weights, with new ones for a missing head, and the names of the new ones."""
    weights = dict(theirs) if shape.tied else with_head(theirs, f"{_DECODER}.weight", _TOKENS)
    return bert.draw_heads(shape, weights, rules(shape), HEADS)
