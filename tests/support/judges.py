"""Runs of our own that judge texts: small BERTs, trained from scratch on made records in seconds."""

from pathlib import Path

import numpy as np
from tuning import WORDS, labelled, sentences, write_records

from training.tasks.finetune import finetune

GOOD, POOR = ("theorem", "proof", "lemma"), ("cheap", "sale", "click")

_CONFIG = """
[task]
kind = "{kind}"
train = "{folder}/train.jsonl"
length = 32
{more}
[model.new]
family = "bert"
layers = 1
heads = 2
width = 32
dropout = 0.0
vocabulary = 400
[train]
epochs = 8.0
batch_rows = 16
learning_rate = 2e-3
keep_best = false  # the first best one by rank has values that are still near each other
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "{folder}/run"
"""


def _run(folder: Path, kind: str, more: str = "") -> str:
    (folder / "finetune.toml").write_text(_CONFIG.format(kind=kind, folder=folder, more=more))
    finetune(folder / "finetune.toml")
    return str(folder / "run")


def educational(folder: Path) -> str:
    """A regression: 1 for texts with words of mathematics, 0 for texts of shops."""
    draws, records = np.random.default_rng(1), []
    for number in range(300):
        words = [*draws.choice(WORDS, 5), *draws.choice(POOR if number % 2 else GOOD, 3)]
        records.append({"text": " ".join(draws.permutation(words)), "label": float(1 - number % 2)})
    write_records(folder / "train.jsonl", records)
    return _run(folder, "classification", "regression = true")


def waters(folder: Path) -> str:
    """A classification with the labels "river" and "town"."""
    write_records(folder / "train.jsonl", labelled(300))
    return _run(folder, "classification")


def persons(folder: Path) -> str:
    """Named entities: "people" is a group, "the river" a place."""
    write_records(folder / "train.jsonl", sentences(400))
    return _run(folder, "named_entities")
