"""reference: the windows of benchmark texts that must not be in the corpus.

    reference/3f9a1c20b77e/
        manifest.json     facts: files, items, too_short (how many items are), windows
        windows.arrow     one row of lists: hashes, items, anchors, weights, names

Its fingerprint covers the files' names and contents, so another benchmark, field or length gives another corpus, but affects
no dataset before the corpus. An item is a string in a line: below one of the keys in `fields` if these are set, else anywhere.
Its name has its file, line and field, and the line's `id` if there is one: "squad/dev.jsonl:12 question (id 5733)".

Limits: one process reads the files, at about 10 MB/s. It holds the windows, about 50 bytes each, and the items' names.
"""

import codecs
import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyarrow as pa

from pipelines.config import DecontaminateSection
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.storage.compressed import SHOWN, BrokenStreamError, Content, uncompressed
from pipelines.sources.patterns import PathError, chosen
from pipelines.sources.records import encodings
from pipelines.stages.decontaminate import Benchmarks
from pipelines.text.copies import containment
from pipelines.text.copies.containment import Windows
from pipelines.units.context import Context, Dataset, ensure

NAME = "reference"
VERSION = 1
LINE_BYTES_LIMIT = 2**26
_CHARACTERS_PER_CHUNK = 2**22
_DIGITS_OF_INTEGERS = 4000
_BUFFER_BYTES = 2**18


class BenchmarkError(UserError):
    """A benchmark file that cannot be used; the message names the file, the line and the fix."""


def build(context: Context) -> Dataset:
    """Build the windows of all configured benchmarks, or find them built.

    Raise BenchmarkError if a file is not JSON Lines, a pattern or field matches nothing, or no item is long enough.
    """
    section = context.config.decontaminate
    uris = _files(section.paths)
    names = _names(uris)
    made_from = {
        "files": [[name, files.sha256(uri)] for name, uri in zip(names, uris, strict=True)],
        "decontaminate": section.model_dump(mode="json", include={"fields", "ngram", "min_words"}),
        "versions": {"reference": VERSION, "containment": containment.VERSION},
    }

    def make(uri: str) -> Manifest:
        items = _Items(section)
        for file, name in zip(uris, names, strict=True):
            items.read(file, name)
        windows, item_names = items.finish()
        part = _write(uri, windows, item_names)
        facts = {"files": len(uris), "items": items.count, "too_short": items.too_short, "windows": len(windows.hashes)}
        return manifest.assemble(NAME, made_from, (), config=context.config.recorded(), facts=facts, parts=[part])

    return ensure(context, NAME, made_from, make)


def load(uri: str) -> Benchmarks:
    """Return the windows of the dataset at `uri` as a lookup structure."""
    (part,) = manifest.read(uri).parts
    with pa.memory_map(files.local_copy(files.join(uri, part.path), part.sha256)) as source, pa.ipc.open_file(source) as reader:
        row = reader.get_batch(0)
    columns = {name: row[name].values for name in row.schema.names}
    names = columns.pop("names")
    return Benchmarks(containment.index(Windows(**{name: values.to_numpy() for name, values in columns.items()})), names)


def _write(uri: str, windows: Windows, names: pa.Array) -> Part:
    columns = {
        "hashes": windows.hashes,
        "items": windows.items,
        "anchors": windows.anchors,
        "weights": windows.weights,
        "names": names,
    }
    lists = {name: pa.LargeListArray.from_arrays([0, len(values)], pa.array(values)) for name, values in columns.items()}
    row = pa.RecordBatch.from_arrays(list(lists.values()), names=list(lists))
    path = "windows.arrow"
    with files.writing(files.join(uri, path)) as stream, pa.ipc.new_file(pa.PythonFile(stream, mode="w"), row.schema) as writer:
        writer.write_batch(row)
    return Part(table="windows", unit=NAME, path=path, rows=1, bytes=stream.bytes_written, sha256=stream.sha256)


# The files


def _files(patterns: Sequence[str]) -> list[str]:
    """Return the files that match the patterns, sorted."""
    chosen: set[str] = set()
    for pattern in patterns:
        matches = _matching(pattern)
        if not matches:
            raise BenchmarkError(f"decontaminate.paths: no file matches {pattern}; correct the pattern in the config")
        chosen.update(matches)
    for uri in sorted(chosen):
        if not uncompressed(uri).endswith(".jsonl"):
            raise BenchmarkError(
                f"{uri}: its name does not end in .jsonl, or that and {SHOWN}; correct decontaminate.paths in the config"
            )
    return sorted(chosen)


def _matching(pattern: str) -> list[str]:
    pattern = files.plain(pattern)
    fixed = pattern[: min((pattern.find(c) for c in "*?[\\" if c in pattern), default=len(pattern))]
    root = posixpath.dirname(fixed) or "."
    below = pattern.removeprefix(root).lstrip("/")
    if not files.exists(root):
        return []
    try:
        return [files.join(root, file.path) for file in chosen(root, [below]).files]
    except PathError as error:
        raise BenchmarkError(f"decontaminate.paths: {error}") from None


def _names(uris: list[str]) -> list[str]:
    """Return each file's path below the files' common folder: the same names on every machine."""
    common = posixpath.commonpath([posixpath.dirname(uri) for uri in uris])
    return [posixpath.relpath(uri, common) for uri in uris]


def _lines(uri: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the lines of a JSON Lines file with their numbers, counted from 1; blank lines are skipped."""
    with ExitStack() as open_files:
        stored = open_files.enter_context(files.reading(uri))
        content = Content(stored)
        number = 0
        try:
            stream = io.BufferedReader(encodings.Utf8Stream(content.read), _BUFFER_BYTES)
            while line := stream.readline(LINE_BYTES_LIMIT + 1):
                number += 1
                if line.strip():
                    yield number, _parsed(line, f"{uri}, line {number}")
        except BrokenStreamError as error:
            raise BenchmarkError(f"{uri}: breaks off after line {number} ({error}); fetch it again") from error


def _parsed(line: bytes, place: str) -> dict[str, Any]:
    if len(line) > LINE_BYTES_LIMIT:
        raise BenchmarkError(f"{place}: is longer than {LINE_BYTES_LIMIT:,} bytes; write one JSON object a line")
    try:
        value = json.loads(line.removeprefix(codecs.BOM_UTF8).decode(), parse_int=_number)
    except UnicodeDecodeError as error:
        raise BenchmarkError(
            f"{place}: is neither UTF-8, UTF-16 nor UTF-32 ({error.reason} at byte {error.start}); convert the file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{place}: is not JSON ({error}); write one JSON object a line") from error
    if not isinstance(value, dict):
        raise BenchmarkError(f"{place}: holds {type(value).__name__} where an object should be; write one JSON object a line")
    return cast(dict[str, Any], value)


def _number(digits: str) -> float:
    """Return a number, which is no text of a benchmark; Python converts only integers of some length."""
    return int(digits) if len(digits) < _DIGITS_OF_INTEGERS else float(digits)


# The items


@dataclass
class _Items:
    """The items of all files: their windows and names, gathered in chunks."""

    section: DecontaminateSection
    count: int = 0
    too_short: int = 0
    parts: list[Windows] = field(default_factory=list[Windows])
    names: list[pa.Array] = field(default_factory=list[pa.Array])
    seen: set[str] = field(default_factory=set[str])  # fields of the config that occurred in a line
    texts: list[str] = field(default_factory=list[str])  # of the next chunk
    labels: list[str] = field(default_factory=list[str])
    characters: int = 0

    def read(self, uri: str, name: str) -> None:
        """Add the items of a file."""
        number, before = 0, self.count + len(self.texts)
        for number, line in _lines(uri):
            own = line.get("id")
            label = f" (id {own})" if isinstance(own, str | int) else ""
            for path, text in self._strings(line):
                self.texts.append(text.encode("utf-8", "replace").decode())  # JSON can spell half a surrogate pair
                self.labels.append(f"{name}:{number} {path}{label}")
                self.characters += len(text)
            if self.characters >= _CHARACTERS_PER_CHUNK:
                self._close_chunk()
        if not number:
            raise BenchmarkError(f"{uri}: holds no line; remove it or fetch it again")
        if self.count + len(self.texts) == before:
            fields = " or ".join(self.section.fields) or "any field"
            raise BenchmarkError(f"{uri}: no line has text in {fields}; correct decontaminate.fields in the config")

    def finish(self) -> tuple[Windows, pa.Array]:
        """Return the windows of all items, and the names of the items to which windows are attributed."""
        missing = [name for name in self.section.fields if name not in self.seen]
        if missing:
            raise BenchmarkError(f"decontaminate.fields: no line of any file has text in {missing[0]!r}; correct or remove it")
        self._close_chunk()
        windows = containment.joined(self.parts, [len(names) for names in self.names])
        if not len(windows.hashes):
            raise BenchmarkError(
                f"decontaminate.paths: none of the {self.count:,} texts has {self.section.min_words} words"
                " (decontaminate.min_words); name other files or fields, or lower it"
            )
        used, items = np.unique(windows.items, return_inverse=True)
        names = pa.chunked_array(self.names).take(pa.array(used)).combine_chunks()
        return Windows(windows.hashes, items.astype(np.uint32), windows.anchors, windows.weights), names

    def _strings(self, line: dict[str, Any]) -> Iterator[tuple[str, str]]:
        """Yield the items of a line: their paths in it and their texts."""
        if not self.section.fields:
            yield from _strings_below(line, "")
        for name in self.section.fields:
            for path, text in _strings_below(line.get(name), name):
                self.seen.add(name)
                yield path, text

    def _close_chunk(self) -> None:
        section = self.section
        windows, too_short = containment.windows(
            pa.array(self.texts, pa.string()), ngram=section.ngram, min_words=section.min_words
        )
        self.parts.append(windows)
        self.names.append(pa.array(self.labels, pa.string()))
        self.count += len(self.texts)
        self.too_short += int(too_short.sum())
        self.texts, self.labels, self.characters = [], [], 0


def _strings_below(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield all strings of a JSON value in order, each with its path, such as "choices.text[2]"."""
    waiting: list[tuple[str, Any]] = [(path, value)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, dict):
            inner = cast(dict[str, Any], value)
            waiting += [(f"{path}.{key}" if path else key, inner[key]) for key in reversed(inner)]
        elif isinstance(value, list):
            listed = cast(list[Any], value)
            waiting += [(f"{path}[{i}]", listed[i]) for i in reversed(range(len(listed)))]
