"""The keyed exchange: map inputs to keyed files, bring the files of a key together, reduce them.

Beam sees descriptors (short strings: JSON, paths), never rows: on one machine FnApiRunner holds what it groups in memory.
So `map_function` writes its rows into a file per key and returns the file names, and `reduce_function` writes its result
where the caller will look for it. Both may be run again, or twice at once, and must then write the same bytes.
"""

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apache_beam as beam

from pipelines.beam import runners
from pipelines.beam.claims import Claims
from pipelines.build import RunnerOptions
from pipelines.contract import files

Input = tuple[str, str, int]  # a name that is safe in file names, a descriptor, the bytes it stands for
MapFunction = Callable[[str], Iterable[tuple[int, str]]]
ReduceFunction = Callable[[int, Sequence[str]], None]


def exchange(
    options: RunnerOptions,
    inputs: Sequence[Input],
    map_function: MapFunction,
    reduce_function: ReduceFunction,
    *,
    on_progress: runners.OnProgress = lambda _claims: None,
) -> None:
    """Run `map_function` on every input and `reduce_function` on the sorted values of every key.

    `map_function` gets an input's descriptor. The functions are pickled: objects of importable classes, or module functions.
    Raises WorkerError with the input's name or the key.
    """
    if not inputs:
        return
    order = runners.balanced([size for _, _, size in inputs], max(1, options.workers))
    construct = functools.partial(construct_pipeline, [inputs[i] for i in order], map_function, reduce_function)
    runners.run(options, construct, stored_bytes=sum(size for _, _, size in inputs), on_progress=on_progress)


def construct_pipeline(
    inputs: Sequence[Input],
    map_function: MapFunction,
    reduce_function: ReduceFunction,
    pipeline: beam.Pipeline,
    claims: Claims,
) -> None:
    """Add the transforms to a pipeline."""
    _ = (
        pipeline
        | "Inputs" >> beam.Create(list(inputs), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "Map" >> beam.ParDo(_Map(map_function, claims))
        | "ByKey" >> beam.GroupByKey()
        | "Reduce" >> beam.ParDo(_Reduce(reduce_function, claims))
    )


class _Map(beam.DoFn):
    def __init__(self, function: MapFunction, claims: Claims) -> None:
        self._function, self._claims = function, claims

    def process(self, element: Input, *_args: Any, **_kwargs: Any) -> Iterable[tuple[int, str]]:
        """Map one input."""
        name, descriptor, size = element
        with self._claims.hold(name, size):
            rows = list(self._function(descriptor))
        yield from rows


class _Reduce(beam.DoFn):
    def __init__(self, function: ReduceFunction, claims: Claims) -> None:
        self._function, self._claims = function, claims

    def process(self, element: tuple[int, Iterable[str]], *_args: Any, **_kwargs: Any) -> Iterable[int]:
        """Reduce one key; yields it."""
        key, values = element
        values = sorted(values)
        with self._claims.hold(f"key-{key}", sum(map(files.size, values))):
            self._function(key, values)
        yield key
