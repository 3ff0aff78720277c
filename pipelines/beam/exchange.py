"""The keyed exchange: map inputs to keyed files, then run steps, each of which gets all files of one key.

Beam sees descriptors (short strings: JSON, paths), never rows: on one machine FnApiRunner groups in memory. So a function
writes its rows to one file per key and returns the keys and file names; the last step writes its result where the caller
will look for it. Any call may be repeated, even concurrently, and must write the same bytes each time.

A step starts only after all work before it is done, since a key is complete only then. It may read the output of any
earlier step.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam

from pipelines.beam import runners
from pipelines.beam.claims import Claims
from pipelines.contract import files
from pipelines.units.context import RunnerOptions

Input = tuple[str, str, int]  # a name that is safe in file names, a descriptor, the input's size in bytes
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
    """Run `map_function` on every input, the first step on the sorted files of every key, and so on from step to step.

    `map_function` gets an input's descriptor. The functions are pickled: objects of importable classes, or module functions.
    The last step's return value is ignored. `columnar`: workers may be threads of this process if it has the memory for them
    (see runners.run). Raises the errors of runners.run; they name the input, or the step and the key.
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
    """Add the exchange's transforms to a pipeline."""
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
    """Return the name of a function, or of an object's class."""
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
        """Run the step for one key."""
        key, uris = element
        uris = sorted(uris)
        rows: list[tuple[int, str]] = []
        if not self._claims.is_stopped():
            with self._claims.guard(), self._claims.hold(f"{self._name}-key-{key}", sum(map(files.size, uris))):
                rows = list(self._function(key, uris) or ())
        yield from rows
