"""Export a tokens dataset in another project's format.

    OUT/corpusmill.json     provenance: fingerprints, tokenizer, counts, and every file with its sha256
    OUT/tokenizer.model     the tokenizer of these ids
    OUT/…                   described in the format's module

Documents are in the order of the streams: sources by name, languages by name, parts by path. The same dataset gives the
same bytes. A folder gets its name when it is complete; in an object store corpusmill.json is written last.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from pipelines.contract import files, manifest, shards
from pipelines.contract.manifest import DatasetError
from pipelines.contract.new_folder import is_taken, new_folder
from pipelines.exports import huggingface, mds, megatron, nanogpt
from pipelines.exports.streams import ExportError, TokenStreams

VERSION = 1  # of all formats: their bytes
PROVENANCE = "corpusmill.json"
Format = Literal["huggingface", "megatron", "mds", "nanogpt"]

FORMATS: Mapping[Format, Callable[[TokenStreams, Sequence[str], str], None]] = {
    "huggingface": huggingface.write,
    "megatron": megatron.write,
    "mds": mds.write,
    "nanogpt": nanogpt.write,
}


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export."""

    path: str  # relative to the folder
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    out: str
    format: Format
    fingerprint: str  # of the tokens dataset
    splits: Mapping[str, Mapping[str, int]]  # rows (documents), tokens (text only) and utf8_bytes
    files: tuple[ExportedFile, ...]  # all but corpusmill.json, by path

    @property
    def bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.bytes for file in self.files)


def export(uri: str, name: str | None, format: Format, out: str, splits: Sequence[str] | None = None) -> ExportReport:
    """Write a tokens dataset into the folder `out` in another project's format.

    Args:
        uri: The folder of a tokens dataset or of a build.
        name: The tokens dataset, if the build has several.
        format: One of FORMATS.
        out: A folder that is empty or does not exist, on this machine or in an object store.
        splits: The splits to export; by default all.

    Raise ExportError for an unsuitable folder, format or vocabulary, DatasetError for a missing dataset or split, ShardError
    for a damaged shard (each is compared with its sha256).
    """
    if format not in FORMATS:
        raise ExportError(f"format {format!r}: the formats are {', '.join(FORMATS)}")
    uri = shards.find(uri, name)
    streams = TokenStreams(uri, manifest.read(uri))
    if "tokenizer" not in streams.manifest.facts or shards.TOKENS not in streams.manifest.facts:
        raise DatasetError(f"{uri}: is the dataset {streams.manifest.dataset!r}, which holds no tokens; name a tokens dataset")
    wanted = _splits(streams, splits)
    if is_taken(out):
        raise ExportError(f"{out}: is not empty; name a new folder, or remove this one")
    with new_folder(out, PROVENANCE) as folder:
        _copy_tokenizer(streams, str(folder))
        FORMATS[format](streams, wanted, str(folder))
        report = _report(streams, format, out, wanted, str(folder))
        files.write_text(str(folder / PROVENANCE), _provenance(streams, report))
    return report


def _splits(streams: TokenStreams, splits: Sequence[str] | None) -> list[str]:
    available = [split for split in shards.splits(streams.manifest) if shards.sources(streams.manifest, split)]
    for split in splits or ():
        if split not in available:
            raise DatasetError(f"{streams.uri}: the split {split!r} is empty; the dataset has {available or 'no documents'}")
    if not available:
        raise DatasetError(f"{streams.uri}: the dataset has no documents")
    return available if splits is None else list(dict.fromkeys(splits))


def _copy_tokenizer(streams: TokenStreams, out: str) -> None:
    facts = streams.manifest.facts["tokenizer"]
    source = files.join(streams.uri, facts["path"])
    if not files.exists(source):
        raise DatasetError(f"{source}: the tokenizer is missing; build the dataset again")
    if files.sha256(source) != facts["sha256"]:
        raise DatasetError(f"{source}: not the tokenizer that the manifest names; put the right file back, or build again")
    files.copy(source, files.join(out, facts["path"]))


def _report(streams: TokenStreams, format: Format, out: str, splits: Sequence[str], folder: str) -> ExportReport:
    written = tuple(
        ExportedFile(os.path.relpath(path, folder).replace(os.sep, "/"), files.size(path), files.sha256(path))
        for path in files.listing(folder)
    )
    counts = {split: _totals(streams, split) for split in splits}
    return ExportReport(out, format, streams.manifest.fingerprint, counts, written)


def _totals(streams: TokenStreams, split: str) -> dict[str, int]:
    languages = [counts for source in streams.manifest.facts[shards.TOKENS][split].values() for counts in source.values()]
    return {key: sum(int(counts[key]) for counts in languages) for key in ("rows", "tokens", "utf8_bytes")}


def _provenance(streams: TokenStreams, report: ExportReport) -> str:
    facts = streams.manifest.facts
    value: dict[str, Any] = {
        "format": report.format,
        "version": VERSION,
        "tokens": {"dataset": streams.manifest.dataset, "fingerprint": report.fingerprint},
        "corpus": facts.get("corpus"),
        "vocabulary": facts.get("vocabulary"),
        "tokenizer": facts["tokenizer"],
        "dtype": streams.dtype.name,
        "splits": {split: facts[shards.TOKENS][split] for split in report.splits},  # text only, without end-of-text ids
        "files": [asdict(file) for file in report.files],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
