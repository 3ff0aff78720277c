"""Supervised tasks as text to text, trained along with span corruption (T5, arXiv 1910.10683, 3.5.3).

    index = open_tasks(config.objective.tasks, dataset.tokenizer, "run/rows")
    index.streams                              # one a task, "task:cola" the source's name; numbers from 0
    batch = index.gather(np.array([3, 0]))     # a TaskBatch, for objectives.text_to_text
    index.place(3)                             # ("glue/cola.jsonl", 4): file and line

A file has one JSON object a line, {"inputs": "…", "targets": "…"}; blank lines and other fields are passed over. It is encoded
once, prefix and inputs as one text, into a folder that is named by what it is made of:

    ids.npy        inputs of example 0, its targets, inputs of example 1, …
    examples.npy   where the ids of each begin, how many there are, its line (EXAMPLE)
    index.json     what it is made of, examples and tokens

Next to a row index of n rows, number n + i of the joint streams is task example i; `task_mixture` gives the weights of both.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from io import BufferedReader
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numba
import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.data.config import TaskSection
from training.data.rows.files import INDEX, Appender, creating, damaged, read_json, write_json
from training.data.rows.layout import Stream

VERSION = 1  # of the encoding and of the files

PREFIX = "task:"  # of the sources' names
EXAMPLES_PER_CHUNK = 1024  # that are encoded at once

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
    """Ids of N examples, without specials: inputs of example n are `inputs[input_offsets[n] : input_offsets[n + 1]]`."""

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
    """All tasks of a run; examples are numbered through, in the order of the tasks."""

    tasks: tuple[Task, ...]
    streams: tuple[Stream, ...]  # one a task; `rows` are its examples, `tokens` those of inputs and targets
    _opened_with: tuple[tuple[str, str, Path, dict[str, Any]], ...]

    def __len__(self) -> int:
        return sum(stream.rows for stream in self.streams)

    def __reduce__(self) -> tuple[Any, ...]:
        """Maps do not travel: another process opens the files anew."""
        return _reopened, (self._opened_with,)

    @property
    def fingerprint(self) -> str:
        """Of everything that the examples and their numbers are made of."""
        return manifest.fingerprint({"tasks": [[name, identity] for name, _, _, identity in self._opened_with]})

    def gather(self, numbers: Numbers) -> TaskBatch:
        """The ids of these examples: (N,) numbers -> N examples, in the order asked. Raises IndexError beyond the last."""
        chosen, of, local = np.empty(len(numbers), dtype=EXAMPLE), self._task_of(numbers), self._local(numbers)
        for n in np.unique(of):
            chosen[of == n] = self.tasks[n].examples[local[of == n]]
        inputs = self._copied(of, chosen["first"], chosen["inputs"])
        return TaskBatch(*inputs, *self._copied(of, chosen["first"] + chosen["inputs"], chosen["targets"]))

    def place(self, number: int) -> tuple[str, int]:
        """The file of an example and its line (from 1)."""
        one = np.array([number])
        task = self.tasks[int(self._task_of(one)[0])]
        return task.path, int(task.examples[self._local(one)[0]]["line"])

    def _task_of(self, numbers: Numbers) -> Numbers:
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < len(self):
            raise IndexError(f"the tasks have the examples 0 .. {len(self) - 1:,}; asked for {numbers.min()} .. {numbers.max()}")
        return np.searchsorted([stream.first for stream in self.streams], numbers, side="right") - 1

    def _local(self, numbers: Numbers) -> Numbers:
        return numbers - np.array([stream.first for stream in self.streams])[self._task_of(numbers)]

    def _copied(self, of: Numbers, first: Numbers, tokens: NDArray[np.uint32]) -> tuple[NDArray[np.int32], Numbers]:
        offsets = np.concatenate([[0], np.cumsum(tokens, dtype=np.int64)])
        out = np.empty(offsets[-1], dtype=np.int32)
        for n in np.unique(of):
            _copy(np.asarray(self.tasks[n].ids), np.flatnonzero(of == n), first.astype(np.int64), offsets, out)
        return out, offsets


@numba.njit(cache=True, nogil=True)
def _copy(ids: Any, examples: Any, first: Any, offsets: Any, out: Any) -> None:  # pragma: no cover (compiled)
    """The ids of these examples, each to its place."""
    for example in examples:
        begin = offsets[example]
        for i in range(offsets[example + 1] - begin):
            out[begin + i] = ids[first[example] + i]


def open_tasks(sections: Sequence[TaskSection], tokenizer: Tokenizer, folder: str | Path) -> TaskIndex:
    """The tasks of a config: mapped from `folder/<fingerprint>` where they are there, else encoded once and put there.

    Raises TaskError for a file that is missing, empty, or has a line that is no example; DatasetError for a damaged folder.
    """
    names = [section.name for section in sections]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TaskError(f"objective.tasks: two are named {twice[0]!r}; give each a name of its own")
    return _reopened(tuple(_encoded(section, tokenizer, Path(folder)) for section in sections))


def mixture_rates(counts: Mapping[str, int], limit: int, temperature: float = 1.0) -> dict[str, float]:
    """Rates of examples-proportional mixing with a limit and a temperature (T5, 3.5.2); they add up to 1.

    The rate of a task of e examples is min(e, limit) ** (1 / temperature) over the sum of these. Unlabelled text is one
    task among them, whose examples are its rows: being far larger, it counts as `limit` (T5's paper; its released
    configs have a fixed number there instead).

    >>> mixture_rates({"text": 1000, "a": 30, "b": 70}, limit=100)
    {'text': 0.5, 'a': 0.15, 'b': 0.35}
    """
    assert limit >= 1 and temperature >= 1
    sizes = {name: min(count, limit) ** (1 / temperature) for name, count in counts.items() if count}
    return {name: size / sum(sizes.values()) for name, size in sizes.items()}


def task_mixture(
    sources: Mapping[str, float], rows: int, tasks: Sequence[Stream], limit: int, temperature: float = 1.0
) -> dict[str, float]:
    """The weights of sources of text and of tasks together, by source's name; they add up to 1.

    `sources` weigh the text among itself (data.mixture, or the rows of each), `rows` is how many rows they have together.

    >>> a = Stream("task:a", 0, 100, 900)
    >>> task_mixture({"wiki": 3, "books": 1}, 5000, [a], limit=100)
    {'wiki': 0.375, 'books': 0.125, 'task:a': 0.5}
    """
    rates = mixture_rates({"": rows, **{stream.source: stream.rows for stream in tasks}}, limit, temperature)
    text = rates.pop("")
    return {name: text * weight / sum(sources.values()) for name, weight in sources.items()} | rates


def _reopened(opened: tuple[tuple[str, str, Path, dict[str, Any]], ...]) -> TaskIndex:
    tasks: list[Task] = []
    streams: list[Stream] = []
    first = 0
    for name, path, folder, identity in opened:
        content = read_json(folder, identity)
        ids = _read(folder, "ids", np.dtype(identity["dtype"]), content["tokens"])
        tasks.append(Task(name, path, ids, _read(folder, "examples", EXAMPLE, content["examples"])))
        streams.append(Stream(PREFIX + name, first, content["examples"], content["tokens"]))
        first += content["examples"]
    return TaskIndex(tuple(tasks), tuple(streams), opened)


def _read(folder: Path, name: str, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        found = np.load(path, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise damaged(folder, f"{path.name} cannot be read ({error})") from None
    if found.dtype != dtype or found.shape != (length,):
        raise damaged(folder, f"{path.name} holds {found.shape} of {found.dtype}, not {length:,} of {dtype}")
    return found.view(np.ndarray)


def _encoded(section: TaskSection, tokenizer: Tokenizer, folder: Path) -> tuple[str, str, Path, dict[str, Any]]:
    """The folder of a task, which is made where it is not there."""
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
            made, tokens = _encode(chunk, section, tokenizer)
            made["first"] += ids.length
            ids.append(tokens.astype(dtype))
            examples.append(made)
    if not examples.length:
        raise TaskError(f"{section.path}: has no example; write one JSON object a line, or remove the task {section.name!r}")
    write_json(folder, {"identity": identity, "examples": examples.length, "tokens": ids.length})


def _encode(
    chunk: Sequence[tuple[int, str, str]], section: TaskSection, tokenizer: Tokenizer
) -> tuple[NDArray[Any], NDArray[np.uint32]]:
    """Some lines as EXAMPLEs, `first` counted from theirs, and their ids."""
    encoded = tokenizer.encode_batch([text for _, inputs, targets in chunk for text in (section.prefix + inputs, targets)])
    lengths = np.array([len(found) for found in encoded])
    made = np.empty(len(chunk), dtype=EXAMPLE)
    made["first"] = (np.cumsum(lengths) - lengths)[::2]
    made["inputs"], made["targets"] = lengths[::2], lengths[1::2]
    made["line"] = [line for line, _, _ in chunk]
    if not made["targets"].all():
        line = made["line"][made["targets"] == 0][0]
        raise TaskError(f"{section.path}: line {line}: `targets` is empty, and there is nothing to predict; remove the line")
    return made, np.fromiter(chain.from_iterable(encoded), np.uint32, int(lengths.sum()))


def _lines(path: str) -> Generator[tuple[int, str, str]]:
    """Number, inputs and targets of each line that is not blank."""
    with files.reading(path) as stream, BufferedReader(cast(Any, stream)) as buffered:  # an object of a store has no lines
        for number, line in enumerate(buffered, start=1):
            if line.strip():
                yield number, *_example(line, f"{path}: line {number}")


def _example(line: bytes, where: str) -> tuple[str, str]:
    try:
        found: Any = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise TaskError(f"{where}: is not UTF-8; save the file in that encoding") from None
    except json.JSONDecodeError as error:
        raise TaskError(f'{where}: is not JSON ({error}); a line is an object like {{"inputs": "…", "targets": "…"}}') from None
    values = [found.get(name) if isinstance(found, dict) else None for name in ("inputs", "targets")]
    for name, value in zip(("inputs", "targets"), values, strict=True):
        if not isinstance(value, str):
            raise TaskError(f"{where}: has no text `{name}`; every line needs the fields `inputs` and `targets`, a string each")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise TaskError(
                f"{where}: `{name}` has half of a surrogate pair, which is no character; write the character"
            ) from None
    return cast(tuple[str, str], tuple(values))
