"""The models of a server, ready to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.pieces import text_bytes
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import Checkpoint
from training.checkpoints.trained import TASK, Trained
from training.generation.texts import Speller, speller
from training.serving.batching.batch import Batch
from training.serving.batching.decoder import Decoder
from training.serving.batching.engine import Engine
from training.serving.corpus import Corpus
from training.serving.dialogue import Template, template_of
from training.serving.errors import ApiError
from training.serving.limits import ServerLimits
from training.serving.metrics import Metrics
from training.serving.predictions import Predictions
from training.tasks import tuned as tuning


@dataclass(frozen=True)
class ServedModel:
    """A model that writes, its texts, and the engine that runs it."""

    name: str
    where: str  # its checkpoint
    created: int  # when that was written, in seconds since 1970
    words: Speller
    decoder: Decoder
    engine: Engine
    template: Template

    @property
    def tokenizer(self) -> Tokenizer:
        """The model's."""
        return self.words.tokenizer

    @cached_property
    def token_bytes(self) -> list[bytes]:
        """The text of each token; of special ones their name."""
        names, kinds = self.tokenizer.piece_names(), self.tokenizer.piece_kinds()
        return [text_bytes(name, kind, self.tokenizer.kind) or name.encode() for name, kind in zip(names, kinds, strict=True)]


@dataclass(frozen=True)
class ServedTask:
    """A fine-tuned model."""

    where: str  # its checkpoint
    created: int  # when that was written, in seconds since 1970
    predictions: Predictions


@dataclass
class Served:
    """All that the endpoints know: what is served, within which limits, and whether the server is stopping."""

    models: Mapping[str, ServedModel]
    limits: ServerLimits
    metrics: Metrics
    tasks: Mapping[str, ServedTask] = field(default_factory=dict[str, ServedTask])
    corpus: Corpus | None = None  # that answers /ask
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """Whether new requests are answered."""
        return not self.stopping and all(model.engine.alive for model in self.models.values())

    def model(self, name: str) -> ServedModel:
        """Return a model by its name. Raises ApiError (404) if there is none."""
        if name in self.tasks:
            raise ApiError(404, f"{name} answers records: ask /predict/{name}", param="model", code="model_not_found")
        if name not in self.models:
            known = ", ".join(self.models) or "no other that writes"
            raise ApiError(404, f"there is no model {name!r}, but {known}", param="model", code="model_not_found")
        return self.models[name]

    def task(self, name: str) -> Predictions:
        """Return a fine-tuned model by its name. Raises ApiError (404) if there is none."""
        if name not in self.tasks:
            known = ", ".join(self.tasks) or "no other"
            raise ApiError(404, f"there is no fine-tuned model {name!r}, but {known}", param="model", code="model_not_found")
        return self.tasks[name].predictions

    def stop(self) -> None:
        """Finish what was begun."""
        self.stopping = True
        for model in self.models.values():
            model.engine.stop()
        for task in self.tasks.values():
            task.predictions.stop()
        if self.corpus is not None:
            self.corpus.worker.stop()


def load(runs: Sequence[str], limits: ServerLimits, metrics: Metrics) -> Served:
    """Load runs, each `RUN` (named by its folder) or `NAME=RUN`; those of a fine-tuning answer records.

    Raises UserError for a pretrained model that does not write, two of one name, or none that can be read.
    """
    paths: dict[str, str] = {}
    for run in runs:
        name, _, path = run.rpartition("=") if "=" in run and not Path(run).exists() else ("", "", run)
        name = name or Path(path.rstrip("/")).name
        if name in paths:
            raise UserError(f"{run}: another run is named {name}, too; give it a name of its own: NAME={path}")
        paths[name] = path
    found = {name: trained.find(here(path)) for name, path in paths.items()}
    writers = {name: _served(name, run, limits, metrics) for name, run in found.items() if TASK not in run.state}
    return Served(writers, limits, metrics, {name: _task(run, limits) for name, run in found.items() if TASK in run.state})


def batch_of(loaded: Trained, rows: int) -> tuple[Batch, Speller]:
    """Return the batch that runs a loaded model, which then serves nothing else, and its speller."""
    words = speller(loaded.model, loaded.tokenizer)
    try:
        decoder = Decoder(loaded.model, words.specials.decoder_start, rows)
    except UserError as error:
        raise UserError(f"{loaded.where}: {error}") from error
    names = {token: name for name, token in words.masks.items()} if words.family == "t5" else {}
    return Batch(decoder, loaded.tokenizer, words.specials.end, names), words


def _task(found: Checkpoint, limits: ServerLimits) -> ServedTask:
    predictions = Predictions(tuning.load(found.path), limits.queue)
    return ServedTask(str(found.path), int(found.path.stat().st_mtime), predictions)


def _served(name: str, found: Checkpoint, limits: ServerLimits, metrics: Metrics) -> ServedModel:
    batch, words = batch_of(trained.load(found.path), limits.rows)
    engine = Engine(batch, limits.queue, lambda rows, seconds: metrics.stepped(name, rows, seconds))
    metrics.watch(name, lambda: len(batch.rows), lambda: len(batch.waiting))
    created = int(found.path.stat().st_mtime)
    return ServedModel(name, str(found.path), created, words, batch.decoder, engine, template_of(found))
