"""Small bases of each family with room for shots, with one tokenizer."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tuning import SHAPES

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.families import make

LENGTH = 128


@pytest.fixture(scope="session")
def tokenizer(make_dataset: Callable[..., Path], documents: object, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One with the special pieces of all families."""
    folder = make_dataset(tmp_path_factory.mktemp("tokens_of_tasks"), documents, families=list(SHAPES))
    return open_dataset(str(folder)).tokenizer


@pytest.fixture(scope="session")
def bases(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folder of an import for each family."""
    out: dict[str, Path] = {}
    for family, shape_of in SHAPES.items():
        shape: Any = shape_of(tokenizer.size)
        if family != "t5":
            shape = replace(shape, length=LENGTH)
        out[family] = tmp_path_factory.mktemp("base") / family
        trained.save(out[family], make(shape, 1), family, tokenizer, {})
    return out
