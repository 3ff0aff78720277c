"""Greedy decoding and beam search against `generate` of Hugging Face's models with the same weights: the same ids and scores."""

import math
import warnings
from functools import lru_cache
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from pipelines.contract.tokenizers.families import Specials
from training.convert import bart, gpt, t5
from training.convert.rules import to_theirs
from training.generation import beams as search_module
from training.generation.answers import steps_of
from training.generation.beams import Beams, Hypothesis, search
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.models.bart import BARTShape
from training.models.families import Model, Shape, make
from training.models.gpt import GPTShape
from training.models.t5 import T5Shape

PAD, START, END = 1, 2, 2
ENDS = (END, 5, 7, 11, 16, 22, 28, 30, 33)  # so many that some are likely
SPECIALS = Specials(pad=PAD, begin=0, end=END, mask=None, decoder_start=START, sentinels=())
VOCABULARY = 40
SHAPES: dict[str, tuple[Any, Shape]] = {
    "gpt": (gpt, GPTShape(vocabulary=VOCABULARY, length=64, layers=2, heads=2, width=32)),
    "bart": (bart, BARTShape(vocabulary=VOCABULARY, length=64, encoder_layers=2, decoder_layers=2, heads=2, width=32)),
    "t5": (t5, T5Shape(2, 2, heads=2, head_width=16, width=32, inner=64, vocabulary=VOCABULARY)),
}
FAMILIES = list(SHAPES)
PROMPTS = [[5, 9, 33, 12, 7], [8], [17, 4, 30], [6, 6, 21, 39, 11, 3, 28]]


@lru_cache
def model(family: str, seed: int) -> Model:
    """Large weights, so that answers depend on what they answer; no biases, as the last would decide alone."""
    made = make(SHAPES[family][1], seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" not in name and not name.endswith("bias"):
                parameter.normal_(0, 0.15 if "tokens" in name else 0.6, generator=generator)
    return made


@lru_cache
def theirs(family: str, seed: int) -> Any:
    names, shape = SHAPES[family]
    numbers = names.config(shape, SPECIALS)
    config = transformers.AutoConfig.for_model(numbers.pop("model_type"), **numbers)
    made = getattr(transformers, names.ARCHITECTURE)(config).eval()
    made.load_state_dict(to_theirs(names.rules(shape), model(family, seed).state_dict()), strict=False)
    made.tie_weights()
    return made


def padded(prompts: list[list[int]], left: bool) -> tuple[Tensor, Tensor]:
    width = max(map(len, prompts))
    ids = [[PAD] * (width - len(p)) + p if left else p + [PAD] * (width - len(p)) for p in prompts]
    real = [[0] * (width - len(p)) + [1] * len(p) if left else [1] * len(p) + [0] * (width - len(p)) for p in prompts]
    return torch.tensor(ids), torch.tensor(real)


def generated(family: str, seed: int, limits: Limits, **how: Any) -> list[Hypothesis]:
    """Of all prompts, one after the other: what Hugging Face's generate makes, without the prompt, cut behind the first end."""
    inputs, real = padded(PROMPTS, left=family == "gpt")
    at_hugging_face = theirs(family, seed)
    at_hugging_face.generation_config.eos_token_id = list(limits.ends) or None
    at_hugging_face.generation_config.forced_eos_token_id = None
    if family != "gpt":
        how["decoder_start_token_id"] = START
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = at_hugging_face.generate(
            inputs, attention_mask=real, max_new_tokens=limits.tokens, min_new_tokens=limits.least or None, pad_token_id=PAD,
            forced_bos_token_id=limits.first, forced_eos_token_id=limits.last, do_sample=False,
            return_dict_in_generate=True, output_scores=True, **how,
        )  # fmt: skip
    sequences = made.sequences[:, inputs.shape[1] if family == "gpt" else 1 :].tolist()
    scores = made.sequences_scores.tolist() if "sequences_scores" in made else [0.0] * len(sequences)
    return [Hypothesis(cut(ids, limits), score) for ids, score in zip(sequences, scores, strict=True)]


def cut(ids: list[int], limits: Limits) -> list[int]:
    """Without the padding behind an answer."""
    for place, i in enumerate(ids):
        if i in limits.ends:
            return ids[: place + 1]
    return ids


def searched(family: str, seed: int, limits: Limits, how: Beams, prompts: Any = PROMPTS, **more: Any) -> list[list[Hypothesis]]:
    return search(steps_of(model(family, seed), prompts, START, **more), limits, how)


def assert_same(ours: list[list[Hypothesis]], wanted: list[Hypothesis]) -> None:
    """The same scores in the same order, and the same answers, except that answers of (nearly) equal scores may change places.

    Processors add up in different orders: two answers of a BART here differ by 8e-8 (2^-23 is 1.2e-7).
    """
    start = 0
    for answers in ours:
        theirs = wanted[start : start + len(answers)]
        start += len(answers)
        assert [answer.score for answer in answers] == pytest.approx([answer.score for answer in theirs], rel=1e-5)
        for answer in answers:
            ties = [other.ids for other in theirs if other.score == pytest.approx(answer.score, rel=1e-5)]
            assert answer.ids in ties
        assert len({tuple(answer.ids) for answer in answers}) == len({tuple(answer.ids) for answer in theirs})
    assert start == len(wanted)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "limits",
    [
        Limits(15, ends=(END,)),
        Limits(9, ends=ENDS),
        Limits(8, ends=ENDS, last=END, least=3),
        Limits(5),
    ],
)
def test_greedy_decoding_is_hugging_faces(family: str, limits: Limits) -> None:
    for seed in range(3):
        ours = decode(steps_of(model(family, seed), PROMPTS, START), limits, Choice())
        assert ours == [answer.ids for answer in generated(family, seed, limits)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize("length_penalty", [-1.0, 0.0, 0.6, 2.0])
def test_beams_are_hugging_faces(family: str, early_stopping: Any, length_penalty: float) -> None:
    for seed, number, limits in (
        (0, 3, Limits(10, ends=ENDS)),
        (1, 4, Limits(7, ends=(END, 5, 7), least=2)),
    ):
        how = Beams(number, length_penalty, early_stopping)
        wanted = generated(
            family, seed, limits, num_beams=number, length_penalty=length_penalty, early_stopping=early_stopping,
            num_return_sequences=number,
        )  # fmt: skip
        assert_same(searched(family, seed, limits, how), wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_beams_without_ends_and_with_forced_tokens_are_hugging_faces(family: str) -> None:
    for limits in (Limits(6), Limits(8, ends=ENDS, last=END)):
        wanted = generated(family, 2, limits, num_beams=4, num_return_sequences=4)
        assert_same(searched(family, 2, limits, Beams(4)), wanted)


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_a_forced_first_token_is_hugging_faces(family: str) -> None:
    limits = Limits(8, ends=(END,), first=0, last=END)
    assert [answer.ids for answer in generated(family, 2, limits)] == decode(
        steps_of(model(family, 2), PROMPTS, START), limits, Choice()
    )
    assert_same(searched(family, 2, limits, Beams(3)), generated(family, 2, limits, num_beams=3, num_return_sequences=3))


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_of_the_models_here_end_at_different_places(family: str) -> None:
    """Else the tests above would show nothing of ends."""
    found = [a for seed in range(3) for rows in searched(family, seed, Limits(10, ends=ENDS), Beams(3)) for a in rows]
    assert len({len(answer.ids) for answer in found}) >= 5
    assert len({tuple(answer.ids) for answer in found}) >= 20


@pytest.mark.parametrize("family", FAMILIES)
def test_a_row_is_searched_as_if_it_were_alone_and_without_a_cache(family: str) -> None:
    limits, how = Limits(10, ends=ENDS), Beams(3, 0.6)
    together = searched(family, 4, limits, how)
    for prompt, answers in zip(PROMPTS, together, strict=True):
        for cached in (True, False):
            (alone,) = searched(family, 4, limits, how, [prompt], cached=cached)
            assert_same([alone], answers)


def test_one_beam_is_greedy_decoding() -> None:
    limits = Limits(10, ends=ENDS)
    greedy = decode(steps_of(model("gpt", 1), PROMPTS), limits, Choice())
    found = searched("gpt", 1, limits, Beams(1, early_stopping=True))
    assert [answers[0].ids for answers in found] == greedy


def test_a_score_is_the_likelihood_by_length() -> None:
    """The end counts as a token, the prompt does not; unsought answers are found by reading the whole row at once."""
    made = model("gpt", 0)
    for answer in searched("gpt", 0, Limits(8, ends=ENDS), Beams(4, 0.6), [PROMPTS[0]])[0]:
        row = torch.tensor([[*PROMPTS[0], *answer.ids]])
        with torch.no_grad():
            likelihood = made(row).log_softmax(-1)[0, len(PROMPTS[0]) - 1 : -1]
        total = sum(float(at[i]) for at, i in zip(likelihood, answer.ids, strict=True))
        assert answer.score == pytest.approx(total / len(answer.ids) ** 0.6, abs=1e-5)


def test_enough_beams_find_the_likeliest_answer_of_all() -> None:
    """Every answer of three tokens is scored by brute force."""
    made, prompt = model("gpt", 3), [5, 9]
    first = torch.arange(VOCABULARY)
    pairs = torch.cartesian_prod(first, first)
    rows = torch.cat([torch.tensor([prompt]).expand(len(pairs), -1), pairs], dim=1)
    with torch.no_grad():
        likelihood = made(rows).log_softmax(-1)
    begun = likelihood[torch.arange(len(rows)), 1, pairs[:, 0]] + likelihood[torch.arange(len(rows)), 2, pairs[:, 1]]
    best = (begun[:, None] + likelihood[:, 3]).flatten().topk(5)
    wanted = [[*pairs[int(at) // VOCABULARY].tolist(), int(at) % VOCABULARY] for at in best.indices]
    (found,) = searched("gpt", 3, Limits(3), Beams(200, 0.0), [prompt])
    assert [answer.ids for answer in found[:5]] == wanted
    assert [answer.score for answer in found[:5]] == pytest.approx(best.values.tolist(), abs=1e-4)


def test_a_search_that_ends_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison above would fail."""
    limits = Limits(10, ends=ENDS)
    wanted = generated("gpt", 0, limits, num_beams=3, length_penalty=2.0, num_return_sequences=3)
    assert_same(searched("gpt", 0, limits, Beams(3, 2.0)), wanted)
    monkeypatch.setattr(search_module, "_may_improve", lambda *_: False)
    with pytest.raises(AssertionError):
        assert_same(searched("gpt", 0, limits, Beams(3, 2.0)), wanted)


def test_impossible_searches_are_refused() -> None:
    for penalty in (math.nan, math.inf):
        with pytest.raises(ValueError, match=f"length_penalty: must be a finite number, not {penalty}"):
            Beams(2, penalty)
    with pytest.raises(ValueError, match="beams: must be 1 or more, not 0"):
        Beams(0)
