"""The folder of a model that is retrained again and again, and which of its trainings is the current one.

    build/retrain/
        .lock
        current -> retrains/2026-12       the promoted one: a link that changes at once. `current/run` is the model,
        retrains/                         `current/verdict.json` says why
            2026-12/
                plan.json                 from which model and corpora it began; written first
                build/                    an output folder of `corpusmill build`: the documents that are new
                tokens/demo/<…>/          the tokens of the model before and the new ones (pipelines/datasets/joined_tokens.py)
                run/                      the candidate: a run of training.run.pretrain
                losses.json               of candidate and current model on the same held-out rows (training/evaluation/judge.py)
                verdict.json              promoted or not, and why

A stage is done when its last file is there, so that a retraining that was stopped goes on at the stage where it was. Paths
in these files are relative to the folder, which can be moved; no file holds a time that is not its name.
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
    """A model cannot be retrained; the message names the folder or parameter and the fix."""


class Plan(BaseModel):
    """From what a retraining began. Paths are relative to the folder of all of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int  # of the retraining, from 1 in the order of their beginnings
    base: str  # the model that was current: a run of training.run.pretrain
    corpora: tuple[str, ...]  # builds whose documents that model has seen


class Verdict(BaseModel):
    """What came of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: str
    promoted: bool
    reason: str
    base: str
    candidate: str | None = None  # None: nothing was trained
    candidate_loss: float | None = None  # on the held-out rows, nats per target; None: not finite, or nothing was trained
    current_loss: float | None = None
    rows: int = 0
    new_tokens: int = 0  # of the train split


_Record = TypeVar("_Record", Plan, Verdict)


@dataclass(frozen=True, slots=True)
class Retrain:
    """One retraining: its folder, and what it began from."""

    out: Path
    when: str
    plan: Plan

    @property
    def folder(self) -> Path:
        """Of this retraining."""
        return self.out / RETRAINS / self.when

    @property
    def base(self) -> Path:
        """The run of the model that was current."""
        return self._path(self.plan.base)

    @property
    def corpora(self) -> list[str]:
        """Output folders of the builds that the model has seen, as absolute paths."""
        return [str(self._path(corpus)) for corpus in self.plan.corpora]

    @property
    def build(self) -> Path:
        """Output folder of the incremental build."""
        return self.folder / "build"

    @property
    def run(self) -> Path:
        """The candidate."""
        return self.folder / "run"

    @property
    def losses(self) -> Path:
        """Of both models."""
        return self.folder / "losses.json"

    def is_built(self) -> bool:
        """Whether the new documents are published; they are not read again then, whatever lies at the sources."""
        return (self.build / RELEASE).exists()

    def has_nothing_new(self) -> bool:
        """Whether the build got as far as its corpus, and earlier builds have published every document."""
        found = [manifest.read(str(path)) for path in self.build.glob(f"corpus/*/{manifest.MANIFEST}")]
        return bool(found) and not any(corpus.rows("documents") for corpus in found)

    def verdict(self) -> Verdict | None:
        """What came of it; None: it is not finished."""
        path = _verdict_path(self.folder)
        return _read(path, Verdict) if path.exists() else None

    def decide(self, verdict: Verdict) -> None:
        """Write the verdict; the candidate of a good one becomes current, at once and as the last act."""
        files.write_text(str(_verdict_path(self.folder)), _text(verdict))
        self.finish(verdict)

    def finish(self, verdict: Verdict) -> None:
        """Do what a verdict says, if it was stopped before; an earlier one than the current is not gone back to."""
        if verdict.promoted and _current_base(self.out) in (None, self.base.resolve()):
            _point(self.out / CURRENT, f"{RETRAINS}/{self.when}")

    def _path(self, relative: str) -> Path:
        return Path(os.path.abspath(self.out / relative))


def begin(out: Path, start: str, corpora: list[str] | None, when: str | None, default: str) -> Retrain:
    """The retraining to work on: `when`, else the newest if it is not finished and began from the current model, else `default`.

    `start` and `corpora` are the model and its builds as long as nothing was promoted. Raises RetrainError when there is no such
    model, or when `when` was begun from a model that is not the current one any more.
    """
    known = _plans(out)
    base = _current_base(out)
    if when is None and known:
        newest = Retrain(out, *known[-1])
        unfinished = newest.verdict() is None and newest.base.resolve() == (base or Path(start).resolve())
        when = newest.when if unfinished else None
    name = when or default
    if not _NAME.fullmatch(name):
        raise RetrainError(f"when: {name!r} is no name of a folder; take letters, digits, '.', '_' and '-', e.g. 2026-12")
    for known_name, plan in known:
        if known_name == name:
            return _same_base(Retrain(out, name, plan), base or Path(start).resolve())
    plan = Plan(
        number=max((plan.number for _, plan in known), default=0) + 1,
        base=_relative(out, base or _is_run(Path(start))),
        corpora=tuple(_relative(out, Path(corpus)) for corpus in _corpora(out, start, corpora)),
    )
    retrain = Retrain(out, name, plan)
    files.write_text(str(retrain.folder / "plan.json"), _text(plan))
    return retrain


def compare(
    when: str, base: str, losses: dict[str, Any], tolerance: float, new_tokens: int, source_tolerance: float | None = None
) -> Verdict:
    """The verdict on a candidate from what training.evaluation.judge wrote: promoted only if its loss is finite and not worse.

    With `source_tolerance`, nor that of any single source: new text may not be paid for with what was known of the old.
    """
    mine, theirs = losses["candidate"], losses["current"]
    promoted = _within(mine, theirs, tolerance)
    reason = f"its loss on {losses['rows']:,} held-out rows, {_against(mine, theirs, tolerance, promoted)}"
    if promoted and source_tolerance is not None:
        for source, (of_mine, of_theirs) in losses["sources"].items():
            if not _within(of_mine, of_theirs, source_tolerance):
                promoted = False
                reason = f"its loss on held-out rows of {source}, {_against(of_mine, of_theirs, source_tolerance, False)}"
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
    )


def _within(mine: float | None, theirs: float | None, tolerance: float) -> bool:
    """Whether a loss is not worse; None is one that is not finite."""
    return mine is not None and (theirs is None or mine <= theirs + tolerance)


def _against(mine: float | None, theirs: float | None, tolerance: float, within: bool) -> str:
    shown = [f"{loss:.4f}" if loss is not None else "no finite number" for loss in (mine, theirs)]
    allowed = f" + {tolerance:g}" if tolerance else ""
    return f"{shown[0]}, {'is not above' if within else 'is not within'} the current model's, {shown[1]}{allowed}"


def tokens_of(run: Path) -> tuple[str, str | None]:
    """`data.tokens` and `data.name` of a run. Raises RetrainError when it is none."""
    path = run / "config.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))["data"]
        return str(data["tokens"]), data.get("name")
    except FileNotFoundError:
        raise RetrainError(f"{run}: has no config.json; name the folder of a finished run of training.run.pretrain") from None
    except (ValueError, KeyError, TypeError) as error:
        raise RetrainError(f"{path}: does not say what the run was trained on ({error!r}); name another run") from None


def tokens_folder(run: Path) -> str:
    """The folder of the tokens dataset that a run was trained on, from the root of the file system or as a URI.

    Raises RetrainError when it is not there any more.
    """
    tokens, name = tokens_of(run)
    try:
        folder = shards.find(tokens, name)
        return os.path.abspath(folder) if files.is_local(folder) else folder
    except DatasetError as error:
        raise RetrainError(f"{run}: was trained on {tokens}, and what is new is joined with that: {error}") from None


def _corpora(out: Path, start: str, given: list[str] | None) -> list[str]:
    """The builds that the current model has seen."""
    promoted = (out / CURRENT).resolve()
    if (out / CURRENT).exists():
        of = Retrain(out, promoted.name, _read(promoted / "plan.json", Plan))
        return [*of.corpora, str(of.build)]
    if given:
        return given
    folder = Path(tokens_folder(Path(start)))
    for build in (folder, *folder.parents[:3]):
        if (build / RELEASE).exists():
            return [str(build)]
    raise RetrainError(f"{start}: the build around its tokens ({folder}) is not there; name it in the parameter corpora")


def _current_base(out: Path) -> Path | None:
    """The run of the promoted model; None: nothing was promoted."""
    link = out / CURRENT
    return (link / "run").resolve() if link.exists() else None


def _is_run(path: Path) -> Path:
    tokens_of(path)
    return path.resolve()


def _same_base(retrain: Retrain, base: Path) -> Retrain:
    """A retraining that is to be gone on with; a finished one may have another base."""
    if retrain.verdict() is None and retrain.base.resolve() != base:
        raise RetrainError(
            f"{retrain.folder}: began from {retrain.plan.base}, which is not the current model any more; give another `when`"
        )
    return retrain


def _plans(out: Path) -> list[tuple[str, Plan]]:
    """Names and plans of all that were begun, in that order."""
    found = [(path.parent.name, _read(path, Plan)) for path in (out / RETRAINS).glob("*/plan.json")]
    return sorted(found, key=lambda named: named[1].number)


def _point(link: Path, target: str) -> None:
    """Let the link point there: never half, never nowhere."""
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
        raise RetrainError(f"{path}: is not what this release writes there ({' '.join(str(error).split())})") from None
