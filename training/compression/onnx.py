"""Export a model to ONNX: `corpusmill export RUN --to onnx --out DIR`, for onnxruntime and whatever else reads it.

    a tuned BERT     model.onnx    ids, segments (if the model has them), mask (B, T)  ->  logits (B, C), of tokens (B, T, C)
    BERT             model.onnx    the same                                            ->  logits (B, T, V)
    GPT              model.onnx    ids (B, T), key_N, value_N (B, H, P, K) of each layer
                                   ->  logits (B, T, V), new_key_N, new_value_N (B, H, P + T, K); P may be 0
    BART, T5         encoder.onnx  ids, mask (B, S)                                    ->  memory (B, S, D)
                     decoder.onnx  ids (B, T), memory, mask (B, S)                     ->  logits (B, T, V)

mask is 1 at real tokens; all are int64 but keys, values and memory. Batch and lengths are dynamic. labels.json has the labels of
a tuned model. The graph is torch.export's (torch.onnx, dynamo); each file is run once in onnxruntime against the model here, on
rows of other lengths than those it was traced with, and refused if a value differs by more than 1e-4.
"""

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from pipelines.contract import files
from pipelines.contract.new_folder import is_taken, new_folder
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.trained import TASK
from training.convert.export import ExportError
from training.models.attention import Cache
from training.models.bart import BART
from training.models.bert import BERT
from training.models.gpt import GPT
from training.models.positions import RelativeBias
from training.models.t5 import T5
from training.tasks import tuned as tuning

TOLERANCE = 1e-4  # of a value beside ours
LABELS = "labels.json"
_DYNAMIC = torch.export.Dim.DYNAMIC
_BATCH_LENGTH = {0: _DYNAMIC, 1: _DYNAMIC}


@dataclass(frozen=True, slots=True)
class Graph:
    """A file: the module, its inputs' and outputs' names, and which dimensions of its inputs are dynamic."""

    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic: Any
    traced: tuple[Any, ...]
    checked: tuple[Any, ...]  # of other sizes


class _Encoded(nn.Module):
    """A BERT, with the head of a task or its own."""

    def __init__(self, body: BERT, head: nn.Module | None, of_rows: bool) -> None:
        super().__init__()
        self.body, self.head, self.of_rows = body, head, of_rows

    def forward(self, ids: Tensor, mask: Tensor, segments: Tensor | None = None) -> Tensor:
        hidden = self.body.hidden(ids, segments, mask.bool())
        if self.head is None:
            return self.body.logits(hidden)
        if self.of_rows:
            hidden = hidden[:, 0] if self.body.pooler is None else self.body.pooler(hidden[:, 0]).tanh()
        return self.head(hidden)


class _Continued(nn.Module):
    """A GPT with the keys and values of tokens before."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, past: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        cache = Cache(self.model.shape.layers)
        for layer, (key, value) in zip(cache.layers, past, strict=True):
            layer.own.key, layer.own.value = key, value
        logits = self.model.logits(self.model.hidden(ids, cache=cache))
        return logits, [(layer.own.key, layer.own.value) for layer in cache.layers if layer.own.key is not None]  # pyright: ignore[reportReturnType]


class _Encoder(nn.Module):
    def __init__(self, model: BART | T5) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.model.encode(ids, real=mask.bool())


class _Decoder(nn.Module):
    def __init__(self, model: BART | T5) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        return self.model.logits(self.model.decode(ids, memory, real=mask.bool()))


class _TracedBias(RelativeBias):
    """The same biases from a table of all pairs: the windows of the original are traced with one length."""

    def forward(self, queries: int, keys: int, sees: Tensor | None = None) -> Tensor:
        places = torch.arange(keys, device=self.weight.device)
        distances = places[None] - (places[:queries, None] + (keys - queries))
        biases = self.weight[self.bucket(distances)].permute(2, 0, 1)[None]
        return biases if sees is None else biases.masked_fill(~sees, torch.finfo(biases.dtype).min / 2)


def export(path: str | Path, out: str | Path) -> dict[str, int]:
    """Write a run's model into a new folder; return the bytes of its files by name.

    Raises ExportError for a model that is none of the above, or whose graph computes something else.
    """
    if is_taken(str(out)):
        raise ExportError(f"{out}: is not an empty folder; name another, or remove it")
    graphs, labels, where = _graphs(path)
    with new_folder(str(out)) as temporary:
        for name, graph in graphs.items():
            _write(temporary / f"{name}.onnx", graph, where)
        if labels:
            files.write_text(str(temporary / LABELS), json.dumps(labels, ensure_ascii=False) + "\n")
        return {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}


def _graphs(path: str | Path) -> tuple[Mapping[str, Graph], list[str], str]:
    """Return the files of a model by name, its labels, and where it comes from."""
    source = trained.load(path)
    model = copy.deepcopy(source.model)
    if TASK in trained.find(here(path)).state:
        tuned = tuning.load(path)
        if tuned.model.head is not None:
            if not isinstance(model, BERT) or tuned.body.tuning in ("prompt", "prefix"):
                raise ExportError(f"{source.where}: only tuned BERTs are exported with their heads; this is a {source.family}")
            labels = list(tuned.task.state().get("labels", ()))
            return {"model": _bert(model, tuned.model.head, tuned.section.kind)}, labels, source.where
    if isinstance(model, BERT):
        return {"model": _bert(model, None, "")}, [], source.where
    if isinstance(model, GPT):
        return {"model": _gpt(model)}, [], source.where
    if isinstance(model, BART | T5) and getattr(model, "decoder", None) is not None:
        return _two_stacks(model), [], source.where
    raise ExportError(f"{source.where}: a {source.family} of this shape is not exported to ONNX; BERT, GPT, BART and T5 are")


def _bert(body: BERT, head: nn.Module | None, kind: str) -> Graph:
    if kind == "relations":
        raise ExportError("a head of relations reads the vectors at two markers, and is not exported; use `corpusmill predict`")
    names = ("ids", "mask", *(("segments",) if body.shape.segments > 1 else ()))
    traced, checked = (_rows(body.shape.vocabulary, *size)[: len(names)] for size in ((3, 7), (2, 8)))
    of_rows = kind == "classification"
    return Graph(_Encoded(body, head, of_rows), names, ("logits",), (_BATCH_LENGTH,) * len(names), traced, checked)


def _gpt(model: GPT) -> Graph:
    shape = model.shape
    dimensions = {0: _DYNAMIC, 2: _DYNAMIC}

    def arguments(batch: int, new: int, before: int) -> tuple[Any, ...]:
        sizes = [(batch, heads, before, shape.head_width) for heads in shape.heads_by_layer]
        # keys and values must be different tensors: a trace takes one for both
        return _rows(shape.vocabulary, batch, new)[0], [(torch.randn(size), torch.randn(size)) for size in sizes]

    parts = [(f"key_{n}", f"value_{n}") for n in range(shape.layers)]
    flat = tuple(name for pair in parts for name in pair)
    dynamic = (_BATCH_LENGTH, [(dimensions, dimensions)] * shape.layers)
    outputs = ("logits", *(f"new_{name}" for name in flat))
    return Graph(_Continued(model), ("ids", *flat), outputs, dynamic, arguments(3, 4, 3), arguments(2, 1, 6))


def _two_stacks(model: BART | T5) -> dict[str, Graph]:
    for module in model.modules():
        if isinstance(module, RelativeBias):
            module.__class__ = _TracedBias
    words, width = model.shape.vocabulary, model.shape.width
    first, second = _rows(words, 3, 7), _rows(words, 2, 8)
    two = (_BATCH_LENGTH, _BATCH_LENGTH)
    traced, checked = (
        (_rows(words, len(rows[0]), length)[0], torch.randn(*rows[0].shape, width), rows[1])
        for rows, length in ((first, 5), (second, 6))
    )
    return {
        "encoder": Graph(_Encoder(model), ("ids", "mask"), ("memory",), two, first[:2], second[:2]),
        "decoder": Graph(_Decoder(model), ("ids", "memory", "mask"), ("logits",), (*two, _BATCH_LENGTH), traced, checked),
    }


def _rows(vocabulary: int, batch: int, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and segments of drawn rows, the first with padding."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(0, vocabulary, (batch, length), generator=generator)
    mask = torch.ones_like(ids)
    mask[0, length // 2 :] = 0
    return ids, mask, (torch.arange(length) >= length // 2).long().expand(batch, length).contiguous()


def _write(path: Path, graph: Graph, where: str) -> None:
    """Write a graph and compare it with the module."""
    module = graph.module.eval()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of torch.export and onnxscript, about their own code
        program = torch.onnx.export(
            module,
            graph.traced,
            dynamo=True,
            dynamic_shapes=graph.dynamic,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            verbose=False,
        )
        assert program is not None
        program.save(str(path))
        most = _difference(path, graph)
    if not most <= TOLERANCE:
        raise ExportError(f"{where}: {path.name} computes values that differ by {most:.1e} from the model's; please report it")


def _difference(path: Path, graph: Graph) -> float:
    """Return the largest difference between what onnxruntime computes and the module, on the rows for checks."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    given: list[Tensor] = pytree.tree_leaves(graph.checked)
    found = session.run(None, {name: tensor.numpy() for name, tensor in zip(graph.inputs, given, strict=True)})
    wanted: list[Tensor] = pytree.tree_leaves(graph.module(*graph.checked))
    pairs = zip(found, wanted, strict=True)
    return max(float(np.abs(np.asarray(one) - two.numpy()).max()) for one, two in pairs)
