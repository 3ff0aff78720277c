"""The models of a server, ready to be asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.pieces import text_bytes
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.trained import Trained
from training.generation.texts import Speller, speller
from training.serving.batch import Batch
from training.serving.decoder import Decoder
from training.serving.dialogue import Template, template_of
from training.serving.engine import Engine
from training.serving.errors import ApiError
from training.serving.limits import ServerLimits
from training.serving.metrics import Metrics


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


@dataclass
class Served:
    """All that the endpoints know: what is served, within which limits, and whether the server is stopping."""

    models: Mapping[str, ServedModel]
    limits: ServerLimits
    metrics: Metrics
    stopping: bool = False

    @property
    def ready(self) -> bool:
        """Whether new requests are answered."""
        return not self.stopping and all(model.engine.alive for model in self.models.values())

    def model(self, name: str) -> ServedModel:
        """Return a model by its name. Raises ApiError (404) if there is none."""
        if name not in self.models:
            known = ", ".join(self.models)
            raise ApiError(404, f"there is no model {name!r}, but {known}", param="model", code="model_not_found")
        return self.models[name]

    def stop(self) -> None:
        """Finish what was begun."""
        self.stopping = True
        for model in self.models.values():
            model.engine.stop()


def load(runs: Sequence[str], limits: ServerLimits, metrics: Metrics) -> Served:
    """Load runs, each `RUN` (named by its folder) or `NAME=RUN`.

    Raises UserError for a model that does not write, two of one name, or none that can be read.
    """
    paths: dict[str, str] = {}
    for run in runs:
        name, _, path = run.rpartition("=") if "=" in run and not Path(run).exists() else ("", "", run)
        name = name or Path(path.rstrip("/")).name
        if name in paths:
            raise UserError(f"{run}: another run is named {name}, too; give it a name of its own: NAME={path}")
        paths[name] = path
    return Served({name: _served(name, path, limits, metrics) for name, path in paths.items()}, limits, metrics)


def batch_of(loaded: Trained, rows: int) -> tuple[Batch, Speller]:
    """Return the batch that runs a loaded model, which then serves nothing else, and its speller."""
    words = speller(loaded.model, loaded.tokenizer)
    try:
        decoder = Decoder(loaded.model, words.specials.decoder_start, rows)
    except UserError as error:
        raise UserError(f"{loaded.where}: {error}") from error
    names = {token: name for name, token in words.masks.items()} if words.family == "t5" else {}
    return Batch(decoder, loaded.tokenizer, words.specials.end, names), words


def _served(name: str, path: str, limits: ServerLimits, metrics: Metrics) -> ServedModel:
    found = trained.find(here(path))
    batch, words = batch_of(trained.load(found.path), limits.rows)
    engine = Engine(batch, limits.queue, lambda rows, seconds: metrics.stepped(name, rows, seconds))
    metrics.watch(name, lambda: len(batch.rows), lambda: len(batch.waiting))
    created = int(found.path.stat().st_mtime)
    return ServedModel(name, str(found.path), created, words, batch.decoder, engine, template_of(found))
