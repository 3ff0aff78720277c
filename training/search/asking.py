"""Answer a question from passages: find the best, let a reader look for the answer in each, and take the surest.

With a sentence encoder, passages are ranked by the sum of their reciprocal ranks by BM25 and by cosine (Cormack et al. 2009,
reciprocal rank fusion, k = 60). The answer is the span of the highest probability, which the reader gives within a passage.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.run.device import Device
from training.search.passages import Index
from training.search.sentences import sentence_at
from training.tasks.input.records import of_columns
from training.tasks.predict import predict
from training.tasks.tuned import TunedModel

_FUSION = 60


@dataclass(frozen=True, slots=True)
class Found:
    """An answer and where it is."""

    answer: str
    probability: float
    title: str | None
    url: str | None
    before: str  # the sentence up to the answer
    after: str  # and from it on


@dataclass(frozen=True, slots=True)
class Encoder:
    """A sentence encoder, and its vectors of all passages of an index: (N, D)."""

    tuned: TunedModel
    passages: NDArray[np.float32]


def encoder_of(index: Index, tuned: TunedModel, device: Device) -> Encoder:
    """Return an encoder for an index, which keeps the vectors: they are made when they are needed first."""
    return Encoder(tuned, index.vectors(_name(tuned), lambda texts: vectors(tuned, texts, device)))


def ranked(index: Index, question: str, count: int, encoder: Encoder | None, device: Device) -> list[int]:
    """Return the numbers of the best passages, at most `count`, the best first; with BM25 alone, those that share a word."""
    scores = index.scores(question)
    if encoder is None:
        return [number for number in _best(scores, count) if scores[number] > 0]
    cosines = encoder.passages @ vectors(encoder.tuned, [question], device)[0]
    fused = np.zeros(len(index))
    for one in (scores, cosines):
        order = _best(one, 10 * count)
        fused[order] += [1 / (_FUSION + rank) if one[number] > 0 else 0 for rank, number in enumerate(order, 1)]
    return [number for number in _best(fused, count) if fused[number] > 0]


def vectors(encoder: TunedModel, texts: list[str], device: Device) -> NDArray[np.float32]:
    """Return the vectors of texts: (N, D)."""
    records = of_columns({"first": texts}, "the passages")
    return np.array([answer["vector"] for answer in predict(encoder, records, device)], np.float32)


def ask(
    index: Index,
    question: str,
    reader: TunedModel,
    device: Device,
    *,
    encoder: Encoder | None = None,
    passages: int = 10,
    threshold: float = 0.0,
) -> list[Found]:
    """Return the answers in the best passages, the surest first; those less probable than the threshold are left out."""
    numbers = ranked(index, question, passages, encoder, device)
    if not numbers:
        return []
    read = index.passages.take(pa.array(numbers)).to_pylist()
    texts = [row["text"] for row in read]
    answers = predict(reader, of_columns({"question": [question] * len(texts), "context": texts}, "the question"), device)
    found: list[Found] = []
    for row, answer in zip(read, answers, strict=True):
        if not answer["answer"] or answer["probability"] < threshold:
            continue
        first, last = sentence_at(row["text"], answer["begin"], answer["end"])
        before, after = row["text"][first : answer["begin"]], row["text"][answer["end"] : last]
        found.append(Found(answer["answer"], answer["probability"], row["title"], row["url"], before, after))
    return sorted(found, key=lambda one: -one.probability)


def _name(encoder: TunedModel) -> str:
    """Return a name of an encoder's weights."""
    made = hashlib.sha256()
    for name, weight in encoder.model.state_dict().items():
        made.update(name.encode() + weight.cpu().numpy().tobytes())
    return made.hexdigest()[:12]


def _best(scores: NDArray[np.floating], count: int) -> NDArray[np.int64]:
    """Return the numbers of the highest scores, the highest first; of equal ones the first."""
    return np.argsort(-scores, kind="stable")[:count]
