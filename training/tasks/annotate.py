"""Judge texts for a corpus: the process that pipelines/text/judgement/annotators/process.py starts.

    python -m training.tasks.annotate RUN KIND WINDOWS

It reads an Arrow stream with a column `text` from its input and writes one with a column `answers`, a batch for a batch. The
first batch, which has no rows, says that the model is loaded; its schema says which one. A mistake of the user is a line on the
standard error and the exit status MISTAKE.

KIND is "classification" (the answer has a number for each label, or the value of a regression) or "named_entities" (the answer
has the spans of a text, in bytes; a span does not cross the end of a line).

The model reads one row at a time: which texts are read together does not change a bit of their answers, and on a CPU rows that
are read together are hardly faster (docs/quality.md). Numbers are rounded to four decimals, as `corpusmill predict` does.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from pipelines.contract.errors import UserError
from pipelines.contract.schema import ANSWERS, MODEL_FACTS
from training.checkpoints import store
from training.generation.answers import evaluated
from training.run.device import Device, prepare
from training.tasks import tuned as tuning
from training.tasks.encoders.named_entities import NamedEntities
from training.tasks.errors import TaskError
from training.tasks.input.reading import Reader
from training.tasks.input.records import of_columns
from training.tasks.input.rows import INPUTS, Ragged, Rows, ragged
from training.tasks.labels.classification import Classification
from training.tasks.tuned import TunedModel

MISTAKE = 2
CHARACTERS_PER_TOKEN = 32  # a first window is filled from so many characters for each of its tokens; the rest is not encoded

Judge = Callable[[Sequence[str]], list[Any]]


def main(run: str, kind: str, windows: int) -> int:
    """Answer texts until the input ends; return the exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process ends with its input
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
    try:
        device = prepare("cpu", "float32", 1)
        tuned = load(run, kind)
    except UserError as error:
        print(error, file=sys.stderr)
        return MISTAKE
    schema = pa.schema([pa.field("answers", ANSWERS[kind])], metadata={MODEL_FACTS: json.dumps(facts(tuned))})
    judge = judge_of(tuned, device, windows)
    with answers, pa.ipc.new_stream(answers, schema) as out:
        for texts in _batches():
            out.write_batch(pa.record_batch([pa.array(judge(texts), ANSWERS[kind])], schema=schema))
            answers.flush()
    return 0


def _batches() -> Iterator[list[str]]:
    yield []
    with pa.ipc.open_stream(sys.stdin.buffer) as batches:
        for batch in batches:
            yield batch["text"].to_pylist()


def load(run: str, kind: str) -> TunedModel:
    """Load a run of this kind. Raises TaskError for another kind or a model without a head, CheckpointError if there is none."""
    tuned = tuning.load(run)
    if tuned.section.kind != kind or tuned.model.head is None:
        what = tuned.section.kind if tuned.model.head is not None else f"{tuned.family} that answers in words"
        raise TaskError(f"{tuned.where}: is a {what}; name the run of a fine-tuning with a head and task.kind = {kind!r}")
    if isinstance(tuned.task, NamedEntities) and not tuned.task.has_spans:
        raise TaskError(f"{tuned.where}: labels words, but no spans; train it on labels such as B-person, I-person and O")
    return tuned


def facts(tuned: TunedModel) -> dict[str, Any]:
    """Return what a corpus knows of a model: its labels (of a regression none) and the hash of what it answers by."""
    return {"labels": list(tuned.task.state()["labels"]), "checkpoint": checkpoint_hash(Path(tuned.where))}


def checkpoint_hash(folder: Path) -> str:
    """Return a hash of a checkpoint's files, without the state of the optimiser."""
    listed = json.loads((folder / store.MANIFEST).read_text("utf-8"))["files"]
    names = sorted(name for name in listed if not name.startswith("optimizer"))
    return hashlib.sha256("".join(f"{name} {listed[name]['sha256']}\n" for name in names).encode()).hexdigest()


def judge_of(tuned: TunedModel, device: Device, windows: int = 1) -> Judge:
    """Return the function from texts to their answers."""
    if isinstance(tuned.task, Classification):
        return lambda texts: scored(tuned, texts, device, windows)
    return lambda texts: spans(tuned, texts, device)


def scored(tuned: TunedModel, texts: Sequence[str], device: Device, windows: int = 1) -> list[list[float]]:
    """Return the probability of each label, or the value of a regression: the mean over a text's windows."""
    task = tuned.task
    assert isinstance(task, Classification)
    if not texts:
        return []
    if windows == 1:
        texts = [text[: task.reader.length * CHARACTERS_PER_TOKEN] for text in texts]
    rows = windows_of(task.reader, texts, windows)
    answers = task.answers(outputs(tuned, rows, device), rows, of_columns({"text": [""] * len(rows)}, "windows"))
    values = [list(answer["probabilities"].values()) if "probabilities" in answer else [answer["value"]] for answer in answers]
    ends = np.searchsorted(rows.records, np.arange(len(texts) + 1))
    return [np.round(np.mean(values[a:b], axis=0), 4).tolist() for a, b in pairwise(ends.tolist())]


def windows_of(reader: Reader, texts: Sequence[str], most: int) -> Rows:
    """Return at most so many rows of each text, full ones that are evenly spread from its beginning to its end."""
    room = reader.length - len(reader.row([]))
    inputs: list[list[int]] = []
    of_text: list[int] = []
    for number, ids in enumerate(reader.encode(texts)):
        for first in starts(len(ids), room, most):
            inputs.append(reader.row(ids[first : first + room]))
            of_text.append(number)
    columns: dict[str, Ragged | NDArray[Any]] = {INPUTS: ragged(inputs, reader.words.specials.pad)}
    if reader.segments:
        columns["segments"] = ragged([[0] * len(row) for row in inputs], 0)
    return Rows(columns, np.array(of_text, np.int64))


def starts(length: int, room: int, most: int) -> list[int]:
    """Return where windows of `room` tokens begin in a text of `length` tokens.

    >>> starts(10, 4, most=1), starts(10, 4, most=2), starts(10, 4, most=9), starts(3, 4, most=9)
    ([0], [0, 6], [0, 3, 6], [0])
    """
    count = max(1, min(most, -(-length // room)))
    return [number * (length - room) // (count - 1) for number in range(count)] if count > 1 else [0]


def spans(tuned: TunedModel, texts: Sequence[str], device: Device) -> list[list[dict[str, Any]]]:
    """Return the spans of each text: label, start and end in bytes of UTF-8."""
    if not texts:
        return []
    records = of_columns({"text": texts}, "texts")
    rows = tuned.task.rows(records, labelled=False)
    answers = tuned.task.answers(outputs(tuned, rows, device), rows, records)
    return [in_bytes(text, answer["entities"]) for text, answer in zip(texts, answers, strict=True)]


def in_bytes(text: str, entities: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    r"""Return entities in order, cut at the ends of lines, with places in bytes.

    >>> in_bytes("é: Ann\nLee", [{"label": "person", "begin": 3, "end": 10}])
    [{'label': 'person', 'start': 4, 'end': 7}, {'label': 'person', 'start': 8, 'end': 11}]
    """
    found: list[dict[str, Any]] = []
    at, byte = 0, 0  # a place in the text, in characters and in bytes
    for entity in entities:
        first = entity["begin"]
        for line in text[first : entity["end"]].splitlines(keepends=True):
            name = line.strip()
            first, next_line = first + line.find(name), first + len(line)
            byte, at = byte + len(text[at:first].encode()), first
            if name:
                found.append({"label": entity["label"], "start": byte, "end": byte + len(name.encode())})
            first = next_line
    return found


def outputs(tuned: TunedModel, rows: Rows, device: Device) -> list[Any]:
    """Return the output of each row, computed by itself."""
    with evaluated(tuned.model), torch.inference_mode():
        batches = (device.tensors(rows.batch(np.array([number]))) for number in range(len(rows)))
        return [tuned.task.outputs(tuned.model, batch)[0] for batch in batches]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
