r"""Compare families: train each on the same number of bytes, and show its loss and its answers.

    corpusmill compare configs/pretrain/{gpt,bert}_demo.toml --bytes 1_000_000 --out build/models

Each config is a pretraining run in its own folder below --out, one after the other; the same command resumes unfinished runs and
only reports finished ones. The budget is UTF-8 bytes of text, since families neither predict the same share of tokens nor have
rows of the same size. Their losses are not comparable either: each is shown beside the unigram entropy of its own targets, the
loss of a model that knows only their frequencies.

Then each gets the same task: a word is removed from a sentence of the validation split; BERT fills the gap, BART and T5 restore
the text, GPT continues the text before the gap.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import FAMILIES, sentinel
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.data.shards import TokenDataset, open_dataset, open_runs
from training.generation.answers import Candidate, Request, fill_texts, generate_texts
from training.generation.texts import speller
from training.models.bart import BART
from training.models.families import Masked, Model, parameters
from training.models.t5 import T5
from training.run.config import PretrainConfig, load
from training.run.pretrain import VALIDATION, Report, pretrain
from training.run.progress import METRICS, clock, read_metrics
from training.run.terms import NAMES, words

COMPARISON = "comparison.json"  # the table, in the folder of the runs
_WORDS = range(8, 19)  # the length of a sentence to show
_GUESSES = 3  # BERT's, for a gap
_CONTINUATION = 16  # tokens in GPT's answer
_ANSWER = 40  # maximum tokens of BART's and T5's answers


class CompareError(UserError):
    """Runs cannot be compared; the message names the config's field and the fix."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A finished run of a comparison."""

    name: str  # the name of its folder: the family, or the config's name if two have the same family
    family: str
    parameters: int
    seconds: float  # in training steps, without evaluations, saves and the start
    report: Report


class Gap(NamedTuple):
    """A sentence of the validation split with a word removed."""

    source: str
    before: str
    word: str
    after: str

    def with_mask(self, mask: str) -> str:
        """Return the sentence with a mask in the word's place."""
        return f"{self.before} {mask} {self.after}"


def compare(
    paths: Sequence[str | Path], out: str | Path, overrides: Sequence[str] = (), budget: int | None = None
) -> list[Compared]:
    """Train each config on `budget` bytes (by default its own train.bytes), and write comparison.json.

    Raises CompareError if they would not read the same bytes of the same data, and UserError as `pretrain`.
    """
    runs = _runs(paths, files.on_this_machine(out, "a comparison"), overrides, budget)
    compared: list[Compared] = []
    for path, config, changed in runs:
        folder = Path(config.run.out)
        print(f"{folder.name:<8}{path}", flush=True)
        report = pretrain(path, changed)
        assert report is not None, "it is one process, and no dry run"
        compared.append(_compared(folder, report))
        print(flush=True)
    content = [asdict(one) for one in compared]
    files.write_text(str(Path(out) / COMPARISON), json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return compared


def _runs(
    paths: Sequence[str | Path], out: Path, overrides: Sequence[str], budget: int | None
) -> list[tuple[Path, PretrainConfig, tuple[str, ...]]]:
    """Return the config file, config and overrides of each run, checked before the first starts."""
    more = () if budget is None else ("train.steps=0", f"train.bytes={budget}")
    configs = [(Path(path), load(path, (*overrides, *more))) for path in paths]
    if not configs:
        raise CompareError("there is nothing to compare; name configs")
    names = [config.model.family for _, config in configs]
    if len(set(names)) < len(names):
        names = [path.stem for path, _ in configs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise CompareError(f"two configs are called {min(twice)}.toml, and would write to one folder; rename one")
    _refuse_unequal(configs)
    return [
        (path, load(path, changed), changed)
        for (path, _), name in zip(configs, names, strict=True)
        for changed in [(*overrides, *more, f"run.out={json.dumps(str(out / name))}")]
    ]


def _refuse_unequal(configs: Sequence[tuple[Path, PretrainConfig]]) -> None:
    """Raise CompareError, naming the field, unless all runs read the same number of bytes of the same data."""
    first, wanted = configs[0]
    for path, config in configs:
        if config.train.bytes is None:
            raise CompareError(
                f"{path}: train.bytes: is missing; families are compared on the same number of bytes: give --bytes"
            )
        for field, was, value in (
            ("train.bytes", wanted.train.bytes, config.train.bytes),
            ("data.tokens", wanted.data.tokens, config.data.tokens),
            ("data.name", wanted.data.name, config.data.name),
        ):
            if was != value:
                raise CompareError(f"{path}: {field}: is {value!r} here and {was!r} in {first}; set it alike (--set {field}=…)")


def _compared(folder: Path, report: Report) -> Compared:
    model = trained.load(folder)
    lines = [line for line in read_metrics(folder / METRICS) if "batch_tokens" in line]
    seconds = sum(line["batch_tokens"] / line["tokens_per_second"] for line in lines)
    return Compared(folder.name, model.family, parameters(model.model), seconds, report)


def table(runs: Sequence[Compared]) -> list[str]:
    """Format a heading and a line for each run. Losses are nats per target; `below` is unigram entropy minus final loss.

    Beside a BERT, further columns have the figures of its terms by name (training/run/terms.py).
    """
    width = max(8, *(len(run.name) + 2 for run in runs))
    terms = [name for name in NAMES if name != "tokens_loss" and any(name in run.report.terms for run in runs)]
    names = ["parameters", "steps", "bytes", "time", "validation loss", "unigram", "below", *map(words, terms)]
    rows = [[*_figures(run), *(_term(run, name) for name in terms)] for run in runs]
    sizes = [max(map(len, column)) + 2 for column in zip(names, *rows, strict=True)]
    lines = [("family", names), *((run.name, row) for run, row in zip(runs, rows, strict=True))]
    return [f"{name:<{width}}" + "".join(f"{text:>{size}}" for text, size in zip(row, sizes, strict=True)) for name, row in lines]


def _figures(run: Compared) -> list[str]:
    report = run.report
    return [
        f"{run.parameters:,}",
        f"{report.steps:,}",
        f"{report.bytes:,}",
        clock(run.seconds),
        f"{report.first_validation_loss:.3f} -> {report.last_validation_loss:.3f}",
        f"{report.unigram_entropy:.3f}",
        f"{report.unigram_entropy - report.last_validation_loss:.3f}",
    ]


def _term(run: Compared, name: str) -> str:
    return f"{run.report.terms[name]:.3f}" if name in run.report.terms else ""


def gaps(dataset: TokenDataset, of_each: int = 2) -> list[Gap]:
    """Return the first sentences of each source's validation documents that have a word to remove.

    The word is the one nearest to the middle with three letters or more that is a single piece, since BERT fills a gap with
    one piece.
    """
    sentences: list[Gap] = []
    for source in dataset.sources(VALIDATION):
        candidates = (_gap(source, sentence, dataset.tokenizer) for sentence in _sentences(dataset, source))
        sentences += islice((gap for gap in candidates if gap is not None), of_each)
    return sentences


def _sentences(dataset: TokenDataset, source: str) -> Iterator[str]:
    """Yield the sentences of a source's validation documents that have a readable length and fit on one line."""
    for run in open_runs(dataset, VALIDATION, source):
        for document in range(run.documents):
            starts = run.sentences[run.sentence_offsets[document] : run.sentence_offsets[document + 1]].astype(np.int64)
            bounds = [*(run.offsets[document] + starts).tolist(), int(run.offsets[document + 1])]
            for first, end in pairwise(bounds):
                text = dataset.tokenizer.decode(run.tokens[first:end]).strip()
                if len(text.split(" ")) in _WORDS and "\n" not in text:
                    yield text


def _gap(source: str, sentence: str, tokenizer: Tokenizer) -> Gap | None:
    words = sentence.split(" ")
    for place in sorted(range(len(words) // 3, len(words) - 1), key=lambda at: abs(at - len(words) // 2)):
        word = words[place]
        if re.fullmatch(r"[^\W\d_]{3,}", word) and len(tokenizer.encode(word)) == 1:
            return Gap(source, " ".join(words[:place]), word, " ".join(words[place + 1 :]))
    return None


def answers(model: Model, tokenizer: Tokenizer, gaps: Sequence[Gap]) -> list[str]:
    """Return a model's greedy answer to each gap."""
    if isinstance(model, Masked):
        (mask,) = speller(model, tokenizer).masks
        texts = [gap.with_mask(mask) for gap in gaps]
        filled = fill_texts(model, tokenizer, texts, best=_GUESSES)
        return [f"{_one_line(text.text)}   ({', '.join(map(_guess, text.masks[0]))})" for text in filled]
    if (mask := _mask(model)) is None:
        samples = generate_texts(model, tokenizer, [gap.before for gap in gaps], Request(_CONTINUATION))
    else:
        samples = generate_texts(model, tokenizer, [gap.with_mask(mask) for gap in gaps], Request(_ANSWER))
    return [_one_line(sample[0].text) for sample in samples]


def _answers_that_fit(model: Model, tokenizer: Tokenizer, gaps: Sequence[Gap]) -> list[str]:
    """Return the answers, and for a sentence that is longer than the model's positions the reason why there is none."""
    try:
        return answers(model, tokenizer, gaps)
    except UserError as error:
        return [f"({error})"] if len(gaps) == 1 else [_answers_that_fit(model, tokenizer, [gap])[0] for gap in gaps]


def _guess(piece: Candidate) -> str:
    """Format a candidate of BERT with its probability, quoted, as it may be a comma or a line end."""
    return f"{piece.text!r} {piece.probability:.2f}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _mask(model: Model) -> str | None:
    """Return the mask of a model that restores texts; None for one that only continues them."""
    if isinstance(model, T5):
        return sentinel(0)
    return FAMILIES["bart"].mask if isinstance(model, BART) else None


def shown(runs: Sequence[Compared], configs: Mapping[str, PretrainConfig], gaps: Sequence[Gap]) -> list[str]:
    """Show each model's completion of its config's prompt, and its answers to the same gaps."""
    lines: list[str] = []
    for run in runs:
        lines += [f"{run.name}: {configs[run.name].sample.prompt}", f"    {_one_line(run.report.sample)}"]
    models = {run.name: trained.load(run.report.out) for run in runs}
    texts_of = {name: _answers_that_fit(model.model, model.tokenizer, gaps) for name, model in models.items()}
    for number, gap in enumerate(gaps):
        lines += ["", f"{gap.source}: {gap.with_mask(f'[{gap.word}]')}"]
        lines += [f"    {name:<6}{texts[number]}" for name, texts in texts_of.items()]
    return lines


def run(arguments: argparse.Namespace) -> int:
    """Train and compare the configs of the command line (training.arguments.add_compare); return the exit code."""
    overrides = tuple(arguments.set)
    runs = compare(arguments.configs, arguments.out, overrides, arguments.bytes)
    configs = {compared.name: load(path, overrides) for compared, path in zip(runs, arguments.configs, strict=True)}
    data = configs[runs[0].name].data
    print("\n".join(table(runs)))
    print("\nA loss below the unigram entropy shows that a model has learnt more than frequencies. Sentences are held out.\n")
    print("\n".join(shown(runs, configs, gaps(open_dataset(data.tokens, data.name)))))
    return 0
