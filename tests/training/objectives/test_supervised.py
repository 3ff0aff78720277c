"""Tasks beside text: their streams, their share of each stage, their examples."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.config import FeedConfig
from training.data.order.mixture import Stage
from training.data.rows.layout import Stream
from training.data.shards import TokenDataset, open_dataset
from training.data.tasks import task_mixture
from training.objectives.configured import objective
from training.objectives.supervised import Supervised, supervised


@pytest.fixture
def dataset(tmp_path: Path, make_dataset: Any, documents: Any) -> TokenDataset:
    return open_dataset(str(make_dataset(tmp_path / "tokens", documents, families=("gpt", "t5"))))


def opened(dataset: TokenDataset, folder: Path, **settings: Any) -> Supervised | None:
    for name, count in (("a", 3), ("b", 5)):
        lines = [json.dumps({"inputs": f"the {name}", "targets": "house " * n}) + "\n" for n in range(1, count + 1)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    given = {"data": {"tokens": "t", "batch_rows": 4}, "rows": {"length": 32}, "objective": settings}
    config = FeedConfig.model_validate(given)
    return supervised(config, objective(config, dataset), dataset, folder)


def test_tasks_are_numbered_mixed_and_made_with_the_objectives_widths(dataset: TokenDataset, tmp_path: Path) -> None:
    tasks = [{"name": name, "path": str(tmp_path / f"{name}.jsonl")} for name in ("a", "b")]
    found = opened(dataset, tmp_path, name="span_corruption", tasks=tasks, task_limit=4, task_temperature=2.0, target_length=12)
    assert found is not None and (found.limit, found.temperature) == (4, 2.0)
    assert (found.objective.length, found.objective.target_length) == (32, 12)
    first, second = found.index.streams
    assert found.streams(100) == [Stream("task:a", 100, 3, first.tokens), Stream("task:b", 103, 5, second.tokens)]
    made, alone = found.examples(np.array([7, 0])), found.objective(found.index.gather(np.array([7])))
    assert made["inputs"].shape == (2, 32) and np.array_equal(made["targets"][:1], alone["targets"])

    rows = {"books": 30, "wiki": 10, "empty": 0}
    by_size = task_mixture({"books": 30.0, "wiki": 10.0}, 40, found.index.streams, 4, 2.0)
    assert found.mixed((), rows) == (Stage("data.mixture", None, by_size),)
    stages = (Stage("f", 9, {"books": 1.0}), Stage("g", None, {"books": 1.0, "wiki": 3.0}))
    assert found.mixed(stages, rows) == (
        Stage("f", 9, task_mixture({"books": 1.0}, 30, found.index.streams, 4, 2.0)),
        Stage("g", None, task_mixture({"books": 1.0, "wiki": 3.0}, 40, found.index.streams, 4, 2.0)),
    )


def test_a_config_without_tasks_has_none(dataset: TokenDataset, tmp_path: Path) -> None:
    assert opened(dataset, tmp_path, name="span_corruption") is None
    assert opened(dataset, tmp_path, name="causal_lm") is None
