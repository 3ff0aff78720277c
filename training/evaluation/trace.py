r"""Trace a training row back to its documents: `corpusmill trace build/demo-gpt --step 7 --row 2`.

    traced = trace("build/demo-gpt", step=7, row=2)      # a run's folder, or the TOML file of a run
    traced.rows[0].documents[0].url
    print(show(traced))

The documents of a row follow from arithmetic over the row index. Titles, addresses and origins come from the corpus that the
tokens were made from, which is looked up in the build around the tokens dataset, by the fingerprint in the manifest.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.contract import files, manifest, settings
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import DatasetError, Manifest, Sidecar
from pipelines.contract.tables import read_batches
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from training.checkpoints.remote import folder_of, here
from training.data.config import FeedConfig
from training.data.rows.batch import IGNORE, Examples
from training.run.feed import Feed, open_feed

CONFIG, BRANCH = "config.json", "branch.json"  # of a run's folder
SHOWN_CHARACTERS = 1200  # of each text of a row
_SECTIONS = tuple(FeedConfig.model_fields)
_COLUMNS = ("url", "title", "origin", "snapshot", "license")  # of the corpus


class TraceError(UserError):
    """A row cannot be traced; the message names the file or the number and the fix."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document with tokens in a row: first_token .. first_token + tokens of it. Fields are None without the corpus."""

    id: str  # hexadecimal
    source: str
    language: str
    first_token: int
    tokens: int
    part: str  # the shard
    document: int  # its number in the shard
    url: str | None = None
    title: str | None = None
    origin: str | None = None
    snapshot: str | None = None
    license: str | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """The line of a task's file that a row was made from."""

    file: str
    line: int  # from 1


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a batch."""

    row: int  # its place in the global batch, from 0
    number: int  # in the row index; examples of tasks follow its last
    documents: tuple[Document, ...]
    task: Example | None
    texts: dict[str, str]  # inputs and targets by name, with special pieces visible


@dataclass(frozen=True, slots=True)
class Trace:
    """Rows of a step and where they come from."""

    config: str
    step: int
    tokens: str  # folder of the tokens dataset
    corpus: str | None  # folder of the corpus that it was made from
    notes: tuple[str, ...]  # what could not be found
    rows: tuple[Row, ...]


def trace(run_or_config: str | Path, step: int, row: int | None = None, overrides: tuple[str, ...] = ()) -> Trace:
    """Find the documents of a row (from 0; None: all rows) of the batch of a step, counted from 0 as the sampler does.

    `run_or_config` is a run's folder, whose config.json is read, or a config's TOML file with `overrides`.
    Raises UserError with the file, number or field and the fix.
    """
    path, data = _read(here(run_or_config, weights=False), overrides)
    chosen = settings.validated(FeedConfig, {name: data[name] for name in _SECTIONS if name in data}, str(path))
    steps = data.get("train", {}).get("steps")
    if step < 0 or (steps is not None and step >= steps):
        raise TraceError(f"{path}: there is no step {step}" + (f"; the steps are 0 to {steps - 1}" if steps else ""))
    if path.name == CONFIG:
        _refuse_parents(path.parent, step)
    folder = _row_folder(path, data, chosen)
    phase = _phase(data, step)
    chosen = phase.of(chosen)
    feed = open_feed(chosen, folder=folder, steps=None if steps is None else (phase.end or steps) - phase.first)
    if path.name == CONFIG:
        _refuse_other(path.parent, feed, phase.named)
    if row is not None and not 0 <= row < chosen.data.batch_rows:
        raise TraceError(f"{path}: a batch has the rows 0 to {chosen.data.batch_rows - 1} (data.batch_rows), and no row {row}")
    first, count = (0, chosen.data.batch_rows) if row is None else (row, 1)
    rows = _rows(feed, step - phase.first, first, count)
    corpus, notes = _corpus(feed)
    if corpus:
        rows, notes = _with_columns(rows, corpus)
    return Trace(str(path), step, feed.dataset.uri, corpus[0] if corpus else None, notes, rows)


def show(traced: Trace) -> str:
    """Format a trace for people."""
    lines = [f"step {traced.step} of {traced.config}", f"tokens  {traced.tokens}", f"corpus  {traced.corpus or '-'}"]
    lines += [f"note    {note}" for note in traced.notes]
    for row in traced.rows:
        lines += ["", f"row {row.row} (number {row.number:,})"]
        if row.task:
            lines.append(f"  {row.task.file}, line {row.task.line}")
        for document in row.documents:
            end = document.first_token + document.tokens
            lines.append(f"  {document.id}  {document.source} {document.language}  tokens {document.first_token:,} to {end:,}")
            known = {name: getattr(document, name) for name in _COLUMNS}
            lines += [f"    {name:9}{value}" for name, value in known.items() if value]
        for name, text in row.texts.items():
            cut = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} … ({len(text):,} characters)"
            lines += [f"  {name}", *(f"    {line}" for line in cut.split("\n"))]
    return "\n".join(lines)


def _read(path: Path, overrides: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    """Return the config file and its content."""
    if not path.is_dir() and path.suffix != ".json":
        return path, settings.read(path, overrides)
    path = path / CONFIG if path.is_dir() else path
    if overrides:
        raise TraceError(f"{path}: the config of a run is fixed; leave out --set, or name a TOML file")
    try:
        return path, dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise TraceError(f"{path.parent}: is not a run (there is no {CONFIG}); name a run's folder or a TOML file") from None
    except ValueError as error:
        raise TraceError(f"{path}: is not JSON: {error}") from None


def _row_folder(path: Path, data: dict[str, Any], chosen: FeedConfig) -> Path:
    if chosen.data.rows:
        return Path(chosen.data.rows)
    if path.name == CONFIG:
        return path.parent / "rows"  # the folder may have been moved since
    if not (out := data.get("run", {}).get("out")):
        raise TraceError(f"{path}: neither data.rows nor run.out names the folder of the row indexes; add one")
    return folder_of(out) / "rows"


@dataclass(frozen=True, slots=True)
class _Phase:
    """The phase of a step among train.phases."""

    first: int  # its first step
    end: int | None  # the first step after it; None: the last phase
    changes: dict[str, Any]  # length, and batch_rows if it differs
    named: str  # suffix of the names in its identity, as in training/run/phases.py

    def of(self, config: FeedConfig) -> FeedConfig:
        """Return the config of the phase's batches."""
        rows = config.rows.model_copy(update={"length": self.changes.get("length", config.rows.length)})
        data = config.data.model_copy(update={"batch_rows": self.changes.get("batch_rows") or config.data.batch_rows})
        return config.model_copy(update={"rows": rows, "data": data})


def _phase(data: dict[str, Any], step: int) -> _Phase:
    first, phases = 0, data.get("train", {}).get("phases") or []
    for number, phase in enumerate(phases, start=1):
        if step < phase["until_step"]:
            return _Phase(first, phase["until_step"], phase, f" (phase {number})")
        first = phase["until_step"]
    return _Phase(first, None, {}, f" (phase {len(phases) + 1})" if phases else "")


def _refuse_parents(run: Path, step: int) -> None:
    """Raise TraceError for a step before a branch began, whose rows are those of its parent's settings."""
    if not (branch := _entries(run / BRANCH)):
        return
    try:
        first, given = int(branch["parent"]["step"]), str(branch["given"])
    except (KeyError, TypeError, ValueError) as error:
        raise TraceError(f"{run / BRANCH}: does not name the parent of a branch ({error!r})") from None
    if step < first:
        raise TraceError(f"{run}: is a branch, which began after step {first}; trace step {step} in its parent, {given}")


def _entries(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file of a run; empty if there is no file."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        raise TraceError(f"{path}: is not a JSON object ({error})") from None


def _refuse_other(run: Path, feed: Feed, named: str) -> None:
    """Raise TraceError if the run's last checkpoint was trained on other batches."""
    latest = run / "checkpoints" / "LATEST"
    if not latest.exists():
        return
    state = latest.parent / latest.read_text(encoding="utf-8", errors="replace").strip().replace("\0", "") / "state.json"
    was = _entries(state).get("identity", {})
    for name, value in feed.identity().items():
        if (then := was.get(name + named, value)) != value:
            raise TraceError(f"{run}: was trained on another {name} ({then}, here {value}); restore what it was trained on")


def _rows(feed: Feed, step: int, first: int, count: int) -> tuple[Row, ...]:
    numbers = feed.rows(step, first, count)
    examples = feed.batch(step, first, count)
    names = feed.dataset.tokenizer.piece_names()
    return tuple(_row(feed, names, examples, at, first + at, number) for at, number in enumerate(numbers.tolist()))


def _row(feed: Feed, names: Sequence[str], examples: Examples, at: int, row: int, number: int) -> Row:
    texts = _texts(feed.dataset.tokenizer, names, examples, at)
    if feed.tasks and number >= len(feed.index):
        return Row(row, number, (), Example(*feed.tasks.index.place(number - len(feed.index))), texts)
    (places,) = feed.index.places(np.array([number]))
    documents = tuple(Document(p.id.hex(), p.source, p.language, p.first_token, p.tokens, p.path, p.document) for p in places)
    return Row(row, number, documents, None, texts)


def _texts(tokenizer: Tokenizer, names: Sequence[str], examples: Examples, at: int) -> dict[str, str]:
    """Return the inputs and targets of an example; if only some positions are predicted, each target with its position."""
    inputs, targets = examples["inputs"][at], examples["targets"][at]
    if "lengths" in examples:
        inputs = inputs[: examples["lengths"][at]]
    else:  # causal_lm: nothing after the last target was read
        inputs = inputs[: 1 + int(np.flatnonzero(targets != IGNORE).max(initial=-1))]
    shown = {"inputs": decode(tokenizer, names, inputs)}
    if "masked_positions" in examples:
        pairs = zip(examples["masked_positions"][at].tolist(), targets.tolist(), strict=True)
        shown["targets"] = "  ".join(f"{position}: {names[piece]}" for position, piece in pairs if piece != IGNORE)
    else:
        shown["targets"] = decode(tokenizer, names, targets[targets != IGNORE])
    if "next_sentence" in examples:
        shown["next_sentence"] = "a random one" if examples["next_sentence"][at] else "the one that follows"
    return shown


def decode(tokenizer: Tokenizer, names: Sequence[str], ids: NDArray[np.integer[Any]]) -> str:
    """Decode ids with special pieces spelled out, "[MASK]×3" for three; `names` are the names of all pieces."""
    special = set(tokenizer.special_ids.values())
    out: list[str] = []
    for is_special, of_kind in groupby(ids.tolist(), key=special.__contains__):
        run: list[int] = list(of_kind)
        if not is_special:
            leading = " " if out and names[run[0]].startswith(SPACE_MARK) else ""  # decode leaves out the first one
            out.append(leading + tokenizer.decode(run))
            continue
        for piece, repeated in groupby(run):
            times = len(list(repeated))
            out.append(names[piece] + (f"×{times}" if times > 1 else ""))
    return "".join(out)


def _corpus(feed: Feed) -> tuple[tuple[str, Manifest] | None, tuple[str, ...]]:
    """Find the corpus that the tokens were made from, with its manifest; or return the reason if it is missing."""
    wanted = feed.dataset.manifest.facts.get("corpus")
    if wanted is None:
        return None, (f"{feed.dataset.uri}: its manifest names no corpus, so only ids are known",)
    for folder in _around(feed.dataset.uri):
        uri = manifest.folder(folder, "corpus", wanted)
        if manifest.is_complete(uri) and (corpus := manifest.read(uri)).fingerprint == wanted:
            return (uri, corpus), ()
    name = f"corpus/{wanted[: manifest.FINGERPRINT_CHARACTERS]}"
    return None, (f"{feed.dataset.uri}: there is no build with {name} around it, so only ids are known",)


def _around(uri: str) -> list[str]:
    """Return the folders around that of a tokens dataset: the build's is <out>, of <out>/tokens/<name>/<fingerprint>."""
    if files.is_local(uri):
        return [str(folder) for folder in islice(files.local_path(uri).resolve().parents, 4)]
    return [uri.rsplit("/", number)[0] for number in range(1, 5) if uri.count("/") > number + 2]


def _with_columns(rows: Sequence[Row], corpus: tuple[str, Manifest]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """Add the corpus columns of their documents to the rows."""
    documents = {document.id: document.source for row in rows for document in row.documents}
    known = _look_up(corpus, documents)
    notes = (f"{corpus[0]}: has no {', '.join(sorted(documents.keys() - known))}",) if documents.keys() - known else ()
    return tuple(
        replace(row, documents=tuple(replace(document, **known.get(document.id, {})) for document in row.documents))
        for row in rows
    ), notes


def _look_up(corpus: tuple[str, Manifest], documents: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Map ids to columns. Reads the ids of the parts of the documents' sources, then the row groups that contain one."""
    uri, corpus_manifest = corpus
    missing = {bytes.fromhex(number) for number in documents}
    columns: dict[str, dict[str, Any]] = {}
    for path in _parts_of(uri, corpus_manifest, set(documents.values())):
        if not missing:
            break
        part = files.join(uri, path)
        wanted = pa.array(sorted(missing), pa.binary(16))
        groups = [n for n, ids in enumerate(read_batches(part, ["id"])) if pc.any(pc.is_in(ids["id"], wanted)).as_py()]
        for batch in _groups(part, groups):
            for line in batch.filter(pc.is_in(batch["id"], wanted)).to_pylist():
                missing.discard(line["id"])
                columns[line.pop("id").hex()] = line
    return columns


def _groups(part: str, numbers: Iterable[int]) -> Iterator[pa.RecordBatch]:
    wanted = set(numbers)
    if wanted:
        batches = islice(read_batches(part, ["id", *_COLUMNS]), max(wanted) + 1)
        yield from (batch for number, batch in enumerate(batches) if number in wanted)


def _parts_of(uri: str, corpus_manifest: Manifest, sources: set[str]) -> Iterator[str]:
    """Yield the paths of the corpus' documents of these sources."""
    for part in corpus_manifest.of("documents"):
        sidecar = files.join(uri, "units", f"{part.unit}.json")
        try:
            source = Sidecar.model_validate_json(files.read_text(sidecar)).source
        except FileNotFoundError:
            raise DatasetError(f"{sidecar}: is missing; build the corpus again") from None
        if source in sources:
            yield part.path
