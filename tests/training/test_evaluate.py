import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from training.data.config import FeedConfig
from training.device import Device
from training.evaluate import Validation, unigram_counts, unigram_entropy, validation, validation_loss
from training.feed import Feed, open_feed
from training.models.families import make
from training.models.gpt import GPTShape
from training.objectives import IGNORE

CPU = Device("cpu", "float32")


def feed(folder: Path, out: Path, split: str) -> Feed:
    config = FeedConfig.model_validate({"data": {"tokens": str(folder), "batch_rows": 8}, "rows": {"length": 16}})
    return open_feed(config, folder=out, split=split)


def held_out(folder: Path, out: Path, rows: int) -> Validation:
    return validation(feed(folder, out, "validation"), "validation", rows)


def test_entropy_is_that_of_add_one_frequencies(dataset_folder: Path, tmp_path: Path) -> None:
    made = feed(dataset_folder, tmp_path, "train")
    seen = unigram_counts(made)
    totals = made.dataset.totals("train")
    sources = len(made.index.streams)  # whose first token nothing predicts
    assert seen.sum() == totals["tokens"] + totals["rows"] - sources
    assert seen[made.dataset.end_of_text()] == totals["rows"]
    examples = held_out(dataset_folder, tmp_path, 10)
    targets = [target for batch in examples.batches for target in batch["targets"].ravel().tolist() if target != IGNORE]
    by_hand = -sum(math.log((seen[target] + 1) / (seen.sum() + 300)) for target in targets)
    assert len(targets) == examples.targets
    assert unigram_entropy(made, examples) == pytest.approx(by_hand / len(targets))


def test_validation_rows_are_fixed_and_all_when_few(dataset_folder: Path, tmp_path: Path) -> None:
    some, again = held_out(dataset_folder, tmp_path, 7), held_out(dataset_folder, tmp_path, 7)
    assert 6 * 16 < some.targets <= 7 * 16  # the last row of a source may be shorter
    assert all(np.array_equal(a["inputs"], b["inputs"]) for a, b in zip(some.batches, again.batches, strict=True))
    totals = feed(dataset_folder, tmp_path, "validation").dataset.totals("validation")
    sources = 1  # whose first token nothing predicts
    assert held_out(dataset_folder, tmp_path, 10**6).targets == totals["tokens"] + totals["rows"] - sources


def test_bits_per_byte_count_every_byte_once(dataset_folder: Path, tmp_path: Path) -> None:
    totals = feed(dataset_folder, tmp_path, "validation").dataset.totals("validation")
    whole_loss = 2.0 * (totals["tokens"] + totals["rows"])  # nats of the split at 2 a target
    examples = held_out(dataset_folder, tmp_path, 10)
    assert examples.bits_per_byte(2.0) == pytest.approx(whole_loss / math.log(2) / totals["utf8_bytes"])


def test_the_loss_is_a_mean_over_targets_not_over_batches(dataset_folder: Path, tmp_path: Path) -> None:
    examples = held_out(dataset_folder, tmp_path, 40)
    assert [len(batch["inputs"]) for batch in examples.batches] == [32, 8]
    model = make(GPTShape(layers=1, heads=1, width=16, vocabulary=300, length=16, dropout=0.5), 1)
    whole = {name: np.concatenate([batch[name] for batch in examples.batches]) for name in ("inputs", "targets")}
    loss = validation_loss(model, examples, CPU)
    assert loss == pytest.approx(validation_loss(model, replace(examples, batches=(whole,)), CPU), rel=1e-6)  # and no dropout
    assert model.training
