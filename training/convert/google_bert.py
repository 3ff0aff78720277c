"""BERT as Google released it (github.com/google-research/bert): a checkpoint of TensorFlow, its config and its vocabulary.

    bert_config.json      numbers of the model
    bert_model.ckpt.*     weights; a pretraining run's (model.ckpt-1000.*) work, too, and Adam's slots are left out
    vocab.txt             WordPiece

Its "gelu" is the approximation by tanh (modeling.py, gelu()), Hugging Face's is the one with erf: models read here use the
former, as Google's code does.
"""

import re
from pathlib import Path

import torch
from torch import Tensor

from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.published import load_existing
from training.convert import bert
from training.convert.formats import tensor_bundle, weight_files
from training.convert.rules import Rule, WeightsError, to_ours
from training.models.bert import BERT, BERTShape

CONFIG, VOCABULARY = "bert_config.json", "vocab.txt"
_NUMBERS = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
_LOWER = {"uncased": True, "multilingual": True, "chinese": True, "cased": False, "multi_cased": False}
_ARCHIVE = re.compile(r"(?:wwm_)?(uncased|cased|multilingual|multi_cased|chinese)_L-\d+_H-\d+_A-\d+(?:_v\d+)?")


def load(path: str) -> tuple[BERTShape, dict[str, Tensor], Tokenizer]:
    """Load shape, weights (float32, under our names) and tokenizer from a folder with the files above or a checkpoint's prefix.

    The vocabulary is lower-cased by the name of the folder if that is one of Google's ("cased_L-12_H-768_A-12"), by its
    pieces otherwise. Raises WeightsError or TokenizerError, with the file, the field, weight or tensor, and the fix.
    """
    prefix = tensor_bundle.find_prefix(path)
    folder = Path(prefix).parent
    shape = read_shape(folder / CONFIG)
    bundle = tensor_bundle.open_bundle(prefix)
    if shape.layers > len(bundle.entries):  # before that many are built
        raise WeightsError(f"{folder / CONFIG}: num_hidden_layers is {shape.layers}, but {bundle.index} has fewer weights")
    theirs = {name: torch.from_numpy(array) for name, array in bundle.weights().items()}
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in BERT(shape).state_dict().items()}
    weights = {name: tensor.float() for name, tensor in to_ours(rules(shape), theirs, shapes, bundle.index).items()}
    return shape, weights, _tokenizer(folder, shape)


def read_shape(file: Path) -> BERTShape:
    """Return the shape in a bert_config.json. Raises WeightsError, with the field, if it is not one of Google's BERTs."""
    config = weight_files.read_json(file)
    activation = config.get("hidden_act", "gelu")
    if activation != "gelu":
        raise WeightsError(f"{file}: hidden_act is {activation!r}; this program knows only 'gelu', as BERT was published")
    for field in _NUMBERS:
        if type(config.get(field)) is not int or not 1 <= config[field] <= 2**24:
            raise WeightsError(f"{file}: {field} is {config.get(field)!r}; it must be a whole number from 1 to 2^24")
    try:
        return bert.shape({**config, "hidden_act": "gelu_new"})
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{file}: {error}") from error


def rules(shape: BERTShape) -> list[Rule]:
    """Return the rules that name every weight in Google's checkpoints."""
    table = [
        Rule(f"embeddings.{ours}.weight", (f"bert/embeddings/{theirs}_embeddings",))
        for ours, theirs in (("tokens", "word"), ("positions", "position"), ("segments", "token_type"))
    ]
    table += _norm("embeddings.norm", "bert/embeddings")
    for n in range(shape.layers):
        ours, theirs = f"layers.{n}", f"bert/encoder/layer_{n}"
        parts = [f"{theirs}/attention/self/{part}" for part in ("query", "key", "value")]
        table += _dense(f"{ours}.attention.query_key_value", *parts)
        table += _dense(f"{ours}.attention.output", f"{theirs}/attention/output/dense")
        table += _norm(f"{ours}.attention_norm", f"{theirs}/attention/output")
        table += _dense(f"{ours}.feed_forward.inner", f"{theirs}/intermediate/dense")
        table += _dense(f"{ours}.feed_forward.output", f"{theirs}/output/dense")
        table += _norm(f"{ours}.feed_forward_norm", f"{theirs}/output")
    table += _dense("token_head.dense", "cls/predictions/transform/dense")
    table += _norm("token_head.norm", "cls/predictions/transform")
    table.append(Rule("token_head.bias", ("cls/predictions/output_bias",)))
    table += _dense("pooler", "bert/pooler/dense")
    table.append(Rule("pair_head.weight", ("cls/seq_relationship/output_weights",)))  # (out, in), as ours
    return [*table, Rule("pair_head.bias", ("cls/seq_relationship/output_bias",))]


def _dense(ours: str, *theirs: str) -> list[Rule]:
    kernels, biases = tuple(f"{name}/kernel" for name in theirs), tuple(f"{name}/bias" for name in theirs)
    return [Rule(f"{ours}.weight", kernels, transposed=True), Rule(f"{ours}.bias", biases)]


def _norm(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}.weight", (f"{theirs}/LayerNorm/gamma",)), Rule(f"{ours}.bias", (f"{theirs}/LayerNorm/beta",))]


def _tokenizer(folder: Path, shape: BERTShape) -> Tokenizer:
    tokenizer = load_existing(str(folder / VOCABULARY), ["bert"], lower_case=lower_case(folder.resolve().name))
    if tokenizer.size > shape.vocabulary:
        raise TokenizerError(
            f"{folder / VOCABULARY}: has {tokenizer.size} pieces, BERT's special ones included, and {CONFIG} says vocab_size "
            f"{shape.vocabulary}; put the vocabulary of the archive there"
        )
    return tokenizer


def lower_case(archive: str) -> bool | None:
    """Return whether the archive of this name lower-cases its text; None for names that are not Google's.

    Source: google-research/bert tokenization.py, validate_case_matches_checkpoint().
    """
    match = _ARCHIVE.fullmatch(archive)
    return _LOWER[match[1]] if match else None
