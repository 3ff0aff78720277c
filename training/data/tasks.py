"""Supervised text-to-text tasks, mixed with span corruption (T5, arXiv 1910.10683, 3.5.3).

    index = open_tasks(config.objective.tasks, dataset.tokenizer, "run/rows")
    index.streams                              # one per task, named e.g. "task:cola"; numbers from 0
    batch = index.gather(np.array([3, 0]))     # a TaskBatch, for objectives.text_to_text
    index.place(3)                             # ("glue/cola.jsonl", 4): file and line

A file, plain or compressed, has one JSON object per line, {"inputs": "…", "targets": "…"}; blank lines and other fields are
ignored. It is encoded once, prefix and inputs as one text, into a folder named by its fingerprint:

    ids.npy        inputs of example 0, its targets, inputs of example 1, …
    examples.npy   per example: where its ids begin, how many there are, its line (EXAMPLE)
    index.json     identity, examples and tokens

After a row index of n rows, number n + i of the joint streams is task example i; `task_mixture` returns the weights of both.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.storage.compressed import BrokenStreamError, Content
from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.config import TaskSection
from training.data.rows.files import INDEX, Appender, creating, damaged, read_json, verify_arrays, write_json
from training.data.rows.layout import Stream
from training.kernels import jit

VERSION = 1  # of the encoding and the files

PREFIX = "task:"  # of the sources' names
EXAMPLES_PER_CHUNK = 1024  # encoded at once

EXAMPLE = np.dtype(
    [
        ("first", "<i8"),  # place of its inputs in the ids; its targets follow them
        ("inputs", "<u4"),  # tokens
        ("targets", "<u4"),  # tokens, at least one
        ("line", "<u8"),  # of the file, from 1
    ]
)

Numbers = NDArray[np.int64]


class TaskError(UserError):
    """The file of a task cannot be used; the message names the file, the line and the fix."""


@dataclass(frozen=True, slots=True)
class TaskBatch:
    """Ids of N examples without special pieces; inputs of example n are `inputs[input_offsets[n] : input_offsets[n + 1]]`."""

    inputs: NDArray[np.int32]
    input_offsets: Numbers  # (N + 1,)
    targets: NDArray[np.int32]
    target_offsets: Numbers  # (N + 1,)

    def __len__(self) -> int:
        return len(self.input_offsets) - 1


@dataclass(frozen=True)
class Task:
    """One file, encoded and mapped."""

    name: str
    path: str
    ids: NDArray[Any]  # (tokens,) uint16 or uint32
    examples: NDArray[Any]  # (examples,) of EXAMPLE


@dataclass(frozen=True)
class TaskIndex:
    """All tasks of a run; examples are numbered consecutively, in the order of the tasks."""

    tasks: tuple[Task, ...]
    streams: tuple[Stream, ...]  # one per task; `rows` counts examples, `tokens` those of inputs and targets
    _opened_with: tuple[tuple[str, str, Path, dict[str, Any]], ...]

    def __len__(self) -> int:
        return sum(stream.rows for stream in self.streams)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle how to open the files: another process maps them itself."""
        return _reopen, (self._opened_with,)

    @property
    def fingerprint(self) -> str:
        """Fingerprint of everything that determines the examples and their numbers."""
        return manifest.fingerprint({"tasks": [[name, identity] for name, _, _, identity in self._opened_with]})

    def gather(self, numbers: Numbers) -> TaskBatch:
        """Return the ids of these examples: (N,) numbers -> N examples, in the order given. Raises IndexError beyond the last."""
        chosen, tasks, local = np.empty(len(numbers), dtype=EXAMPLE), self._task_of(numbers), self._local(numbers)
        for n in np.unique(tasks):
            chosen[tasks == n] = self.tasks[n].examples[local[tasks == n]]
        inputs = self._copy_ids(tasks, chosen["first"], chosen["inputs"])
        return TaskBatch(*inputs, *self._copy_ids(tasks, chosen["first"] + chosen["inputs"], chosen["targets"]))

    def place(self, number: int) -> tuple[str, int]:
        """Return the file of an example and its line (from 1)."""
        one = np.array([number])
        task = self.tasks[int(self._task_of(one)[0])]
        return task.path, int(task.examples[self._local(one)[0]]["line"])

    def _task_of(self, numbers: Numbers) -> Numbers:
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"the tasks have the examples 0 .. {len(self) - 1:,}; requested: {numbers.min()} .. {numbers.max()}")
        return np.searchsorted([stream.first for stream in self.streams], numbers, side="right") - 1

    def _local(self, numbers: Numbers) -> Numbers:
        return numbers - np.array([stream.first for stream in self.streams])[self._task_of(numbers)]

    def _copy_ids(self, tasks: Numbers, first: Numbers, tokens: NDArray[np.uint32]) -> tuple[NDArray[np.int32], Numbers]:
        offsets = np.concatenate([[0], np.cumsum(tokens, dtype=np.int64)])
        out = np.empty(offsets[-1], dtype=np.int32)
        for n in np.unique(tasks):
            _copy(np.asarray(self.tasks[n].ids), np.flatnonzero(tasks == n), first.astype(np.int64), offsets, out)
        return out, offsets


@jit
def _copy(ids: Any, examples: Any, first: Any, offsets: Any, out: Any) -> None:  # pragma: no cover (compiled)
    """Copy the ids of these examples to their places."""
    for example in examples:
        begin = offsets[example]
        for i in range(offsets[example + 1] - begin):
            out[begin + i] = ids[first[example] + i]


def open_tasks(sections: Sequence[TaskSection], tokenizer: Tokenizer, folder: str | Path) -> TaskIndex:
    """Open the tasks of a config: map them from `folder/<fingerprint>`, where they are encoded first if they are missing.

    Raises TaskError for a file that is missing or empty, or has a line that is not an example; DatasetError for a damaged
    folder.
    """
    names = [section.name for section in sections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TaskError(f"objective.tasks: two are named {twice[0]!r}; give each a name of its own")
    return _reopen(tuple(_encode_file(section, tokenizer, Path(folder)) for section in sections))


def mixture_rates(counts: Mapping[str, int], limit: int, temperature: float = 1.0) -> dict[str, float]:
    """Return the rates of examples-proportional mixing with a limit and a temperature (T5, 3.5.2); they add up to 1.

    The rate of a task of e examples is min(e, limit) ** (1 / temperature) over the sum of these. Unlabelled text is one of
    the tasks, and its rows are its examples: being far larger, it counts as `limit` (T5's paper; the released configs use
    a fixed number instead).

    >>> mixture_rates({"text": 1000, "a": 30, "b": 70}, limit=100)
    {'text': 0.5, 'a': 0.15, 'b': 0.35}
    """
    assert limit >= 1 and temperature >= 1
    sizes = {name: min(count, limit) ** (1 / temperature) for name, count in counts.items() if count}
    return {name: size / sum(sizes.values()) for name, size in sizes.items()}


def task_mixture(
    sources: Mapping[str, float], rows: int, tasks: Sequence[Stream], limit: int, temperature: float = 1.0
) -> dict[str, float]:
    """Return the weights of text sources and tasks together, by the source's name; they add up to 1.

    `sources` are the relative weights of the text (data.mixture, or the rows of each), `rows` the sum of its rows.

    >>> a = Stream("task:a", 0, 100, 900)
    >>> task_mixture({"wiki": 3, "books": 1}, 5000, [a], limit=100)
    {'wiki': 0.375, 'books': 0.125, 'task:a': 0.5}
    """
    rates = mixture_rates({"": rows, **{stream.source: stream.rows for stream in tasks}}, limit, temperature)
    text = rates.pop("")
    return {name: text * weight / sum(sources.values()) for name, weight in sources.items()} | rates


def _reopen(opened: tuple[tuple[str, str, Path, dict[str, Any]], ...]) -> TaskIndex:
    tasks: list[Task] = []
    streams: list[Stream] = []
    first = 0
    for name, path, folder, identity in opened:
        content = read_json(folder, identity)
        ids = _read(folder, "ids", np.dtype(identity["dtype"]), content["tokens"])
        tasks.append(Task(name, path, ids, _read(folder, "examples", EXAMPLE, content["examples"])))
        streams.append(Stream(PREFIX + name, first, content["examples"], content["tokens"]))
        verify_arrays(folder, content)
        first += content["examples"]
    return TaskIndex(tuple(tasks), tuple(streams), opened)


def _read(folder: Path, name: str, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{path.name} cannot be read ({error})") from None
    if array.dtype != dtype or array.shape != (length,):
        raise damaged(folder, f"{path.name} holds {array.shape} of {array.dtype}, not {length:,} of {dtype}")
    return array.view(np.ndarray)


def _encode_file(section: TaskSection, tokenizer: Tokenizer, folder: Path) -> tuple[str, str, Path, dict[str, Any]]:
    """Return the folder of a task; encode the task first if it is missing."""
    if not files.exists(section.path) or (files.is_local(section.path) and files.local_path(section.path).is_dir()):
        raise TaskError(f"{section.path}: objective.tasks {section.name!r} has no such file; its path names a JSON Lines file")
    identity: dict[str, Any] = {
        "version": VERSION,
        "file": files.sha256(section.path),
        "tokenizer": tokenizer.sha256,
        "prefix": section.prefix,
        "dtype": "<u2" if tokenizer.size <= 2**16 else "<u4",
    }
    target = folder / manifest.fingerprint(identity)[: manifest.FINGERPRINT_CHARACTERS]
    if not (target / INDEX).exists():
        with creating(target) as temporary:
            _write(temporary, section, tokenizer, identity)
    return section.name, section.path, target, identity


def _write(folder: Path, section: TaskSection, tokenizer: Tokenizer, identity: dict[str, Any]) -> None:
    dtype = np.dtype(identity["dtype"])
    with (
        closing(_lines(section.path)) as lines,
        Appender(folder / "ids.npy", dtype) as ids,
        Appender(folder / "examples.npy", EXAMPLE) as examples,
    ):
        while chunk := list(islice(lines, EXAMPLES_PER_CHUNK)):
            encoded, tokens = _encode_chunk(chunk, section, tokenizer)
            encoded["first"] += ids.length
            ids.append(tokens.astype(dtype))
            examples.append(encoded)
    if not examples.length:
        raise TaskError(f"{section.path}: has no example; write one JSON object per line, or remove the task {section.name!r}")
    write_json(folder, {"identity": identity, "examples": examples.length, "tokens": ids.length})


def _encode_chunk(
    chunk: Sequence[tuple[int, str, str]], section: TaskSection, tokenizer: Tokenizer
) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Return some lines as EXAMPLEs, with `first` counted from the chunk's ids, and these ids."""
    encoded = tokenizer.encode_batch([text for _, inputs, targets in chunk for text in (section.prefix + inputs, targets)])
    lengths = np.array([len(ids) for ids in encoded])
    examples = np.empty(len(chunk), dtype=EXAMPLE)
    examples["first"] = (np.cumsum(lengths) - lengths)[::2]
    examples["inputs"], examples["targets"] = lengths[::2], lengths[1::2]
    examples["line"] = [line for line, _, _ in chunk]
    if not examples["targets"].all():
        line = examples["line"][examples["targets"] == 0][0]
        raise TaskError(f"{section.path}: line {line}: `targets` is empty, so there is nothing to predict; remove the line")
    return examples, np.fromiter(chain.from_iterable(encoded), np.uint32, int(lengths.sum()))


def _lines(path: str) -> Generator[tuple[int, str, str]]:
    """Yield number, inputs and targets of each line that is not blank."""
    with (
        files.reading(path) as stream,
        BufferedReader(Content(stream)) as buffered,
    ):
        number = 0
        try:
            for number, line in enumerate(buffered, start=1):
                if line.strip():
                    yield number, *_example(line, f"{path}: line {number}")
        except BrokenStreamError as error:
            raise TaskError(f"{path}: breaks off after line {number} ({error}); fetch it again") from None


def _example(line: bytes, where: str) -> tuple[str, str]:
    try:
        content: Any = json.loads(line.decode("utf-8-sig"), parse_int=float)  # Python converts only integers of some length
    except UnicodeDecodeError:
        raise TaskError(f"{where}: is not UTF-8; save the file in that encoding") from None
    except (ValueError, RecursionError) as error:
        raise TaskError(f'{where}: is not JSON ({error}); a line is an object like {{"inputs": "…", "targets": "…"}}') from None
    values = [content.get(name) if isinstance(content, dict) else None for name in ("inputs", "targets")]
    for name, value in zip(("inputs", "targets"), values, strict=True):
        if not isinstance(value, str):
            raise TaskError(f"{where}: has no text `{name}`; every line needs the string fields `inputs` and `targets`")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise TaskError(
                f"{where}: `{name}` has half of a surrogate pair, which is not a character; write the whole character"
            ) from None
    return cast(tuple[str, str], tuple(values))
