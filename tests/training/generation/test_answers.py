import io
import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TopKLogitsWarper, TopPLogitsWarper

from pipelines.contract.tokenizers.loading import Tokenizer
from training.arguments import add_generate, parse
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError
from training.data.shards import open_dataset
from training.generation import answers as generate
from training.generation.answers import Request, Text, complete, generate_texts, steps_of
from training.generation.beams import Beams
from training.generation.choose import Choice, draw, keep_nucleus, keep_top_k, uniforms
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.steps import Continuation, padded
from training.models.bart import BART, BARTShape
from training.models.bert import BERTShape
from training.models.composed import ComposedShape
from training.models.families import Model, Shape, make
from training.models.gpt import GPT, GPTShape
from training.models.t5 import T5Shape
from training.run.pretrain import pretrain

SIZE = 30
SHAPES: dict[str, Shape] = {
    "gpt": GPTShape(vocabulary=SIZE, length=32, layers=2, heads=2, width=16),
    "rotary": ComposedShape(vocabulary=SIZE, length=32, layers=2, heads=2, width=16, positions="rotary", norm="rms"),
    "relative": ComposedShape(vocabulary=SIZE, length=32, layers=2, heads=2, width=16, positions="relative"),
    "sinusoidal": ComposedShape(vocabulary=SIZE, length=32, layers=2, heads=2, width=16, positions="sinusoidal"),
    "bart": BARTShape(vocabulary=SIZE, length=32, encoder_layers=2, decoder_layers=2, heads=2, width=16),
    "t5": T5Shape(2, 2, heads=2, head_width=8, width=16, inner=32, vocabulary=SIZE),
}
PROMPTS = [[5, 9, 23, 12, 7], [8], [17, 4, 29], [6, 6, 21, 19, 11, 3, 28]]
GREEDY = Choice()


def redrawn(shape: Shape) -> Model:
    """Large weights, so that what follows depends on all of the row; no biases, as the last would decide alone."""
    made = make(shape, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "norm" not in name and not name.endswith("bias"):
                parameter.normal_(0, 0.15 if "tokens" in name else 0.6, generator=generator)
    return made.eval()


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: redrawn(shape) for name, shape in SHAPES.items()}


def small_gpt(length: int = 8) -> GPT:
    made = redrawn(GPTShape(vocabulary=SIZE, length=length, layers=2, heads=2, width=16))
    assert isinstance(made, GPT)
    return made


@pytest.mark.parametrize("name", SHAPES)
def test_uneven_prompts_with_a_cache_are_each_alone_without_one(models: dict[str, Model], name: str) -> None:
    limits = Limits(12, ends=(3, 14))
    together = decode(steps_of(models[name], PROMPTS, 2), limits, GREEDY)
    for prompt, ids in zip(PROMPTS, together, strict=True):
        assert decode(steps_of(models[name], [prompt], 2, cached=False), limits, GREEDY) == [ids]
    assert len({tuple(ids) for ids in together}) > 1


@pytest.mark.parametrize("name", SHAPES)
def test_scores_of_uneven_prompts_are_those_of_each_alone(models: dict[str, Model], name: str) -> None:
    together, alone = steps_of(models[name], PROMPTS, 2), [steps_of(models[name], [p], 2, cached=False) for p in PROMPTS]
    chosen: list[int] | None = None
    for _ in range(6):
        scores = together.next(None if chosen is None else torch.tensor(chosen))
        for row, of in enumerate(alone):
            expected = of.next(None if chosen is None else torch.tensor([chosen[row]]))[0]
            torch.testing.assert_close(scores[row], expected, rtol=0, atol=1e-5)
        chosen = scores.argmax(-1).tolist()


def test_a_token_that_sees_padding_is_seen(models: dict[str, Model], monkeypatch: pytest.MonkeyPatch) -> None:
    """The two tests above would fail."""
    wanted = decode(steps_of(models["gpt"], PROMPTS), Limits(12), GREEDY)

    def all_real(rows: list[list[int]], device: torch.device, **how: object) -> object:
        ids, real = padded(rows, device, left=True)
        return ids, None if real is None else torch.ones_like(real)

    monkeypatch.setattr("training.generation.steps.padded", all_real)
    assert decode(steps_of(models["gpt"], PROMPTS), Limits(12), GREEDY) != wanted


def windows(model: GPT, prompt: list[int], tokens: int) -> list[int]:
    """Greedy decoding by hand: when a row has grown beyond the positions, its older half is out of sight."""
    length, ids, sight = model.shape.length, list(prompt), list(prompt)
    for _ in range(tokens):
        if len(sight) > length:
            sight = sight[-((length + 1) // 2) :]
        with torch.no_grad():
            following = int(model(torch.tensor([sight]))[0, -1].argmax())
        ids.append(following)
        sight.append(following)
    return ids[len(prompt) :]


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("length", [8, 7, 1])
def test_beyond_the_positions_the_older_half_falls_out_of_sight(length: int, cached: bool) -> None:
    made = small_gpt(length)
    prompts = [prompt for prompt in PROMPTS if len(prompt) <= length]
    found = decode(steps_of(made, prompts, cached=cached), Limits(30), GREEDY)
    assert found == [windows(made, prompt, 30) for prompt in prompts]


def test_a_row_is_read_anew_only_where_its_sight_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    made, widths = small_gpt(8), list[int]()
    hidden = made.hidden
    monkeypatch.setattr(made, "hidden", lambda inputs, **how: widths.append(inputs.shape[1]) or hidden(inputs, **how))
    decode(steps_of(made, [[1, 2, 3, 4, 5, 6]]), Limits(10), GREEDY)
    assert widths == [6, 1, 1, 4, 1, 1, 1, 1, 4, 1]


def test_an_answer_has_no_more_tokens_than_the_decoder_positions() -> None:
    made = redrawn(BARTShape(vocabulary=SIZE, length=8, encoder_layers=1, decoder_layers=1, heads=2, width=16))
    (ids,) = decode(steps_of(made, [[1, 2, 3]], 2), Limits(20, last=2), GREEDY)
    assert len(ids) == 8 and ids[-1] == 2


def test_impossible_prompts_are_refused(models: dict[str, Model]) -> None:
    for name in ("gpt", "bart"):
        with pytest.raises(ValueError, match="the prompt is empty"):
            steps_of(models[name], [[1], []], 2)
        with pytest.raises(ValueError, match="the prompt is empty"):
            steps_of(models[name], [], 2)
        with pytest.raises(ValueError, match="the prompt has 33 tokens, and the model 32 positions"):
            steps_of(models[name], [[1] * 33], 2)
        assert steps_of(models[name], [[1] * 32], 2).next(None).shape == (1, SIZE)
    assert steps_of(models["t5"], [[1] * 33], 2).next(None).shape == (1, SIZE)  # T5 has no positions


def test_padding_stands_before_or_behind() -> None:
    ids, real = padded([[5, 6, 7], [8]], torch.device("cpu"), left=True)
    assert ids.tolist() == [[5, 6, 7], [0, 0, 8]]
    assert real is not None and real.tolist() == [[True, True, True], [False, False, True]]
    ids, real = padded([[5, 6, 7], [8]], torch.device("cpu"), left=False)
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert real is not None and real.tolist() == [[True, True, True], [True, False, False]]
    assert padded([[5], [8]], torch.device("cpu"), left=True)[1] is None


# Limits


def test_an_end_is_the_last_token_of_an_answer(models: dict[str, Model]) -> None:
    whole = decode(steps_of(models["gpt"], PROMPTS), Limits(12), GREEDY)
    ends = (whole[0][4], whole[2][2])
    for ids, cut in zip(whole, decode(steps_of(models["gpt"], PROMPTS), Limits(12, ends), GREEDY), strict=True):
        places = [place for place, i in enumerate(ids) if i in ends]
        assert cut == (ids[: places[0] + 1] if places else ids)


def test_no_end_comes_too_early_and_some_tokens_are_forced() -> None:
    scores = torch.tensor([[0.0, 4, 3, 2, 1]])
    limits = Limits(4, ends=(1, 2), least=2, first=3, last=2, vocabulary=4)
    minus = -math.inf
    assert limits.apply(scores, 0).tolist() == [[minus, minus, minus, 0]]
    assert limits.apply(scores, 1).tolist() == [[0, minus, minus, 2]]
    assert limits.apply(scores, 2).tolist() == [[0, 4, 3, 2]]
    assert limits.apply(scores, 3).tolist() == [[minus, minus, 0, minus]]
    assert scores.tolist() == [[0, 4, 3, 2, 1]]
    assert limits.within(3) == Limits(3, ends=(1, 2), least=2, first=3, last=2, vocabulary=4)
    assert limits.within(None) == limits.within(9) == limits
    with pytest.raises(ValueError, match="tokens: must be 1 or more, not 0"):
        Limits(0)
    with pytest.raises(ValueError, match=r"least: must be from 0 to tokens \(3\), not 4"):
        Limits(3, least=4)


# Choices


def test_filters_in_small() -> None:
    scores = torch.tensor([[0.5, 0.3, 0.15, 0.05]]).log()

    def kept(filtered: torch.Tensor) -> list[int]:
        return filtered.isfinite().nonzero()[:, 1].tolist()

    assert [kept(keep_top_k(scores, k)) for k in (1, 2, 9)] == [[0], [0, 1], [0, 1, 2, 3]]
    assert kept(keep_top_k(torch.tensor([[1.0, 2, 1, 0]]), 2)) == [0, 1, 2]  # as high as the second
    assert [kept(keep_nucleus(scores, p)) for p in (0.01, 0.49, 0.51, 0.79, 0.81, 0.96, 1.0)] == [
        [0], [0], [0, 1], [0, 1], [0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3],
    ]  # fmt: skip
    # top_p is of what top_k left: .5 / .8 and .3 / .8
    assert kept(Choice(1.0, top_k=2, top_p=0.6).filtered(scores)) == [0]
    assert kept(Choice(1.0, top_p=0.6).filtered(scores)) == [0, 1]
    # a temperature comes first: at 0.5 the probabilities are as 25 : 9 : 2.25 : .25
    assert kept(Choice(0.5, top_p=0.68).filtered(scores)) == [0]
    assert kept(Choice(0.5, top_p=0.69).filtered(scores)) == [0, 1]


@given(st.integers(0, 2**31), st.integers(1, 60), st.floats(0.01, 0.999), st.integers(2, 50))
def test_filters_are_hugging_faces(seed: int, k: int, p: float, size: int) -> None:
    scores = torch.randn(3, size, generator=torch.Generator().manual_seed(seed)) * 2
    ids: object = None
    assert torch.equal(keep_top_k(scores, k), TopKLogitsWarper(k)(ids, scores))  # pyright: ignore[reportArgumentType]
    assert torch.equal(keep_nucleus(scores, p), TopPLogitsWarper(p)(ids, scores))  # pyright: ignore[reportArgumentType]


@given(st.integers(0, 2**31), st.floats(0.01, 0.99))
def test_a_nucleus_is_the_smallest_set_that_reaches_p(seed: int, p: float) -> None:
    scores = torch.randn(1, 20, generator=torch.Generator().manual_seed(seed)).double()
    probability, kept = scores.softmax(-1), keep_nucleus(scores, p).isfinite()
    inside = probability[kept]
    assert inside.sum() >= p - 1e-12
    assert inside.sum() - inside.min() < p
    assert len(inside) == 20 or inside.min() >= probability[~kept].max()


def test_draws_have_the_distribution_that_was_asked_for() -> None:
    """Of 20,000 draws, every frequency lies within four standard deviations."""
    count = 20_000
    scores = torch.tensor([[2.0, -torch.inf, 1.0, 0.0, 0.5]]).expand(count, -1)
    at = uniforms(range(count), 3)[:, 2]
    for choice in (Choice(1.0), Choice(0.5), Choice(2.0, top_k=3), Choice(1.0, top_p=0.7)):
        expected = choice.filtered(scores[:1])[0].softmax(-1)
        frequency = torch.bincount(choice(scores, at), minlength=5) / count
        assert ((frequency - expected).abs() <= 4 * (expected * (1 - expected) / count).sqrt()).all()
    assert draw(scores[:2], torch.tensor([0.0, 1 - 2**-53])).tolist() == [0, 4]


def test_draws_follow_from_the_seed_alone() -> None:
    assert torch.equal(uniforms([7, 8, -1], 5)[1, :3], uniforms([8], 3)[0])
    assert uniforms([1], 2).dtype == torch.float64 and uniforms([1], 2).unique().numel() == 2


def test_a_row_is_sampled_as_if_it_were_alone(models: dict[str, Model]) -> None:
    limits, choice = Limits(20, ends=(3,)), Choice(1.0, top_k=20, top_p=0.95)
    together = decode(steps_of(models["gpt"], PROMPTS), limits, choice, seeds=[3, 9, 4, 4])
    for prompt, seed, ids in zip(PROMPTS, [3, 9, 4, 4], together, strict=True):
        assert decode(steps_of(models["gpt"], [prompt]), limits, choice, seeds=[seed]) == [ids]
        assert decode(steps_of(models["gpt"], [prompt]), limits, choice, seeds=[seed + 1]) != [ids]
    assert decode(steps_of(models["gpt"], PROMPTS), Limits(9), Choice(1.0, top_k=1)) == decode(
        steps_of(models["gpt"], PROMPTS), Limits(9), GREEDY
    )


def test_impossible_choices_are_refused() -> None:
    for numbers, message in (
        ({"temperature": -0.1}, "temperature: must be 0 or more, not -0.1"),
        ({"temperature": math.inf}, "temperature: must be 0 or more, not inf"),
        ({"temperature": math.nan}, "temperature: must be 0 or more, not nan"),
        ({"top_k": 0}, "top_k: must be 1 or more, not 0"),
        ({"top_p": 0.0}, "top_p: must be more than 0 and at most 1, not 0.0"),
        ({"top_p": 1.1}, "top_p: must be more than 0 and at most 1, not 1.1"),
    ):
        with pytest.raises(ValueError, match=message):
            Choice(**numbers)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="number: must be 1 or more, not 0"):
        Request(number=0)
    with pytest.raises(ValueError, match="number: 2 beams do not give 3 answers"):
        Request(how=Beams(2), number=3)
    with pytest.raises(ValueError, match="number: the likeliest tokens give one answer, not 2"):
        Request(number=2)


# Texts


@pytest.fixture(scope="session")
def tokenizer(make_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory, documents: object) -> Tokenizer:
    """One for all four families."""
    folder = make_dataset(tmp_path_factory.mktemp("families") / "tokens", documents, families=("bert", "gpt", "bart", "t5"))
    return open_dataset(str(folder)).tokenizer


def of_tokenizer(family: str, tokenizer: Tokenizer, extra: int = 40) -> Model:
    """A model whose vocabulary is padded beyond the tokenizer's pieces, and whose padding is likely."""
    size = tokenizer.size + extra
    shapes: dict[str, Shape] = {
        "gpt": GPTShape(vocabulary=size, length=64, layers=2, heads=2, width=16),
        "bert": BERTShape(vocabulary=size, length=64, layers=2, heads=2, width=16),
        "bart": BARTShape(vocabulary=size, length=64, encoder_layers=2, decoder_layers=2, heads=2, width=16),
        "t5": T5Shape(2, 2, heads=2, head_width=8, width=16, inner=32, vocabulary=size),
    }
    made = redrawn(shapes[family])
    with torch.no_grad():
        next(p for name, p in made.named_parameters() if name.endswith("tokens.weight"))[tokenizer.size :] *= 5
    return made


def test_gpt_continues_prompts_as_they_are(tokenizer: Tokenizer) -> None:
    made = of_tokenizer("gpt", tokenizer)
    assert isinstance(made, GPT)
    """An empty prompt, and one that begins with the end of a text, begin a document."""
    end = tokenizer.special_ids["<|endoftext|>"]
    prompts = ["the old house", "", "many stories about the people", "<|endoftext|>the old", "the  old\n"]
    rows = [tokenizer.encode(prompts[0]), [end], tokenizer.encode(prompts[2]), [end, *tokenizer.encode("the old")]]
    rows.append(tokenizer.encode(prompts[4]))
    made.train()
    found = generate_texts(made, tokenizer, prompts, Request(tokens=12))
    assert made.training
    made.eval()
    for prompt, row, (answer,) in zip(prompts, rows, found, strict=True):
        (ids,) = decode(Continuation(made, [row]), Limits(12, ends=(end,), vocabulary=tokenizer.size), GREEDY)
        assert max(ids) < tokenizer.size
        assert answer == Text(prompt[: prompt.index("the") if ">the" in prompt else 0] + tokenizer.decode([*row, *ids]))
        assert answer.text.startswith(prompt)


def test_several_answers_have_a_seed_each_whatever_stands_beside_them(tokenizer: Tokenizer) -> None:
    made = of_tokenizer("gpt", tokenizer)
    request = Request(tokens=8, how=Choice(1.0), number=3, seed=5)
    first, second = generate_texts(made, tokenizer, ["the old", "stories"], request)
    assert len({*first, *second}) == 6
    assert generate_texts(made, tokenizer, ["stories"], request) == [second]
    assert generate_texts(made, tokenizer, ["stories"], Request(tokens=8, how=Choice(1.0), seed=6)) == [[second[1]]]


def test_beams_return_their_scores(tokenizer: Tokenizer) -> None:
    for family in ("gpt", "bart", "t5"):
        (answers,) = generate_texts(of_tokenizer(family, tokenizer), tokenizer, ["the old"], Request(8, how=Beams(4), number=3))
        scores = [answer.score for answer in answers if answer.score is not None]
        assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_a_bart_that_is_cut_off_still_ends(tokenizer: Tokenizer) -> None:
    made = of_tokenizer("bart", tokenizer)
    assert isinstance(made, BART)
    ((answer,),) = generate_texts(made, tokenizer, ["the old <mask> near"], Request(tokens=5))
    begin, end, mask = (tokenizer.special_ids[piece] for piece in ("<s>", "</s>", "<mask>"))
    row = [begin, *tokenizer.encode("the old"), mask, *tokenizer.encode("near"), end]
    limits = Limits(5, ends=(end,), last=end, vocabulary=tokenizer.size)
    (ids,) = decode(steps_of(made, [row], end), limits, GREEDY)
    assert ids[-1] == end
    assert answer.text == tokenizer.decode(ids)


def test_a_sample_of_every_family(tokenizer: Tokenizer) -> None:
    """A prompt without a mask gets one, so that there is something to be seen."""
    for family in ("gpt", "bert", "bart", "t5"):
        made = of_tokenizer(family, tokenizer)
        for prompt in ("the old house", ""):
            text = complete(made, tokenizer, prompt, 6, seed=3)
            assert text == complete(made, tokenizer, prompt, 6, seed=3)
            assert family == "bart" or text.startswith(prompt)


def test_bert_generates_nothing(tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match="BERT does not generate"):
        generate_texts(of_tokenizer("bert", tokenizer), tokenizer, ["the"], Request())


# The command line


def generated(words: list[str]) -> None:
    assert generate.run(parse(add_generate, words)) == 0


def saved(family: str, tokenizer: Tokenizer, folder: Path) -> str:
    trained.save(folder, of_tokenizer(family, tokenizer), family, tokenizer, {})
    return str(folder)


def test_a_run_is_continued_from_the_command_line(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(tiny_config, ("train.steps=3", "sample.tokens=0"))
    capsys.readouterr()
    generated([str(tmp_path / "run"), "--prompt", "the old", "--tokens", "3"])
    assert capsys.readouterr().out.startswith("the old")
    with pytest.raises(CheckpointError, match="there is no complete checkpoint"):
        generated([str(tmp_path / "nowhere")])


def test_prompts_are_lines_of_the_standard_input(
    tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = saved("gpt", tokenizer, tmp_path)
    lines = [f"the {n} people" for n in range(20)]  # more than are taken at once
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines) + "\n"))
    generate.run(
        parse(add_generate, [run, "--tokens", "4", "--beams", "2", "--length-penalty", "0.6", "--number", "2", "--json"])
    )
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["prompt"] for line in found] == lines
    texts = generate_texts(trained.load(run).model, tokenizer, lines, Request(4, how=Beams(2, 0.6), number=2))
    assert [[answer["text"] for answer in line["answers"]] for line in found] == [[t.text for t in of] for of in texts]


def test_what_the_command_line_prints(tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved("t5", tokenizer, tmp_path / "t5")
    generated([run, "--prompt", "the <extra_id_0> house", "--tokens", "4"])
    plain = capsys.readouterr().out
    assert plain == generate_texts(trained.load(run).model, tokenizer, ["the <extra_id_0> house"], Request(4))[0][0].text + "\n"
    generated([run, "--prompt", "the old", "--tokens", "4", "--beams", "3", "--number", "2"])
    assert [float(line.split("  ")[0]) < 0 for line in capsys.readouterr().out.splitlines()] == [True, True]
    generate.run(
        parse(
            add_generate,
            [run, "--prompt", "the", "--prompt", "old", "--tokens", "4", "--top-p", "0.9", "--number", "2", "--seed", "2"],
        )
    )
    request = Request(4, how=Choice(0.8, top_p=0.9), number=2, seed=2)
    texts = generate_texts(trained.load(run).model, tokenizer, ["the", "old"], request)
    assert capsys.readouterr().out.splitlines() == [answer.text for of in texts for answer in of]


def test_masks_are_filled_from_the_command_line(tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = saved("bert", tokenizer, tmp_path)
    generated([run, "--prompt", "the [MASK] house [MASK]", "--number", "2"])
    text, *masks = capsys.readouterr().out.splitlines()
    assert text.startswith("the") and [line[:9] for line in masks] == ["  mask 1:", "  mask 2:"]
    generated([run, "--prompt", "the [MASK] house", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["prompt"] == "the [MASK] house" and len(found["masks"]) == 1 and len(found["masks"][0]) == 5
    assert set(found["masks"][0][0]) == {"id", "text", "probability"}


def test_impossible_command_lines_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    gpt, bert = saved("gpt", tokenizer, tmp_path / "gpt"), saved("bert", tokenizer, tmp_path / "bert")
    for arguments, message in (
        ([gpt, "--beams", "2", "--temperature", "0.7"], "--temperature: a search with --beams does not draw"),
        ([gpt, "--beams", "2", "--top-p", "0.7"], "--top-p: a search with --beams does not draw"),
        ([gpt, "--length-penalty", "0.7"], "--length-penalty: applies to a search; give --beams, too"),
        ([gpt, "--top-p", "1.7"], "top_p: must be more than 0 and at most 1"),
        ([gpt, "--tokens", "0"], "tokens: must be 1 or more"),
        ([gpt, "--number", "0"], "number: must be 1 or more"),
        ([gpt, "--prompt", "old " * 70], "the model 64 positions"),
        ([bert, "--top-k", "3"], "--top-k: BERT fills masks, without draws or a search"),
        ([bert, "--number", "0", "--prompt", "[MASK]"], "best: must be 1 or more"),
        ([bert], r"'the old' has no mask to fill; write \[MASK\]"),
    ):
        with pytest.raises(ValueError, match=message):
            generated([*arguments, *([] if "--prompt" in arguments else ["--prompt", "the old"])])


def test_bytes_of_a_prompt_that_are_no_text_become_replacement_characters() -> None:
    words = ["run", "--prompt", os.fsdecode(b"caf\xc3\xa9 \xff!")]
    assert parse(add_generate, words).prompt == ["café \ufffd!"]
