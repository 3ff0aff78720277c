"""A small reader and a small encoder, tuned."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tuning import SHAPES, write_config, write_records

from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.families import make
from training.tasks.finetune import finetune


@pytest.fixture(scope="session")
def tuned_runs(
    make_dataset: Callable[..., Path], documents: object, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """The folders of two steps' fine-tunings: `reader`, `encoder`."""
    tokenizer = open_dataset(str(make_dataset(tmp_path_factory.mktemp("tokens"), documents, families=["bert"]))).tokenizer
    base = tmp_path_factory.mktemp("base") / "bert"
    trained.save(base, make(SHAPES["bert"](tokenizer.size), 1), "bert", tokenizer, {})
    question = {"question": "the", "context": "old river", "answers": ["river"]}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "reader": ("question_answering", question),
        "encoder": ("similarity", {"first": "old", "second": "river"}),
    }
    runs: dict[str, Path] = {}
    for name, (kind, row) in kinds.items():
        folder = tmp_path_factory.mktemp(name)
        path = write_config(folder, base, kind, write_records(folder / "train.jsonl", [row] * 40))
        finetune(path, ("train.epochs=0.5", "train.eval_every=2"))
        runs[name] = folder / "run"
    return runs
