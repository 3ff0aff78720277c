"""A sweep: many runs of one fine-tuning with other settings, chosen by Optuna (Akiba et al. 2019, arXiv 1907.10902).

    [sweep]
    trials = 20
    [sweep.ranges.train]
    learning_rate = { low = 1e-5, high = 1e-3, log = true }
    batch_rows = [16, 32, 64]
    epochs = { low = 2, high = 5 }                    # whole numbers, since both ends are

A trial is an ordinary run in `trial-000`, `trial-001`, … of the run's folder; `study.journal` beside them is Optuna's record. A
trial reports its metric at each evaluation, and ends there if it is below the median of the earlier ones at that step (the
median pruner of Golovin et al. 2017). A sweep that was stopped goes on with the same trial and the same proposals: the sampler
of a trial is seeded by the sweep's seed and the trial's number, and sees the trials before it. In the end there are `report.json`
(the trials) and `best.toml`, the config of the best one.

Limits: one process, one trial at a time, each with one seed.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.contract import files, manifest
from pipelines.contract.settings import Section, put, validated
from training.checkpoints.store import CHECKPOINTS
from training.data.draws import key
from training.run.progress import REPORT
from training.run.state import Learning
from training.run.updates.spikes import SpikeError
from training.tasks.config import FinetuneConfig, MixedConfig, as_toml
from training.tasks.errors import TaskError

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial

JOURNAL, BEST = "study.journal", "best.toml"  # in the run's folder
_LOWER = ("loss", "perplexity", "squared_error")  # metrics of which less is better
_MADE, _METRIC = "made_from", "metric"  # attributes of a study


class Range(Section):
    """Numbers between two ends, both included; whole ones if both ends are."""

    low: int | float
    high: int | float
    log: bool = False
    """Drawn evenly by their logarithm, for rates."""
    step: int | float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 with log")
        if self.log and self.step is not None:
            raise ValueError("give either log or step")
        return self


Choices = tuple[Any, ...]


class SweepSection(Section):
    """The settings of a sweep."""

    trials: int = Field(default=20, ge=1, le=100_000)
    """Trials in all, those that ended early included; raise it to go on with a finished sweep."""
    metric: str | None = None
    """The figure of the validation records; by default the task's metric."""
    seed: int = Field(default=1, ge=0, lt=2**63)
    sampler: Literal["tpe", "random"] = "tpe"
    """tpe: tree-structured Parzen estimator (Bergstra et al. 2011), after `startup_trials` random ones."""
    startup_trials: int = Field(default=5, ge=1)
    """Trials before the sampler learns and before any is ended early."""
    pruner: Literal["median", "none"] = "median"
    """median: end a trial that is below the median of the others at an evaluation."""
    keep: Literal["best", "all"] = "best"
    """Trials whose checkpoints stay in the folder."""
    ranges: Mapping[str, Range | Choices] = Field(min_length=1)
    """By section.key: a range or a list of choices."""

    @field_validator("ranges", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        return _flattened(value, "") if isinstance(value, Mapping) else value


def _flattened(value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return ranges in tables by dotted name."""
    out: dict[str, Any] = {}
    for name, one in value.items():
        is_table = isinstance(one, Mapping) and not {"low", "high"} & set(one)
        out |= _flattened(one, f"{prefix}{name}.") if is_table else {prefix + name: one}
    return out


@dataclass(slots=True)
class Watch:
    """What a run reports to its trial: the metric at each evaluation, and whether to end there."""

    trial: "Trial"
    metric: str | None
    known: set[int] = field(default_factory=set[int])  # steps that an earlier process reported
    latest: float | None = None
    pruned: bool | None = None  # None: not asked since the last report

    def measured(self, figures: Mapping[str, float], metric: str) -> None:
        """Note the figures of an evaluation."""
        self.latest = _figure(figures, self.metric or metric, "validation_")

    def is_over(self, learning: Learning) -> bool:
        """Report a new evaluation; return whether the trial ends here."""
        if self.latest is not None and learning.step not in self.known:
            if learning.step:  # before the first step all are alike
                self.trial.report(self.latest, learning.step)
                self.known.add(learning.step)
                self.pruned = None
            self.latest = None
        if self.pruned is None:
            self.pruned = bool(self.known) and self.trial.should_prune()
        return self.pruned


def _figure(figures: Mapping[str, float], metric: str, prefix: str = "") -> float:
    if prefix + metric not in figures:
        known = ", ".join(sorted(name.removeprefix(prefix) for name in figures if name.startswith(prefix)))
        raise TaskError(f"sweep.metric: there is no figure {metric!r}; there are {known}")
    return float(figures[prefix + metric])


Config = FinetuneConfig | MixedConfig
Train = Callable[[Config, Watch], dict[str, Any]]
"""Trains a run and returns its report, which is empty if its trial ended early."""


def search(data: Mapping[str, Any], section: SweepSection, where: str, train: Train) -> dict[str, Any]:
    """Run the trials of a sweep that are missing; print them, write report and best config, and return the report.

    `data` is the config as it was read from the file `where`. Raises TaskError without Optuna, or if the folder has a study of
    another config; ConfigError for a value of a range that the config refuses.
    """
    if find_spec("optuna") is None:
        raise TaskError("a sweep needs Optuna: install corpusmill with its extra `sweep`")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ends = {name: (one.low if isinstance(one, Range) else one[0]) for name, one in section.ranges.items()}
    out = files.on_this_machine(_config(data, ends, where, None).run.out, "a sweep")
    out.mkdir(parents=True, exist_ok=True)
    study = _study(out, section)
    _refuse_other(study, data, section, out)
    while (number := sum(trial.state.is_finished() for trial in study.trials)) < section.trials:
        trial = _trial(study, section, number)
        values = _values(trial, section)
        print(f"trial   {number}, of {section.trials}: {_spelled(values)}", flush=True)
        watch = Watch(trial, section.metric, set(study.trials[number].intermediate_values))
        try:
            report = train(_config(data, values, where, out / _folder(number)), watch)
        except SpikeError as error:  # it diverged; the others go on
            print(f"trial   {number} failed: {error}", flush=True)
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            _tell(study, trial, report, section, out)
    return _finished(study, section, data, where, out)


def _study(out: Path, section: SweepSection) -> "optuna.Study":
    import optuna
    from optuna.storages.journal import JournalFileBackend

    startup = section.startup_trials
    pruner = optuna.pruners.MedianPruner(n_startup_trials=startup) if section.pruner == "median" else optuna.pruners.NopPruner()
    return optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(out / JOURNAL))),
        study_name="sweep",
        direction="minimize" if section.metric in _LOWER else "maximize",
        pruner=pruner,
        load_if_exists=True,
    )


def _refuse_other(study: "optuna.Study", data: Mapping[str, Any], section: SweepSection, out: Path) -> None:
    """Raise TaskError if a study was made with other settings than these, the number of trials excepted."""
    free = {"trials", "keep"}
    config = {name: value for name, value in data.items() if name != "run"}
    made = manifest.fingerprint({"config": config, "sweep": section.model_dump(mode="json", exclude=free)})
    if study.user_attrs.get(_MADE, made) != made:
        raise TaskError(f"{out}: has the sweep of another config or of other ranges; set them back, or name another run.out")
    study.set_user_attr(_MADE, made)


def _folder(number: int) -> str:
    return f"trial-{number:03}"


def _trial(study: "optuna.Study", section: SweepSection, number: int) -> "Trial":
    """Return the trial of this number, a new one or one that was stopped, with a sampler of its own."""
    import optuna

    seed = int(key(section.seed, number)[0]) >> 33
    if section.sampler == "random":
        study.sampler = optuna.samplers.RandomSampler(seed)
    else:
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=section.startup_trials, seed=seed)
    known = study.get_trials(deepcopy=False)
    if number == len(known):
        return study.ask()
    return optuna.trial.Trial(study, known[number]._trial_id)  # pyright: ignore[reportPrivateUsage]


def _values(trial: "Trial", section: SweepSection) -> dict[str, Any]:
    """Return the value of each setting in a trial; those that it has already stay."""
    out: dict[str, Any] = {}
    for name, one in sorted(section.ranges.items()):
        if not isinstance(one, Range):
            out[name] = json.loads(trial.suggest_categorical(name, [json.dumps(choice) for choice in one]))
        elif isinstance(one.low, int) and isinstance(one.high, int) and not isinstance(one.step, float):
            out[name] = trial.suggest_int(name, one.low, one.high, step=one.step or 1, log=one.log)
        else:
            out[name] = trial.suggest_float(name, one.low, one.high, step=one.step, log=one.log)
    return out


def _config(data: Mapping[str, Any], values: Mapping[str, Any], where: str, out: Path | None) -> Config:
    changed = _changed(data, values)
    if out is not None:
        changed["run"] = {**changed["run"], "out": str(out), "seeds": 1}
        for task in changed.get("tasks") or [changed["task"]]:
            task.pop("test", None)  # which is for the best one
    return validated(MixedConfig if "tasks" in changed else FinetuneConfig, changed, where)


def _changed(data: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    changed = json.loads(json.dumps(data))
    for name, value in values.items():
        put(changed, name, value, f"sweep.ranges.{name}")
    return changed


def _tell(study: "optuna.Study", trial: "Trial", report: Mapping[str, Any], section: SweepSection, out: Path) -> None:
    """Record how a trial ended, and remove the checkpoints that are not the best's."""
    import optuna

    if report:
        study.set_user_attr(_METRIC, section.metric or report["metric"])
        trial.set_user_attr("seconds", report["seconds"])
        trial.set_user_attr("steps", report["steps"])
        study.tell(trial, _figure(report["validation"], section.metric or report["metric"]))
    else:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    finished = [one for one in study.trials if one.state == optuna.trial.TrialState.COMPLETE]
    if section.keep == "best":
        for number in range(len(study.trials)):
            if not finished or number != study.best_trial.number:
                shutil.rmtree(out / _folder(number) / CHECKPOINTS, ignore_errors=True)


def _finished(study: "optuna.Study", section: SweepSection, data: Mapping[str, Any], where: str, out: Path) -> dict[str, Any]:
    """Print the trials, write the report and the best config, and return the report."""
    import optuna

    trials = [_row(one) for one in study.trials]
    report: dict[str, Any] = {"out": str(out), "metric": study.user_attrs.get(_METRIC), "trials": trials, "best": None}
    print(_table(trials))
    if any(one.state == optuna.trial.TrialState.COMPLETE for one in study.trials):
        best = study.best_trial
        values = next(one for one in trials if one["number"] == best.number)["values"]
        report["best"] = best.number
        config = _changed(data, values)
        config["run"] = {**config["run"], "out": files.join(str(data["run"]["out"]), "best")}
        head = f"# corpusmill finetune {out / BEST}\n#\n# Trial {best.number} of the sweep of {where}: {best.value:.4f}\n"
        files.write_text(str(out / BEST), head + as_toml(config))
        print(f"best    trial {best.number}, {best.value:.4f}; {out / BEST}")
    files.write_text(str(out / REPORT), json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return report


def _row(trial: "FrozenTrial") -> dict[str, Any]:
    values = {name: json.loads(value) if isinstance(value, str) else value for name, value in sorted(trial.params.items())}
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value,
        "values": values,
        "evaluations": {str(step): value for step, value in sorted(trial.intermediate_values.items())},
        "seconds": trial.user_attrs.get("seconds"),
        "steps": trial.user_attrs.get("steps"),
    }


def _table(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the trials as lines of columns."""
    lines = [["trial", "state", "value", "last", *(name.rpartition(".")[2] for name in trials[0]["values"])]]
    for one in trials:
        value = "·" if one["value"] is None or one["state"] == "pruned" else f"{one['value']:.4f}"
        last = list(one["evaluations"])[-1:] or ["·"]
        lines.append([str(one["number"]), one["state"], value, f"step {last[0]}", *map(_short, one["values"].values())])
    widths = [max(len(line[n]) for line in lines) for n in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def _spelled(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
