"""The states of a contextual model (ELMo, BERT, GPT), by layer: means over a sentence, or over all places of a word.

    model = contextual(trained.load("build/models/gpt"))
    sentence_means(model, ["a fine film"])                    # (N, J, D): what the classifier sees
    word_means(model, text.texts(), words.vocabulary)         # (words, J, D)

A word's vector is the mean over its occurrences in a text, as contextual models have no other (Bommasani et al. 2020, ACL,
"aggregated"); the states of a word's pieces are averaged first. Nothing is trained here: states are frozen.

Shapes: B batch, T pieces of a row, J layers (the embedding first), D width.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.contract.tokenizers.loading import Tokenizer
from training.ancestors.elmo import ELMo
from training.ancestors.words import WORD, AncestorError
from training.checkpoints.trained import Trained
from training.generation.texts import speller
from training.models import attention
from training.models.bert import BERT
from training.models.gpt import GPT

_TOKENS = 4096  # of a batch, padding included


@dataclass(frozen=True, slots=True)
class Contextual:
    """A model whose states depend on the sentence."""

    tokenizer: Tokenizer
    layers: Callable[[Tensor, Tensor], Tensor]  # ids (B, T) and lengths (B,) -> (J, B, T, D)
    before: tuple[int, ...]  # special pieces around a row
    after: tuple[int, ...]
    longest: int  # pieces between them


def contextual_elmo(model: ELMo, tokenizer: Tokenizer, end: int, length: int) -> Contextual:
    """Return ELMo with the ends of text between which it has seen documents."""
    return Contextual(tokenizer, model.layers, (end,), (end,), length - 2)


def contextual(trained: Trained) -> Contextual:
    """Return a BERT or GPT with the special pieces that it was trained with. Raises AncestorError for another family."""
    model = trained.model
    specials = speller(model, trained.tokenizer).specials
    if isinstance(model, BERT):
        before = () if specials.begin is None else (specials.begin,)
        return Contextual(trained.tokenizer, lambda i, n: _bert(model, i, n), before, (specials.end,), model.shape.length - 2)
    if isinstance(model, GPT):
        return Contextual(trained.tokenizer, lambda i, _: _gpt(model, i), (specials.end,), (), model.shape.length - 1)
    raise AncestorError(f"{trained.where}: is a {trained.family}; only a GPT or a BERT is compared with the ancestors")


def _gpt(model: GPT, ids: Tensor) -> Tensor:
    states = [model.embeddings(ids, None, 0)]
    for layer in model.layers:
        states.append(layer(states[-1], None, None))
    return torch.stack([*states[:-1], model.norm(states[-1])])


def _bert(model: BERT, ids: Tensor, lengths: Tensor) -> Tensor:
    states = [model.embeddings(ids, None)]
    sees = attention.sees_real(torch.arange(ids.shape[1]) < lengths[:, None])
    for layer in model.layers:
        states.append(layer(states[-1], sees))
    return torch.stack(states)


@torch.inference_mode()
def sentence_means(model: Contextual, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean state of each text over its pieces: (N, J, D). A text is cut at the model's length; 0 if it is empty."""
    rows = [ids[: model.longest] for ids in model.tokenizer.encode_batch(texts)]
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    means: NDArray[np.float32] | None = None
    for batch in _batches(order, [len(row) for row in rows]):
        states, real = _states(model, [rows[number] for number in batch])
        mean = (states * real[:, None, :, None]).sum(2) / real.sum(1).clamp_min(1)[:, None, None]
        if means is None:
            means = np.zeros((len(rows), *mean.shape[1:]), np.float32)
        means[batch] = mean.numpy()
    assert means is not None, "there are texts"
    return means


@torch.inference_mode()
def word_means(model: Contextual, texts: Iterable[str], vocabulary: Sequence[str]) -> NDArray[np.float32]:
    """Return the mean state of each word over all its places in the texts: (words, J, D); 0 for a word that does not occur."""
    number_of = {word: number for number, word in enumerate(vocabulary)}
    rows: list[list[int]] = []
    owners: list[NDArray[np.int64]] = []  # word of each piece, or -1
    shares: list[NDArray[np.float32]] = []  # 1 / pieces of the occurrence
    for text in texts:
        ids, owner, share = pieces_of_words(model.tokenizer, text, number_of)
        for first in range(0, len(ids), model.longest):
            cut = slice(first, first + model.longest)
            rows.append(ids[cut])
            owners.append(owner[cut])
            shares.append(share[cut])
    total: Tensor | None = None
    weight = torch.zeros(len(vocabulary))
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    for batch in _batches(order, [len(row) for row in rows]):
        states, real = _states(model, [rows[number] for number in batch])
        owner = torch.from_numpy(np.concatenate([owners[number] for number in batch]))
        share = torch.from_numpy(np.concatenate([shares[number] for number in batch]))
        flat = states.transpose(1, 2)[real]  # (pieces, J, D)
        total = torch.zeros(len(vocabulary), *flat.shape[1:]) if total is None else total
        total.index_add_(0, owner[owner >= 0], (flat * share[:, None, None])[owner >= 0])
        weight.index_add_(0, owner[owner >= 0], share[owner >= 0])
    assert total is not None, "there are texts"
    return (total / weight.clamp_min(1e-9)[:, None, None]).numpy()


def pieces_of_words(
    tokenizer: Tokenizer, text: str, number_of: dict[str, int]
) -> tuple[list[int], NDArray[np.int64], NDArray[np.float32]]:
    """Return the pieces of a text, the word to which each belongs (-1: none), and 1 / the number of pieces of that occurrence."""
    ids, begins, ends = tokenizer.encode_with_offsets(text)
    words = [(match.start(), match.end(), number_of.get(match[0].lower(), -1)) for match in WORD.finditer(text)]
    if not words or not ids:
        return ids, np.full(len(ids), -1), np.zeros(len(ids), np.float32)
    at_byte = np.concatenate([[0], np.cumsum([len(character.encode()) for character in text])])
    first, end, number = np.array(words).T
    found = np.minimum(np.searchsorted(at_byte[end], begins, side="right"), len(words) - 1)  # the first word that ends later
    inside = (at_byte[first[found]] < ends) & (begins < at_byte[end[found]])
    pieces = np.bincount(found[inside], minlength=len(words))
    share = np.where(inside, 1 / np.maximum(pieces[found], 1), 0).astype(np.float32)
    return ids, np.where(inside, number[found], -1), share


def _batches(order: Sequence[int], sizes: Sequence[int]) -> Iterable[list[int]]:
    """Yield numbers of rows of similar length, in this order (ascending by size)."""
    batch: list[int] = []
    for number in order:
        if batch and (len(batch) + 1) * sizes[number] > _TOKENS:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _states(model: Contextual, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return the states of the rows' pieces (B, J, T, D), without the special pieces, and which are real (B, T)."""
    longest = max(map(len, rows))
    whole = [[*model.before, *row, *model.after] for row in rows]
    size = longest + len(model.before) + len(model.after)
    ids = torch.tensor([[*row, *[0] * (size - len(row))] for row in whole])
    states = model.layers(ids, torch.tensor([len(row) for row in whole]))
    first = len(model.before)
    real = torch.arange(longest) < torch.tensor([len(row) for row in rows])[:, None]
    return states[:, :, first : first + longest].transpose(0, 1), real
