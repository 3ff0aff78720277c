import math

import pytest
import torch

from training.evaluation import likelihood
from training.evaluation.likelihood import Question, likelihoods
from training.models.bart import BARTShape
from training.models.families import Model, make
from training.models.gpt import GPTShape

GPT = GPTShape(layers=2, heads=2, width=16, vocabulary=60, length=12, dropout=0.5)
BART = BARTShape(encoder_layers=1, decoder_layers=1, heads=2, width=16, vocabulary=60, length=12, dropout=0.5)


@pytest.fixture
def gpt() -> Model:
    return make(GPT, 3)


def loud(model: Model) -> Model:
    """Weights so large that predictions differ."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(6)
    return model


@torch.inference_mode()
def by_hand(model: Model, question: Question, vocabulary: int) -> tuple[float, bool]:
    """One token at a time, each with only what stands before it."""
    assert model.training
    model.eval()
    total, greedy = 0.0, True
    for n, target in enumerate(question.targets):
        if question.decoder_inputs:
            seen = torch.tensor([[*question.decoder_inputs[: question.first + n + 1]]])
            logits = model(torch.tensor([[*question.inputs]]), seen)[0, -1, :vocabulary]
        else:
            logits = model(torch.tensor([[*question.inputs[: question.first + n + 1]]]))[0, -1, :vocabulary]
        total += float(logits.double().log_softmax(-1)[target])
        greedy &= int(logits.argmax()) == target
    model.train()
    return total, greedy


def test_of_uneven_rows_each_is_as_alone_without_dropout(gpt: Model) -> None:
    model = loud(gpt)
    questions = [
        Question([0, 5, 6], 0, [5, 6, 7]),
        Question([0], 0, [9]),
        Question([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], 9, [10, 11, 12]),
        Question([4, 5, 6, 7], 3, [49]),
    ]
    for found, question in zip(likelihoods(model, questions, 50), questions, strict=True):
        wanted, greedy = by_hand(model, question, 50)
        assert found.log_probability == pytest.approx(wanted, abs=1e-5)
        assert found.is_greedy == greedy
    assert model.training


def test_the_decoder_of_an_encoder_is_asked_at_its_own_places() -> None:
    model = loud(make(BART, 3))
    questions = [Question([1, 5, 3, 7, 2], 2, [6, 9], [2, 1, 5, 6]), Question([1, 3, 2], 1, [8], [2, 1])]
    for found, question in zip(likelihoods(model, questions, 60), questions, strict=True):
        assert found.log_probability == pytest.approx(by_hand(model, question, 60)[0], abs=1e-5)


def test_greedy_is_what_the_model_would_say(gpt: Model) -> None:
    model = loud(gpt).eval()
    row = [7, 8, 9]
    for _ in range(4):
        row.append(int(model(torch.tensor([row]))[0, -1, :50].argmax()))
    said = Question(row[:-1], 2, row[3:])
    one_other = said._replace(targets=[*row[3:-1], (row[-1] + 1) % 50])
    assert [found.is_greedy for found in likelihoods(model, [said, one_other], 50)] == [True, False]


def test_batches_and_chunks_change_nothing(gpt: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    questions = [Question(list(range(n % 11 + 1)), 0, list(range(1, n % 11 + 2))) for n in range(40)]
    whole = likelihoods(gpt, questions, 60)
    monkeypatch.setattr(likelihood, "TOKENS_PER_BATCH", {"cpu": 12})
    monkeypatch.setattr(likelihood, "LOGITS_PER_CHUNK", {"cpu": 180})
    parted = likelihoods(gpt, questions, 60)
    assert [found.log_probability for found in parted] == pytest.approx([found.log_probability for found in whole], abs=1e-5)
    assert [found.is_greedy for found in parted] == [found.is_greedy for found in whole]


def test_probabilities_are_over_the_real_vocabulary(gpt: Model) -> None:
    sums = [
        sum(math.exp(found.log_probability) for found in likelihoods(gpt, [Question([3], 0, [i]) for i in range(size)], size))
        for size in (40, 60)
    ]
    assert sums == pytest.approx([1.0, 1.0], abs=1e-5)


def test_a_row_longer_than_the_positions_is_refused(gpt: Model) -> None:
    with pytest.raises(ValueError, match="13 tokens, and the model 12 positions"):
        likelihoods(gpt, [Question(list(range(13)), 0, [1])], 60)


def test_no_questions_have_no_answers(gpt: Model) -> None:
    assert likelihoods(gpt, [], 60) == []
