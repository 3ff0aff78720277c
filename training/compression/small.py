"""Reads a run that is made smaller, and writes the smaller one: a checkpoint of step 0 in a new folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pipelines.contract import files
from pipelines.contract.errors import UserError
from pipelines.contract.new_folder import is_taken
from training.checkpoints import store as checkpoints
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CHECKPOINTS, Checkpoint, Content
from training.checkpoints.trained import COMPRESSED, TASK
from training.run.state import CONFIG


class CompressionError(UserError):
    """A model cannot be made smaller; the message names the folder and the fix."""


def whole(run: str | Path, out: str | Path) -> Checkpoint:
    """Return the checkpoint of a run, an import or a checkpoint, whose weights are floats.

    Raises CheckpointError, CompressionError if it cannot be read, is compressed already, or the folder `out` is taken.
    """
    if is_taken(str(out)):
        raise CompressionError(f"{out}: is not an empty folder; name another, or remove it")
    found = trained.find(here(run))
    if COMPRESSED in found.state:
        raise CompressionError(
            f"{found.path}: is compressed already ({found.state[COMPRESSED]['to']}); name the run it was made of"
        )
    return found


def write(
    run: str | Path, out: str | Path, found: Checkpoint, weights: Mapping[str, Tensor], added: Mapping[str, Any], format: int
) -> Path:
    """Write the smaller model of a run with `added` in its state; return the checkpoint's path."""
    state = {**_described(found), **added}
    content = Content({"model": weights}, state, trained.tokenizer_files(trained.tokenizer_of(found)), format)
    path = checkpoints.save(Path(out) / CHECKPOINTS, 0, content, keep=1)
    if (config := here(run) / CONFIG).exists() and TASK not in found.state:
        files.write_text(str(Path(out) / CONFIG), config.read_text(encoding="utf-8"))  # for `evaluate`: the held-out text
    return path


def _described(found: Checkpoint) -> dict[str, Any]:
    """Return what a state says of model, tokenizer and task; the body of a task is no longer adapted."""
    kept = {name: found.state[name] for name in ("model", "tokenizer", "origin", "pruned", TASK) if name in found.state}
    if TASK in kept and kept[TASK]["body"]["tuning"] == "lora":
        kept[TASK] = {**kept[TASK], "body": {**kept[TASK]["body"], "tuning": "full"}}
    return kept
