"""A small reader and a small encoder, tuned."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tuning import write_config, write_records

from training.tasks.finetune import finetune


@pytest.fixture(scope="session")
def tuned_runs(bert_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folders of two steps' fine-tunings: `reader`, `encoder`."""
    question = {"question": "the", "context": "old river", "answers": ["river"]}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "reader": ("question_answering", question),
        "encoder": ("similarity", {"first": "old", "second": "river"}),
    }
    runs: dict[str, Path] = {}
    for name, (kind, row) in kinds.items():
        folder = tmp_path_factory.mktemp(name)
        path = write_config(folder, bert_base, kind, write_records(folder / "train.jsonl", [row] * 40))
        finetune(path, ("train.epochs=0.5", "train.eval_every=2"))
        runs[name] = folder / "run"
    return runs
