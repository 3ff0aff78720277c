"""Stages: functions on batches, together with everything that determines their results.

A dataset puts its stages into one `Stages`. Workers run that object and the dataset's fingerprint is derived from it, so a
stage that runs cannot be missing from the fingerprint.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pipelines.contract import files
from pipelines.contract.batch import Batch

_Value = TypeVar("_Value")

BatchFunction = Callable[[Batch], Batch]
ForUnit = Callable[[str, str], BatchFunction]  # from a source and one of its units to the function for that unit's batches


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of a dataset. `open` is a module's function or a partial of one, because workers import it by name."""

    versions: Mapping[str, int | str]  # of the stage and of the versioned modules that it calls, by their keys in a manifest
    open: Callable[[], ForUnit]  # loads models and tables, once per worker
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])  # entries of `made_from`
    models: Mapping[str, str | None] = field(default_factory=dict[str, str | None])  # sha256 by name
    runs: bool = True  # a stage that is switched off stays in the fingerprint

    def __call__(self, batch: Batch) -> Batch:
        """Run the stage on a single batch."""
        return self.open()("", "")(batch)


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of a dataset, in order."""

    stages: tuple[Stage, ...]

    def open(self) -> ForUnit:
        """Load the stages' models and tables and return the function that prepares the stages for a unit."""
        opened = [stage.open() for stage in self.stages if stage.runs]

        def for_unit(source: str, unit: str) -> BatchFunction:
            functions = [prepare(source, unit) for prepare in opened]
            return lambda batch: functools.reduce(lambda value, function: function(value), functions, batch)

        return for_unit

    def versions(self) -> dict[str, int | str]:
        """Return the versions of all stages, for `made_from`."""
        return _merged(stage.versions for stage in self.stages)

    def settings(self) -> dict[str, Any]:
        """Return the settings of all stages, for `made_from`."""
        return _merged(stage.settings for stage in self.stages)

    def models(self) -> dict[str, str | None]:
        """Return the sha256 of all models, for `made_from`."""
        return _merged(stage.models for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Model:
    """A model file beside the datasets, identified by its content."""

    uri: str
    sha256: str

    def local(self) -> str:
        """Return the path of this file, or of a copy, on this machine."""
        return files.local_copy(self.uri, self.sha256)


def for_every_unit(function: BatchFunction) -> ForUnit:
    """Return a ForUnit for a function that is the same for all units."""
    return lambda _source, _unit: function


def _merged(mappings: Iterable[Mapping[str, _Value]]) -> dict[str, _Value]:
    joined: dict[str, _Value] = {}
    for mapping in mappings:
        twice = joined.keys() & mapping.keys()
        assert not twice, f"two stages of a dataset have the same key: {sorted(twice)}"
        joined.update(mapping)
    return joined
