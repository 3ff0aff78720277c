"""Let a model complete prompts: `corpusmill generate RUN --prompt "Once upon a time"`.

GPT continues a prompt. BERT and other encoders fill its masks ("the [MASK] house"). BART and T5 restore a prompt with masks
("the <mask> house", "the <extra_id_0> house") and answer one without. Without --prompt, every line of the standard input is a
prompt.
"""

import argparse
import json
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from torch import nn

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.generation.beams import Beams, search
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.fill import fill
from training.generation.limits import Limits
from training.generation.steps import Answer, Continuation, Steps
from training.generation.texts import Speller, speller
from training.models.bart import BART
from training.models.composed import Composed
from training.models.families import Masked, Model
from training.models.gpt import GPT
from training.models.t5 import T5

GREEDY = Choice()
PROMPTS_AT_ONCE = 16  # answers do not depend on each other


class Text(NamedTuple):
    """An answer to a prompt."""

    text: str
    score: float | None = None  # from a beam search


class Candidate(NamedTuple):
    """A piece for a mask, and its probability."""

    id: int
    text: str
    probability: float


class Filled(NamedTuple):
    """A text with its masks filled, and the candidates for each mask, the likeliest first."""

    text: str
    masks: list[list[Candidate]]


@dataclass(frozen=True, slots=True)
class Request:
    """The settings of generation. Raises UserError, naming the number, for one that makes no sense."""

    tokens: int = 100  # maximum of an answer, its end included
    least: int = 0  # minimum of tokens before the end
    how: Choice | Beams = GREEDY
    number: int = 1  # answers to each prompt
    seed: int = 1  # of the first answer to each prompt; the next answer has the next seed

    def __post_init__(self) -> None:
        if self.number < 1:
            raise UserError(f"number: must be 1 or more, not {self.number}")
        if isinstance(self.how, Beams):
            if self.number > self.how.number:
                raise UserError(f"number: {self.how.number} beams do not give {self.number} answers; set more beams")
        elif self.how.temperature == 0 and self.number > 1:
            raise UserError(f"number: the likeliest tokens give one answer, not {self.number}; set a temperature or beams")


def generate_texts(model: Model, tokenizer: Tokenizer, prompts: Sequence[str], request: Request) -> list[list[Text]]:
    """Return the answers to each prompt. GPT's begin with the prompt as it is; T5's to one with sentinels are it, restored.

    Raises UserError for a model that fills masks, a prompt longer than the model's positions, or a tokenizer of another family.
    """
    if isinstance(model, Masked):
        raise UserError("BERT does not generate: it fills masks, see fill_texts")
    words = speller(model, tokenizer)
    rows = [row for prompt in prompts for row in [words.row(prompt)] * _copies(request)]
    ends = words.specials.end
    limits = Limits(
        request.tokens,
        ends=(ends,),
        least=request.least,
        last=ends if words.family == "bart" else None,  # as Hugging Face's forced_eos_token_id
        vocabulary=tokenizer.size,
    )
    with evaluated(model):
        steps = steps_of(model, rows, words.specials.decoder_start)
        if isinstance(request.how, Beams):
            return [
                [Text(_text(words, prompt, answer.ids), answer.score) for answer in answers[: request.number]]
                for prompt, answers in zip(prompts, search(steps, limits, request.how), strict=True)
            ]
        seeds = [request.seed + n for _ in prompts for n in range(request.number)]
        answers = iter(decode(steps, limits, request.how, seeds))
    return [[Text(_text(words, prompt, ids)) for ids in islice(answers, request.number)] for prompt in prompts]


def fill_texts(model: Masked, tokenizer: Tokenizer, texts: Sequence[str], *, best: int = 5) -> list[Filled]:
    """Return the likeliest pieces for every [MASK] of each text; each mask is filled independently.

    Raises UserError for a text without a mask, or one longer than the model's positions.
    """
    words = speller(model, tokenizer)
    assert words.specials.mask is not None
    for text in texts:
        if not words.has_mask(text):
            raise UserError(f"{text[:60]!r} has no mask to fill; write {next(iter(words.masks))} where a piece is wanted")
    rows = [words.row(text) for text in texts]
    with evaluated(model):
        guesses_by_row = fill(model, rows, words.specials.mask, best=best, vocabulary=tokenizer.size)
    filled: list[Filled] = []
    for row, masks in zip(rows, guesses_by_row, strict=True):
        likeliest = iter([guesses[0].id for guesses in masks])
        ids = [next(likeliest) if i == words.specials.mask else i for i in row[1:-1]]
        pieces = [
            [Candidate(guess.id, tokenizer.decode([guess.id]), guess.probability) for guess in guesses] for guesses in masks
        ]
        filled.append(Filled(tokenizer.decode(ids), pieces))
    return filled


def complete(
    model: Model,
    tokenizer: Tokenizer,
    prompt: str,
    tokens: int,
    *,
    temperature: float = 0.8,
    top_k: int | None = 50,
    top_p: float | None = None,
    seed: int = 1,
) -> str:
    """Complete a prompt for people to read: GPT continues it, BERT fills its masks, BART and T5 restore it.

    A prompt without a mask gets one at its end if the family has masks. Raises UserError, as the functions above.
    """
    prompt = speller(model, tokenizer).with_mask(prompt)
    if isinstance(model, Masked):
        return fill_texts(model, tokenizer, [prompt], best=1)[0].text
    request = Request(tokens, how=Choice(temperature, top_k, top_p), seed=seed)
    return generate_texts(model, tokenizer, [prompt], request)[0][0].text


def steps_of(model: Model, rows: Sequence[Sequence[int]], decoder_start: int | None = None, *, cached: bool = True) -> Steps:
    """Return the steps for `decode` and `search`: rows that are continued, or that an encoder reads and a decoder answers.

    With cached=False, the whole row is read at each step, with the same result. Raises UserError, as Continuation and Answer.
    """
    if isinstance(model, GPT | Composed):
        return Continuation(model, rows, cached=cached)
    assert isinstance(model, BART | T5) and decoder_start is not None
    return Answer(model, rows, start=decoder_start, cached=cached)


@contextmanager
def evaluated(model: nn.Module) -> Generator[None]:
    """Run in evaluation mode, without dropout; restore the mode afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


def _copies(request: Request) -> int:
    """Return the number of rows for each prompt: a search finds several answers from one."""
    return 1 if isinstance(request.how, Beams) else request.number


def _text(words: Speller, prompt: str, ids: Sequence[int]) -> str:
    if words.family == "gpt":
        return words.continued(prompt, ids)
    if words.family == "t5" and words.has_mask(prompt):
        return words.restored(prompt, ids)
    return words.tokenizer.decode([i for i in ids if i != words.specials.end])


def run(arguments: argparse.Namespace) -> int:
    """Answer the prompts of the command line (training.arguments.add_generate); return the exit code."""
    loaded = trained.load(arguments.folder, compressed=True)
    how = _how(arguments, loaded.model)
    lines = iter(arguments.prompt) if arguments.prompt else (line.rstrip("\n") for line in sys.stdin)
    at_once = 1 if not arguments.prompt and sys.stdin.isatty() else PROMPTS_AT_ONCE
    while prompts := list(islice(lines, at_once)):
        if isinstance(loaded.model, Masked):
            best = 5 if arguments.number is None else arguments.number
            answers = fill_texts(loaded.model, loaded.tokenizer, prompts, best=best)
        else:
            number = 1 if arguments.number is None else arguments.number
            request = Request(arguments.tokens, arguments.least, how, number, arguments.seed)
            answers = generate_texts(loaded.model, loaded.tokenizer, prompts, request)
        for prompt, answer in zip(prompts, answers, strict=True):
            _print(prompt, answer, arguments.json)
    return 0


def _how(arguments: argparse.Namespace, model: Model) -> Choice | Beams:
    """Return the requested way to choose tokens. Raises UserError for options that exclude each other."""
    names = ("temperature", "top_k", "top_p", "beams", "length_penalty")
    given = [name for name in names if getattr(arguments, name) is not None]
    if isinstance(model, Masked):
        if given:
            raise UserError(f"{_option(given[0])}: BERT fills masks, without draws or a search; leave it out")
        return GREEDY
    if arguments.beams is None:
        if arguments.length_penalty is not None:
            raise UserError("--length-penalty: applies to a search; give --beams, too")
        draws = isinstance(model, GPT | Composed) or arguments.top_k is not None or arguments.top_p is not None
        temperature = arguments.temperature if arguments.temperature is not None else 0.8 if draws else 0.0
        top_k = 50 if draws and arguments.top_k is None and arguments.top_p is None else arguments.top_k
        return Choice(temperature, top_k, arguments.top_p)
    if drawing := [name for name in given if name in ("temperature", "top_k", "top_p")]:
        raise UserError(f"{_option(drawing[0])}: a search with --beams does not draw; give one or the other")
    return Beams(arguments.beams, 1.0 if arguments.length_penalty is None else arguments.length_penalty)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _print(prompt: str, answer: list[Text] | Filled, as_json: bool) -> None:
    if as_json:
        if isinstance(answer, Filled):
            content = {"text": answer.text, "masks": [[piece._asdict() for piece in pieces] for pieces in answer.masks]}
        else:
            content = {"answers": [text._asdict() for text in answer]}
        print(json.dumps({"prompt": prompt, **content}, ensure_ascii=False), flush=True)
    elif isinstance(answer, Filled):
        print(answer.text)
        for number, pieces in enumerate(answer.masks, 1):
            print(f"  mask {number}: " + ", ".join(f"{piece.text} {piece.probability:.3f}" for piece in pieces), flush=True)
    else:
        for text in answer:
            print(text.text if len(answer) == 1 or text.score is None else f"{text.score:.4f}  {text.text}", flush=True)
