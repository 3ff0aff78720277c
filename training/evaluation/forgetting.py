"""What a model has forgotten of the sources that an earlier model was trained on.

    for old in earlier_data("build/old"):                        # its data, and that of the runs it began from
        losses(config_over(config, old), folder, ["build/new", "build/old"], rows)

The forgetting of a source is the candidate's loss minus the earlier model's on the same held-out rows, in nats per target:
above 0 is forgotten, below 0 is learnt. The mean over sources is the average forgetting of Chaudhry et al. (2018, arXiv
1801.10112, 3) with losses in the place of accuracies, and the model that the candidate replaces in that of the best one so far.

Limits: a run names its data by path, and what was moved or removed is not measured (a note says so).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from pipelines.contract.errors import UserError
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CHECKPOINTS
from training.data.shards import open_dataset
from training.run.config import PretrainConfig
from training.run.device import prepare
from training.run.distributed.processes import Learner, World
from training.run.feed import open_data, open_feed
from training.run.pretrain import VALIDATION
from training.run.state import CONFIG
from training.run.validation import LOSS, measure, micro_batch, validation


class JudgeError(UserError):
    """Two models cannot be compared; the message names the folder and the fix."""


@dataclass(frozen=True, slots=True)
class OldData:
    """A tokens dataset that an earlier model was trained on."""

    tokens: str
    name: str | None
    fingerprint: str
    run: str  # the name of the run's folder


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of several models on the same rows: of each model, for all rows and by source."""

    rows: int
    models: tuple[dict[str, float], ...]  # under the names of training/run/validation.py
    sources: tuple[str, ...]

    def of_source(self, source: str) -> tuple[float, ...]:
        """Return the loss of each model on the rows of a source."""
        return tuple(figures[f"{LOSS}/{source}"] for figures in self.models)


def forgetting(
    candidate: Path, current: Path, rows: int | None = None, known: Losses | None = None
) -> tuple[dict[str, tuple[float, float]], tuple[str, ...]]:
    """Return the losses of both models by source of the current one's data, and notes on what could not be measured.

    Rows are those of the validation splits, cut as the candidate's are; `rows` of each dataset at most, by default as many as
    in the candidate's training. `known` are the losses on the candidate's own data, which are not measured twice.
    Raises UserError, as `losses`.
    """
    config = read_config(candidate)
    own = open_data(config.data).fingerprint if known else None
    found, notes = dict[str, tuple[float, float]](), list[str]()
    old, missing = earlier_data(current)
    for data in old:
        same = known is not None and data.fingerprint == own
        if not same and VALIDATION not in open_dataset(data.tokens, data.name).splits():
            notes.append(f"{data.tokens}: has no held-out documents")
            continue
        measured = known if same and known else losses(config_over(config, data), candidate, (candidate, current), rows)
        for source in measured.sources:
            mine, theirs = measured.of_source(source)
            found[source if source not in found else f"{source} of {data.run}"] = mine, theirs
    return found, (*missing, *notes)


def losses(config: PretrainConfig, folder: Path, models: Sequence[Path], rows: int | None = None) -> Losses:
    """Measure the newest checkpoints of runs on held-out rows of a config's data; `folder` is that of the candidate's run.

    Raises JudgeError for a model that cannot read these rows, CheckpointError, DatasetError.
    """
    device = prepare(config.train.device, config.train.dtype, config.train.threads)
    feed = open_feed(config, folder=config.data.rows or folder / "rows", split=VALIDATION)
    rows = config.train.eval_rows if rows is None else rows
    if rows < 1:
        raise JudgeError(f"rows: must be 1 or more, not {rows}; leave it out for the {config.train.eval_rows} of the training")
    held_out = validation(feed, VALIDATION, rows, micro_batch(config))  # cut as in training: sums round alike
    figures: list[dict[str, float]] = []
    for path in models:
        model = trained.load(path)
        if model.family != config.model.family or model.tokenizer.sha256 != feed.dataset.tokenizer.sha256:
            raise JudgeError(
                f"{model.where}: is a {model.family} of {model.tokenizer.size:,} pieces, which is not what {folder} was trained "
                f"as ({config.model.family}, {feed.dataset.tokenizer.size:,} pieces, the same tokenizer); name another model"
            )
        positions = getattr(model.model.shape, "length", None)
        if positions is not None and positions < config.rows.length:
            raise JudgeError(
                f"{model.where}: has {positions:,} positions, and the held-out rows of {folder} have {config.rows.length:,} "
                "tokens (rows.length); name a model with as many"
            )
        model.model.to(device.name)
        figures.append(measure(Learner(model.model), held_out, device, World(device=device.name)))
    count = sum(len(next(iter(batch.examples.values()))) for batch in held_out.batches)
    return Losses(count, tuple(figures), held_out.sources)


def earlier_data(run: Path) -> tuple[list[OldData], tuple[str, ...]]:
    """Return the data of a run and of the runs that it began from (train.init_from), each dataset once, and what is missing."""
    found, notes, seen = list[OldData](), list[str](), set[Path]()
    folder: Path | None = _run_of(run)
    while folder is not None and folder.resolve() not in seen:
        seen.add(folder.resolve())
        try:
            config = read_config(folder)
        except JudgeError:
            notes.append(f"{folder}: is no pretraining run, so the data that it was trained on is not known")
            break
        replay = [] if config.data.replay is None else [(config.data.replay, config.data.replay_name)]
        for tokens, name in [(config.data.tokens, config.data.name), *replay]:
            try:
                dataset = open_dataset(tokens, name)
            except UserError as error:
                notes.append(f"{folder}: what it was trained on cannot be read ({error})")
                continue
            if dataset.fingerprint not in {data.fingerprint for data in found}:
                found.append(OldData(tokens, name, dataset.fingerprint, folder.name))
        folder = _run_of(here(config.train.init_from, weights=False)) if config.train.init_from else None
    return found, tuple(notes)


def config_over(config: PretrainConfig, old: OldData) -> PretrainConfig:
    """Return the config with other data alone, in rows and examples of the same kind."""
    alone = {"replay": None, "replay_name": None, "replay_share": None}
    data = config.data.model_copy(update={"tokens": old.tokens, "name": old.name, **alone})
    return config.model_copy(update={"data": data})


def read_config(folder: Path) -> PretrainConfig:
    """Return the resolved config of a run. Raises JudgeError if the folder has none of a pretraining run."""
    path = folder / CONFIG
    try:
        return PretrainConfig.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise JudgeError(f"{folder}: has no {CONFIG}; the candidate has to be a pretraining run") from None
    except ValueError as error:
        raise JudgeError(f"{path}: is not a config of this release ({' '.join(str(error).split())})") from None


def mean(sources: dict[str, tuple[float, float]]) -> float:
    """Return the average forgetting: the mean over sources of candidate minus current.

    >>> mean({"wiki": (4.25, 4.0), "books": (3.0, 3.25)})
    0.0
    """
    return fmean(mine - theirs for mine, theirs in sources.values())


def table(sources: dict[str, tuple[float, float]], notes: Sequence[str] = ()) -> list[str]:
    """Format the losses and their differences for people; empty if there is nothing to say."""
    width = max(10, *(len(source) for source in sources)) if sources else 10
    lines = [f"{'forgetting':<{width}}  candidate    current  difference"] if sources else []
    lines += [f"{name:<{width}}  {mine:9.4f}  {theirs:9.4f}  {mine - theirs:+10.4f}" for name, (mine, theirs) in sources.items()]
    lines += [f"{'mean':<{width}}  {'':9}  {'':9}  {mean(sources):+10.4f}"] if len(sources) > 1 else []
    return [*lines, *(f"not measured: {note}" for note in notes)]


def _run_of(path: Path) -> Path:
    """Return the folder of the run that a checkpoint's folder belongs to; a run's own folder is returned as it is."""
    return path.parent.parent if path.parent.name == CHECKPOINTS else path
