"""Checkpoints that a crash cannot break.

    checkpoints/
        LATEST                      name of the newest checkpoint, for people and scripts
        BEST                        name of the one with the lowest validation loss, if the run keeps it
        step-00000012.unread/       a broken one whose step was saved again; it is never removed
        step-00000300/
            model.pt                weights, by name
            optimizer.pt            the optimiser's state, by weight; an imported model has none
            tokenizer.model         or tokenizer.json: the tokenizer of its ids
            state.json              the step, the model's shape, and everything that defined the run
            manifest.json           format, release, size and sha256 of the files above, written last

A checkpoint is written to a temporary folder; every file and the folder are flushed to the disk, then the folder is renamed.
`newest` accepts only a checkpoint whose files all match its manifest. Only a checkpoint that this process has written or read
whole is ever removed: one that cannot be read today may be readable on another day, by another release, or after a repair.
"""

import json
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from itertools import count
from pathlib import Path
from typing import Any, cast

import torch

from pipelines.contract import files
from pipelines.contract.errors import UserError

FORMAT = 3
COMPRESSED = 4  # of a compressed model (training/models/quantized.py): releases that do not know them refuse it
_READS = (FORMAT, COMPRESSED)
CHECKPOINTS = "checkpoints"  # in a run's folder
LATEST, BEST = "LATEST", "BEST"
MANIFEST = "manifest.json"
_STATE = "state.json"
_NAME = re.compile(r"step-(\d{8,})")


class CheckpointError(UserError):
    """A checkpoint cannot be written or read, or belongs to another run; the message names it and the fix."""


class FormatError(CheckpointError):
    """A checkpoint was written by a release with another format; the message names the release."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint."""

    path: Path
    step: int
    state: dict[str, Any]

    def fact(self, name: str) -> Any:
        """Return an entry of the state. Raises CheckpointError if the release that wrote the checkpoint had none."""
        if name not in self.state:
            raise CheckpointError(
                f"{self.path / _STATE}: has no {name!r}, which this release ({release()}) needs; go on with the release that "
                f"wrote it ({_writer(self.path)})"
            )
        return self.state[name]

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
    format: int = FORMAT


def say_on_stderr(text: str) -> None:
    """Print a line on the standard error."""
    print(text, file=sys.stderr)


@dataclass(slots=True)
class Seen:
    """The checkpoints that this process has written or read whole: the only ones that it may remove."""

    say: Callable[[str], None] = say_on_stderr  # gets a line about each checkpoint that is kept because it cannot be read
    whole: set[Path] = field(default_factory=set[Path])
    broken: set[Path] = field(default_factory=set[Path])

    def is_whole(self, path: Path) -> bool:
        """Return whether a checkpoint is whole; it is read once."""
        if path in self.whole or path in self.broken:
            return path in self.whole
        try:
            read(path)
        except (CheckpointError, OSError) as error:
            self.say(f"{error}; it is kept, and does not count among train.keep")
            self.broken.add(path)
            return False
        self.whole.add(path)
        return True


def save(folder: Path, step: int, content: Content, keep: int, *, best_step: int | None = None, seen: Seen | None = None) -> Path:
    """Write the checkpoint of a step, make it the newest, and remove all but the newest `keep` and the best.

    `best_step` is the step of the best checkpoint so far, which may be this one; it is kept regardless of `keep`. What is not
    known to `seen` is read before it is removed; what cannot be read stays, also if it is of the same or a later step.

    Raises CheckpointError if it cannot be written (a full disk); earlier checkpoints stay as they are.
    """
    target, seen = folder / name_of(step), seen or Seen()
    temporary = files.temporary_path(target)
    try:
        _write(temporary, step, content)
        _publish(temporary, target, seen)
        files.write_text(str(folder / LATEST), target.name + "\n")
        name_best(folder, best_step)
    except (OSError, RuntimeError) as error:  # torch's writer turns a full disk into a RuntimeError
        advice = "earlier ones are untouched; free some space and run the same command again"
        raise CheckpointError(f"{target}: cannot write the checkpoint ({error}); {advice}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _remove_old(folder, step, keep, seen)
    return target


def newest(folder: Path, say: Callable[[str], None], seen: Seen | None = None) -> Checkpoint | None:
    """Return the newest complete checkpoint, or None if there was never one; `say` gets a line about each broken one.

    `seen` learns which are whole and broken.

    Raises CheckpointError with every folder and its reason if there are checkpoints and none can be read, and FormatError if
    a newer one than any that can be read is of another format: to go on from step 0, or from far back, is for the user to say.
    """
    errors, seen = list[CheckpointError](), seen or Seen()
    for path in _existing(folder):
        try:
            found = read(path)
        except CheckpointError as error:
            errors.append(error)
            seen.broken.add(path)
            continue
        seen.whole.add(path)
        if other := next((error for error in errors if isinstance(error, FormatError)), None):
            raise other
        for error in errors:
            say(f"{error}; it is kept; taking an earlier one")
        return found
    if errors:
        reasons = "; ".join(map(str, errors))
        raise CheckpointError(
            f"{folder}: none of the {len(errors)} checkpoints can be read ({reasons}); nothing was changed: restore one, name "
            "another run.out, or move them elsewhere yourself to begin at step 0"
        )
    if (folder / LATEST).exists() or (folder.is_symlink() and not folder.exists()):
        what = "is a link to nothing" if folder.is_symlink() else f"has {LATEST}, but no checkpoint any more"
        raise CheckpointError(f"{folder}: {what}; put the checkpoints back, or remove it to begin at step 0")
    return None


def name_best(folder: Path, best_step: int | None) -> None:
    """Write the name of this step's checkpoint, if any, to BEST. A resumed run repeats it, as it may have been killed before."""
    if best_step is not None:
        files.write_text(str(folder / BEST), name_of(best_step) + "\n")


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
        if listed["format"] not in _READS:
            raise _other_format(path, listed)
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
    manifest = {"format": content.format, "release": release(), "files": listed}
    files.write_text(str(temporary / MANIFEST), json.dumps(manifest, indent=1) + "\n")
    files.flush_folder(temporary)


def release() -> str:
    """Return the version of corpusmill."""
    try:
        return metadata.version("corpusmill")
    except metadata.PackageNotFoundError:  # runs from a folder of sources
        return "not installed"


def _other_format(path: Path, listed: Mapping[str, Any]) -> FormatError:
    """Return the error of a checkpoint of another format, with the release that wrote it, from its manifest or its state."""
    return FormatError(
        f"{path}: has format {listed['format']}, written by {_writer(path)}; this release ({release()}) reads format "
        f"{' and '.join(map(str, _READS))}: use that release, or name another run.out"
    )


def _writer(path: Path) -> str:
    """Return the release that wrote a checkpoint, for people, from its manifest or its state."""
    try:
        if (named := json.loads((path / MANIFEST).read_text(encoding="utf-8")).get("release")) is not None:
            return f"corpusmill {named}"
        state = json.loads((path / _STATE).read_text(encoding="utf-8"))
        return "corpusmill " + str(state["circumstances"]["code"]).partition(" (")[0]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "a release that it does not name"


def _publish(temporary: Path, target: Path, seen: Seen) -> None:
    """Rename the folder. An earlier checkpoint of the same step is moved away first, for good if it cannot be read."""
    if target.is_symlink() or target.exists():
        whole = seen.is_whole(target)
        away = files.temporary_path(target, ".old") if whole else _aside(target)
        target.rename(away)
        if not whole:
            seen.say(f"{target}: cannot be read; it is now {away.name}")
    temporary.rename(target)
    seen.broken.discard(target)
    seen.whole.add(target)
    files.flush_folder(target.parent)


def _aside(path: Path) -> Path:
    """Return the first free name for a checkpoint that cannot be read: step-00000012.unread, step-00000012.unread2."""
    names = (path.with_name(f"{path.name}.unread{number if number > 1 else ''}") for number in count(1))
    return next(name for name in names if not name.exists())


def name_of(step: int) -> str:
    """Return the name of a step's checkpoint."""
    return f"step-{step:08d}"


def _existing(folder: Path) -> list[Path]:
    """Return the checkpoints by step, the newest first. A link to a disk that is not mounted is one that cannot be read."""
    if not folder.is_dir():
        return []
    named = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path.is_dir() or path.is_symlink())]
    return sorted(named, key=lambda path: int(path.name.removeprefix("step-")), reverse=True)


def _best_name(folder: Path) -> str | None:
    try:
        name = (folder / BEST).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None
    return name if _NAME.fullmatch(name) else None


def _remove_old(folder: Path, step: int, keep: int, seen: Seen) -> None:
    """Remove all whole checkpoints but the best and the newest `keep` up to this step, and leftovers of killed processes.

    A later one is broken, as the run would have resumed from it; it stays, like every one that cannot be read.
    """
    earlier = [path for path in _existing(folder) if int(path.name.removeprefix("step-")) <= step]
    whole = [path for path in earlier if seen.is_whole(path)]
    too_old = [path for path in whole[keep:] if path.name != _best_name(folder)]
    for path in (*too_old, *folder.glob(".step-*")):
        shutil.rmtree(path, ignore_errors=True)
