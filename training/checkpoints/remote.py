"""Runs in object stores (run.out = "s3://…"): a run trains in a folder of this machine, and what it writes is copied up.

    $CORPUSMILL_CACHE/runs/<name>-<hash of the URI>/     the run's folder here
        .stored.json                                     by name, the sha256 of the manifest of each checkpoint in the store
                                                         that this machine has copied up or down
    $CORPUSMILL_CACHE/read/<name>-<hash of the URI>/     a copy of a run or a checkpoint that is only read

In the store as here, a checkpoint has its manifest last, so one without is not complete. Whatever machine resumes a run begins
with the newest checkpoint of the store. What another machine has saved since is never replaced.

Limits: a store has no lock, so that two machines may train one run at the same time; the second that saves ends with an error.
A checkpoint is removed from the store only by the machine that wrote or read it: after a move, up to `train.keep` more stay.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipelines.contract import files
from pipelines.contract.storage.cache import cache_for
from pipelines.contract.storage.stores import StoreError
from training.checkpoints import store
from training.checkpoints.store import BEST, CHECKPOINTS, LATEST, MANIFEST, CheckpointError

_STORED = ".stored.json"
_NAME = re.compile(r"step-\d{8,}")


def folder_of(out: str | Path) -> Path:
    """Return the folder of this machine in which a run is: `out` itself, or that for a URI of an object store."""
    uri = str(out)
    return files.local_path(uri) if files.is_local(uri) else cache_for("runs") / _name_here(uri)


def _name_here(uri: str) -> str:
    uri = uri.rstrip("/")
    name = re.sub(r"[^\w.-]+", "-", uri.rsplit("/", 1)[1])[:40]
    return f"{name}-{hashlib.sha256(uri.encode()).hexdigest()[:12]}"


def here(path: str | Path, *, weights: bool = True) -> Path:
    """Return the folder of a run or a checkpoint that is only read: itself, or a copy of what lies in a store.

    Of a run the newest and the best complete checkpoints are copied (none without `weights`), and all other files. Raise
    CheckpointError if a checkpoint is broken, or if none of a run's can be read.
    """
    uri = str(path).rstrip("/")
    if files.is_local(uri):
        return files.local_path(uri)
    folder = cache_for("read") / _name_here(uri)
    if files.exists(files.join(uri, MANIFEST)):
        _copy_anew(uri, folder / uri.rsplit("/", 1)[1])
        return folder / uri.rsplit("/", 1)[1]
    for name in _small_files(uri):
        files.copy(files.join(uri, name), str(folder / name))
    if weights:
        _copy_newest(uri, folder / CHECKPOINTS)
    return folder


def _copy_newest(uri: str, folder: Path) -> None:
    """Copy the newest complete checkpoint that can be read, and the best; remove copies of others."""
    names, errors, wanted = complete(uri), list[str](), list[str]()
    for name in reversed(names):
        if not wanted or name in _named(uri, BEST, names):
            try:
                _copy_anew(files.join(uri, CHECKPOINTS, name), folder / name)
                wanted.append(name)
            except CheckpointError as error:
                errors.append(str(error))
    if not wanted:
        why = f"none of its checkpoints can be read ({'; '.join(errors)})" if errors else "there is no complete checkpoint"
        raise CheckpointError(f"{uri}: {why}; name the run.out of a pretraining run, or a checkpoint")
    for path in folder.glob("step-*"):
        if path.name not in wanted:
            shutil.rmtree(path)


def _copy_anew(uri: str, target: Path) -> None:
    """Copy a checkpoint, unless the copy is of the same content."""
    copied = target / MANIFEST
    if copied.exists() and copied.read_bytes() == _manifest(uri):
        return
    shutil.rmtree(target, ignore_errors=True)
    _copy_down(uri, target)


def pull(out: str, say: Callable[[str], None]) -> None:
    """Make the run's folder here what a run needs to go on from the newest checkpoint of the store.

    Raise CheckpointError if this machine has gone on from another checkpoint than the store's, or if the store has lost those
    that were in it.
    """
    if files.is_local(out):
        return
    folder, known, names = folder_of(out), _known(out), complete(out)
    if not names:
        if known:
            raise CheckpointError(
                f"{out}: has no complete checkpoint any more, but had {', '.join(sorted(known))}; put them back, or remove "
                f"{folder} to begin at step 0"
            )
        return
    newest = names[-1]
    mine = sorted((path.name for path in (folder / CHECKPOINTS).glob("step-*") if _NAME.fullmatch(path.name)), key=step_of)
    if known.get(newest) == _digest(out, newest) and newest in mine:
        return  # this machine wrote or read it, and may be ahead of the store
    if mine and step_of(mine[-1]) >= step_of(newest):
        raise CheckpointError(_other_machine(out, newest, f"{folder} has {mine[-1]}"))
    for name in dict.fromkeys([newest, *_named(out, BEST, names)]):
        if name not in mine:
            say(f"copying {files.join(out, CHECKPOINTS, name)} to {folder}")
            _copy_down(files.join(out, CHECKPOINTS, name), folder / CHECKPOINTS / name)
            known[name] = _digest(out, name)
    for path in _small_files(out):
        files.copy(files.join(out, path), str(folder / path))
    _remember(out, known)


def begin(out: str, name: str) -> None:
    """Copy a file of the run's folder to the store, so that a store that refuses does so before the first step."""
    if not files.is_local(out):
        files.copy(str(folder_of(out) / name), files.join(out, name))


def push(out: str) -> None:
    """Copy what is new in the run's folder to the store: checkpoints first, each with its manifest last; then the rest.

    Checkpoints that were removed here are removed there. Raise CheckpointError if another machine has saved a later one since.
    """
    if files.is_local(out):
        return
    folder, known, names = folder_of(out), _known(out), complete(out)
    manifests = (folder / CHECKPOINTS).glob(f"step-*/{MANIFEST}")  # some of checkpoints that cannot be read: step-….unread
    mine = {path.parent.name: path.parent for path in manifests if _NAME.fullmatch(path.parent.name)}
    for name in names:
        if name not in known and mine and step_of(name) >= min(map(step_of, mine)):
            raise CheckpointError(_other_machine(out, name, f"{folder} trains on"))
    for name, path in sorted(mine.items(), key=lambda entry: step_of(entry[0])):
        digest = files.sha256(str(path / MANIFEST))
        if known.get(name) != digest or name not in names:
            _copy_up(path, files.join(out, CHECKPOINTS, name))
            _remember(out, known := known | {name: digest})
    small = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    events = [path for path in folder.glob("tensorboard/*") if path.is_file()]
    pointers = [path for name in (LATEST, BEST) if (path := folder / CHECKPOINTS / name).exists()]
    for path in (*small, *events, *pointers):
        files.copy(str(path), files.join(out, path.relative_to(folder).as_posix()))
    for name in [name for name in known if name not in mine]:
        _remove(files.join(out, CHECKPOINTS, name))
        del known[name]
    _remember(out, known)


def push_later(out: str, say: Callable[[str], None]) -> None:
    """Do what `push` does; if the store fails, only say so: what is here is copied with the next checkpoint."""
    try:
        push(out)
    except StoreError as error:
        say(f"{error}; training goes on, and {folder_of(out)} is copied with the next checkpoint")


def _other_machine(out: str, name: str, what: str) -> str:
    return (
        f"{out}: {name} was saved by another machine, while {what}; end the other one and run this again after removing "
        f"{folder_of(out)}, or name another run.out"
    )


def complete(out: str) -> list[str]:
    """Return the names of the complete checkpoints of a run in a store, by step."""
    prefix = files.join(out, CHECKPOINTS) + "/"
    found = (uri.removeprefix(prefix).split("/") for uri in files.listing(prefix.rstrip("/"), MANIFEST))
    names = [words[0] for words in found if len(words) == 2 and words[1] == MANIFEST and _NAME.fullmatch(words[0])]
    return sorted(names, key=step_of)


def step_of(name: str) -> int:
    """Return the step of a checkpoint's name."""
    return int(name.removeprefix("step-"))


def _small_files(out: str) -> list[str]:
    """Return the paths of the files of a run in a store that are not of a checkpoint."""
    prefix = out.rstrip("/") + "/"
    paths = [uri.removeprefix(prefix) for uri in files.listing(out)]
    return [path for path in paths if path.split("/")[0] != CHECKPOINTS or path.count("/") == 1]


def _named(out: str, pointer: str, names: list[str]) -> list[str]:
    try:
        name = files.read_text(files.join(out, CHECKPOINTS, pointer)).strip()
    except FileNotFoundError:
        return []
    return [name] if name in names else []


def _manifest(uri: str) -> bytes:
    with files.reading(files.join(uri, MANIFEST)) as stream:
        return stream.read()


def _digest(out: str, name: str) -> str:
    return hashlib.sha256(_manifest(files.join(out, CHECKPOINTS, name))).hexdigest()


def _copy_down(uri: str, target: Path) -> None:
    """Copy a checkpoint of a store and read it whole; it gets its name then. Raise CheckpointError if it is broken."""
    temporary = files.temporary_path(target)
    try:
        for name in _listed(uri):
            try:
                files.copy(files.join(uri, name), str(temporary / name))
            except FileNotFoundError:
                raise CheckpointError(f"{files.join(uri, name)}: is missing, so this checkpoint is not complete") from None
        try:
            store.read(temporary)
        except CheckpointError as error:
            raise CheckpointError(str(error).replace(str(temporary), uri)) from None
        if not target.exists():
            temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _listed(uri: str) -> list[str]:
    try:
        return [*json.loads(_manifest(uri))["files"], MANIFEST]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{files.join(uri, MANIFEST)}: is not the manifest of a checkpoint ({error!r})") from None


def _copy_up(path: Path, uri: str) -> None:
    files.remove(files.join(uri, MANIFEST))  # of another of the same step, which is not complete any more
    for name in sorted((file.name for file in path.iterdir()), key=lambda name: name == MANIFEST):
        files.copy(str(path / name), files.join(uri, name))


def _remove(uri: str) -> None:
    files.remove(files.join(uri, MANIFEST))
    files.remove(uri)


def _known(out: str) -> dict[str, str]:
    try:
        known: dict[str, Any] = json.loads((folder_of(out) / _STORED).read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError:
        known = {}  # a torn note: everything counts as written by another machine
    return {str(name): str(digest) for name, digest in known.items()}


def _remember(out: str, known: dict[str, str]) -> None:
    files.write_text(str(folder_of(out) / _STORED), json.dumps(known, indent=1) + "\n")
