"""States of contextual models: means over sentences and over the places of a word."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.contract.tokenizers.loading import Tokenizer
from training.ancestors import states
from training.ancestors.elmo import ELMo, ELMoShape
from training.ancestors.states import Contextual, contextual, contextual_elmo, pieces_of_words, sentence_means, word_means
from training.ancestors.words import AncestorError
from training.checkpoints.trained import Trained
from training.data.shards import open_dataset
from training.models.bart import BART, BARTShape
from training.models.bert import BERT, BERTShape
from training.models.gpt import GPT, GPTShape


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path], documents: object) -> Tokenizer:
    folder = make_dataset(tmp_path_factory.mktemp("tokens"), documents, families=("gpt", "bert", "bart"))
    return open_dataset(str(folder)).tokenizer


def echo(tokenizer: Tokenizer, longest: int = 100) -> Contextual:
    """A model with two layers of one dimension: the id, and the place in the row with its special pieces."""

    def layers(ids: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        places = torch.arange(ids.shape[1]).expand_as(ids)
        return torch.stack([ids, places]).float()[..., None]

    return Contextual(tokenizer, layers, (0, 0), (0,), longest)


def test_a_sentence_is_the_mean_of_its_pieces_without_special_ones(tokenizer: Tokenizer):
    texts = ["the old house", "", "the river and the people of the town"]
    found = sentence_means(echo(tokenizer), texts)
    for text, means in zip(texts, found, strict=True):
        ids = tokenizer.encode(text)
        wanted = [np.mean(ids), 2 + (len(ids) - 1) / 2] if ids else [0, 0]
        assert means[:, 0].tolist() == pytest.approx(wanted)


def test_long_texts_are_cut_at_the_models_length(tokenizer: Tokenizer):
    text = "the old house stood near the river"
    ids = tokenizer.encode(text)[:3]
    assert sentence_means(echo(tokenizer, 3), [text])[0, 0, 0] == pytest.approx(np.mean(ids))


@pytest.mark.parametrize("longest", [100, 2])
def test_a_word_is_the_mean_over_its_places(tokenizer: Tokenizer, longest: int):
    texts = ["The old house, near the\nriver.", "old ünknown people"]
    vocabulary = ["the", "old", "people", "absent"]
    found = word_means(echo(tokenizer, longest), texts, vocabulary)[:, 0, 0]
    wanted: dict[str, list[float]] = {word: [] for word in vocabulary}
    for text in texts:
        ids, owners, shares = pieces_of_words(tokenizer, text, {word: n for n, word in enumerate(vocabulary)})
        assert ids == tokenizer.encode(text)
        for number, word in enumerate(vocabulary):
            wanted[word] += [
                i * share * 1.0 for i, share in zip(np.array(ids)[owners == number], shares[owners == number], strict=True)
            ]
    places = {"the": 2, "old": 2, "people": 1, "absent": 1}
    assert found.tolist() == pytest.approx([sum(wanted[word]) / places[word] for word in vocabulary])
    assert found[3] == 0


def test_pieces_belong_to_the_word_that_they_spell(tokenizer: Tokenizer):
    text = "an ünknown house’s, river"
    ids, owners, shares = pieces_of_words(tokenizer, text, {"ünknown": 0, "house’s": 1, "river": 2})
    _, begins, ends = tokenizer.encode_with_offsets(text)
    raw = text.encode()
    for number, word in enumerate(["ünknown", "house’s", "river"]):
        mine = np.flatnonzero(owners == number)
        assert raw[begins[mine[0]] : ends[mine[-1]]].decode().strip() == word
        assert shares[mine].tolist() == pytest.approx([1 / len(mine)] * len(mine))
    assert owners[0] == -1 and len(ids) == len(owners)


def test_layers_are_those_that_the_models_head_reads(tokenizer: Tokenizer):
    torch.manual_seed(1)
    gpt = GPT(GPTShape(2, 2, 16, tokenizer.size, length=16, dropout=0.0)).eval()
    bert = BERT(BERTShape(2, 2, 16, tokenizer.size, length=16, dropout=0.0)).eval()
    ids, lengths = torch.tensor([[5, 6, 7, 8], [9, 10, 0, 0]]), torch.tensor([4, 2])
    with torch.no_grad():
        for model in (gpt, bert):
            encoder = contextual(Trained(model, type(model).__name__.lower(), tokenizer, "here"))
            found = encoder.layers(ids, lengths)
            last = gpt.hidden(ids) if model is gpt else bert.hidden(ids, real=torch.arange(4) < lengths[:, None])
            assert found.shape == (3, 2, 4, 16)
            for row, length in enumerate(lengths):
                assert torch.allclose(found[-1, row, :length], last[row, :length], atol=1e-6)


def test_only_a_gpt_or_bert_is_compared(tokenizer: Tokenizer):
    model = BART(BARTShape(1, 1, 2, 16, tokenizer.size, length=16))
    with pytest.raises(AncestorError, match="only a GPT or a BERT"):
        contextual(Trained(model, "bart", tokenizer, "here"))


def test_elmo_reads_between_ends_of_text(tokenizer: Tokenizer):
    model = ELMo(ELMoShape(tokenizer.size, 8)).eval()
    encoder = contextual_elmo(model, tokenizer, end=3, length=10)
    rows, _ = states._states(encoder, [[5, 6]])  # pyright: ignore[reportPrivateUsage]
    with torch.no_grad():
        wanted = model.layers(torch.tensor([[3, 5, 6, 3]]), torch.tensor([4]))[:, 0, 1:3]
    assert torch.allclose(rows[0], wanted) and encoder.longest == 8
