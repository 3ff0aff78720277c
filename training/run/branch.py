"""Branches: a new run that goes on from a checkpoint of another, its parent, with other settings (train.branch_from).

    corpusmill pretrain CONFIG --branch-from build/gpt@8000 --set train.steps=9000 --set run.out=build/gpt-cooled

A branch takes the parent's weights, optimiser state, spike history and place in the data. The same command resumes it; it no
longer needs the parent, because its first checkpoint is the parent's. branch.json and every checkpoint record the parent by
fingerprints that do not depend on a path.

The place in the data is carried over as rows drawn. With another data.batch_rows, step k begins at the row
data.offset_rows + k * batch_rows of the order, so that the first batch of the branch begins where the parent's last one ended.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.contract import files, manifest
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.remote import complete, folder_of, here, step_of
from training.checkpoints.store import CHECKPOINTS, Checkpoint, CheckpointError
from training.data.config import DataSection, may_change
from training.run.config import PretrainConfig, RunConfig, TrainSection
from training.run.updates.optimizers import peak, share

BRANCH = "branch.json"  # in the run's folder
IMPORT = "is an import, with weights alone; start from it with train.init_from"
_ORDER = ("tokens dataset", "row index", "task index", "sampler version", "sources", "mixture", "planned steps", "seed")


@dataclass(frozen=True, slots=True)
class Branch:
    """The beginning of a branch."""

    given: str  # train.branch_from when it began
    path: Path  # the parent's checkpoint
    step: int
    offset_rows: int
    parent: dict[str, Any]  # "run": its fingerprint; "step"; "checkpoint": the sha256 of its manifest

    def record(self) -> dict[str, Any]:
        """Return the content of branch.json."""
        return {
            "parent": self.parent,
            "offset_rows": self.offset_rows,
            "given": self.given,
            "checkpoint": str(self.path.absolute()),
        }

    def open(self) -> Checkpoint:
        """Open the parent's checkpoint. Raises CheckpointError if it is gone, damaged or another."""
        found = checkpoint.read(self.path)
        if (there := identity(found)) != self.parent:
            raise CheckpointError(f"{self.path}: is not the checkpoint that the branch began with ({there}, not {self.parent})")
        return found


def begun(config: PretrainConfig) -> Branch | None:
    """Return the branch that the run's folder or train.branch_from names, if any.

    Raises CheckpointError if there is no such checkpoint, or if the model cannot go on from it with this config.
    """
    out, given = folder_of(config.run.out), config.train.branch_from
    known = _recorded(out)
    if known is not None and given not in (None, known.given):
        raise CheckpointError(f"{out}: began as a branch of {known.given}, not of {given}; name another run.out")
    if known is not None or given is None:
        return known
    if any((out / CHECKPOINTS).glob("step-*")):
        raise CheckpointError(f"{out}: has a run that is no branch of {given}; name another run.out")
    return _begin(config, given)


def placed(config: PretrainConfig, branch: Branch | None) -> PretrainConfig:
    """Return the config with the branch's place in the data."""
    if branch is None:
        return config
    data = config.data.model_copy(update={"offset_rows": branch.offset_rows})
    return config.model_copy(update={"data": data})


def find(given: str) -> Checkpoint:
    """Return the checkpoint that RUN, RUN@STEP or a checkpoint's folder names. Raises CheckpointError if there is none."""
    split = re.fullmatch(r"(.+)@(\d+)", given)
    if split is None or (files.is_local(given) and files.local_path(given).exists()):
        return trained.find(here(given))
    if not files.is_local(given):
        steps = [step_of(name) for name in complete(split[1])]
        if int(split[2]) in steps:
            return trained.find(here(files.join(split[1], CHECKPOINTS, checkpoint.name_of(int(split[2])))))
        raise CheckpointError(f"{given}: there is no such checkpoint; {split[1]} keeps the steps {steps}")
    folder = Path(split[1]) / CHECKPOINTS
    for path in folder.glob("step-*"):
        if re.fullmatch(rf"step-0*{int(split[2])}", path.name):
            return checkpoint.read(path)
    kept = sorted(int(path.name[5:]) for path in folder.glob("step-*") if path.name[5:].isdigit())
    raise CheckpointError(f"{given}: there is no such checkpoint; {split[1]} keeps the steps {kept}")


def identity(found: Checkpoint) -> dict[str, Any]:
    """Return what identifies a checkpoint anywhere: its run's fingerprint, its step, and the sha256 of its manifest."""
    config = found.fact("config")
    fixed = {section: config[section] for section in PretrainConfig.COMPARED if section in config}
    for section, kind in (("train", TrainSection), ("data", DataSection)):
        free = may_change(kind.model_construct())
        fixed[section] = {name: value for name, value in fixed[section].items() if name not in free}
    return {
        "run": manifest.fingerprint({"config": fixed, "data": found.fact("identity")}),
        "step": found.step,
        "checkpoint": hashlib.sha256(found.content(checkpoint.MANIFEST)).hexdigest(),
    }


def write(out: Path, branch: Branch) -> None:
    """Write branch.json."""
    files.write_text(str(out / BRANCH), json.dumps(branch.record(), indent=1, ensure_ascii=False) + "\n")


def lines(branch: Branch, found: Checkpoint, config: PretrainConfig, order: dict[str, Any]) -> list[str]:
    """Return a block that says what the branch takes, what changed, and from where on it is not bit-equal to its parent.

    `order` is the identity of the branch's data.
    """
    step = found.step
    drawn, phased = step * config.data.batch_rows + branch.offset_rows, "train.phases" in changes(found, config)
    place = f"step {step:,} of its phases" if config.train.phases or phased else f"{drawn:,} rows drawn"
    changed = {name: both for name, both in changes(found, config).items() if name != "data.offset_rows"}
    text = [
        f"branch  of run {branch.parent['run'][:12]} at step {step:,} (checkpoint {branch.parent['checkpoint'][:12]})",
        f"        takes its weights, optimiser, spike history and place in the data ({place})",
        *(f"        {name}: {was!r} -> {value!r}" for name, (was, value) in changed.items()),
    ]
    was = found.state["identity"]
    reordered = [name for name in _ORDER if not phased and _of_phases(was, name) != _of_phases(order, name)]
    notes: list[str] = []
    if "data.batch_rows" in changed:
        notes.append(f"batches begin with row {drawn:,} of the order, where the parent's ended, and have other rows")
    if phased:
        notes.append("the phases are others, so the rows of its steps are, too, and some of the parent's may come again")
    if reordered:
        counted = f"{step:,} steps count as done" if config.train.phases else f"{drawn:,} rows count as drawn"
        notes.append(f"the order of rows is another ({', '.join(reordered)}): {counted}, some may come again")
    if (first := _rates_differ(found, config)) is not None:
        old, new = _rate(found.state["config"], step), _rate(config.model_dump(mode="json"), step)
        notes.append(f"learning rates differ from step {first + 1:,} on; that of step {step + 1:,} is {old:.3g} -> {new:.3g}")
    rates = {"train.steps", "train.learning_rate", "train.schedule", "train.min_share", "train.batch_scaling"}
    rates |= {"train.cooldown", "train.cooldown_steps", "train.warmup", "train.warmup_steps", "train.base_batch_rows"}
    if others := [name for name in changed if name not in rates and name != "data.batch_rows"]:
        notes.append(f"{', '.join(others)} change{'s' if len(others) == 1 else ''} losses from step {step + 1:,} on")
    if not notes:
        return [*text, "        its losses and weights are the parent's, bit for bit, as long as both run"]
    return [*text, "        not bit-equal to the parent:", *(f"          {note}" for note in notes)]


def _of_phases(identity: dict[str, Any], name: str) -> list[Any]:
    """Return an entry of the identity of the data, of each phase if there are several (training/run/phases.py)."""
    return [value for key, value in identity.items() if key == name or key.startswith(f"{name} (phase ")]


def changes(found: Checkpoint, config: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ from those of a checkpoint and may change its losses: (then, now) by section.field."""
    then: dict[str, Any] = found.state.get("config", {})
    absent = [name for name in config.COMPARED if getattr(config, name) is None and then.get(name) is not None]
    out: dict[str, tuple[Any, Any]] = {name: (then[name], None) for name in absent}
    for section, known in config.compared().items():
        before: Any = then
        for part in section.split("."):
            listed = before[int(part) :][:1] if isinstance(before, list) else [(before or {}).get(part)]
            before = listed[0] if listed else None
        free = may_change(known)
        for name, value in known.model_dump(mode="json").items():
            field = type(known).model_fields.get(name)
            default = None if field is None or field.is_required() else field.get_default(call_default_factory=True)
            was = (before or {}).get(name, default)  # a checkpoint of a release without the field
            if name not in free and was != value:
                out[f"{section}.{name}"] = (was, value)
    return out


def is_import(found: Checkpoint) -> bool:
    """Return whether a checkpoint is of an import (training.checkpoints.trained.save), which no run can resume."""
    return "config" not in found.state and "identity" not in found.state


def refusal(found: Checkpoint, config: PretrainConfig) -> str | None:
    """Return why a run with this config cannot go on from a checkpoint; None if it can."""
    if is_import(found):
        return IMPORT
    then = found.fact("config")
    if config.train.init_from not in (None, then["train"].get("init_from")):
        return "train.init_from and a branch exclude each other; remove one"
    if then["model"]["family"] != config.model.family:
        return f"is a {then['model']['family']}, and model.family is {config.model.family!r}; a branch keeps its family"
    if then["train"]["optimizer"] != config.train.optimizer:
        was = then["train"]["optimizer"]
        return f"has the state of {was}, not of {config.train.optimizer} (train.optimizer); start a new one with train.init_from"
    if config.train.steps and config.train.steps <= found.step:
        return f"is of step {found.step:,}; raise train.steps ({config.train.steps:,}), which counts the parent's steps too"
    rows = config.data.batch_rows != then["data"]["batch_rows"] or then["data"].get("offset_rows", 0)
    if rows and (config.train.phases or then["train"].get("phases") or config.data.stages):
        return "data.batch_rows: cannot change in a branch with train.phases or data.stages, which count steps; set it back"
    return None


def _begin(config: PretrainConfig, given: str) -> Branch:
    found = find(given)
    if found.path.resolve().is_relative_to(folder_of(config.run.out).resolve()):
        raise CheckpointError(f"{config.run.out}: is the folder of the parent; name another run.out")
    if (reason := refusal(found, config)) is not None:
        raise CheckpointError(f"{found.path}: {reason}")
    data = found.state["config"]["data"]
    drawn = found.step * int(data["batch_rows"]) + int(data.get("offset_rows", 0))
    return Branch(given, found.path, found.step, drawn - found.step * config.data.batch_rows, identity(found))


def _recorded(out: Path) -> Branch | None:
    path = out / BRANCH
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        parent = known["parent"]
        return Branch(known["given"], Path(known["checkpoint"]), int(parent["step"]), int(known["offset_rows"]), parent)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: does not name the parent of a branch ({error!r}); name another run.out") from None


def _rate(config: dict[str, Any], step: int) -> float:
    """Return the learning rate of an update (from 0) of a resolved config."""
    settings = TrainSection.model_validate(config["train"])
    return peak(settings, int(config["data"]["batch_rows"])) * share(step, settings)


def _rates_differ(found: Checkpoint, config: PretrainConfig) -> int | None:
    """Return the first update whose learning rate is not the parent's, as far as both go."""
    then = found.state["config"]
    ours, theirs = config.train, TrainSection.model_validate(then["train"])
    mine, other = peak(ours, config.data.batch_rows), peak(theirs, int(then["data"]["batch_rows"]))
    common = range(found.step, min(ours.steps, theirs.steps))
    return next((step for step in common if mine * share(step, ours) != other * share(step, theirs)), None)
