"""Small models of the families that write, with large weights: what follows depends on all that they have read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.data.shards import open_dataset
from training.models.bart import BARTShape
from training.models.composed import ComposedShape
from training.models.families import Model, Shape, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

FAMILIES = ("gpt", "rotary", "relative", "bart", "t5")


@pytest.fixture(scope="session")
def tokenizer(make_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, documents: object) -> Tokenizer:
    """One for all families."""
    folder = make_dataset(tmp_path_factory.mktemp("serving") / "tokens", documents, families=("bert", "gpt", "bart", "t5"))
    return open_dataset(str(folder)).tokenizer


def shapes(vocabulary: int, length: int) -> dict[str, Shape]:
    composed = ComposedShape(vocabulary=vocabulary, length=length, layers=2, heads=2, width=32)
    return {
        "gpt": GPTShape(vocabulary=vocabulary, length=length, layers=2, heads=2, width=32),
        "rotary": replace(composed, positions="rotary", norm="rms", feed_forward="swiglu", biases=False),
        "relative": replace(composed, positions="relative"),
        "bart": BARTShape(vocabulary=vocabulary, length=length, encoder_layers=2, decoder_layers=2, heads=2, width=32),
        "t5": T5Shape(2, 2, heads=2, head_width=16, width=32, inner=64, vocabulary=vocabulary),
        "t5_gated": T5Shape(2, 2, heads=2, head_width=16, width=32, inner=64, vocabulary=vocabulary, gated=True, tied=False),
    }


@pytest.fixture(scope="session")
def make_model(tokenizer: Tokenizer) -> Callable[..., Model]:
    """A model with a vocabulary that is padded beyond the tokenizer's pieces."""

    def make_one(name: str, length: int = 128) -> Model:
        made = make(shapes(tokenizer.size + 24, length)[name], 1)
        generator = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter_name, parameter in made.named_parameters():
                if "norm" not in parameter_name and not parameter_name.endswith("bias"):
                    parameter.normal_(0, 0.12 if "tokens" in parameter_name else 0.5, generator=generator)
        return made.eval()

    return make_one


@pytest.fixture(scope="session")
def runs(make_model: Callable[..., Model], tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder with a checkpoint for each family."""
    found: dict[str, Path] = {}
    for name, family in (("gpt", "gpt"), ("bart", "bart"), ("t5", "t5"), ("rotary", "composed")):
        found[name] = tmp_path_factory.mktemp("runs") / name
        trained.save(found[name], make_model(name), family, tokenizer, {})
    return found
