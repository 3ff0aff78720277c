"""EleutherAI's lm-evaluation-harness (extra `bench`) over models of every family: `corpusmill harness RUN`.

    corpusmill harness build/demo-gpt --tasks my_tasks/ --out r.json   # all tasks of a folder of YAML files
    corpusmill harness build/demo-gpt --tasks piqa lambada_openai   # by name; downloads data

From Python, by the name that `harness_class` registers:

    harness_class()
    lm_eval.simple_evaluate(model="corpusmill", model_args={"run": "build/demo-gpt"}, tasks=[…])

The harness' requests (lm_eval/api/model.py of 0.4.13), and the answers:

    loglikelihood            of a continuation after a context. The model reads <|endoftext|>, the context and the continuation,
                             as at the beginning of a document in training. Both are encoded as one text; the continuation's
                             pieces are those after the longest common prefix with the context encoded alone. Spaces at the
                             end of the context belong to the continuation, as in the harness. (A piece across the border
                             counts whole; the harness' own models lose or split it.) Tokens further from the end than the
                             model's positions are dropped.
    loglikelihood_rolling    of a whole text after <|endoftext|>, in windows of all positions, each token once, the last window
                             full: the harness' get_rolling_token_windows with context_len=1
    generate_until           the continuation of a context up to a stop string, <|endoftext|> or max_gen_toks (256 by default):
                             greedy, or drawn with do_sample, temperature, top_k and top_p. A long context loses its beginning
                             so that the continuation fits, down to half of the positions; beyond that, the window slides
                             (training/generation/steps.py).

The other families have no likelihood of a text from left to right; theirs are in conditional.py: pseudo-log-likelihoods for BERT,
the decoder's for BART and T5. They do not generate here.

Batches are made by tokens (training/evaluation/likelihood.py): the harness' batch sizes have no effect.
"""

import argparse
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from pipelines.contract import files
from pipelines.contract.errors import UserError
from training.arguments import NEWEST
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.trained import Trained
from training.evaluation import conditional
from training.evaluation.likelihood import Likelihood, Question, likelihoods
from training.evaluation.summary import find
from training.generation.answers import GREEDY, PROMPTS_AT_ONCE, evaluated, steps_of
from training.generation.choose import Choice
from training.generation.decode import decode
from training.generation.limits import Limits
from training.generation.texts import speller
from training.models.composed import Composed
from training.models.families import parameters
from training.models.gpt import GPT
from training.run.device import prepare

NAME = "corpusmill"  # in the harness' registry of models
TOKENS = 256  # to generate if a task does not say: the harness' default
_TOKENS = (
    "max_gen_toks",
    "max_new_tokens",
    "max_tokens",
    "max_completion_tokens",
)  # settings for their number; the first one given counts
_KNOWN = {*_TOKENS, "until", "do_sample", "temperature", "top_k", "top_p"}
_BEFORE = 4  # preceding tokens that decide how the first of a text is decoded
_KEPT = (
    "results",
    "groups",
    "versions",
    "n-shot",
    "n-samples",
    "higher_is_better",
    "config",
)  # parts of the harness' results, for --out


class HarnessError(UserError):
    """The harness cannot be run; the message names the field and the fix."""


class Request(Protocol):
    """The harness' Instance."""

    @property
    def args(self) -> tuple[Any, ...]:
        """The arguments of the request."""
        ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """The generation settings of a request."""

    tokens: int = TOKENS  # at most
    until: tuple[str, ...] = ()
    choice: Choice = GREEDY


class Answerer:
    """A model, on its device, that answers the harness."""

    def __init__(self, model: Trained, *, text_to_text: bool = False) -> None:
        """Take a model; `text_to_text`: a BART or T5 has learnt to answer a text, not to fill its gap (conditional.py).

        Raises HarnessError for the latter with a model of another family.
        """
        super().__init__()
        self.words = speller(model.model, model.tokenizer)
        if text_to_text and self.words.family not in ("bart", "t5"):
            raise HarnessError(f"{model.where}: is a {model.family}; only a BART or T5 is asked text to text")
        self.trained, self.model, self.tokenizer, self.text_to_text = model, model.model, model.tokenizer, text_to_text
        self.end = self.words.specials.end
        self.positions: int = getattr(model.model.shape, "length", conditional.LENGTH)

    def loglikelihood(self, requests: Sequence[Request]) -> list[tuple[float, bool]]:
        """Map (context, continuation) to the log-probability in nats and whether greedy decoding gives the continuation."""
        pairs = [_spaces_moved(*request.args) for request in requests]
        wholes = self.tokenizer.encode_batch([context + continuation for context, continuation in pairs])
        contexts = self.tokenizer.encode_batch([context for context, _ in pairs])
        firsts = [_shared(context, whole) + 1 for context, whole in zip(contexts, wholes, strict=True)]
        return [(likelihood.log_probability, likelihood.is_greedy) for likelihood in self._likelihoods(wholes, firsts)]

    def loglikelihood_rolling(self, requests: Sequence[Request]) -> list[float]:
        """Map (text,) to the log-probability in nats."""
        texts = self.tokenizer.encode_batch([request.args[0] for request in requests])
        return [likelihood.log_probability for likelihood in self._likelihoods(texts, [1] * len(texts))]

    def generate_until(self, requests: Sequence[Request]) -> list[str]:
        """Map (context, settings) to the continuation without the stop string.

        Raises HarnessError for an unknown setting, or a model that is not causal.
        """
        if requests and not isinstance(self.model, GPT | Composed):
            raise HarnessError(f"{self.trained.where}: is a {self.trained.family}; generate_until needs a causal model")
        groups: dict[Wanted, list[int]] = {}
        for number, request in enumerate(requests):
            groups.setdefault(wanted(request.args[1]), []).append(number)
        contexts = self.tokenizer.encode_batch([request.args[0] for request in requests])
        answers = [""] * len(requests)
        for how, numbers in groups.items():
            numbers.sort(key=lambda number: -len(contexts[number]))
            for at in range(0, len(numbers), PROMPTS_AT_ONCE):
                batch = numbers[at : at + PROMPTS_AT_ONCE]
                texts = self._generated([contexts[number] for number in batch], how, seeds=batch)
                for number, text in zip(batch, texts, strict=True):
                    answers[number] = text
        return answers

    def get_model_info(self) -> dict[str, Any]:
        """Return the facts about the model for the harness' results."""
        model = self.trained
        facts = {
            "checkpoint": model.where,
            "family": model.family,
            "parameters": parameters(model.model),
            "positions": self.positions,
        }
        return {**facts, "tokenizer_sha256": model.tokenizer.sha256}

    def _likelihoods(self, texts: Sequence[Sequence[int]], firsts: Sequence[int]) -> list[Likelihood]:
        """Return the likelihood of each text's tokens from its `first` on, where 1 is the text's first token."""
        questions = [list(self._windows(ids, first)) for ids, first in zip(texts, firsts, strict=True)]
        answers = iter(likelihoods(self.model, [window for of_text in questions for window in of_text], self.tokenizer.size))
        whole: list[Likelihood] = []
        for of_text in questions:
            parts = [next(answers) for _ in of_text]
            whole.append(Likelihood(sum(part.log_probability for part in parts), all(part.is_greedy for part in parts)))
        return whole

    def _windows(self, ids: Sequence[int], first: int) -> Iterator[Question]:
        if self.words.family == "gpt":
            return windows([self.end, *ids], first, self.positions)
        return conditional.questions(self.words, ids, first - 1, self.positions, text_to_text=self.text_to_text)

    def _generated(self, contexts: Sequence[Sequence[int]], how: Wanted, seeds: Sequence[int]) -> list[str]:
        seen = max(self.positions - how.tokens, (self.positions + 1) // 2)
        prompts = [[self.end, *ids][-seen:] for ids in contexts]
        tail = max((len(stop.encode()) for stop in how.until), default=0) + 1  # a token has at least a byte

        def is_done(row: int, answer: Sequence[int]) -> bool:
            before = [*prompts[row], *answer[:-tail]][-_BEFORE:]
            return _cut(self._following(before, answer[-tail:]), how.until) is not None

        limits = Limits(how.tokens, ends=(self.end,), vocabulary=self.tokenizer.size)
        with evaluated(self.model):
            steps = steps_of(self.model, prompts)
            answers = decode(steps, limits, how.choice, seeds, done=is_done if how.until else None)
        texts = [self._following(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        return [text[: _cut(text, how.until)] for text in texts]

    def _following(self, before: Sequence[int], ids: Sequence[int]) -> str:
        """Decode ids that follow others; decoded alone, the first would lose its space."""
        shown = [i for i in before if i != self.end]
        whole = self.tokenizer.decode([*shown, *(i for i in ids if i != self.end)])
        return whole[len(self.tokenizer.decode(shown)) :] if shown else whole


def windows(tokens: Sequence[int], first: int, positions: int) -> Iterator[Question]:
    """Yield questions in which each of tokens[first:] is a target once, with as many targets, and as much context, as fit.

        [e 0 1 2 3 4 5 6 7 8], first 1, 4 positions    e 0 1 2 -> 0 1 2 3    3 4 5 6 -> 4 5 6 7    4 5 6 7 -> 8

    Without targets there are no questions.
    """
    at = first
    while at < len(tokens):
        end = min(at + positions, len(tokens))
        begin = max(0, end - 1 - positions)
        yield Question(tokens[begin : end - 1], at - 1 - begin, tokens[at:end])
        at = end


def wanted(settings: Mapping[str, Any]) -> Wanted:
    """Return the settings in a task's generation_kwargs. Raises HarnessError for an unknown one."""
    if unknown := sorted(set(settings) - _KNOWN):
        raise HarnessError(f"generation_kwargs: {unknown[0]} is not supported, but {', '.join(sorted(_KNOWN))}")
    until = settings.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    tokens = next((settings[name] for name in _TOKENS if settings.get(name) is not None), TOKENS)
    is_drawn = settings.get("do_sample")
    temperature = 0.0 if is_drawn is False else settings.get("temperature", 1.0 if is_drawn else 0.0)
    try:
        choice = Choice(float(temperature), settings.get("top_k") or None, settings.get("top_p"))
        Limits(int(tokens))
    except ValueError as error:
        raise HarnessError(f"generation_kwargs: {error}") from None
    return Wanted(int(tokens), tuple(stop for stop in stops if stop), choice if choice.temperature else GREEDY)


def _spaces_moved(context: str, continuation: str) -> tuple[str, str]:
    """Move spaces at the end of a context to the continuation, whose first word they belong to."""
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """Return the length of the common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _cut(text: str, until: Sequence[str]) -> int | None:
    """Return where the first stop string begins; None if there is none."""
    return min((text.index(stop) for stop in until if stop in text), default=None)


@cache
def harness_class() -> type[Answerer]:
    """Return the harness' model class, registered as "corpusmill". Raises HarnessError if the harness is not installed.

    Its arguments: `run`, a folder as in training.evaluation.summary or a Trained; `checkpoint` (newest, best, a name or a path);
    `device` (cpu, cuda, auto) and `threads`, for a run that is loaded; `text_to_text`, see Answerer.
    """
    base = _lm_eval("lm_eval.api.model").LM

    class Corpusmill(Answerer, base):
        def __init__(
            self,
            run: str | Path | Trained,
            checkpoint: str = NEWEST,
            device: Literal["cpu", "cuda", "auto"] = "auto",
            threads: int | None = None,
            batch_size: object = None,
            max_batch_size: object = None,
            text_to_text: bool = False,
        ) -> None:
            found = run if isinstance(run, Trained) else _loaded(run, checkpoint, device, threads)
            super().__init__(found, text_to_text=text_to_text)

    return _lm_eval("lm_eval.api.registry").register_model(NAME)(Corpusmill)


def _loaded(run: str | Path, checkpoint: str, device: Literal["cpu", "cuda", "auto"], threads: int | None) -> Trained:
    if device not in ("cpu", "cuda", "auto"):
        raise HarnessError(f"device: must be cpu, cuda or auto, not {device!r}")
    model = trained.load(find(here(run), checkpoint).path)
    model.model.to(prepare(device, "float32", threads).name)
    return model


def _lm_eval(module: str) -> Any:
    """Import a module of the harness."""
    try:
        importlib.import_module("lm_eval")
    except ModuleNotFoundError as error:
        if error.name != "lm_eval":
            raise
        raise HarnessError(
            "lm-evaluation-harness is not installed: install corpusmill with its extra `bench`, or lm-eval>=0.4.9,<0.5"
        ) from None
    return importlib.import_module(module)


def evaluate(
    model: Answerer, tasks: Sequence[str], include: Sequence[str] = (), *, limit: int | None = None, shots: int | None = None
) -> dict[str, Any]:
    """Evaluate a model on tasks; return the harness' results.

    Args:
        model: an instance of `harness_class()`.
        tasks: names of tasks, groups or tags, YAML files, or folders of them.
        include: folders of YAML files in which names are looked up.
        limit: documents of each task; None takes all.
        shots: examples before each document; by default the task's own number.

    Raises HarnessError for an unknown task, and what the harness raises.
    """
    manager, names = _tasks(tasks, include)
    run = _lm_eval("lm_eval").simple_evaluate
    return run(model, tasks=names, task_manager=manager, limit=limit, num_fewshot=shots, log_samples=False)


def _tasks(tasks: Sequence[str], include: Sequence[str]) -> tuple[Any, list[str]]:
    """Return a task manager and the names of the tasks; the harness' thousands are indexed only if one is named."""
    manager_of = _lm_eval("lm_eval.tasks").TaskManager
    folders = [task for task in tasks if Path(task).is_dir()]
    known = [str(Path(path).resolve()) for path in (*include, *folders)]
    if missing := [path for path in known if not Path(path).is_dir()]:
        raise HarnessError(f"{missing[0]}: is not a folder; --include-path names folders of YAML files")
    manager = manager_of(include_path=known, include_defaults=False)
    names: list[str] = []
    for task in tasks:
        if task in folders:
            matches = list(manager_of(include_path=str(Path(task).resolve()), include_defaults=False).all_subtasks)
        elif Path(task).is_file():
            matches = [str(Path(task).resolve())]
        else:
            matches = manager.match_tasks([task])
            if not matches:
                manager = manager_of(include_path=known, include_defaults=True)
                matches = manager.match_tasks([task])
        if not matches:
            raise HarnessError(
                f"{task}: is neither a task nor a YAML file nor a folder of them; name its folder with --include-path"
            )
        names += [name for name in matches if name not in names]
    return manager, names


def run(arguments: argparse.Namespace) -> int:
    """Evaluate what the command line names (training.arguments.add_harness); return the exit code."""
    model = cast(Any, harness_class())(
        arguments.folder,
        arguments.checkpoint,
        arguments.device,
        arguments.threads or None,
        text_to_text=arguments.text_to_text,
    )
    tasks = [task for names in arguments.tasks for task in names.split(",")]
    results = evaluate(model, tasks, arguments.include_path, limit=arguments.limit, shots=arguments.shots)
    utils = _lm_eval("lm_eval.utils")
    print(utils.make_table(results))
    if results.get("groups"):
        print(utils.make_table(results, "groups"))
    if arguments.out:
        kept = {name: results[name] for name in _KEPT if name in results}
        content = json.dumps(kept, indent=1, ensure_ascii=False, default=utils.handle_non_serializable)
        files.write_text(arguments.out, content + "\n")
    return 0
