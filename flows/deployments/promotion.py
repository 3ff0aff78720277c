"""The folder of a model that is retrained repeatedly, and the link to its current version.

    build/retrain/
        .lock
        current -> retrains/2026-12       the promoted retraining, a link that is replaced atomically: `current/run` is the
        retrains/                         model, `current/verdict.json` says why it was promoted
            2026-12/
                plan.json                 the model and corpora from which it started; written first
                build/                    an output folder of `corpusmill build`: the new documents
                tokens/demo/<…>/          the tokens of the earlier model and the new ones (pipelines/datasets/joined_tokens.py)
                run/                      the candidate: a pretraining run
                losses.json               candidate and current model on the same held-out rows (training/evaluation/judge.py)
                verdict.json              promoted or not, and why

A stage is finished when its last file exists, so an interrupted retraining resumes at the stage where it was. Paths in these
files are relative to the folder, which can be moved; no file contains a time other than the retraining's name.
"""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.contract import files, manifest, shards
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import RELEASE, DatasetError

CURRENT = "current"
RETRAINS = "retrains"
_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


class RetrainError(UserError):
    """A model that cannot be retrained; the message names the folder or parameter and the fix."""


class StartingPoint(BaseModel):
    """What a retraining started from (plan.json). Paths are relative to the folder of all retrainings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int  # of the retraining, from 1 in the order in which they were started
    base: str  # the model that was current: a pretraining run
    corpora: tuple[str, ...]  # builds whose documents that model has seen


class Verdict(BaseModel):
    """The result of a retraining (verdict.json)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str
    promoted: bool
    reason: str
    base: str
    candidate: str | None = None  # None: nothing was trained
    candidate_loss: float | None = None  # nats per target on the held-out rows; None: not finite, or nothing was trained
    current_loss: float | None = None
    rows: int = 0
    new_tokens: int = 0  # in the train split
    forgetting: dict[str, float | None] = {}  # candidate minus current loss by source of the current model's data


_Record = TypeVar("_Record", StartingPoint, Verdict)


@dataclass(frozen=True, slots=True)
class Retrain:
    """One retraining: its folder and what it started from."""

    out: Path
    when: str
    start: StartingPoint

    @property
    def folder(self) -> Path:
        """The folder of this retraining."""
        return self.out / RETRAINS / self.when

    @property
    def base(self) -> Path:
        """The run of the model that was current."""
        return self._path(self.start.base)

    @property
    def corpora(self) -> list[str]:
        """Absolute paths of the output folders of the builds that the model has seen."""
        return [str(self._path(corpus)) for corpus in self.start.corpora]

    @property
    def build(self) -> Path:
        """The output folder of the incremental build."""
        return self.folder / "build"

    @property
    def run(self) -> Path:
        """The run of the candidate."""
        return self.folder / "run"

    @property
    def losses(self) -> Path:
        """The file with the losses of both models."""
        return self.folder / "losses.json"

    def is_built(self) -> bool:
        """Return whether the new documents are published; they are not read again then, whatever has changed at the sources."""
        return (self.build / RELEASE).exists()

    def has_nothing_new(self) -> bool:
        """Return whether the build finished its corpus and that has no document: earlier builds published all of them."""
        corpora = [manifest.read(str(path)) for path in self.build.glob(f"corpus/*/{manifest.MANIFEST}")]
        return bool(corpora) and not any(corpus.rows("documents") for corpus in corpora)

    def verdict(self) -> Verdict | None:
        """Return the verdict, or None if the retraining is not finished."""
        path = _verdict_path(self.folder)
        return _read(path, Verdict) if path.exists() else None

    def decide(self, verdict: Verdict) -> None:
        """Write the verdict; as the last act, make a promoted candidate current."""
        files.write_text(str(_verdict_path(self.folder)), _text(verdict))
        self.finish(verdict)

    def finish(self, verdict: Verdict) -> None:
        """Carry out a verdict, if that was interrupted. A retraining older than the current one does not replace it."""
        if verdict.promoted and _current_base(self.out) in (None, self.base.resolve()):
            _point(self.out / CURRENT, f"{RETRAINS}/{self.when}")

    def _path(self, relative: str) -> Path:
        return Path(os.path.abspath(self.out / relative))


def begin(out: Path, start: str, corpora: list[str] | None, when: str | None, default: str) -> Retrain:
    """Return the retraining `when`, else the newest if it is unfinished and started from the current model, else `default`.

    `start` and `corpora` are the model and its builds until a retraining is promoted. Raises RetrainError if there is no such
    model, or if `when` started from a model that is no longer current.
    """
    known = _started(out)
    base = _current_base(out)
    if when is None and known:
        newest = Retrain(out, *known[-1])
        unfinished = newest.verdict() is None and newest.base.resolve() == (base or Path(start).resolve())
        when = newest.when if unfinished else None
    name = when or default
    if not _NAME.fullmatch(name):
        raise RetrainError(f"when: {name!r} is not the name of a folder; use letters, digits, '.', '_' and '-', e.g. 2026-12")
    for known_name, earlier in known:
        if known_name == name:
            return _same_base(Retrain(out, name, earlier), base or Path(start).resolve())
    point = StartingPoint(
        number=max((earlier.number for _, earlier in known), default=0) + 1,
        base=_relative(out, base or _is_run(Path(start))),
        corpora=tuple(_relative(out, Path(corpus)) for corpus in _corpora(out, start, corpora)),
    )
    retrain = Retrain(out, name, point)
    files.write_text(str(retrain.folder / "plan.json"), _text(point))
    return retrain


def compare(
    when: str,
    base: str,
    losses: dict[str, Any],
    tolerance: float,
    new_tokens: int,
    source_tolerance: float | None = None,
    forgetting_limit: float | None = None,
) -> Verdict:
    """Return the verdict from the losses of training.evaluation.judge: promoted only if the loss is finite and not worse.

    With `source_tolerance`, the loss on each source must not be worse either. With `forgetting_limit` it must not be worse by
    more on any source that the current model was trained on, each with as many held-out rows as all sources have above.
    """
    mine, theirs = losses["candidate"], losses["current"]
    forgetting: dict[str, list[float | None]] = losses.get("forgetting", {})
    promoted = _within(mine, theirs, tolerance)
    reason = f"its loss on {losses['rows']:,} held-out rows, {_against(mine, theirs, tolerance, promoted)}"
    if promoted and source_tolerance is not None:
        for source, (candidate, current) in losses["sources"].items():
            if not _within(candidate, current, source_tolerance):
                promoted = False
                reason = f"its loss on held-out rows of {source}, {_against(candidate, current, source_tolerance, False)}"
    if promoted and forgetting_limit is not None:
        if not forgetting:
            promoted, reason = False, "what it has forgotten could not be measured: " + "; ".join(losses.get("notes", ()))
        for source, (candidate, current) in forgetting.items():
            if not _within(candidate, current, forgetting_limit):
                promoted = False
                reason = f"it has forgotten {source}: its loss, {_against(candidate, current, forgetting_limit, False)}"
    return Verdict(
        when=when,
        promoted=promoted,
        reason=reason,
        base=base,
        candidate=f"{RETRAINS}/{when}/run",
        candidate_loss=mine,
        current_loss=theirs,
        rows=losses["rows"],
        new_tokens=new_tokens,
        forgetting={source: _difference(*both) for source, both in forgetting.items()},
    )


def _difference(mine: float | None, theirs: float | None) -> float | None:
    """Return what a source has lost; None if a loss is not finite."""
    return None if mine is None or theirs is None else mine - theirs


def _within(mine: float | None, theirs: float | None, tolerance: float) -> bool:
    """Return whether the loss `mine` is not worse; None is a loss that is not finite."""
    return mine is not None and (theirs is None or mine <= theirs + tolerance)


def _against(mine: float | None, theirs: float | None, tolerance: float, within: bool) -> str:
    shown = [f"{loss:.4f}" if loss is not None else "no finite number" for loss in (mine, theirs)]
    allowed = f" + {tolerance:g}" if tolerance else ""
    return f"{shown[0]}, {'is not above' if within else 'is not within'} the current model's, {shown[1]}{allowed}"


def tokens_of(run: Path) -> tuple[str, str | None]:
    """Return `data.tokens` and `data.name` of a run. Raises RetrainError if the folder is not a run."""
    path = run / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        return str(data["tokens"]), data.get("name")
    except FileNotFoundError:
        raise RetrainError(f"{run}: has no config.json; name the folder of a finished pretraining run") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RetrainError(f"{path}: does not say what the run was trained on ({error!r}); name another run") from None


def tokens_folder(run: Path) -> str:
    """Return the folder of the tokens dataset that a run was trained on, as an absolute path or a URI.

    Raises RetrainError if it no longer exists.
    """
    tokens, name = tokens_of(run)
    try:
        folder = shards.find(tokens, name)
        return os.path.abspath(folder) if files.is_local(folder) else folder
    except DatasetError as error:
        raise RetrainError(f"{run}: was trained on {tokens}, which the new tokens are joined with: {error}") from None


def _corpora(out: Path, start: str, given: list[str] | None) -> list[str]:
    """Return the builds that the current model has seen."""
    promoted = (out / CURRENT).resolve()
    if (out / CURRENT).exists():
        current = Retrain(out, promoted.name, _read(promoted / "plan.json", StartingPoint))
        return [*current.corpora, str(current.build)]
    if given:
        return given
    folder = Path(tokens_folder(Path(start)))
    for build in (folder, *folder.parents[:3]):
        if (build / RELEASE).exists():
            return [str(build)]
    raise RetrainError(f"{start}: no build was found around its tokens ({folder}); name it in the parameter corpora")


def _current_base(out: Path) -> Path | None:
    """Return the run of the promoted model, or None if nothing was promoted."""
    link = out / CURRENT
    return (link / "run").resolve() if link.exists() else None


def _is_run(path: Path) -> Path:
    tokens_of(path)
    return path.resolve()


def _same_base(retrain: Retrain, base: Path) -> Retrain:
    """Return the retraining. Raises RetrainError if it is unfinished and started from another model."""
    if retrain.verdict() is None and retrain.base.resolve() != base:
        raise RetrainError(
            f"{retrain.folder}: started from {retrain.start.base}, which is no longer the current model; give another `when`"
        )
    return retrain


def _started(out: Path) -> list[tuple[str, StartingPoint]]:
    """Return the names and starting points of all retrainings, in the order in which they were started."""
    started = [(path.parent.name, _read(path, StartingPoint)) for path in (out / RETRAINS).glob("*/plan.json")]
    return sorted(started, key=lambda named: named[1].number)


def _point(link: Path, target: str) -> None:
    """Point the link at the target, atomically."""
    temporary = files.temporary_path(link)
    os.symlink(target, temporary)
    os.replace(temporary, link)
    files.flush_folder(link.parent)


def _relative(out: Path, path: Path) -> str:
    return os.path.relpath(path.resolve(), out.resolve())


def _verdict_path(folder: Path) -> Path:
    return folder / "verdict.json"


def _text(record: BaseModel) -> str:
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n"


def _read(path: Path, kind: type[_Record]) -> _Record:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RetrainError(f"{path}: is not a file of this release ({' '.join(str(error).split())})") from None
