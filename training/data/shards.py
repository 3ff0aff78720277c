"""Token shards as they lie on disk: opened as memory maps, never copied.

    dataset = open_dataset("build/demo")               # a dataset's folder, or a build's
    runs = open_runs(dataset, "train", "enwiki")       # record batches, in the order of the stream
    runs[0].tokens[runs[0].offsets[7] : runs[0].offsets[8]]   # the ids of document 7, still on disk

A *run* is one record batch of a part: documents that lie one after the other in one map.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import files, manifest, tokenizer
from pipelines.contract.manifest import DatasetError, Manifest, Part
from pipelines.contract.tokenizer import Tokenizer

RELEASE = "release.json"
END_OF_TEXT = "<|endoftext|>"  # the piece that objectives put after each document (GPT-2's name)


class ShardError(DatasetError):
    """A token shard is not what the manifest says; the message names the file."""


@dataclass(frozen=True, slots=True)
class TokenDataset:
    """A tokens dataset: its folder and its manifest and its tokenizer."""

    uri: str
    manifest: Manifest
    tokenizer: Tokenizer

    @property
    def fingerprint(self) -> str:
        """Of everything that made the dataset."""
        return self.manifest.fingerprint

    def splits(self) -> list[str]:
        """Names of the splits that hold documents, sorted."""
        return sorted({table.split("/")[1] for table in self.manifest.tables() if table.startswith("tokens/")})

    def sources(self, split: str) -> list[str]:
        """Names of the sources that have documents in the split, sorted."""
        names = {p.table.split("/")[2] for p in self.manifest.parts if p.table.startswith(f"tokens/{split}/") and p.rows}
        return sorted(names)

    def parts(self, split: str, source: str) -> list[Part]:
        """Parts of one source's stream: languages by name, then parts by path."""
        prefix = f"tokens/{split}/{source}/"
        parts = [part for part in self.manifest.parts if part.table.startswith(prefix)]
        return sorted(parts, key=lambda part: (part.table, part.path))

    def totals(self, split: str) -> dict[str, int]:
        """Rows (documents), tokens and UTF-8 bytes of a split."""
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for languages in self.manifest.facts["tokens"].get(split, {}).values():
            for counts in languages.values():
                total = {key: total[key] + int(counts[key]) for key in total}
        return total

    def end_of_text(self) -> int:
        """Id of the piece that stands between documents. Raises DatasetError when the vocabulary has none."""
        special_ids = self.tokenizer.special_ids
        if END_OF_TEXT not in special_ids:
            raise DatasetError(
                f"{self.uri}: its tokenizer has no piece {END_OF_TEXT}; add it to the vocabulary's control_pieces and build again"
            )
        return special_ids[END_OF_TEXT]


@dataclass(frozen=True, slots=True)
class Run:
    """One record batch of a part; document d is `tokens[offsets[d] : offsets[d + 1]]`."""

    path: str
    tokens: NDArray[Any]  # (tokens of the batch,) uint16 or uint32, in the map
    offsets: NDArray[np.int32]  # (documents + 1,), in the map

    @property
    def documents(self) -> int:
        """Number of documents."""
        return len(self.offsets) - 1

    @property
    def joined(self) -> int:
        """Tokens when every document is followed by one end-of-text."""
        return int(self.offsets[-1] - self.offsets[0]) + self.documents


def open_dataset(uri: str, name: str | None = None) -> TokenDataset:
    """The tokens dataset at a folder: its own, or a build's folder whose release.json names it (`name` where several).

    Raises DatasetError when there is none, or when it holds no tokens; TokenizerError when its
    tokenizer is missing or is not the one that it was made with.
    """
    uri = _resolve(uri, name)
    found = manifest.read(uri)
    if "tokens" not in found.facts or "tokenizer" not in found.facts:
        raise DatasetError(f"{uri}: is the dataset {found.dataset!r}, which holds no tokens; name a tokens dataset")
    return TokenDataset(uri, found, tokenizer.load(uri, found))


def open_runs(dataset: TokenDataset, split: str, source: str, *, verify: bool = False) -> list[Run]:
    """The runs of one source's stream in order; `verify` also compares each file's sha256.

    Raises ShardError for a file that is missing, truncated or of other content.
    """
    runs: list[Run] = []
    for part in dataset.parts(split, source):
        runs.extend(_open(dataset, part, verify))
    return [run for run in runs if run.documents]


def _resolve(uri: str, name: str | None) -> str:
    if uri.endswith(".json") or files.exists(files.join(uri, manifest.MANIFEST)):
        return uri.removesuffix(manifest.MANIFEST).rstrip("/")
    release = files.join(uri, RELEASE)
    if not files.exists(release):
        raise DatasetError(
            f"{uri}: there is neither {manifest.MANIFEST} nor {RELEASE}; name a tokens dataset, or build the corpus first"
        )
    try:
        tokens = dict(json.loads(files.read_text(release))["tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{release}: does not name tokens datasets; build the corpus again ({error!r})") from None
    if name is None and len(tokens) == 1:
        return files.join(uri, next(iter(tokens.values())))
    if name not in tokens:
        raise DatasetError(f"{release}: data.name is {name!r}; its tokens datasets are {sorted(tokens)}")
    return files.join(uri, tokens[name])


def _open(dataset: TokenDataset, part: Part, verify: bool) -> list[Run]:
    path = files.join(dataset.uri, part.path)
    if not files.exists(path):
        raise ShardError(f"{path}: the manifest lists this shard, but there is no such file; build the tokens again")
    if (size := files.size(path)) != part.bytes:
        raise ShardError(f"{path}: has {size:,} bytes, the manifest says {part.bytes:,}; it is truncated or another file")
    if verify and files.sha256(path) != part.sha256:
        raise ShardError(f"{path}: its sha256 is not the manifest's; the content changed after it was built")
    try:
        runs = _map(path)
    except (pa.ArrowInvalid, pa.ArrowTypeError, KeyError, OSError) as error:
        raise ShardError(f"{path}: is no Arrow file of tokens: {error}") from None
    documents = sum(run.documents for run in runs)
    if documents != part.rows:
        raise ShardError(f"{path}: has {documents:,} documents, the manifest says {part.rows:,}")
    return runs


def _map(path: str) -> list[Run]:
    reader = pa.ipc.open_file(pa.memory_map(str(files.local_path(path)), "r"))
    batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
    return [_run(path, batch.column("tokens")) for batch in batches]


def _run(path: str, column: pa.ListArray) -> Run:
    """The buffers of a list column without a copy (a null or a list of another type is refused)."""
    if not pa.types.is_list(column.type) or column.type.value_type not in (pa.uint16(), pa.uint32()):
        raise pa.ArrowTypeError(f"column tokens is {column.type}, not a list of uint16 or uint32")
    column.validate()
    values = column.values
    if column.null_count or values.null_count:
        raise pa.ArrowInvalid("column tokens has nulls")
    offsets = column.offsets.to_numpy(zero_copy_only=True)
    return Run(path, values.to_numpy(zero_copy_only=True), offsets)
