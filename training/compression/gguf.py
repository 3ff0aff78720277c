"""Export a model to GGUF: `corpusmill export RUN --to gguf --out DIR`, for llama.cpp and whatever else reads it.

    GPT    gpt2             the whole model
    BERT   bert             the vectors of tokens, which is all that llama.cpp computes of a BERT; of a classification also its
                            head and labels (pooling "rank"), of similarity the mean of tokens (pooling "mean")
    T5     t5, t5encoder    the whole model; a tied head is written apart, as llama.cpp does not scale what it reads

Names are the official ones of the package gguf (TensorNameMap), numbers and tokenizer those that llama.cpp's own conversion
writes. Every tensor is read back and compared with the model's. Heads that were pruned are there again, with weights of 0.

Limits: numbers that llama.cpp has in its code cannot differ (the activation of GPT-2 and T5, T5's most distant bucket); its
GELU in BERT is the approximation by tanh.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.contract.new_folder import is_taken, new_folder
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.trained import TASK, Trained
from training.compression.gguf_vocabulary import add_vocabulary
from training.convert import bert, gpt, t5
from training.convert.export import ExportError
from training.convert.rules import Rule, to_theirs
from training.models.bert import BERT
from training.models.families import pieces_of
from training.models.gpt import GPT
from training.models.heads import with_all_heads
from training.models.t5 import T5
from training.tasks import tuned as tuning
from training.tasks.tuned import TunedModel

FILE = "model.gguf"
Type = Literal["f32", "f16"]
Weights = Mapping[str, NDArray[np.float32]]
_T5_LENGTH = 512  # T5 has no limit; this is what llama.cpp's conversion writes
_T5_DISTANCE = 128  # in llama.cpp's code (llama_relative_position_bucket)
_POOLERS = {"classification": "RANK", "similarity": "MEAN"}  # by kind of task
_FLOATS = ("position_embd.", "token_types.", "attn_rel_b.")  # kept in f32, as by llama.cpp's conversion; norms and biases, too


@dataclass(frozen=True, slots=True)
class Content:
    """What the file of a model holds beside its tokenizer."""

    architecture: str  # of gguf.MODEL_ARCH
    layers: int
    weights: Mapping[str, Tensor]  # in Hugging Face's names, but (out, in) for all matrices
    describe: Callable[[Any], None]  # writes the numbers


def export(path: str | Path, out: str | Path, type: Type = "f32") -> dict[str, int]:
    """Write a run's model into a new folder; return the bytes of its files by name.

    With f16, matrices have 16 bits, and norms, biases and tables of positions 32.

    Raises ExportError for a model or a tokenizer that GGUF or llama.cpp has not, or if the file holds something else.
    """
    if is_taken(str(out)):
        raise ExportError(f"{out}: is not an empty folder; name another, or remove it")
    source = trained.load(path)
    tuned = tuning.load(path) if TASK in trained.find(here(path)).state else None
    content = _content(replace(source, model=with_all_heads(source.model)), tuned)
    with new_folder(str(out)) as temporary:
        _write(temporary / FILE, content, source, type)
        return {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}


def _content(source: Trained, tuned: TunedModel | None) -> Content:
    kind = None if tuned is None else tuned.section.kind
    if tuned is not None and tuned.model.head is not None and not (kind in _POOLERS and isinstance(source.model, BERT)):
        raise ExportError(
            f"{source.where}: GGUF has no head for a {kind} by a {source.family}; export the run that model.base names"
        )
    if isinstance(source.model, BERT):
        return _bert(source, source.model, tuned)
    if isinstance(source.model, GPT):
        return _gpt(source, source.model)
    if isinstance(source.model, T5):
        return _t5(source, source.model)
    raise ExportError(f"{source.where}: GGUF has no architecture for a {source.family} of this shape; it has GPT-2, BERT and T5")


def _gpt(source: Trained, model: GPT) -> Content:
    shape = model.shape
    if shape.activation != "gelu_tanh":
        raise ExportError(f"{source.where}: its activation is {shape.activation}, and llama.cpp's gpt2 has gelu_tanh")

    def describe(writer: Any) -> None:
        _sizes(writer, shape.layers, shape.length, shape.width, shape.inner_width, shape.heads)
        writer.add_layer_norm_eps(shape.norm_epsilon)

    return Content("GPT2", shape.layers, _named(source, gpt.rules(shape)), describe)


def _bert(source: Trained, model: BERT, tuned: TunedModel | None) -> Content:
    import gguf

    shape = model.shape
    labels = None if tuned is None or tuned.section.kind != "classification" else list(tuned.task.state()["labels"]) or ["value"]
    weights = {name.removeprefix("bert."): tensor for name, tensor in _named(source, bert.rules(shape)).items()}
    positions = "embeddings.position_embeddings.weight"
    weights[positions] = weights[positions][shape.first_position :]
    pooler = {name.replace("pooler.dense", "classifier.dense"): tensor for name, tensor in weights.items() if "pooler" in name}
    weights = {name: tensor for name, tensor in weights.items() if not name.startswith(("cls.", "pooler."))}
    if labels and tuned is not None and tuned.model.head is not None:
        head = tuned.model.head.state_dict()
        names = {"dense": "classifier.dense", "output": "classifier.out_proj"}
        weights |= pooler | {f"{names[name.split('.')[0]]}.{name.split('.')[1]}": tensor for name, tensor in head.items()}

    def describe(writer: Any) -> None:
        _sizes(writer, shape.layers, shape.length, shape.width, shape.inner_width, shape.heads)
        writer.add_layer_norm_eps(shape.norm_epsilon)
        writer.add_causal_attention(False)
        writer.add_token_type_count(max(1, shape.segments))
        pooling = "NONE" if tuned is None else _POOLERS.get(tuned.section.kind, "NONE")
        writer.add_pooling_type(gguf.PoolingType[pooling])
        if labels:
            writer.add_classifier_output_labels(labels)

    return Content("BERT", shape.layers, weights, describe)


def _t5(source: Trained, model: T5) -> Content:
    shape = model.shape
    if shape.inner_activation != ("gelu_tanh" if shape.gated else "relu") or shape.max_distance != _T5_DISTANCE:
        raise ExportError(
            f"{source.where}: its activation is {shape.inner_activation}, its max_distance {shape.max_distance}; llama.cpp's t5 "
            f"has relu, with a gate gelu_tanh, and {_T5_DISTANCE}"
        )
    weights = dict(_named(source, t5.rules(shape)))
    if shape.tied and shape.decoder_layers:
        weights["lm_head.weight"] = weights["shared.weight"] * shape.width**-0.5

    def describe(writer: Any) -> None:
        _sizes(writer, shape.encoder_layers, _T5_LENGTH, shape.width, shape.inner, shape.heads)
        writer.add_key_length(shape.head_width)
        writer.add_value_length(shape.head_width)
        writer.add_layer_norm_eps(shape.norm_epsilon)
        writer.add_layer_norm_rms_eps(shape.norm_epsilon)
        writer.add_relative_attn_buckets_count(shape.buckets)
        if shape.decoder_layers:
            writer.add_decoder_block_count(shape.decoder_layers)
            writer.add_decoder_start_token_id(source.tokenizer.special_ids["<pad>"])

    layers = max(shape.encoder_layers, shape.decoder_layers)
    return Content("T5" if shape.decoder_layers else "T5ENCODER", layers, weights, describe)


def _sizes(writer: Any, layers: int, length: int, width: int, inner: int, heads: int) -> None:
    writer.add_block_count(layers)
    writer.add_context_length(length)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)


def _named(source: Trained, rules: list[Rule]) -> dict[str, Tensor]:
    """Return the weights in Hugging Face's names, without the padding of the vocabulary; GGUF has all matrices as (out, in)."""
    size, weights = source.tokenizer.size, source.model.state_dict()
    cropped = {
        name: tensor[:size] if name in ("embeddings.tokens.weight", "head.weight") else tensor for name, tensor in weights.items()
    }
    return to_theirs([replace(rule, transposed=False) for rule in rules], cropped)


def _write(path: Path, content: Content, source: Trained, type: Type) -> None:
    """Write a file, and read it again."""
    import gguf

    architecture = gguf.MODEL_ARCH[content.architecture]
    official = gguf.get_tensor_name_map(architecture, content.layers)
    writer = gguf.GGUFWriter(str(path), gguf.MODEL_ARCH_NAMES[architecture])
    content.describe(writer)
    writer.add_vocab_size(source.tokenizer.size)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if type == "f16" else gguf.LlamaFileType.ALL_F32)
    add_vocabulary(writer, source.tokenizer, pieces_of(source.model.shape), source.where)
    written: dict[str, NDArray[Any]] = {}
    for theirs, tensor in content.weights.items():
        name = official.get_name(theirs, try_suffixes=(".weight", ".bias"))
        assert name is not None and name not in written, f"no name for {theirs}"
        written[name] = _stored(name, tensor, type, source.where)
        writer.add_tensor(name, written[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    _compare(path, written, source.where)


def _stored(name: str, tensor: Tensor, type: Type, where: str) -> NDArray[Any]:
    values = tensor.detach().to(torch.float32).contiguous().numpy()
    if type == "f32" or values.ndim < 2 or "norm" in name or any(part in name for part in _FLOATS):
        return values
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    if not np.isfinite(halves).all():
        raise ExportError(f"{where}: {name} has values beyond 65,504, which f16 cannot hold; export it with --type f32")
    return halves


def _compare(path: Path, written: Mapping[str, NDArray[Any]], where: str) -> None:
    """Raise ExportError unless a file has these tensors."""
    import gguf

    found = {tensor.name: np.asarray(tensor.data) for tensor in gguf.GGUFReader(str(path)).tensors}
    for name, values in written.items():
        if name not in found or found[name].dtype != values.dtype or not np.array_equal(found[name], values):
            raise ExportError(f"{where}: {path.name} was read back without {name} as it is; please report it")
    if extra := set(found) - set(written):
        raise ExportError(f"{where}: {path.name} was read back with {min(extra)}, which was not written; please report it")
