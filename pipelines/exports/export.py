"""A tokens dataset in the format of another project: one entry for all formats.

    OUT/corpusmill.json     where it comes from: fingerprints, tokenizer, counts, and every file with its sha256
    OUT/tokenizer.model     the tokenizer whose ids these are
    OUT/…                   as the format's module says

Documents stand in the order of the streams: sources by name, languages by name, parts by path. The same dataset gives the
same bytes. The folder appears under its name when all of it is written.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.contract import files, manifest, shards
from pipelines.contract.manifest import DatasetError
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
    splits: Mapping[str, Mapping[str, int]]  # rows (documents), tokens (of texts) and utf8_bytes
    files: tuple[ExportedFile, ...]  # all but corpusmill.json, by path

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)


def export(uri: str, name: str | None, format: Format, out: str, splits: Sequence[str] | None = None) -> ExportReport:
    """Write a tokens dataset into the folder `out` in another project's format.

    Args:
        uri: a tokens dataset's folder, or a build's.
        name: which tokens dataset of the build, where it has several.
        format: one of FORMATS.
        out: a folder of this machine that is empty or does not exist.
        splits: which ones; by default all that the dataset has.

    Raises ExportError for a folder, format or vocabulary that does not fit, DatasetError for a dataset or a split that
    is not there, ShardError for a damaged shard (each is compared with its sha256).
    """
    if format not in FORMATS:
        raise ExportError(f"format {format!r}: the formats are {', '.join(FORMATS)}")
    uri = shards.find(uri, name)
    streams = TokenStreams(uri, manifest.read(uri))
    if "tokenizer" not in streams.manifest.facts or shards.TOKENS not in streams.manifest.facts:
        raise DatasetError(f"{uri}: is the dataset {streams.manifest.dataset!r}, which holds no tokens; name a tokens dataset")
    wanted = _splits(streams, splits)
    _check_out(out)
    temporary = str(files.temporary_path(Path(os.path.abspath(out))))
    try:
        _copy_tokenizer(streams, temporary)
        FORMATS[format](streams, wanted, temporary)
        report = _report(streams, format, out, wanted, temporary)
        files.write_text(files.join(temporary, PROVENANCE), _provenance(streams, report))
        os.replace(temporary, out)
    finally:
        files.remove(temporary)
    return report


def _splits(streams: TokenStreams, splits: Sequence[str] | None) -> list[str]:
    found = [split for split in shards.splits(streams.manifest) if shards.sources(streams.manifest, split)]
    for split in splits or ():
        if split not in found:
            raise DatasetError(f"{streams.uri}: the split {split!r} is empty; the dataset has {found or 'no documents'}")
    if not found:
        raise DatasetError(f"{streams.uri}: the dataset has no documents")
    return found if splits is None else list(dict.fromkeys(splits))


def _check_out(out: str) -> None:
    if not files.is_local(out):
        raise ExportError(f"{out}: exports are written to this machine; name a local folder and upload it")
    if os.path.exists(out) and (not os.path.isdir(out) or os.listdir(out)):
        raise ExportError(f"{out}: is not empty; name a new folder, or remove this one")


def _copy_tokenizer(streams: TokenStreams, out: str) -> None:
    facts = streams.manifest.facts["tokenizer"]
    source = files.join(streams.uri, facts["path"])
    if not files.exists(source):
        raise DatasetError(f"{source}: the tokenizer is missing; build the dataset again")
    if files.sha256(source) != facts["sha256"]:
        raise DatasetError(f"{source}: this is another tokenizer than the manifest's; put the right file back, or build again")
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
        "splits": {split: facts[shards.TOKENS][split] for split in report.splits},  # texts alone: ends of text not counted
        "files": [asdict(file) for file in report.files],
    }
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
