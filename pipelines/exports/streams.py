"""The streams of a tokens dataset that all exports read: run by run, verified, with or without ends of text."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.contract import schema, shards
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest
from pipelines.contract.shards import ShardError, ShardRun
from pipelines.contract.tokenizers.families import END_OF_TEXT


class ExportError(UserError):
    """The dataset, the format and the output folder do not fit together; the message says what to change."""


@dataclass(frozen=True, slots=True)
class TokenStreams:
    """A tokens dataset as exports see it."""

    uri: str
    manifest: Manifest

    @property
    def vocabulary_size(self) -> int:
        """Return the number of pieces, including special ones."""
        return int(self.manifest.facts["tokenizer"]["size"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Return the type of the ids: uint16, or uint32 if the vocabulary needs it."""
        return np.dtype(str(schema.tokens(self.vocabulary_size).field("tokens").type.value_type))

    def end_of_text(self, format_name: str) -> int:
        """Return the id that follows each document. Raise ExportError if the vocabulary has none."""
        special_ids = self.manifest.facts["tokenizer"]["special_ids"]
        if END_OF_TEXT not in special_ids:
            raise ExportError(
                f"{self.uri}: {format_name} needs {END_OF_TEXT} after each document, which is not in the vocabulary; "
                'add "gpt" to the families of its [[vocabularies]] section and build again, or export to huggingface or mds'
            )
        return int(special_ids[END_OF_TEXT])

    def runs(self, split: str, source: str, *, verify: bool = True) -> Iterator[ShardRun]:
        """Yield the runs of a stream. With `verify`, raise ShardError for a wrong sha256 or an id beyond the vocabulary."""
        for run in shards.runs_of(self.uri, self.manifest, split, source, verify=verify):
            if verify and (largest := int(texts(run).max(initial=0))) >= self.vocabulary_size:
                raise ShardError(f"{run.path}: has the id {largest}, but the vocabulary has {self.vocabulary_size:,} pieces")
            yield run


def texts(run: ShardRun) -> NDArray[Any]:
    """Return the ids of all documents of a run, concatenated, without a copy."""
    return run.tokens[int(run.offsets[0]) : int(run.offsets[-1])]


def lengths(run: ShardRun) -> NDArray[np.int64]:
    """Return the number of tokens of each document."""
    return np.diff(run.offsets).astype(np.int64)


def joined(run: ShardRun, end_of_text: int) -> NDArray[Any]:
    """Return the ids of all documents of a run, with an end of text after each.

    >>> run = ShardRun("", np.array([5, 6, 7, 8, 9], np.uint16), np.array([0, 3, 5], np.int32))
    >>> joined(run, 0).tolist()
    [5, 6, 7, 0, 8, 9, 0]
    """
    out = np.full(run.joined, end_of_text, run.tokens.dtype)
    is_text = np.ones(run.joined, np.bool_)
    is_text[np.cumsum(lengths(run) + 1) - 1] = False
    out[is_text] = texts(run)
    return out
