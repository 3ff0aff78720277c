"""The logistic regression over frozen features: its optimum, the mix of layers, SST-2's files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from places import SHARED

from training.ancestors.probe import Sentences, accuracy, fit, probe, read_sst2, vector_means
from training.ancestors.vectors import WordVectors
from training.ancestors.words import AncestorError


def labelled(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two layers of noise; the second's first dimension leans to the label."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, rows)
    features = random.normal(size=(rows, 2, 4)).astype(np.float32)
    features[:, 1, 0] += 3 * labels
    return features, labels


def test_the_gradient_is_0_at_what_fit_returns():
    features, labels = labelled(400, 1)
    model = fit(torch.from_numpy(features[:, 1:]), torch.from_numpy(labels), 1e-2)
    x, y = features[:, 1].astype(np.float64), labels
    weight, bias = model.weight.detach().double().numpy(), float(model.bias.detach())
    error = 1 / (1 + np.exp(-(x @ weight + bias))) - y
    assert np.abs(error @ x / len(x) + 1e-2 * weight).max() < 1e-4 and abs(error.mean()) < 1e-4
    assert accuracy(model, torch.from_numpy(features[:, 1:]), torch.from_numpy(labels)) == pytest.approx(
        ((x @ weight + bias > 0) == y).mean()
    )


def test_the_layer_that_knows_is_weighed_most():
    parts = {name: labelled(size, seed) for seed, (name, size) in enumerate({"train": 800, "dev": 300, "test": 300}.items())}
    sentences = {name: Sentences([""] * len(labels), labels) for name, (_, labels) in parts.items()}
    found = probe({name: features for name, (features, _) in parts.items()}, sentences)
    assert found.accuracy > 0.85 and found.mix[1] > 0.8 and sum(found.mix) == pytest.approx(1)
    again = probe({name: features for name, (features, _) in parts.items()}, sentences)
    assert again == found


def test_a_sentence_is_the_mean_of_its_known_words():
    vectors = WordVectors(["good", "film"], np.array([[2, 0], [0, 4]], np.float32))
    assert vector_means(vectors, ["A GOOD film!", "good good film", "nothing"]).tolist() == [
        [[1, 2]], [[pytest.approx(4 / 3), pytest.approx(4 / 3)]], [[0, 0]]
    ]  # fmt: skip


def test_files_are_read_plain_or_compressed(tmp_path: Path):
    (tmp_path / "dev.tsv").write_text('sentence\tlabel\na "fine film \t1\n')
    (tmp_path / "test.tsv").write_text("sentence\tlabel\nbad\t0\n")
    with pytest.raises(AncestorError, match=r"train.tsv: there is no such file \(nor train.tsv.gz\)"):
        read_sst2(tmp_path)
    (tmp_path / "train.tsv.gz").write_bytes(gzip.compress(b"sentence\tlabel\ngood\t1\nbad\t0\n"))
    parts = read_sst2(tmp_path)
    assert parts["dev"].texts == ['a "fine film'] and parts["train"].labels.tolist() == [1, 0]
    (tmp_path / "test.tsv").write_text("sentence\tlabel\nbad\t0\nworse\n")
    with pytest.raises(AncestorError, match=r"test.tsv: line 3 has no columns"):
        read_sst2(tmp_path)


@pytest.mark.skipif(not (SHARED / "downstream" / "sst2").is_dir(), reason="../shared/data/downstream/sst2 is not there")
def test_the_real_set():
    parts = read_sst2(SHARED / "downstream" / "sst2")
    assert [len(parts[name].texts) for name in ("train", "dev", "test")] == [20000, 6735, 872]
    assert 0.5 < parts["test"].labels.mean() < 0.52
