"""Classify records by prompts, without training: `corpusmill prompt configs/prompts/sst2_zero.toml`.

Each pattern asks the model for the likelihood of every label's words. The answer of several patterns is the mean of their
log-probabilities (PET, Schick and Schütze 2021, arXiv 2001.07676, 3.3, with uniform weights). In the output's folder:
answers.jsonl, an answer for each record, and report.json, the figures.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import files
from training.checkpoints import trained
from training.checkpoints.trained import Trained
from training.generation.texts import speller
from training.models.families import parameters
from training.prompts.config import PromptConfig, load
from training.prompts.scoring import Record, Scorer, Scores, Shot, content_free, normalized
from training.prompts.shots import draw
from training.run.device import prepare
from training.run.progress import REPORT
from training.tasks.errors import PromptError
from training.tasks.input.reading import LONGEST
from training.tasks.input.records import Records, records
from training.tasks.labels.classification import scores as figures_of
from training.tasks.labels.patterns import FIELDS, Pattern, parse

ANSWERS = "answers.jsonl"
AVERAGE = "average"
Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Result:
    """The log-probabilities of labels for each draw of shots and each pattern."""

    labels: tuple[str, ...]
    log_probabilities: Scores  # (draws, P, N, C)
    wanted: Numbers | None  # (N,) numbers of the labels, if the records have them
    cropped: int  # prompts, over all draws and patterns
    without_shots: int

    @property
    def averages(self) -> Scores:
        """Means over the patterns, not normalised: (draws, N, C)."""
        return self.log_probabilities.mean(1)


def prompt(config: PromptConfig) -> dict[str, Any]:
    """Classify the records of a config; write and return the report. Raises UserError with one line that names the fix."""
    device = prepare(config.run.device, "float32", config.run.threads)
    model = trained.load(config.model.base)
    model.model.to(device.name)
    patterns = [parse(source) for source in config.prompt.patterns]
    test = _read(config, config.task.test, patterns, labelled=False).first(config.task.limit)
    train = _read(config, config.task.train, patterns, labelled=True) if config.task.train else None
    labels = _labels(config, [one for one in (train, test) if one is not None and one.has("label")])
    result = classify(config, model, patterns, labels, test, train)
    report = _report(config, model, result)
    files.write_text(files.join(config.run.out, ANSWERS), "".join(f"{line}\n" for line in _answers(config, result)))
    files.write_text(files.join(config.run.out, REPORT), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def classify(
    config: PromptConfig, model: Trained, patterns: Sequence[Pattern], labels: Sequence[str], test: Records, train: Records | None
) -> Result:
    """Return the scores of all labels for the records of a test file; shots are drawn from those of the training file."""
    section = config.prompt
    words = speller(model.model, model.tokenizer)
    length = _length(config, model)
    said = [section.verbalizer.get(label, label) for label in labels]
    scorer = Scorer(model.model, words, said, length, section.separator, section.score == "mean")
    rows, cropped, without_shots = _texts(test), 0, 0
    found = np.zeros((section.draws, len(patterns), len(test), len(labels)))
    for number in range(section.draws):
        shots = _shots(config, labels, train, number)
        for place, pattern in enumerate(patterns):
            scored = scorer.scores(pattern, rows, shots)
            bias = content_free(pattern, scorer, shots) if section.calibration == "content_free" else None
            found[number, place] = normalized(scored.scores, bias)
            cropped, without_shots = cropped + scored.cropped, without_shots + scored.without_shots
    wanted = _numbers(labels, test) if test.has("label") else None
    return Result(tuple(labels), found, wanted, cropped, without_shots)


def _length(config: PromptConfig, model: Trained) -> int:
    """Return the most tokens of a row."""
    positions: int | None = getattr(model.model.shape, "length", None)
    if config.task.length is not None and positions is not None and config.task.length > positions:
        raise PromptError(
            f"task.length: {config.task.length:,} tokens are more than the model's {positions:,} positions; lower it"
        )
    return config.task.length or positions or LONGEST


def _read(config: PromptConfig, path: str, patterns: Sequence[Pattern], *, labelled: bool) -> Records:
    """Return the records of a file with the fields that the patterns name."""
    names = [name for name in FIELDS if any(f"{{{name}}}" in pattern.source for pattern in patterns)]
    fields = {name: config.task.fields.get(name, name) for name in (*names, "label")}
    return records(path, fields, () if labelled else ("label",))


def _texts(of: Records) -> list[Record]:
    columns = {name: of.texts(name) for name in FIELDS if of.has(name)}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _labels(config: PromptConfig, labelled: Sequence[Records]) -> tuple[str, ...]:
    """Return the labels: the verbalizer's, or those in the files."""
    labels = tuple(config.prompt.verbalizer) or tuple(sorted({label for one in labelled for label in one.texts("label")}))
    if len(labels) < 2:
        raise PromptError("prompt.verbalizer: is missing, and the files have no two labels; give the words for each label")
    return labels


def _numbers(labels: Sequence[str], of: Records) -> Numbers:
    known = {label: number for number, label in enumerate(labels)}
    given = of.texts("label")
    for row, label in enumerate(given):
        if label not in known:
            names = ", ".join(map(repr, labels[:10]))
            raise PromptError(f"{of.place(row)}: the label {label!r} is not in prompt.verbalizer ({names}); add it")
    return np.array([known[label] for label in given], np.int64)


def _shots(config: PromptConfig, labels: Sequence[str], train: Records | None, number: int) -> list[Shot]:
    section = config.prompt
    if train is None or not section.shots:
        return []
    numbers, rows = _numbers(labels, train), _texts(train)
    chosen = draw(numbers, section.shots, section.seed, number, balanced=section.balanced)
    return [Shot(rows[row], int(numbers[row])) for row in chosen]


def _report(config: PromptConfig, model: Trained, result: Result) -> dict[str, Any]:
    by_name = {source: result.log_probabilities[:, place] for place, source in enumerate(config.prompt.patterns)}
    report: dict[str, Any] = {
        "base": config.model.base,
        "family": model.family,
        "weights": parameters(model.model),
        "records": result.log_probabilities.shape[2],
        "labels": list(result.labels),
        "settings": config.prompt.model_dump(mode="json"),
        "cropped": result.cropped,
        "without_shots": result.without_shots,
    }
    if result.wanted is not None:
        report["figures"] = {
            name: _figures(scores, result.wanted) for name, scores in {**by_name, AVERAGE: result.averages}.items()
        }
    return report


def _figures(scores: Scores, wanted: Numbers) -> dict[str, dict[str, float]]:
    """Return the mean and the deviation (N - 1) of each figure over the draws: scores (draws, N, C), labels (N,)."""
    by_draw = [figures_of(one.argmax(1), wanted, one.shape[1]) for one in scores]
    return {
        name: {"mean": float(np.mean(values)), "deviation": float(np.std(values, ddof=1)) if len(values) > 1 else 0.0}
        for name in by_draw[0]
        for values in [[figures[name] for figures in by_draw]]
    }


def _answers(config: PromptConfig, result: Result) -> list[str]:
    """Return a line of JSON for each record: the label of all patterns together, and that of each."""
    logs = result.averages[0]
    shares = np.exp(normalized(logs, None))
    each = result.log_probabilities[0].argmax(2)  # (P, N)
    return [
        json.dumps(
            {
                "label": result.labels[int(row.argmax())],
                "probability": round(float(row.max()), 4),
                "probabilities": {label: round(float(p), 4) for label, p in zip(result.labels, row, strict=True)},
                "patterns": {
                    source: result.labels[int(of[number])] for source, of in zip(config.prompt.patterns, each, strict=True)
                },
            },
            ensure_ascii=False,
        )
        for number, row in enumerate(shares)
    ]


def _print(report: dict[str, Any], out: str) -> None:
    settings = report["settings"]
    lost = "".join(
        f"; {report[name]:,} {what}"
        for name, what in (("cropped", "prompts lost text"), ("without_shots", "prompts lost shots"))
        if report[name]
    )
    print(
        f"model   {report['base']}: {report['family']}, {report['weights']:,} weights\n"
        f"prompts {report['records']:,} records, {len(report['labels'])} labels, {settings['shots']} shots; score: "
        f"{settings['score']} of log-probabilities; calibration: {settings['calibration']}{lost}"
    )
    for name, figures in report.get("figures", {}).items():
        shown = f"average of {len(settings['patterns'])} patterns" if name == AVERAGE else name
        deviation = f" ± {figures['accuracy']['deviation']:.4f}" if settings["draws"] > 1 else ""
        accuracy = f"accuracy {figures['accuracy']['mean']:.4f}{deviation}"
        print(f"{accuracy}  macro_f1 {figures['macro_f1']['mean']:.4f}  {json.dumps(shown, ensure_ascii=False)}")
    print(f"answers {files.join(out, ANSWERS)}")


def run(arguments: argparse.Namespace) -> int:
    """Classify what the command line names (training.arguments.add_prompt); return the exit code."""
    config = load(arguments.config, tuple(arguments.set))
    report = prompt(config)
    if arguments.json:
        json.dump(report, sys.stdout, ensure_ascii=False)
        print()
    else:
        _print(report, config.run.out)
    return 0
