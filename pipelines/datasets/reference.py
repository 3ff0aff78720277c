"""reference: the n-grams of benchmark texts that must not be in the corpus.

    reference/3f9a1c20b77e/
        manifest.json     facts: files, items, too_short and options (how many items are not searched for), ngrams, and how many
                          items are searched for by file
        items.arrow       one row of lists: the columns of item_grams.Items and contamination.Signs, and names

Its fingerprint covers the files' names and contents, so another benchmark, field or length gives another corpus, but affects
no dataset before the corpus. An item is a string in a line: below one of the keys in `fields` if these are set, else anywhere.
Its name has its file, line and field, and the line's `id` if there is one: "squad/dev.jsonl:12 question (id 5733)". The other
strings of its line (the answer, the options) are its signs. A string in a list that is shorter than `short_words` is an option to
choose from: it is a sign only, unless `fields` names the list.

Limits: one process reads the files, at about 10 MB/s. It holds the n-grams, about 50 bytes each, and the items' names. An item
has at most SIGNS_PER_ITEM signs.
"""

import codecs
import io
import json
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.config import DecontaminateSection
from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.storage.compressed import SHOWN, BrokenStreamError, Content, uncompressed
from pipelines.sources.patterns import PathError, chosen
from pipelines.sources.records import encodings
from pipelines.text.copies import contamination, item_grams
from pipelines.text.copies.contamination import SIGN_LENGTH, Signs
from pipelines.text.copies.item_grams import OWNERS_LIMIT, WORD_WEIGHT, Items, TextGrams
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.lists import read_lists, write_lists

NAME = "reference"
VERSION = 2
SIGNS_PER_ITEM = 8
LINE_BYTES_LIMIT = 2**26
_CHARACTERS_PER_CHUNK = 2**22
_DIGITS_OF_INTEGERS = 4000
_BUFFER_BYTES = 2**18


@dataclass(frozen=True, slots=True)
class Reference:
    """The items of all benchmarks."""

    items: Items
    signs: Signs
    names: pa.Array  # [items] strings
    ngram: int


class BenchmarkError(UserError):
    """A benchmark file that cannot be used; the message names the file, the line and the fix."""


def build(context: Context) -> Dataset:
    """Build the n-grams of all configured benchmarks, or find them built.

    Raise BenchmarkError if a file is not JSON Lines, a pattern or field matches nothing, or no item is long enough.
    """
    section = context.config.decontaminate
    uris = _files(section.paths)
    names = _names(uris)
    made_from = {
        "files": [[name, files.sha256(uri)] for name, uri in zip(names, uris, strict=True)],
        "decontaminate": section.model_dump(mode="json", include={"fields", "ngram", "min_words", "short_words"}),
        "versions": {"reference": VERSION, "contamination": contamination.VERSION},
    }

    def make(uri: str) -> Manifest:
        reader = _Reader(section)
        for file, name in zip(uris, names, strict=True):
            reader.read(file, name)
        reference = reader.finish()
        facts = {
            "files": len(uris),
            **reader.counts(),
            "ngrams": len(reference.items.hashes),
            "searched": reader.searched(reference),
        }
        part = _write(uri, reference)
        return manifest.assemble(NAME, made_from, (), config=context.config.recorded(), facts=facts, parts=[part])

    return ensure(context, NAME, made_from, make)


def load(uri: str) -> Reference:
    """Return the items of the dataset at `uri`."""
    made = manifest.read(uri)
    (part,) = made.parts
    columns = read_lists(uri, part)
    names = columns.pop("names")
    arrays = {name: values.to_numpy() for name, values in columns.items()}
    signs = Signs(arrays.pop("sign_starts"), arrays.pop("sign_hashes"), arrays.pop("sign_words"))
    return Reference(Items(**arrays), signs, names, made.made_from["decontaminate"]["ngram"])


def _write(uri: str, reference: Reference) -> Part:
    items, signs = reference.items, reference.signs
    columns = {
        **{column.name: getattr(items, column.name) for column in fields(items)},
        "sign_starts": signs.starts,
        "sign_hashes": signs.hashes,
        "sign_words": signs.words,
        "names": reference.names,
    }
    return write_lists(uri, "items", NAME, "items.arrow", columns)


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
class _Chunk:
    """Items that were read and not yet cut into n-grams."""

    texts: list[str] = field(default_factory=list[str])
    names: list[str] = field(default_factory=list[str])
    signs: list[str] = field(default_factory=list[str])
    sign_counts: list[int] = field(default_factory=list[int])  # by item
    listed: list[bool] = field(default_factory=list[bool])  # whether an item is an element of a list
    characters: int = 0

    def add(self, place: str, items: list[tuple[str, str]], strings: list[str], label: str) -> None:
        """Add the items of a line (path and text) and the strings of the line."""
        for path, text in items:
            others = [other for other in strings if other != text][:SIGNS_PER_ITEM]
            self.texts.append(text)
            self.names.append(f"{place} {path}{label}")
            self.listed.append(path.endswith("]"))
            self.signs += others
            self.sign_counts.append(len(others))
            self.characters += len(text) + sum(map(len, others))


class _ChunkSigns(NamedTuple):
    """The signs of a chunk's items."""

    hashes: NDArray[np.uint64]
    words: NDArray[np.int32]
    counts: list[int]  # by item


@dataclass
class _Reader:
    """Reads the items of all files, in chunks."""

    section: DecontaminateSection
    items: int = 0
    too_short: int = 0
    options: int = 0
    grams: list[TextGrams] = field(default_factory=list[TextGrams])
    names: list[pa.Array] = field(default_factory=list[pa.Array])
    signs: list[_ChunkSigns] = field(default_factory=list[_ChunkSigns])
    seen: set[str] = field(default_factory=set[str])  # fields of the config that occurred in a line
    places: dict[str, range] = field(default_factory=dict[str, range])  # the numbers of the items, by file
    chunk: _Chunk = field(default_factory=_Chunk)

    def counts(self) -> dict[str, int]:
        """Return how many items there are, and how many of them are not searched for."""
        return {"items": self.items, "too_short": self.too_short, "options": self.options}

    def searched(self, reference: Reference) -> dict[str, int]:
        """Return how many items of each file are searched for."""
        has_grams = reference.items.sizes > 0
        return {name: int(has_grams[numbers.start : numbers.stop].sum()) for name, numbers in self.places.items()}

    def read(self, uri: str, name: str) -> None:
        """Add the items of a file."""
        number, before = 0, self.items + len(self.chunk.texts)
        for number, line in _lines(uri):
            own = line.get("id")
            label = f" (id {own})" if isinstance(own, str | int) else ""
            strings = [(path, text.encode("utf-8", "replace").decode()) for path, text in _strings_below(line, "")]
            chosen = self._chosen(line, strings)
            self.chunk.add(f"{name}:{number}", chosen, [text for _, text in strings], label)
            if self.chunk.characters >= _CHARACTERS_PER_CHUNK:
                self._close_chunk()
        if not number:
            raise BenchmarkError(f"{uri}: holds no line; remove it or fetch it again")
        self.places[name] = range(before, self.items + len(self.chunk.texts))
        if not self.places[name]:
            wanted = " or ".join(self.section.fields) or "any field"
            raise BenchmarkError(f"{uri}: no line has text in {wanted}; correct decontaminate.fields in the config")

    def finish(self) -> Reference:
        """Return the items of all files; those that are not searched for have no n-grams."""
        missing = [name for name in self.section.fields if name not in self.seen]
        if missing:
            raise BenchmarkError(f"decontaminate.fields: no line of any file has text in {missing[0]!r}; correct or remove it")
        self._close_chunk()
        items = item_grams.collected(self.grams)
        if not len(items.hashes):
            raise BenchmarkError(
                f"decontaminate.paths: none of the {self.items:,} texts has {self.section.min_words} words"
                " (decontaminate.min_words); name other files or fields, or lower it"
            )
        return Reference(items, _joined(self.signs), pa.concat_arrays(self.names), self.section.ngram)

    def _chosen(self, line: dict[str, Any], strings: list[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the items among the strings of a line."""
        if not self.section.fields:
            return strings
        chosen: list[tuple[str, str]] = []
        for name in self.section.fields:
            for path, text in _strings_below(line.get(name), name):
                self.seen.add(name)
                chosen.append((path, text.encode("utf-8", "replace").decode()))
        return chosen

    def _close_chunk(self) -> None:
        section, chunk = self.section, self.chunk
        found = item_grams.grams(pa.array(chunk.texts, pa.string()), ngram=section.ngram)
        too_short = found.weights < WORD_WEIGHT * section.min_words
        is_option = ~too_short & (found.weights < WORD_WEIGHT * section.short_words) & np.array(chunk.listed, np.bool_)
        is_option &= not section.fields
        searched = ~(too_short | is_option)[found.texts]
        self.grams.append(found._replace(hashes=found.hashes[searched], texts=found.texts[searched]))
        self.names.append(pa.array(chunk.names, pa.string()))
        self.signs.append(_ChunkSigns(*item_grams.run_hashes(pa.array(chunk.signs, pa.string()), SIGN_LENGTH), chunk.sign_counts))
        self.items += len(chunk.texts)
        self.too_short += int(too_short.sum())
        self.options += int(is_option.sum())
        self.chunk = _Chunk()


def _joined(parts: Sequence[_ChunkSigns]) -> Signs:
    """Return the signs of all chunks, without those of too many items ("true", a subject's name) and those without words."""
    hashes, words = np.concatenate([part.hashes for part in parts]), np.concatenate([part.words for part in parts])
    counts = np.concatenate([np.array(part.counts, np.int64) for part in parts])
    owners = np.repeat(np.arange(len(counts)), counts)
    _, place, times = np.unique(hashes, return_inverse=True, return_counts=True)
    keep = (words > 0) & (times[place] <= OWNERS_LIMIT)
    starts = np.concatenate([[0], np.cumsum(np.bincount(owners[keep], minlength=len(counts)))])
    return Signs(starts, hashes[keep], words[keep])


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
