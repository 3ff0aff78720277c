"""The likelihood of given tokens: the sum of their log-probabilities, and whether each is the model's first choice.

A question is a row and its target tokens: the model predicts `targets` at the places first, first + 1, … of its input (for an
encoder-decoder: of the decoder's input). The text [5 6 7] for GPT, with <|endoftext|> 0, and for BART, with its second word [6]
as the target, <s> 1, </s> 2, <mask> 3:

    Question([0, 5, 6], first=0, targets=[5, 6, 7])
    Question([1, 5, 3, 7, 2], first=2, targets=[6], decoder_inputs=[2, 1, 5])

An answer depends only on its question; the other questions in its batch affect no more than its last bits.
Shapes: B rows of a batch, T tokens of a row, N target tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from training.generation.answers import evaluated
from training.generation.steps import device_of, padded
from training.models.bart import BART
from training.models.families import Masked, Model
from training.models.loss import LOGITS_PER_CHUNK
from training.models.t5 import T5

TOKENS_PER_BATCH = {"cpu": 2**12, "cuda": 2**16}  # by device, padding included; the wider of encoder and decoder counts


class Question(NamedTuple):
    """Target tokens and the input of the model."""

    inputs: Sequence[int]
    first: int  # place that predicts the first target
    targets: Sequence[int]
    decoder_inputs: Sequence[int] = ()  # for BART and T5

    @property
    def tokens(self) -> int:
        """The width of the question in a batch."""
        return max(len(self.inputs), len(self.decoder_inputs))


class Likelihood(NamedTuple):
    """The likelihood of all targets of a question together."""

    log_probability: float  # sum, in nats
    is_greedy: bool  # whether each is the likeliest token at its place


def likelihoods(model: Model, questions: Sequence[Question], vocabulary: int) -> list[Likelihood]:
    """Return the answers in the order of the questions; probabilities are over the first `vocabulary` ids, without padding.

    The model runs on its device, without dropout. Raises UserError for a question that is empty or longer than the model's
    positions.
    """
    answers: list[Likelihood] = [Likelihood(0.0, True)] * len(questions)
    with evaluated(model), torch.inference_mode():
        for numbers in _batches(questions, TOKENS_PER_BATCH[device_of(model).type]):
            batch = [questions[number] for number in numbers]
            for number, answer in zip(numbers, _answers(model, batch, vocabulary), strict=True):
                answers[number] = answer
    return answers


def _batches(questions: Sequence[Question], tokens: int) -> Iterator[list[int]]:
    """Yield numbers of questions of similar length, the longest first, so that a lack of memory shows at once."""
    batch: list[int] = []
    for number in sorted(range(len(questions)), key=lambda number: -questions[number].tokens):
        if batch and (len(batch) + 1) * questions[batch[0]].tokens > tokens:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _answers(model: Model, batch: Sequence[Question], vocabulary: int) -> Iterator[Likelihood]:
    rows_of: dict[tuple[tuple[int, ...], tuple[int, ...]], int] = {}  # several questions about a row: it is computed once
    row_of = [rows_of.setdefault((tuple(one.inputs), tuple(one.decoder_inputs)), len(rows_of)) for one in batch]
    hidden = _hidden(model, [Question(inputs, 0, (), shown) for inputs, shown in rows_of])
    owners = torch.tensor([number for number, one in enumerate(batch) for _ in one.targets], dtype=torch.int64)
    rows = torch.tensor([row_of[number] for number in owners.tolist()], dtype=torch.int64, device=hidden.device)
    places = torch.tensor([q.first + n for q in batch for n in range(len(q.targets))], dtype=torch.int64, device=hidden.device)
    targets = torch.tensor([target for question in batch for target in question.targets], dtype=torch.int64, device=hidden.device)
    log_probabilities, likeliest = _predictions(model, hidden[rows, places], targets, vocabulary)
    sums = torch.zeros(len(batch), dtype=torch.float64).index_add_(0, owners, log_probabilities)
    missed = torch.zeros(len(batch), dtype=torch.int64).index_add_(0, owners, (~likeliest).long())
    return (Likelihood(total, misses == 0) for total, misses in zip(sums.tolist(), missed.tolist(), strict=True))


def _hidden(model: Model, batch: Sequence[Question]) -> Tensor:
    """Return the input of the head: (B, T, D)."""
    positions = None if isinstance(model, T5) else model.shape.length
    ids, real = padded([question.inputs for question in batch], device_of(model), left=False, positions=positions)
    if isinstance(model, Masked):
        return model.hidden(ids, real=real)
    if isinstance(model, BART | T5):
        shown = [question.decoder_inputs for question in batch]
        decoder_inputs, _ = padded(shown, device_of(model), left=False, positions=positions)
        return model.decode(decoder_inputs, model.encode(ids, real=real), real=real)
    return model.hidden(ids)  # padding follows a row, invisible to its tokens


def _predictions(model: Model, hidden: Tensor, targets: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Map (N, D), (N,) to the log-probability of each target (N,) float64 and whether it is the likeliest (N,), on the CPU."""
    rows = max(1, LOGITS_PER_CHUNK[hidden.device.type] // vocabulary)
    likelihoods: list[Tensor] = []
    likeliest: list[Tensor] = []
    for states, wanted in zip(hidden.split(rows), targets.split(rows), strict=True):
        logits = model.logits(states)[:, :vocabulary].float()
        likelihoods.append(logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0])
        likeliest.append(logits.argmax(-1) == wanted)
    return torch.cat(likelihoods).double().cpu(), torch.cat(likeliest).cpu()
