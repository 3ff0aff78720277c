"""Checkpoints that a crash cannot break.

    checkpoints/
        LATEST                      name of the newest checkpoint, for people and scripts
        BEST                        name of the one with the lowest validation loss, if the run keeps it
        step-00000300/
            model.pt                weights, by name
            optimizer.pt            the optimiser's state, by weight; an imported model has none
            tokenizer.model         or tokenizer.json: the tokenizer of its ids
            state.json              the step, the model's shape, and everything that defined the run
            manifest.json           size and sha256 of the files above, written last

A checkpoint is written to a temporary folder; every file and the folder are flushed to the disk, then the folder is renamed.
`newest` accepts only a checkpoint whose files all match its manifest.
"""

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch

from pipelines.contract import files
from pipelines.contract.errors import UserError

FORMAT = 3
CHECKPOINTS = "checkpoints"  # in a run's folder
LATEST, BEST = "LATEST", "BEST"
MANIFEST = "manifest.json"
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")


class CheckpointError(UserError):
    """A checkpoint cannot be written or read, or belongs to another run; the message names it and the fix."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    step: int
    state: dict[str, Any]

    def load(self, name: str, device: str = "cpu") -> dict[str, Any]:
        """Load the tensors of "model" or "optimizer"; pickled code is never executed.

        Raises CheckpointError if the file holds anything but tensors.
        """
        try:
            return torch.load(self.path / f"{name}.pt", map_location=device, weights_only=True)
        except Exception as error:
            raise CheckpointError(f"{self.path / name}.pt: cannot be read as tensors: {error}") from error

    def content(self, name: str) -> bytes:
        """Return the content of another file of the checkpoint. Raises CheckpointError if it is missing."""
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            raise CheckpointError(f"{self.path / name}: is missing, so this checkpoint is not complete") from None


@dataclass(frozen=True, slots=True)
class Content:
    """The content of a checkpoint to be written."""

    tensors: Mapping[str, Mapping[str, Any]]  # "model", "optimizer"
    state: Mapping[str, Any]  # JSON
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])  # other files, by name


def save(folder: Path, step: int, content: Content, keep: int, *, best_step: int | None = None) -> Path:
    """Write the checkpoint of a step, make it the newest, and remove all but the newest `keep` and the best.

    `best_step` is the step of the best checkpoint so far, which may be this one; it is kept regardless of `keep`.

    Raises CheckpointError if it cannot be written (a full disk); earlier checkpoints stay as they are.
    """
    target = folder / _name(step)
    temporary = files.temporary_path(target)
    try:
        _write(temporary, step, content)
        _publish(temporary, target)
        files.write_text(str(folder / LATEST), target.name + "\n")
        name_best(folder, best_step)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        advice = "earlier ones are untouched; free some space and run the same command again"
        raise CheckpointError(f"{target}: cannot write the checkpoint ({error}); {advice}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_old(folder, step, keep)
    return target


def newest(folder: Path, say: Callable[[str], None]) -> Checkpoint | None:
    """Return the newest complete checkpoint, or None; `say` gets a line about each broken one that is skipped."""
    for path in _existing(folder):
        try:
            return read(path)
        except CheckpointError as error:
            say(f"{error}; taking an earlier one")
    return None


def name_best(folder: Path, best_step: int | None) -> None:
    """Write the name of this step's checkpoint, if any, to BEST. A resumed run repeats it, as it may have been killed before."""
    if best_step is not None:
        files.write_text(str(folder / BEST), _name(best_step) + "\n")


def best(folder: Path) -> Checkpoint | None:
    """Return the checkpoint with the lowest validation loss, or None if the run keeps none. Raises CheckpointError, as `read`."""
    name = _best_name(folder)
    return None if name is None else read(folder / name)


def read(path: Path) -> Checkpoint:
    """Open a checkpoint after comparing every file with its manifest.

    Raises CheckpointError with the file that is missing, truncated or changed.
    """
    try:
        listed = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        if listed["format"] != FORMAT:
            raise CheckpointError(f"{path}: has format {listed['format']}, this release reads {FORMAT}")
        for name, expected in listed["files"].items():
            _compare(path / name, expected)
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        return Checkpoint(path, int(state["step"]), state)
    except FileNotFoundError as error:
        raise CheckpointError(f"{error.filename}: is missing, so this checkpoint is not complete") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / MANIFEST}: is not the manifest of a checkpoint ({error!r})") from None


def _compare(path: Path, expected: Mapping[str, Any]) -> None:
    size = path.stat().st_size
    if size != expected["bytes"]:
        raise CheckpointError(f"{path}: has {size:,} bytes, its manifest says {expected['bytes']:,}; it is truncated")
    if files.sha256(str(path)) != expected["sha256"]:
        raise CheckpointError(f"{path}: its sha256 is not the manifest's; the file is damaged")


def _write(temporary: Path, step: int, content: Content) -> None:
    temporary.mkdir(parents=True)
    listed: dict[str, dict[str, Any]] = {}
    for name, tensors in content.tensors.items():
        path = temporary / f"{name}.pt"
        with files.writing(str(path)) as stream:
            torch.save(dict(tensors), cast(Any, stream))
        listed[path.name] = {"bytes": stream.bytes_written, "sha256": stream.sha256}
    state = json.dumps({"step": step, **content.state}, indent=1, ensure_ascii=False) + "\n"
    for name, small in {**content.files, _STATE: state.encode()}.items():
        with files.writing(str(temporary / name)) as stream:
            stream.write(small)
        listed[name] = {"bytes": stream.bytes_written, "sha256": stream.sha256}
    files.write_text(str(temporary / MANIFEST), json.dumps({"format": FORMAT, "files": listed}, indent=1) + "\n")
    files.flush_folder(temporary)


def _publish(temporary: Path, target: Path) -> None:
    """Rename the folder; a broken or repeated checkpoint of the same step is moved away first."""
    if target.exists():
        target.rename(files.temporary_path(target, ".old"))
    temporary.rename(target)
    files.flush_folder(target.parent)


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _existing(folder: Path) -> list[Path]:
    """Return the checkpoints by step, the newest first."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and path.is_dir()]
    return sorted(named, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _best_name(folder: Path) -> str | None:
    try:
        name = (folder / BEST).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    return name if _NAME.fullmatch(name) else None


def _remove_old(folder: Path, step: int, keep: int) -> None:
    """Remove all but the best and the newest `keep` up to this step. A later one is broken: the run would have resumed from it.

    Leftovers of killed processes are removed, too.
    """
    existing = _existing(folder)
    later = [path for path in existing if int(path.name.removeprefix("step-")) > step]
    earlier = [path for path in existing if path not in later]
    too_old = [path for path in earlier[keep:] if path.name != _best_name(folder)]
    for path in (*later, *too_old, *folder.glob(".step-*")):
        shutil.rmtree(path, ignore_errors=True)
