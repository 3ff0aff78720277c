"""The memory of a run, made once and kept in its folder.

    build/new/remember/
        memory.pt       the older model's weights, and for ewc the Fisher information of each
        memory.json     what they were made from, and the sha256 of memory.pt; written last

A run that resumes reads these files and no longer needs the older run, which may have gone on or be gone. If they are lost, they
are made anew; a memory of another model or of other rows is refused, because every checkpoint names its memory.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.contract import files, manifest
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.checkpoints.remote import folder_of, here
from training.checkpoints.store import CHECKPOINTS, Checkpoint, CheckpointError
from training.data.config import DataSection
from training.models.families import Model, build
from training.run.branch import identity, is_import
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.feed import Feed, open_feed
from training.run.remember.fisher import of_feed
from training.run.remember.memory import Elastic, Memory, Teacher

REMEMBER = "remember"  # in the run's folder
_TENSORS, _FACTS = "memory.pt", "memory.json"
_VERSION = 1
_ALONE = {"mixture": {}, "temperature": None, "stages": (), "max_epochs": None, "batch_rows": 1, "offset_rows": 0}

Tensors = dict[str, dict[str, Tensor]]  # "weights", and "fisher" for ewc; both by weight


@dataclass(frozen=True, slots=True)
class _Kept:
    """A memory on the disk."""

    fingerprint: str
    tensors: Tensors


def remembered(config: PretrainConfig, model: Model, tokenizer: Tokenizer, device: Device, world: World) -> Memory | None:
    """Return the run's memory, made if the folder has none; None if the config names no method. Every process has to call it.

    Raises CheckpointError for an older model of another shape or tokenizer, or whose text is not known; DatasetError for its
    text.
    """
    section, kept = config.remember, list[_Kept]()
    if section.method is None:
        return None

    def first() -> str:
        kept.append(_find(config) or _make(config, model, tokenizer, device))
        return kept[0].fingerprint

    fingerprint = world.first(first)
    tensors: Tensors = kept[0].tensors if world.size == 1 else world.send(lambda: kept[0].tensors)
    on_device = {part: {name: value.to(device.name) for name, value in values.items()} for part, values in tensors.items()}
    known: dict[str, Any] = {"fingerprint": fingerprint, "strength": section.strength}
    if section.method == "ewc":
        return Elastic(**known, weights=on_device["weights"], fisher=on_device["fisher"])
    teacher = build(model.shape).to(device.name)
    teacher.load_state_dict(on_device["weights"])
    return Teacher(**known, model=teacher.eval().requires_grad_(False), temperature=section.temperature)


def _find(config: PretrainConfig) -> _Kept | None:
    """Return the memory in the run's folder, once the run has a checkpoint; before that it is made again where it differs."""
    folder, method = folder_of(config.run.out), config.remember.method
    if not any((folder / CHECKPOINTS).glob("step-*")):
        return None
    kept = _read(folder / REMEMBER)
    if kept is not None and (method == "ewc") != ("fisher" in kept.tensors):
        raise CheckpointError(
            f"{folder}: began with another remember.method than {method!r}; set it back, or name another run.out"
        )
    return kept


def _read(folder: Path) -> _Kept | None:
    """Read a memory; None if the folder has none. Raises CheckpointError if its tensors are not those that were written."""
    if not (folder / _FACTS).exists():
        return None
    facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    path = folder / _TENSORS
    if not path.exists() or files.sha256(str(path)) != facts["sha256"]:
        raise CheckpointError(
            f"{path}: is not the file that was written; remove {folder}, and it is made anew from the older run"
        )
    return _Kept(facts["fingerprint"], torch.load(path, map_location="cpu", weights_only=True))


def _make(config: PretrainConfig, model: Model, tokenizer: Tokenizer, device: Device) -> _Kept:
    """Read the older model, compute what is to be remembered, and write it."""
    section, begin = config.remember, str(config.train.init_from)
    found = trained.find(here(begin))
    weights = trained.first_weights(begin, model, tokenizer)
    feed = _old_feed(config, found) if section.method == "ewc" else None
    earlier = _earlier(begin) if section.method == "ewc" else None
    made_from = {
        "version": _VERSION,
        "method": section.method,
        "checkpoint": _identity(found),
        "rows": None if feed is None else [feed.fingerprint, min(section.rows, len(feed.index))],
        "earlier": None if earlier is None else earlier.fingerprint,
    }
    folder, fingerprint = folder_of(config.run.out) / REMEMBER, manifest.fingerprint(made_from)
    kept = _read(folder) if (folder / _FACTS).exists() else None
    if kept is not None and kept.fingerprint == fingerprint:
        return kept
    tensors: Tensors = {"weights": weights}
    if feed is not None:
        tensors["fisher"] = _fisher(model, weights, feed, section.rows, device, earlier)
    _write(folder, {"fingerprint": fingerprint, "made_from": made_from}, tensors)
    return _Kept(fingerprint, tensors)


def _write(folder: Path, facts: Mapping[str, Any], tensors: Tensors) -> None:
    """Write a memory; memory.json last, so that a half-written one is none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _FACTS).unlink(missing_ok=True)
    temporary = files.temporary_path(folder / _TENSORS)
    torch.save(tensors, temporary)
    temporary.replace(folder / _TENSORS)
    sha256 = files.sha256(str(folder / _TENSORS))
    files.write_text(str(folder / _FACTS), json.dumps({**facts, "sha256": sha256}, indent=1) + "\n")


def _fisher(
    model: Model, weights: Mapping[str, Tensor], feed: Feed, rows: int, device: Device, earlier: _Kept | None
) -> dict[str, Tensor]:
    """Return the Fisher information of the older model, with what that one remembered itself.

    The sum holds the texts of all models before (online EWC, Schwarz et al. 2018, arXiv 1805.06370, 3, with gamma 1).
    """
    older = build(model.shape).to(device.name)
    older.load_state_dict(dict(weights))
    found = {name: value.cpu() for name, value in of_feed(older, feed, rows, device).items()}
    before = earlier.tensors["fisher"] if earlier else {}
    return {name: value + before[name] if name in before else value for name, value in found.items()}


def _earlier(begin: str) -> _Kept | None:
    """Return the Fisher information that the older run, if it lies on this machine, held itself by; None if it held by none."""
    if not files.is_local(begin):
        return None
    folder = files.local_path(begin)
    kept = _read((folder.parent.parent if folder.parent.name == CHECKPOINTS else folder) / REMEMBER)
    return kept if kept and "fisher" in kept.tensors else None


def _old_feed(config: PretrainConfig, found: Checkpoint) -> Feed:
    """Return the train split of the older model's text, in rows and examples of this run's kind."""
    section, own = config.remember, config.data
    nothing = {"replay": None, "replay_name": None, "replay_share": None}
    if section.tokens is not None:
        chosen = {**nothing, "tokens": section.tokens, "name": section.name}
    elif own.replay is not None:
        chosen = {**nothing, "tokens": own.replay, "name": own.replay_name}
    elif is_import(found):
        raise CheckpointError(
            f"{found.path}: is an import, so what it was trained on is not known; name a tokens dataset in remember.tokens"
        )
    else:
        old = DataSection.model_validate(found.fact("config")["data"])
        chosen = {name: getattr(old, name) for name in ("tokens", "name", *nothing)}
    data = own.model_copy(update={**_ALONE, **chosen})
    folder = own.rows or folder_of(config.run.out) / "rows"
    return open_feed(config.model_copy(update={"data": data}), folder=folder)


def _identity(found: Checkpoint) -> dict[str, Any] | str:
    """Return what identifies the older model's checkpoint anywhere."""
    return str(found.fact("model")) if is_import(found) else identity(found)
