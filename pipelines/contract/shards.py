"""Token shards as they lie on disk: one part opened as a memory map, checked, never copied.

A *run* is one record batch of a part: documents that lie one after the other in one map. A *stream* is what one source
gives to a split: its parts, languages by name, then by path.

Limits: whether the sizes, offsets and counts are sound is always checked, so that nothing outside a map is ever read;
a changed id or sentence start is found by the sha256 only. A file that is cut while it is mapped ends the process.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files, schema
from pipelines.contract.manifest import MANIFEST, RELEASE, DatasetError, Manifest, Part

TOKENS = "tokens"  # tables are named tokens/{split}/{source}/{language}

# What pyarrow raises of a file whose metadata is damaged, by where the damage is.
_UNREADABLE = (pa.ArrowException, OSError, ValueError, LookupError, MemoryError)


class ShardError(DatasetError):
    """A token shard is not what the manifest says; the message names the file."""


@dataclass(frozen=True, slots=True)
class ShardRun:
    """One record batch of a part. All arrays lie in the map; document d is `tokens[offsets[d] : offsets[d + 1]]`.

    Its sentences start at `offsets[d] + sentences[sentence_offsets[d] : sentence_offsets[d + 1]]`. Ids and sentence starts
    are as they were written, unchecked: who looks something up with them checks them against the vocabulary and the
    document's length.
    """

    path: str
    tokens: NDArray[Any]  # (tokens of the batch,) uint16 or uint32
    offsets: NDArray[np.int32]  # (documents + 1,), ascending, within tokens
    source: str = ""
    language: str = ""
    first: int = 0  # number of its first document in the part
    ids: NDArray[np.uint8] = field(default_factory=lambda: np.empty((0, 16), np.uint8))  # (documents, 16)
    utf8_bytes: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))  # (documents,)
    sentences: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))  # counted within documents
    sentence_offsets: NDArray[np.int32] = field(default_factory=lambda: np.zeros(1, np.int32))  # (documents + 1,)

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    @property
    def joined(self) -> int:
        """Tokens when every document is followed by one end-of-text."""
        return int(self.offsets[-1] - self.offsets[0]) + self.documents

    def document(self, number: int) -> bytes:
        """The 16-byte id of a document of this run: what `corpusmill explain` and `trace` look for."""
        return self.ids[number].tobytes()


def find(uri: str, name: str | None = None) -> str:
    """The folder of the tokens dataset at a URI: its own, or that of a build whose release.json names it.

    Raises DatasetError when there is none, or when a build has several and `name` is none of them.
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
    """Names of the splits that hold documents, sorted."""
    return sorted({part.table.split("/")[1] for part in manifest.parts if part.table.startswith(f"{TOKENS}/")})


def sources(manifest: Manifest, split: str) -> list[str]:
    """Names of the sources that have documents in the split, sorted."""
    prefix = f"{TOKENS}/{split}/"
    return sorted({part.table.split("/")[2] for part in manifest.parts if part.table.startswith(prefix) and part.rows})


def stream(manifest: Manifest, split: str, source: str) -> list[Part]:
    """Parts of one source's stream, in its order."""
    prefix = f"{TOKENS}/{split}/{source}/"
    parts = [part for part in manifest.parts if part.table.startswith(prefix)]
    return sorted(parts, key=lambda part: (part.table, part.path))


def check_source(uri: str, manifest: Manifest, split: str, source: str) -> None:
    """Raise DatasetError unless the source has documents in the split."""
    found = sources(manifest, split)
    if not found:
        raise DatasetError(f"{uri}: the split {split!r} is empty; the dataset has {splits(manifest) or 'no documents'}")
    if source not in found:
        raise DatasetError(f"{uri}: the split {split!r} has no documents of a source {source!r}; it has {found}")


def open_stream(uri: str, manifest: Manifest, split: str, source: str, *, verify: bool = False) -> list[ShardRun]:
    """The runs of one source's stream in order, none of them empty; `verify` also compares each file's sha256.

    Raises ShardError for a file that is missing, truncated, damaged or of another dataset, DatasetError for a split or a
    source that has no documents.
    """
    return list(runs_of(uri, manifest, split, source, verify=verify))


def runs_of(uri: str, manifest: Manifest, split: str, source: str, *, verify: bool = False) -> Iterator[ShardRun]:
    """As `open_stream`, one part after the other: only one is open at a time when the runs are not kept."""
    check_source(uri, manifest, split, source)
    found = {language: _Counts() for language in manifest.facts[TOKENS].get(split, {}).get(source, {})}
    for part in stream(manifest, split, source):
        for run in open_part(uri, manifest, part, verify=verify):
            found.setdefault(run.language, _Counts()).add(run)
            if run.documents:
                yield run
    for language, counts in found.items():
        _check_counts(uri, manifest, (split, source, language), asdict(counts))


def _check_counts(uri: str, manifest: Manifest, key: tuple[str, str, str], found: Mapping[str, int]) -> None:
    """The parts of a table hold what the manifest's facts say."""
    split, source, language = key
    said = manifest.facts[TOKENS].get(split, {}).get(source, {}).get(language)
    if found != said:
        table = "/".join((TOKENS, *key))
        paths = [part.path for part in manifest.of(table)]
        where = files.join(uri, paths[0] if len(paths) == 1 else table)
        raise ShardError(f"{where}: holds {dict(found)}, the manifest says {said}; run `corpusmill verify`")


@dataclass(slots=True)
class _Counts:
    """What the manifest's facts say of each language of a source."""

    rows: int = 0
    tokens: int = 0
    utf8_bytes: int = 0

    def add(self, run: ShardRun) -> None:
        """Count the documents of a run."""
        self.rows += run.documents
        self.tokens += run.joined - run.documents
        self.utf8_bytes += int(run.utf8_bytes.sum(dtype=np.int64))


def open_part(uri: str, manifest: Manifest, part: Part, *, verify: bool = False) -> list[ShardRun]:
    """The runs of one part, checked but for the counts of the manifest's facts. Raises ShardError."""
    path = files.join(uri, part.path)
    _check_file(path, part, verify)
    wanted = schema.tokens(int(manifest.facts["tokenizer"]["size"]))
    _, _, source, language = part.table.split("/", 3)
    runs: list[ShardRun] = []
    first = 0
    try:
        for columns in _map(path, wanted):
            runs.append(ShardRun(path, columns[0], columns[1], source, language, first, *columns[2:]))
            first += runs[-1].documents
    except _UNREADABLE as error:
        raise ShardError(f"{path}: is no Arrow file of tokens, or is damaged; build the tokens again ({error})") from None
    if first != part.rows:
        raise ShardError(f"{path}: has {first:,} documents, the manifest says {part.rows:,}; it is another file")
    return runs


def _check_file(path: str, part: Part, verify: bool) -> None:
    if not files.is_local(path):
        raise ShardError(f"{path}: shards are mapped into memory; copy the dataset to a disk of this machine")
    if not files.exists(path):
        raise ShardError(f"{path}: the manifest lists this shard, but there is no such file; build the tokens again")
    if (size := files.size(path)) != part.bytes:
        raise ShardError(f"{path}: has {size:,} bytes, the manifest says {part.bytes:,}; it is truncated or another file")
    if verify and files.sha256(path) != part.sha256:
        raise ShardError(
            f"{path}: its sha256 is not the manifest's; the content changed after it was built; build the tokens again"
        )


def _map(path: str, wanted: pa.Schema) -> Iterator[tuple[Any, ...]]:
    """Of each record batch: tokens, offsets, ids, utf8_bytes, sentences, sentence_offsets."""
    reader = pa.ipc.open_file(pa.memory_map(str(files.local_path(path)), "r"))
    if not reader.schema.equals(wanted):
        raise pa.ArrowTypeError(f"its columns are {_short(reader.schema)}, not {_short(wanted)}")
    for number in range(reader.num_record_batches):
        batch = reader.get_batch(number)
        batch.validate()  # every buffer is as large as its column needs; before any of them is looked at
        if any(column.null_count for column in batch.columns):
            raise pa.ArrowInvalid("it has nulls")
        sentences, sentence_offsets = _list(batch, "sentence_starts")
        ids = np.frombuffer(batch["id"].buffers()[1], np.uint8)[: 16 * batch.num_rows].reshape(-1, 16)
        yield (*_list(batch, TOKENS), ids, batch["utf8_bytes"].to_numpy(), sentences, sentence_offsets)


def _list(batch: pa.RecordBatch, name: str) -> tuple[NDArray[Any], NDArray[np.int32]]:
    """The values and the offsets of a list column, without a copy."""
    column = batch[name]
    values, offsets = column.values, column.offsets.to_numpy(zero_copy_only=True)
    if values.null_count:
        raise pa.ArrowInvalid(f"column {name} has nulls")
    if offsets[0] < 0 or offsets[-1] > len(values) or (offsets[1:] < offsets[:-1]).any():
        raise pa.ArrowInvalid(f"the offsets of column {name} do not ascend within its {len(values):,} values")
    return values.to_numpy(zero_copy_only=True), offsets


def _short(columns: pa.Schema) -> str:
    return ", ".join(f"{column.name}: {column.type}" for column in columns)
