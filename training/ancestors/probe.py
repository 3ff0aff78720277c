"""Sentiment from frozen features: what a sentence's vector holds, by the same logistic regression for every model.

    sentences = read_sst2(Path("sst2"))
    probe(features)                       # {"train": (N, J, D), "dev": …, "test": …} and the labels -> accuracy

Features have J layers: 1 for word vectors, their mean over the sentence; those of ELMo, BERT and GPT are all layers, which the
regression mixes with learned weights (ELMo's scalar mix, equation 1; its gamma is part of the regression's weights). Each
dimension of a layer is scaled to mean 0 and deviation 1 over the training sentences. The weights are found by L-BFGS with a
penalty on their squares, which is chosen on the dev part; the test part is read once.
"""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.ancestors.vectors import WordVectors
from training.ancestors.words import AncestorError, split_words

PARTS = {"train": "train.tsv", "dev": "dev.tsv", "test": "test.tsv"}
PENALTIES = (1e-4, 1e-3, 1e-2)
_STEPS = 100
_TRAIN = 20_000  # sentences; a third of SST-2's phrases, which a regression of some hundred weights does not need all


@dataclass(frozen=True, slots=True)
class Sentences:
    """Sentences with labels 0 and 1."""

    texts: list[str]
    labels: NDArray[np.int64]


def read_sst2(folder: Path, most: int = _TRAIN) -> dict[str, Sentences]:
    """Read train (its first `most` lines), dev and test: NAME.tsv or NAME.tsv.gz, with columns `sentence` and `label`.

    Raises AncestorError, with the file and the line, for a file that is missing or has a line without label.
    """
    parts = {name: _read(folder, file) for name, file in PARTS.items()}
    train = parts["train"]
    return parts | {"train": Sentences(train.texts[:most], train.labels[:most])}


def _read(folder: Path, name: str) -> Sentences:
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.exists()), None)
    if path is None:
        raise AncestorError(f"{folder / name}: there is no such file (nor {name}.gz); name the folder of SST-2 with --sst2")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    texts: list[str] = []
    labels: list[int] = []
    reader = csv.DictReader(io.StringIO(raw.decode()), delimiter="\t", quoting=csv.QUOTE_NONE)
    for number, row in enumerate(reader, start=2):
        if row.get("sentence") is None or row.get("label") not in ("0", "1"):
            raise AncestorError(f"{path}: line {number} has no columns sentence and label (0 or 1); name a part of SST-2")
        texts.append(row["sentence"].strip())
        labels.append(int(row["label"]))
    return Sentences(texts, np.array(labels))


def vector_means(vectors: WordVectors, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean of the vectors of each text's words that have one: (N, 1, D); 0 for a text without."""
    number_of = {word: number for number, word in enumerate(vectors.vocabulary)}
    means = np.zeros((len(texts), 1, vectors.matrix.shape[1]), np.float32)
    for number, text in enumerate(texts):
        known = [number_of[word] for word in split_words(text) if word in number_of]
        if known:
            means[number, 0] = vectors.matrix[known].mean(0)
    return means


class Regression(nn.Module):
    """Layers mixed, then one logit."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(layers))
        self.weight = nn.Parameter(torch.zeros(width))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> Tensor:
        """(N, J, D) -> logits (N,)."""
        mixed = torch.outer(functional.softmax(self.scores, dim=0), self.weight)
        return features.flatten(1) @ mixed.flatten() + self.bias


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of a probe."""

    accuracy: float  # on test
    dev_accuracy: float
    penalty: float
    mix: list[float]  # weight of each layer


def probe(features: Mapping[str, NDArray[np.float32]], sentences: Mapping[str, Sentences]) -> Probed:
    """Fit on train for each penalty, choose on dev, and return the accuracy on test."""
    mean, deviation = features["train"].mean(0), features["train"].std(0)
    scaled = {name: torch.from_numpy((rows - mean) / (deviation + 1e-6)) for name, rows in features.items()}
    labels = {name: torch.from_numpy(sentences[name].labels) for name in features}
    fitted = {penalty: fit(scaled["train"], labels["train"], penalty) for penalty in PENALTIES}
    on_dev = {penalty: accuracy(model, scaled["dev"], labels["dev"]) for penalty, model in fitted.items()}
    best = max(PENALTIES, key=lambda penalty: on_dev[penalty])
    mix = functional.softmax(fitted[best].scores.detach(), dim=0).tolist()
    return Probed(accuracy(fitted[best], scaled["test"], labels["test"]), on_dev[best], best, mix)


def fit(features: Tensor, labels: Tensor, penalty: float) -> Regression:
    """Minimise mean cross-entropy + penalty / 2 * the squared weights."""
    model = Regression(*features.shape[1:])
    wanted = labels.to(features.dtype)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(features), wanted)
        loss = loss + penalty / 2 * model.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return model


@torch.no_grad()
def accuracy(model: Regression, features: Tensor, labels: Tensor) -> float:
    """Return the share of right labels."""
    return float(((model(features) > 0) == (labels == 1)).double().mean())
