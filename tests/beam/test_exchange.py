"""The keyed exchange brings the files of a key together."""

from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pytest

from pipelines.beam import exchange as module
from pipelines.beam.claims import Claims
from pipelines.beam.exchange import exchange
from pipelines.beam.runners import WorkerError
from pipelines.build import RunnerOptions


@dataclass(frozen=True)
class Digits:
    """Map: the numbers of a text, by their last digit, in files."""

    folder: str

    def __call__(self, descriptor: str) -> list[tuple[int, str]]:
        found = []
        for number in map(int, descriptor.split()):
            path = Path(self.folder) / f"{number % 10}-{number}.row"
            path.write_text(str(number))
            found.append((number % 10, str(path)))
        return found


@dataclass(frozen=True)
class Sum:
    """Reduce: the sum of a key's numbers."""

    folder: str

    def __call__(self, key: int, paths) -> None:
        assert list(paths) == sorted(paths)
        (Path(self.folder) / f"{key}.sum").write_text(str(sum(int(Path(path).read_text()) for path in paths)))


@dataclass(frozen=True)
class Fails:
    """Reduce that cannot read key 2."""

    def __call__(self, key: int, paths) -> None:
        if key == 2:
            raise ValueError("no such bucket")


def sums(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.glob("*.sum")}


def test_values_of_a_key_meet(tmp_path):
    inputs = [("a", "1 11 2", 1), ("b", "21 3", 1), ("c", "12", 1)]
    exchange(RunnerOptions(), inputs, Digits(str(tmp_path)), Sum(str(tmp_path)))
    assert sums(tmp_path) == {"1": "33", "2": "14", "3": "3"}


def test_an_error_names_the_key(tmp_path):
    with pytest.raises(WorkerError, match=r"key-2: ValueError: no such bucket"):
        exchange(RunnerOptions(), [("a", "1 2 3", 1)], Digits(str(tmp_path)), Fails())


def test_nothing_to_exchange_runs_no_pipeline():
    exchange(RunnerOptions(runner="NoSuchRunner"), [], Digits(""), Sum(""))


def test_the_pipeline_for_a_cluster_builds_and_round_trips():
    pipeline = beam.Pipeline()
    module.construct_pipeline([("a", "1 2", 1)], Digits("gs://bucket/spill"), Sum("gs://bucket/spill"), pipeline, Claims(None))
    again = beam.Pipeline.from_runner_api(pipeline.to_runner_api(), pipeline.runner, pipeline.options)
    labels = {transform.unique_name for transform in again.to_runner_api().components.transforms.values()}
    assert {"Map", "ByKey", "Reduce"} <= labels
