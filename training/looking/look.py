"""What a model sees in a text, and how its run went: the data of `corpusmill look RUN --text … --out page.html`.

The page is drawn by flows/pages/looked.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CHECKPOINTS
from training.checkpoints.trained import TASK
from training.evaluation.forgetting import read_config
from training.generation.texts import Speller, speller
from training.looking.attention import Weights, weights
from training.looking.attributions import Attributions, integrated_gradients
from training.looking.calibration import Calibration, calibration
from training.looking.probing import Probed, probe, states
from training.looking.sharpness import sharpness
from training.models.composed import Composed
from training.models.families import Masked, Model
from training.models.gpt import GPT
from training.models.t5 import T5
from training.run.device import Device
from training.run.feed import open_feed
from training.run.pretrain import VALIDATION
from training.run.progress import METRICS, read_metrics
from training.run.validation import validation
from training.tasks import features
from training.tasks import tuned as tuning
from training.tasks.errors import TaskError
from training.tasks.input.reading import Read, reader
from training.tasks.input.records import Records
from training.tasks.input.records import records as records_of
from training.tasks.input.rows import INPUTS, LENGTHS, Ragged, Rows, ragged
from training.tasks.job import held_out
from training.tasks.labels.classification import Classification
from training.tasks.labels.text_labels import TextLabels
from training.tasks.tuned import TunedModel

NEIGHBOURS = 8
MOST_TOKENS = 64  # of a row that is drawn
_MOST_RECORDS = 2000  # for calibration and probing
_SHARP_ROWS = 64
_CPU = Device("cpu", "float32")


class LookError(UserError):
    """A model cannot be looked into; the message names the fix."""


@dataclass(frozen=True, slots=True)
class Looked:
    """Everything that the page shows."""

    where: str
    family: str
    pieces: list[str]  # of the row
    attention: list[Weights]
    target: str  # what the attributions explain; empty if nothing
    attributions: Attributions | None
    neighbours: list[tuple[str, list[tuple[str, float]]]]  # piece -> pieces and their cosines
    calibration: Calibration | None
    records: int  # that the calibration is of
    probed: Probed | None
    sharp: list[tuple[int, float]]  # step -> sharpness, of the checkpoints that the run keeps
    steps: list[dict[str, Any]]  # lines of the run's metrics with a gradient norm


def look(run: str, text: str, second: str | None = None, records: str | None = None, *, sharp: bool = False) -> Looked:
    """Look into a run, an import or a checkpoint with a text, or two.

    `records`: labelled texts for the probing of layers and for the calibration of a classifier; by default its validation file.
    With `sharp`, the sharpness of the loss at each checkpoint of the run. Raises LookError for a text that is too long or empty,
    CheckpointError for a folder that is no model's, TaskError or DatasetError for records or data that cannot be read.
    """
    path = here(run)
    tuned = tuning.load(run) if TASK in trained.find(path).state else None
    found = None if tuned is not None else trained.load(run)
    body: Model = tuned.model.body if tuned is not None else found.model  # pyright: ignore[reportOptionalMemberAccess]
    tokenizer: Tokenizer = tuned.tokenizer if tuned is not None else found.tokenizer  # pyright: ignore[reportOptionalMemberAccess]
    body.eval()
    words = speller(body, tokenizer)
    examples = _examples(body, words, tuned, text, second)
    ids: list[int] = examples[INPUTS][0].tolist()
    if len(ids) > MOST_TOKENS:
        raise LookError(f"--text: has {len(ids)} tokens, and at most {MOST_TOKENS} can be drawn; shorten it")
    target, attributions = _attributed(body, words, tuned, examples)
    labelled = _labelled(tuned, records)
    reliable, count = _calibrated(tuned, labelled)
    return Looked(
        where=tuned.where if tuned is not None else found.where,  # pyright: ignore[reportOptionalMemberAccess]
        family=words.family,
        pieces=_pieces(tokenizer, ids),
        attention=weights(body, lambda: _run(body, examples)),
        target=target,
        attributions=attributions,
        neighbours=_neighbours(body, tokenizer, ids),
        calibration=reliable,
        records=count,
        probed=_probed(body, tokenizer, tuned, labelled),
        sharp=_sharpness(path, tuned) if sharp else [],
        steps=[line for line in _metrics(path) if "gradient_norm" in line],
    )


def _examples(body: Model, words: Speller, tuned: TunedModel | None, text: str, second: str | None) -> dict[str, Tensor]:
    """Return the row as the model reads it: {"inputs": (1, T), "lengths": (1,), perhaps "segments"}."""
    if not text.strip():
        raise LookError("--text: is empty; give a text")
    if tuned is None:
        if second is not None:
            raise LookError("--second: is for a model that was fine-tuned on pairs; leave it out")
        row = words.row(text) if words.family != "gpt" else [words.specials.end, *words.encode(text)]
        read = Read(ragged([row], 0), None, 0)
    else:
        words_of = reader(body, words.tokenizer, tuned.section.length, _prompt(tuned))
        prefix = (tuned.section.prefix or "") if words.family == "t5" else ""
        read = words_of.read([prefix + text], None if second is None else [second])
    columns: dict[str, Ragged] = {INPUTS: read.inputs} | ({"segments": read.segments} if read.segments is not None else {})
    rows = {name: torch.from_numpy(column.row(0).copy())[None] for name, column in columns.items()}
    return {**rows, LENGTHS: torch.tensor([rows[INPUTS].shape[1]])}


def _prompt(tuned: TunedModel) -> Sequence[int]:
    task: Any = tuned.task
    return task.reader.prompt


def _run(body: Model, examples: Mapping[str, Tensor]) -> object:
    if isinstance(body, T5):
        start = torch.zeros_like(examples[INPUTS][:, :1])
        return body.decode(start, body.encode(examples[INPUTS]))
    return features.tokens(body, examples)


def _pieces(tokenizer: Tokenizer, ids: Sequence[int]) -> list[str]:
    names = tokenizer.piece_names()
    return [names[i] if i < len(names) else f"prompt {i - len(names) + 1}" for i in ids]


def _attributed(
    body: Model, words: Speller, tuned: TunedModel | None, examples: Mapping[str, Tensor]
) -> tuple[str, Attributions | None]:
    """Return what is explained, and the attributions: the label of a classifier, or the piece at a mask or after the text."""
    ids: list[int] = examples[INPUTS][0].tolist()
    special = words.specials
    kept = {*words.tokenizer.special_ids.values(), *(i for i in ids if i >= body.embeddings.tokens.num_embeddings)}
    head = tuned.model.head if tuned is not None else None
    if tuned is not None and head is not None and type(tuned.task) is Classification:

        def logits(rows: Mapping[str, Tensor]) -> Tensor:
            return head(features.vectors(body, rows)).float()

        labels = tuned.task.labels
    elif tuned is None and isinstance(body, GPT | Composed | Masked):
        at = ids.index(special.mask) if special.mask in ids else len(ids) - 1 if words.family == "gpt" else None
        if at is None:
            return "", None
        place, labels = at, words.tokenizer.piece_names()

        def logits(rows: Mapping[str, Tensor]) -> Tensor:
            return body.logits(features.tokens(body, rows)[:, place])[:, : words.tokenizer.size].float()
    else:
        return "", None
    with torch.no_grad():
        best = int(logits(examples)[0].argmax())
    name = labels[best] if labels else "the number"
    made = integrated_gradients(body.embeddings.tokens, lambda rows: logits(rows)[:, best], examples, kept, special.pad)
    return name, made


def _neighbours(body: Model, tokenizer: Tokenizer, ids: Sequence[int]) -> list[tuple[str, list[tuple[str, float]]]]:
    """Return the nearest pieces of the vocabulary to each piece of the row, by the cosine of their embeddings."""
    special, names = set(tokenizer.special_ids.values()), tokenizer.piece_names()
    table = functional.normalize(body.embeddings.tokens.weight.detach()[: tokenizer.size].float(), dim=1)
    plain = [i for i in dict.fromkeys(ids) if i < tokenizer.size and i not in special]
    if not plain:
        return []
    near = table[plain] @ table.T
    near[torch.arange(len(plain)), plain] = -2
    near[:, sorted(special)] = -2
    cosines, places = near.topk(min(NEIGHBOURS, near.shape[1]), 1)
    return [
        (names[i], [(names[n], c) for n, c in zip(of_places, of_cosines, strict=True)])
        for i, of_places, of_cosines in zip(plain, places.tolist(), cosines.tolist(), strict=True)
    ]


def _labelled(tuned: TunedModel | None, path: str | None) -> Records | None:
    """Return the first records of a file with texts and their labels."""
    if tuned is None:
        if path is None:
            return None
        try:
            return records_of(path, {"text": "text", "label": "label"}).first(_MOST_RECORDS)
        except TaskError as error:
            raise LookError(f"--records: {str(error).partition(';')[0]}; give a file with the fields text and label") from None
    if not isinstance(tuned.task, Classification | TextLabels) or tuned.section.regression:
        if path is not None:
            raise LookError("--records: is for pretrained models and for classifiers; leave it out")
        return None
    path = path or tuned.section.validation
    return None if path is None else tuned.read(path).first(_MOST_RECORDS)


def _calibrated(tuned: TunedModel | None, found: Records | None) -> tuple[Calibration | None, int]:
    """Return the calibration of a classifier on labelled records."""
    if tuned is None or found is None:
        return None, 0
    rows = tuned.task.rows(found)
    outputs = tuning.in_order(tuning.outputs(tuned, rows, _CPU))
    answers = tuned.task.answers(outputs, rows, found)
    right = [answer["label"] == label for answer, label in zip(answers, found.texts("label"), strict=True)]
    return calibration([answer["probability"] for answer in answers], right), len(found)


def _probed(body: Model, tokenizer: Tokenizer, tuned: TunedModel | None, found: Records | None) -> Probed | None:
    """Return how well each layer tells the labels apart; None without records, or if fewer than two labels have enough."""
    if found is None:
        return None
    if tuned is not None:
        rows = tuned.task.rows(found, labelled=False)
    else:
        read = reader(body, tokenizer, None).read(found.texts("text"))
        segments = {} if read.segments is None else {"segments": read.segments}
        rows = Rows({INPUTS: read.inputs, **segments}, np.arange(len(found)), read.cropped)
    numbers, parts = list[int](), list[list[NDArray[np.float32]]]()
    for batch in tuning.batches(rows):
        numbers += batch.tolist()
        parts.append(states(body, _CPU.tensors(rows.batch(batch))))
    order = np.argsort(numbers)
    return probe([np.concatenate(layer)[order] for layer in zip(*parts, strict=True)], found.texts("label"))


def _sharpness(path: Path, tuned: TunedModel | None) -> list[tuple[int, float]]:
    """Return the sharpness on held-out examples at each checkpoint of a run. Raises LookError for what is no run's folder."""
    steps = sorted((path / CHECKPOINTS).glob("step-*"))
    if not steps or not (path / METRICS).exists():
        raise LookError(f"--sharpness: {path} is no run's folder; name the run.out of `corpusmill pretrain` or `finetune`")
    examples = _held_out_examples(path) if tuned is None else _tuned_examples(tuned)
    found: list[tuple[int, float]] = []
    for step in steps:
        model: Any = trained.load(step).model if tuned is None else tuning.load(step).model
        model.eval()

        def loss(model: Any = model) -> Tensor:
            """The mean over predictions, summed over terms."""
            tensors, counts = examples
            sums = model.losses(tensors)
            return torch.stack([sums[term] / max(1, count) for term, count in counts.items()]).sum()

        found.append((trained.find(step).step, sharpness(model, loss)))
    return found


def _tuned_examples(tuned: TunedModel) -> tuple[dict[str, Tensor], Mapping[str, int]]:
    rows = held_out(tuned).rows
    examples = rows.batch(np.arange(min(len(rows), _SHARP_ROWS)))
    return _CPU.tensors(examples), tuned.task.counts(examples)


def _held_out_examples(path: Path) -> tuple[dict[str, Tensor], Mapping[str, int]]:
    config = read_config(path)
    feed = open_feed(config, folder=config.data.rows or path / "rows", split=VALIDATION)
    batch = validation(feed, VALIDATION, _SHARP_ROWS).batches[0]
    return _CPU.tensors(batch.examples), batch.counts


def _metrics(path: Path) -> list[dict[str, Any]]:
    return read_metrics(path / METRICS) if (path / METRICS).exists() else []
