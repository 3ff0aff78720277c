"""The keyed exchange brings the files of a key together."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pytest

from pipelines.beam import exchange as module
from pipelines.beam import runners
from pipelines.beam.claims import Claims
from pipelines.beam.exchange import exchange
from pipelines.beam.runners import PipelineError, WorkerError
from pipelines.units.context import RunnerOptions


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


@dataclass(frozen=True)
class SumByParity:
    """A step in the middle: the sum of a key's numbers goes on under 0 when it is even, 1 when it is odd."""

    folder: str

    def __call__(self, key: int, paths) -> list[tuple[int, str]]:
        total = sum(int(Path(path).read_text()) for path in paths)
        path = Path(self.folder) / f"total-{key}"
        path.write_text(str(total))
        return [(total % 2, str(path))]


@dataclass(frozen=True)
class CountTotals:
    """A last step: it finds all that the step before wrote, whatever its own key."""

    folder: str

    def __call__(self, key: int, paths) -> None:
        seen = len(list(Path(self.folder).glob("total-*")))
        (Path(self.folder) / f"{key}.sum").write_text(f"{seen}: {[int(Path(path).read_text()) for path in paths]}")


@dataclass(frozen=True)
class IsKilled:
    """A step whose process is killed at key 1."""

    def __call__(self, key: int, paths) -> None:
        if key == 1:
            os.kill(os.getpid(), signal.SIGKILL)


def sums(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in folder.glob("*.sum")}


def test_values_of_a_key_meet(tmp_path):
    inputs = [("a", "1 11 2", 1), ("b", "21 3", 1), ("c", "12", 1)]
    exchange(RunnerOptions(), inputs, Digits(str(tmp_path)), Sum(str(tmp_path)))
    assert sums(tmp_path) == {"1": "33", "2": "14", "3": "3"}


def test_every_step_of_a_chain_starts_when_the_one_before_is_done(tmp_path):
    inputs = [("a", "1 11 2", 1), ("b", "21 3", 1), ("c", "12", 1)]
    exchange(RunnerOptions(), inputs, Digits(str(tmp_path)), SumByParity(str(tmp_path)), CountTotals(str(tmp_path)))
    assert sums(tmp_path) == {"0": "3: [14]", "1": "3: [33, 3]"}


def test_a_chain_in_two_worker_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    inputs = [("a", "1 11 2", 1), ("b", "21 3", 1), ("c", "12", 1)]
    steps = SumByParity(str(tmp_path)), CountTotals(str(tmp_path))
    exchange(RunnerOptions(workers=2), inputs, Digits(str(tmp_path)), *steps)
    assert sums(tmp_path) == {"0": "3: [14]", "1": "3: [33, 3]"}


def test_a_chain_in_threads(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    inputs = [("a", "1 11 2", 1), ("b", "21 3", 1), ("c", "12", 1)]
    steps = SumByParity(str(tmp_path)), CountTotals(str(tmp_path))
    exchange(RunnerOptions(workers=2), inputs, Digits(str(tmp_path)), *steps, columnar=True)
    assert sums(tmp_path) == {"0": "3: [14]", "1": "3: [33, 3]"}
    with pytest.raises(PipelineError, match=r"unit 1-Fails-key-2: ValueError: no such bucket"):
        exchange(RunnerOptions(workers=2), [("a", "1 2 3", 1)], Digits(str(tmp_path)), Fails(), columnar=True)


def test_an_error_names_the_step_and_the_key(tmp_path):
    with pytest.raises(PipelineError, match=r"unit 1-Fails-key-2: ValueError: no such bucket"):
        exchange(RunnerOptions(), [("a", "1 2 3", 1)], Digits(str(tmp_path)), Fails())


def test_a_worker_that_is_killed_names_the_step_and_the_key(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    with pytest.raises(WorkerError, match=r"unit 2-IsKilled-key-1: its worker was killed"):
        exchange(RunnerOptions(workers=2), [("a", "1 2", 1)], Digits(str(tmp_path)), SumByParity(str(tmp_path)), IsKilled())


def test_nothing_to_exchange_runs_no_pipeline(monkeypatch):
    ran = []
    monkeypatch.setattr(runners, "run", lambda *_, **__: ran.append(1))
    exchange(RunnerOptions(), [], Digits(""), Sum(""))
    assert not ran
    exchange(RunnerOptions(), [("a", "1 2", 1)], Digits(""), Sum(""))
    assert len(ran) == 1


def test_the_pipeline_for_a_cluster_builds_and_round_trips():
    pipeline = beam.Pipeline()
    steps = [Sum("gs://bucket/spill"), Sum("gs://bucket/spill")]
    module.construct_pipeline([("a", "1 2", 1)], Digits("gs://bucket/spill"), steps, pipeline, Claims(None))
    again = beam.Pipeline.from_runner_api(pipeline.to_runner_api(), pipeline.runner, pipeline.options)
    labels = {transform.unique_name for transform in again.to_runner_api().components.transforms.values()}
    assert {"Map", "ByKey1", "Step1-Sum", "ByKey2", "Step2-Sum"} <= labels
