"""What tests of tasks share: small shapes of each family, and records of a task that they can learn."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.contract.tokenizers.families import Family
from training.models.bart import BARTShape
from training.models.bert import BERTShape
from training.models.families import Shape
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

WORDS = "the old house stood near and people of told many stories about it every evening".split()  # noqa: SIM905

SHAPES: Mapping[Family, Callable[[int], Shape]] = {
    "bert": lambda size: BERTShape(layers=2, heads=2, width=32, vocabulary=size, length=32, dropout=0.0),
    "gpt": lambda size: GPTShape(layers=2, heads=2, width=32, vocabulary=size, length=32, dropout=0.0),
    "bart": lambda size: BARTShape(
        encoder_layers=1, decoder_layers=1, heads=2, width=32, vocabulary=size, length=32, dropout=0.0
    ),
    "t5": lambda size: T5Shape(
        encoder_layers=1, decoder_layers=1, heads=2, head_width=16, width=32, inner=64, vocabulary=size, dropout=0.0
    ),
}


def write_records(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labelled(count: int, seed: int = 0) -> list[dict[str, str]]:
    """Texts of words; the label says whether "river" or "town" is among them."""
    draws = np.random.default_rng(seed)
    words = [word for word in WORDS if word not in ("river", "town")]
    out: list[dict[str, str]] = []
    for number in range(count):
        key = ("river", "town")[number % 2]
        text = list(draws.choice(words, int(draws.integers(2, 7))))
        text.insert(int(draws.integers(0, len(text) + 1)), key)
        out.append({"text": " ".join(text), "label": key})
    return out


CONFIG = """
[task]
kind = "{kind}"
train = "{train}"
{more}
[model]
base = "{base}"
[train]
epochs = 8.0
batch_rows = 16
learning_rate = 5e-3
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "{out}"
"""


def write_config(folder: Path, base: Path, kind: str, train: Path, more: str = "") -> Path:
    """Write a config of a fine-tuning whose run is `folder / "run"`."""
    path = folder / "finetune.toml"
    path.write_text(CONFIG.format(kind=kind, train=train, base=base, out=folder / "run", more=more), encoding="utf-8")
    return path


def sentences(count: int, seed: int = 0) -> list[dict[str, list[str]]]:
    """Words and labels: "the river" is a place, "people" is a group."""
    draws = np.random.default_rng(seed)
    plain = [word for word in WORDS if word not in ("river", "people", "the")]
    out: list[dict[str, list[str]]] = []
    for _ in range(count):
        words = [(word, "O") for word in draws.choice(plain, int(draws.integers(1, 4)))]
        at = int(draws.integers(0, len(words) + 1))
        words[at:at] = [("the", "B-place"), ("river", "I-place")] if draws.random() < 0.5 else [("people", "B-group")]
        out.append({"words": [str(word) for word, _ in words], "labels": [label for _, label in words]})
    return out
