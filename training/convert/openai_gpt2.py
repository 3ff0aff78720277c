"""GPT-2 as OpenAI released it (github.com/openai/gpt-2): a checkpoint of TensorFlow, its numbers and its vocabulary.

hparams.json                  numbers of the model
checkpoint, model.ckpt.*      weights; matrices are (1, in, out), as in a convolution over one token
encoder.json, vocab.bpe       byte-level BPE: pieces, merges
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.published import load_existing
from training.convert.formats import tensor_bundle, weight_files
from training.convert.rules import Rule, WeightsError, to_ours
from training.models.gpt import GPT, GPTShape

NUMBERS, PIECES = "hparams.json", "encoder.json"
_FIELDS = {"layers": "n_layer", "heads": "n_head", "width": "n_embd", "vocabulary": "n_vocab", "length": "n_ctx"}


def load(path: str) -> tuple[GPTShape, dict[str, Tensor], Tokenizer]:
    """Load shape, weights (float32, under our names) and tokenizer from a folder with the files above or a checkpoint's prefix.

    Raises WeightsError or TokenizerError, with the file, the field, weight or tensor, and the fix.
    """
    prefix = tensor_bundle.find_prefix(path)
    folder = Path(prefix).parent
    shape = read_shape(folder / NUMBERS)
    bundle = tensor_bundle.open_bundle(prefix)
    if shape.layers > len(bundle.entries):  # before that many are built
        raise WeightsError(f"{folder / NUMBERS}: n_layer is {shape.layers}, but {bundle.index} has fewer weights")
    theirs = {name: torch.from_numpy(array) for name, array in bundle.weights().items()}
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in GPT(shape).state_dict().items()}
    weights = to_ours(rules(shape), _as_matrices(theirs, bundle.index), shapes, bundle.index)
    return shape, {name: tensor.float() for name, tensor in weights.items()}, _tokenizer(folder, shape)


def read_shape(file: Path) -> GPTShape:
    """Return the shape in an hparams.json. Raises WeightsError, with the field."""
    numbers = weight_files.read_json(file)
    for field in _FIELDS.values():
        if type(numbers.get(field)) is not int or not 1 <= numbers[field] <= 2**24:
            raise WeightsError(f"{file}: {field} is {numbers.get(field)!r}; it must be a whole number from 1 to 2^24")
    try:
        return GPTShape(**{ours: numbers[theirs] for ours, theirs in _FIELDS.items()})
    except ValueError as error:
        raise WeightsError(f"{file}: {error}") from error


def rules(shape: GPTShape) -> list[Rule]:
    """Return the rules that name every weight in OpenAI's checkpoints, once the matrices are (in, out)."""
    table = [Rule("embeddings.tokens.weight", ("model/wte",)), Rule("embeddings.positions.weight", ("model/wpe",))]
    for n in range(shape.layers):
        for ours, theirs in (("attention.query_key_value", "attn/c_attn"), ("attention.output", "attn/c_proj"),
                             ("feed_forward.inner", "mlp/c_fc"), ("feed_forward.output", "mlp/c_proj")):  # fmt: skip
            table.append(Rule(f"layers.{n}.{ours}.weight", (f"model/h{n}/{theirs}/w",), transposed=True))
            table.append(Rule(f"layers.{n}.{ours}.bias", (f"model/h{n}/{theirs}/b",)))
        table += _norm(f"layers.{n}.attention_norm", f"model/h{n}/ln_1")
        table += _norm(f"layers.{n}.feed_forward_norm", f"model/h{n}/ln_2")
    return table + _norm("norm", "model/ln_f")


def _norm(ours: str, theirs: str) -> list[Rule]:
    return [Rule(f"{ours}.weight", (f"{theirs}/g",)), Rule(f"{ours}.bias", (f"{theirs}/b",))]


def _as_matrices(theirs: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Return the weights with matrices (1, in, out) as (in, out)."""
    matrices = dict(theirs)
    for name, tensor in theirs.items():
        if name.endswith("/w"):
            if tensor.dim() != 3 or tensor.shape[0] != 1:
                raise WeightsError(
                    f"{where}: {name} has the shape {tuple(tensor.shape)}, OpenAI's is (1, in, out); it is another model"
                )
            matrices[name] = tensor[0]
    return matrices


def _tokenizer(folder: Path, shape: GPTShape) -> Tokenizer:
    tokenizer = load_existing(str(folder / PIECES), ["gpt"])
    if tokenizer.size > shape.vocabulary:
        raise TokenizerError(
            f"{folder / PIECES}: has {tokenizer.size} pieces, <|endoftext|> included, and {NUMBERS} says n_vocab "
            f"{shape.vocabulary}; put the vocabulary of the model there"
        )
    return tokenizer
