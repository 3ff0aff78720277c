"""Small bases of each family, with one tokenizer, as those of the tests of tasks."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tuning import SHAPES, labelled, write_config, write_records

from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.families import make
from training.tasks.finetune import finetune


@pytest.fixture(scope="session")
def bases(make_dataset: Callable[..., Path], documents: object, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folder of an import for each family."""
    folder = make_dataset(tmp_path_factory.mktemp("tokens_of_small_models"), documents, families=list(SHAPES))
    tokenizer = open_dataset(str(folder)).tokenizer
    out: dict[str, Path] = {}
    for family, shape in SHAPES.items():
        out[family] = tmp_path_factory.mktemp("base") / family
        trained.save(out[family], make(shape(tokenizer.size), 1), family, tokenizer, {})
    return out


@pytest.fixture(scope="session")
def tuned_run(bases: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fine-tuning of the BERT, with two labels; its test records are in "test.jsonl" beside it."""
    folder = tmp_path_factory.mktemp("tuned")
    train = write_records(folder / "train.jsonl", labelled(400))
    write_records(folder / "test.jsonl", labelled(100, seed=1))
    finetune(write_config(folder, bases["bert"], "classification", train, f'test = "{folder}/test.jsonl"'), ("train.epochs=4",))
    return folder / "run"
