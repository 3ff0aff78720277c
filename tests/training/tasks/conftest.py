"""Small bases of each family, with one tokenizer."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from tuning import SHAPES

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.families import make


@pytest.fixture(scope="session")
def tokenizer(make_dataset: Callable[..., Path], documents: object, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """One with the special pieces of all families."""
    folder = make_dataset(tmp_path_factory.mktemp("tokens_of_tasks"), documents, families=list(SHAPES))
    return open_dataset(str(folder)).tokenizer


@pytest.fixture(scope="session")
def bases(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The folder of an import for each family."""
    out: dict[str, Path] = {}
    for family, shape in SHAPES.items():
        out[family] = tmp_path_factory.mktemp("base") / family
        trained.save(out[family], make(shape(tokenizer.size), 1), family, tokenizer, {})
    return out
