"""Read token shards from the disk, one part at a time: memory-mapped and checked. Those of an object store are copied first.

A *run* is one record batch of a part: consecutive documents in one map. A *stream* is all parts of one source in a split,
ordered by language, then by path.

Limits: sizes, offsets and counts are always checked, so nothing outside a map is ever read; only the sha256 reveals a changed
token id or sentence start. If a file is truncated while it is mapped, the process dies.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files, schema
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import MANIFEST, RELEASE, DatasetError, Manifest, Part
from pipelines.contract.mirror import mirrored
from pipelines.contract.storage.stores import StoreError

TOKENS = "tokens"  # tables are named tokens/{split}/{source}/{language}

# The errors that pyarrow raises for damaged metadata, depending on the place of the damage.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, MemoryError)


class ShardError(DatasetError):
    """A token shard does not match the manifest; the message names the file."""


@dataclass(frozen=True, slots=True)
class ShardRun:
    """One record batch of a part. All arrays are views of the map; document d is `tokens[offsets[d] : offsets[d + 1]]`.

    Its sentences start at `offsets[d] + sentences[sentence_offsets[d] : sentence_offsets[d + 1]]`. Token ids and sentence
    starts are unchecked: before using them as indices, compare them with the vocabulary's size and the document's length.
    """

    path: str
    tokens: NDArray[Any]  # (tokens of the batch,) uint16 or uint32
    offsets: NDArray[np.int32]  # (documents + 1,), ascending, within tokens
    source: str = ""
    language: str = ""
    first: int = 0  # number of its first document within the part
    ids: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 16), np.uint8))  # (documents, 16)
    utf8_bytes: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))  # (documents,)
    sentences: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))  # relative to their document
    sentence_offsets: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1, np.int32))  # (documents + 1,)

    @property
    def documents(self) -> int:
        """The number of documents."""
        return len(self.offsets) - 1

    @property
    def joined(self) -> int:
        """The number of tokens if an end-of-text follows every document."""
        return int(self.offsets[-1] - self.offsets[0]) + self.documents

    def document(self, number: int) -> bytes:
        """Return the 16-byte id of a document of this run, which `corpusmill explain` and `trace` take."""
        return self.ids[number].tobytes()


def find(uri: str, name: str | None = None) -> str:
    """Return the folder of the tokens dataset at a URI: a dataset's folder, or a build's output folder.

    A build's release.json names its datasets; `name` chooses one of several. Raise DatasetError if there is no such dataset.
    """
    if uri.endswith(".json") or files.exists(files.join(uri, MANIFEST)):
        return uri.removesuffix(MANIFEST).rstrip("/")
    release = files.join(uri, RELEASE)
    if not files.exists(release):
        raise DatasetError(f"{uri}: there is neither {MANIFEST} nor {RELEASE}; name a tokens dataset, or build the corpus first")
    try:
        tokens = dict(json.loads(files.read_text(release))[TOKENS])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{release}: does not name tokens datasets; build the corpus again ({error!r})") from None
    if name is None and len(tokens) == 1:
        return files.join(uri, next(iter(tokens.values())))
    if name not in tokens:
        raise DatasetError(f"{release}: the name given is {name!r}; its tokens datasets are {sorted(tokens)}")
    return files.join(uri, tokens[name])


def splits(manifest: Manifest) -> list[str]:
    """Return the names of the splits that hold documents, sorted."""
    return sorted({part.table.split("/")[1] for part in manifest.parts if part.table.startswith(f"{TOKENS}/")})


def sources(manifest: Manifest, split: str) -> list[str]:
    """Return the names of the sources that have documents in the split, sorted."""
    prefix = f"{TOKENS}/{split}/"
    return sorted({part.table.split("/")[2] for part in manifest.parts if part.table.startswith(prefix) and part.rows})


def stream(manifest: Manifest, split: str, source: str) -> list[Part]:
    """Return the parts of one source's stream, in order."""
    prefix = f"{TOKENS}/{split}/{source}/"
    parts = [part for part in manifest.parts if part.table.startswith(prefix)]
    return sorted(parts, key=lambda part: (part.table, part.path))


def check_source(uri: str, manifest: Manifest, split: str, source: str) -> None:
    """Raise DatasetError unless the source has documents in the split."""
    known = sources(manifest, split)
    if not known:
        raise DatasetError(f"{uri}: the split {split!r} is empty; the dataset has {splits(manifest) or 'no documents'}")
    if source not in known:
        raise DatasetError(f"{uri}: the split {split!r} has no documents of a source {source!r}; it has {known}")


def open_stream(uri: str, manifest: Manifest, split: str, source: str, *, verify: bool = False) -> list[ShardRun]:
    """Return the runs of one source's stream in order, without empty ones; `verify` also compares each file's sha256.

    Raise ShardError for a file that is missing, truncated, damaged or of another dataset; raise DatasetError for a split or
    source without documents.
    """
    return list(runs_of(uri, manifest, split, source, verify=verify))


def runs_of(uri: str, manifest: Manifest, split: str, source: str, *, verify: bool = False) -> Iterator[ShardRun]:
    """Yield the runs that `open_stream` returns; if the caller keeps none, only one part is open at a time."""
    check_source(uri, manifest, split, source)
    counted = {language: _Counts() for language in manifest.facts[TOKENS].get(split, {}).get(source, {})}
    for part in stream(manifest, split, source):
        for run in open_part(uri, manifest, part, verify=verify):
            counted.setdefault(run.language, _Counts()).add(run)
            if run.documents:
                yield run
    for language, counts in counted.items():
        _check_counts(uri, manifest, (split, source, language), asdict(counts))


def _check_counts(uri: str, manifest: Manifest, key: tuple[str, str, str], counts: Mapping[str, int]) -> None:
    """Raise ShardError unless the parts of a table hold the counts in the manifest's facts."""
    split, source, language = key
    stated = manifest.facts[TOKENS].get(split, {}).get(source, {}).get(language)
    if counts != stated:
        table = "/".join((TOKENS, *key))
        paths = [part.path for part in manifest.of(table)]
        where = files.join(uri, paths[0] if len(paths) == 1 else table)
        raise ShardError(f"{where}: holds {dict(counts)}, the manifest says {stated}; run `corpusmill verify`")


@dataclass(slots=True)
class _Counts:
    """Counts of one language of a source, as in the manifest's facts."""

    rows: int = 0
    tokens: int = 0
    utf8_bytes: int = 0

    def add(self, run: ShardRun) -> None:
        """Count the documents of a run."""
        self.rows += run.documents
        self.tokens += run.joined - run.documents
        self.utf8_bytes += int(run.utf8_bytes.sum(dtype=np.int64))


def open_part(uri: str, manifest: Manifest, part: Part, *, verify: bool = False) -> list[ShardRun]:
    """Return the runs of a part. Raise ShardError if a check fails; the counts in the manifest's facts are not checked."""
    path = files.join(uri, part.path)
    here = _here(path, part, verify)
    expected = schema.tokens(int(manifest.facts["tokenizer"]["size"]))
    _, _, source, language = part.table.split("/", 3)
    runs: list[ShardRun] = []
    first = 0
    try:
        for columns in _map(here, expected):
            runs.append(ShardRun(path, columns[0], columns[1], source, language, first, *columns[2:]))
            first += runs[-1].documents
    except _UNREADABLE as error:
        raise ShardError(f"{path}: is not an Arrow file of tokens, or is damaged; build the tokens again ({error})") from None
    if first != part.rows:
        raise ShardError(f"{path}: has {first:,} documents, the manifest says {part.rows:,}; it is another file")
    return runs


def _here(path: str, part: Part, verify: bool) -> Path:
    """Return a part's file on this machine, checked; an object of a store is copied into the cache folder."""
    check_size(path, part)
    try:
        here = mirrored(path, part.bytes, part.sha256)
    except FileNotFoundError:
        raise _missing(path) from None
    except StoreError:
        raise
    except UserError as error:
        raise ShardError(str(error)) from None
    if verify and files.sha256(str(here)) != part.sha256:
        raise ShardError(
            f"{path}: its sha256 is not the manifest's; the content changed after it was built; build the tokens again"
        )
    return here


def check_size(path: str, part: Part) -> None:
    """Raise ShardError if the file of a part is missing or has another size; an object's is seen when it is copied."""
    if not files.is_local(path):
        return
    if not files.exists(path):
        raise _missing(path)
    if (size := files.size(path)) != part.bytes:
        raise ShardError(f"{path}: has {size:,} bytes, the manifest says {part.bytes:,}; it is truncated or another file")


def _missing(path: str) -> ShardError:
    return ShardError(f"{path}: the manifest lists this shard, but there is no such file; build the tokens again")


def _map(path: Path, expected: pa.Schema) -> Iterator[tuple[Any, ...]]:
    """Yield for each record batch: tokens, offsets, ids, utf8_bytes, sentences, sentence_offsets."""
    reader = pa.ipc.open_file(pa.memory_map(str(path), "r"))
    if not reader.schema.equals(expected):
        raise pa.ArrowTypeError(f"its columns are {_short(reader.schema)}, not {_short(expected)}")
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate()  # every buffer is large enough for its column; checked before any is read
        if any(column.null_count for column in batch.columns):
            raise pa.ArrowInvalid("it has nulls")
        sentences, sentence_offsets = _list(batch, "sentence_starts")
        ids = np.frombuffer(batch["id"].buffers()[1], np.uint8)[: 16 * batch.num_rows].reshape(-1, 16)
        yield (*_list(batch, TOKENS), ids, batch["utf8_bytes"].to_numpy(), sentences, sentence_offsets)


def _list(batch: pa.RecordBatch, name: str) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """Return the values and the offsets of a list column, without a copy."""
    column = batch[name]
    values, offsets = column.values, column.offsets.to_numpy(zero_copy_only=True)
    if values.null_count:
        raise pa.ArrowInvalid(f"column {name} has nulls")
    if offsets[0] < 0 or offsets[-1] > len(values) or (offsets[1:] < offsets[:-1]).any():
        raise pa.ArrowInvalid(f"the offsets of column {name} do not ascend within its {len(values):,} values")
    return values.to_numpy(zero_copy_only=True), offsets


def _short(columns: pa.Schema) -> str:
    return ", ".join(f"{column.name}: {column.type}" for column in columns)
