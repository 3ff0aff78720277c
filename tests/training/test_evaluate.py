import math
from pathlib import Path

import numpy as np
import pytest

from training.data.rows import Layout, RowIndex, open_rows
from training.data.shards import open_dataset
from training.device import Device
from training.evaluate import unigram_counts, unigram_entropy, validation, validation_loss
from training.models.gpt import GPTShape, make

CPU = Device("cpu", "float32")


def rows(folder: Path, out: Path, split: str) -> RowIndex:
    dataset = open_dataset(str(folder))
    layout = Layout("concatenate", tokens=17, overlap=1, separator=dataset.end_of_text())
    return open_rows(dataset, split, out, layout, seed=1)


def test_entropy_is_that_of_add_one_frequencies(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    index = rows(dataset_folder, tmp_path, "train")
    seen = unigram_counts(index)
    totals = dataset.totals("train")
    assert seen.sum() == totals["tokens"] + totals["rows"]
    assert seen[dataset.end_of_text()] == totals["rows"]
    held_out = validation(dataset, rows(dataset_folder, tmp_path, "validation"), "validation", 10)
    by_hand = 0.0
    for batch in held_out.batches:
        for target in batch["targets"].ravel().tolist():
            by_hand -= math.log((seen[target] + 1) / (seen.sum() + 300))
    assert unigram_entropy(index, held_out.batches) == pytest.approx(by_hand / held_out.targets)


def test_validation_rows_are_fixed_and_all_when_few(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    index = rows(dataset_folder, tmp_path, "validation")
    some = validation(dataset, index, "validation", 7)
    again = validation(dataset, index, "validation", 7)
    assert some.targets == 7 * 16
    assert all(np.array_equal(a["inputs"], b["inputs"]) for a, b in zip(some.batches, again.batches, strict=True))
    assert validation(dataset, index, "validation", 10**6).targets == len(index) * 16


def test_bits_per_byte_count_every_byte_once(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    held_out = validation(dataset, rows(dataset_folder, tmp_path, "validation"), "validation", 10)
    totals = dataset.totals("validation")
    whole_loss = 2.0 * (totals["tokens"] + totals["rows"])  # nats of the split at 2 a target
    assert held_out.bits_per_byte(2.0) == pytest.approx(whole_loss / math.log(2) / totals["utf8_bytes"])


def test_the_loss_is_a_mean_over_targets_not_over_batches(dataset_folder: Path, tmp_path: Path) -> None:
    dataset = open_dataset(str(dataset_folder))
    held_out = validation(dataset, rows(dataset_folder, tmp_path, "validation"), "validation", 40)
    assert [len(batch["inputs"]) for batch in held_out.batches] == [32, 8]
    model = make(GPTShape(300, 16, 1, 1, 16, dropout=0.5), 1)
    whole = {name: np.concatenate([batch[name] for batch in held_out.batches]) for name in ("inputs", "targets")}
    loss = validation_loss(model, held_out.batches, CPU)
    assert loss == pytest.approx(validation_loss(model, [whole], CPU), rel=1e-6)  # and no dropout
    assert model.training
