"""The keyed exchange: map inputs to keyed files, then step after step brings the files of a key together and works on them.

Beam sees descriptors (short strings: JSON, paths), never rows: on one machine FnApiRunner holds what it groups in memory.
So a function writes its rows into a file per key and returns the keys and the file names; the last step writes its result
where the caller will look for it. All of them may be run again, or twice at once, and must then write the same bytes.

A step starts when all work before it is done (a key is complete only then): it may read what any earlier step wrote.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam

from pipelines.beam import runners
from pipelines.beam.claims import Claims
from pipelines.contract import files
from pipelines.units.context import RunnerOptions

Input = tuple[str, str, int]  # a name that is safe in file names, a descriptor, the bytes it stands for
Keyed = Iterable[tuple[int, str]]  # keys and the URIs of their files
MapFunction = Callable[[str], Keyed]
Step = Callable[[int, Sequence[str]], Keyed | None]


def exchange(
    options: RunnerOptions,
    inputs: Sequence[Input],
    map_function: MapFunction,
    *steps: Step,
    on_progress: runners.OnProgress = lambda _claims: None,
    columnar: bool = False,
) -> None:
    """Run `map_function` on every input and the first step on the sorted files of every key, the next on what it returns, ….

    `map_function` gets an input's descriptor. The functions are pickled: objects of importable classes, or module functions.
    What the last step returns is ignored. `columnar`: workers may be threads of this process, if there is room in it for what
    each of them needs (see runners.run). Raises WorkerError with the input's name, or with the step and the key.
    """
    if not inputs:
        return
    order = runners.balanced([size for _, _, size in inputs], max(1, options.workers))
    construct = functools.partial(construct_pipeline, [inputs[i] for i in order], map_function, steps)
    stored_bytes = sum(size for _, _, size in inputs)
    runners.run(options, construct, stored_bytes=stored_bytes, on_progress=on_progress, columnar=columnar)


def construct_pipeline(
    inputs: Sequence[Input],
    map_function: MapFunction,
    steps: Sequence[Step],
    pipeline: beam.Pipeline,
    claims: Claims,
) -> None:
    """Add the transforms to a pipeline."""
    keyed: Any = (
        pipeline
        | "Inputs" >> beam.Create(list(inputs), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Map" >> beam.ParDo(_Map(map_function, claims))
    )
    for number, step in enumerate(steps, 1):
        name = f"{number}-{_name(step)}"
        keyed = keyed | f"ByKey{number}" >> beam.GroupByKey() | f"Step{name}" >> beam.ParDo(_Step(name, step, claims))


def _name(step: Step) -> str:
    """Of a function, or of an object's class."""
    return getattr(step, "__name__", type(step).__name__)


class _Map(beam.DoFn):
    def __init__(self, function: MapFunction, claims: Claims) -> None:
        self._function, self._claims = function, claims

    def process(self, element: Input, *_args: Any, **_kwargs: Any) -> Keyed:
        """Map one input."""
        name, descriptor, size = element
        rows: list[tuple[int, str]] = []
        if not self._claims.is_stopped():
            with self._claims.guard(), self._claims.hold(name, size):
                rows = list(self._function(descriptor))
        yield from rows


class _Step(beam.DoFn):
    def __init__(self, name: str, function: Step, claims: Claims) -> None:
        self._name, self._function, self._claims = name, function, claims

    def process(self, element: tuple[int, Iterable[str]], *_args: Any, **_kwargs: Any) -> Keyed:
        """Take the step for one key."""
        key, uris = element
        uris = sorted(uris)
        rows: list[tuple[int, str]] = []
        if not self._claims.is_stopped():
            with self._claims.guard(), self._claims.hold(f"{self._name}-key-{key}", sum(map(files.size, uris))):
                rows = list(self._function(key, uris) or ())
        yield from rows
