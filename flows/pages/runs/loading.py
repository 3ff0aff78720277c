"""The folder of a run, read: config, numbers, curves, samples; the data of a pretraining, what a fine-tuning gets wrong."""

import importlib.util
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from flows.pages.runs.curves import Line, column, curves
from flows.pages.runs.data_card import DataCard, data_card
from pipelines.contract.errors import UserError
from training.run.progress import read_metrics

CONFIG, METRICS, SAMPLES, REPORT = "config.json", "metrics.jsonl", "samples.jsonl", "report.json"  # in the folder of a run
JUDGED = "judged.json"  # of a fine-tuning (training/tasks/judged.py)
_SECTIONS = ("data", "rows", "objective", "model", "train", "run")
_TUNED = ("model", "train", "run")


class RunsError(UserError):
    """A folder is not a run, or a file in it cannot be read; the message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Run:
    """A pretraining or a fine-tuning on disk, finished or not."""

    name: str  # of its folder, with as many parents as distinguish it from the other runs
    folder: Path
    config: dict[str, Any]
    numbers: dict[str, Any]  # see `_numbers`
    curves: dict[str, Any]  # see flows.pages.runs.curves
    samples: list[dict[str, Any]]  # step, prompt, text; the last one is the report's
    card: DataCard | None  # None for a fine-tuning
    state: dict[str, Any]  # of its last checkpoint: the model, its data, its machine
    group: str = ""  # of a fine-tuning: the name of the one whose seeds are runs, or its own
    evaluations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])  # of a fine-tuning, every one
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    judged: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_tuned(self) -> bool:
        """Whether it is a fine-tuning."""
        return _is_tuned(self.config)

    def called(self, name: str) -> "Run":
        """Return the run under another name."""
        return replace(self, name=name)


def read_run(folder: Path, name: str, group: str = "") -> Run:
    """Return everything that the page shows of a run. Raises RunsError."""
    config = _config(folder)
    lines, report = read_metrics(folder / METRICS), _json(folder / REPORT)
    state, tuned = _state(folder), _is_tuned(config)
    card = None if tuned else data_card(config["data"], _started_in(folder, config["run"]["out"]))
    return Run(
        name=name,
        folder=folder,
        config=config,
        numbers={**_numbers(lines, report, int(config["train"]["steps"])), "parameters": _parameters(config, state, card)},
        curves=curves(lines),
        samples=_samples(folder, config, report),
        card=card,
        state=state,
        group=group or name,
        evaluations=[line for line in lines if "validation_loss" in line] if tuned else [],
        report=report,
        judged=_json(folder / JUDGED) if tuned else {},
    )


def _is_tuned(config: Mapping[str, Any]) -> bool:
    return isinstance(config.get("task"), dict) or isinstance(config.get("tasks"), list)


def _config(folder: Path) -> dict[str, Any]:
    path = folder / CONFIG
    advice = "name the folder that run.out of a config names"
    if not path.is_file():
        raise RunsError(f"{folder}: is not a run: it has no {CONFIG}; {advice}")
    config = _json(path)
    sections = _TUNED if _is_tuned(config) else _SECTIONS
    if missing := [name for name in sections if not isinstance(config.get(name), dict)]:
        raise RunsError(f"{path}: is not the config of a run: it has no section {missing[0]!r}; {advice}")
    return config


def _json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty if there is no file. Raises RunsError."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise RunsError(f"{path}: is not a JSON object ({error}); start the run again, which rewrites it") from None


def _state(folder: Path) -> dict[str, Any]:
    """Return the state of the newest checkpoint that has one; empty if there is none yet."""
    states = [path for path in folder.glob("checkpoints/step-*/state.json") if path.parent.name[5:].isdigit()]
    for path in sorted(states, key=lambda path: int(path.parent.name[5:]), reverse=True):
        try:
            return _json(path)
        except RunsError:  # damaged: a run passes over it, too
            continue
    return {}


def _started_in(folder: Path, out: str) -> Path | None:
    """Return the folder to which the config's paths are relative, if `out` ends like the folder of the run."""
    tail = Path(out)
    if tail.is_absolute() or folder.parts[-len(tail.parts) :] != tail.parts:
        return None
    return Path(*folder.parts[: -len(tail.parts)])


def _parameters(config: Mapping[str, Any], state: Mapping[str, Any], card: DataCard | None) -> int | None:
    """Return the number of parameters, from the checkpoint or the config and its data; None without these or PyTorch."""
    if importlib.util.find_spec("torch") is None:
        return None
    from training.checkpoints.trained import parameters_described
    from training.run.config import ModelSection

    if "model" in state:
        return parameters_described(state["model"])
    if card is None or card.vocabulary is None:
        return None
    lengths = [config["rows"]["length"], *(phase["length"] for phase in config["train"].get("phases", []))]
    model = ModelSection.model_validate(config["model"])
    return model.parameters(card.vocabulary, model.length or max(lengths))


def _numbers(lines: Sequence[Line], report: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return the numbers of the run so far; None where there is no value yet."""
    evaluated = [line for line in lines if "validation_loss" in line]
    last = lines[-1] if lines else {}
    best = _least(evaluated, "validation_loss")
    return {
        "finished": bool(report) and report.get("steps") == last.get("step"),
        "step": last.get("step", 0),
        "steps": steps,
        "tokens": last.get("tokens"),
        "bytes": last.get("bytes"),
        "first": evaluated[0] if evaluated else {},
        "last": evaluated[-1] if evaluated else {},
        "best": best,
        "best_bits": _least(evaluated, "validation_bits_per_byte"),
        "unigram_entropy": report.get("unigram_entropy"),
        "skipped": sum("skipped" in line for line in lines),
        "tokens_per_second": _typical(lines, "tokens_per_second"),
        "mfu": _typical(lines, "mfu"),
    }


def _least(lines: Sequence[Line], key: str) -> Line:
    finite = [line for line in lines if math.isfinite(line.get(key, math.nan))]
    return min(finite, key=lambda line: line[key], default={})


def _typical(lines: Sequence[Line], key: str) -> float | None:
    """Return the median, which a slow first step does not move."""
    finite = [value for value in column(lines, key).tolist() if math.isfinite(value)]
    return median(finite) if finite else None


def _samples(folder: Path, config: Mapping[str, Any], report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the samples by step; the report's sample, of the last step, is the last."""
    samples = read_metrics(folder / SAMPLES)
    if report.get("sample"):
        samples = [line for line in samples if line["step"] != report["steps"]]
        prompt = config.get("sample", {}).get("prompt", "")
        samples.append({"step": report["steps"], "prompt": prompt, "text": report["sample"]})
    return samples
