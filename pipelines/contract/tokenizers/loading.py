r"""Load a tokenizer as its manifest describes it, and use it: encode, decode, special ids.

One type covers two libraries: `sentencepiece` (the models that this program trains, T5's, Llama's) and `tokenizers` (BERT's
WordPiece, the byte-level BPE of GPT-2 and BART, any tokenizer.json; see `json_file.py`). Ids are only those of the text:
no tokenizer adds special ids, and no text yields one.

The SentencePiece models that this program trains encode a text as follows:

    the text is cut at "\n"; SentencePiece encodes each non-empty line separately; the piece "\n" is put between lines.

So every line begins with "▁", and a word has the same pieces at the start of a line as within it. With the identity
normaliser, `decode(encode(text)) == text` for every text, with one exception: U+2581 ("▁") is SentencePiece's mark of a
space and is decoded as a space.

A model of the kind "char" puts no "▁" before a line: each character of a text is one id (or one id per byte).

A model without the piece "\n" encodes the whole text at once, unless it treats a line end as a space (nmt_nfkc). Then
lines are encoded separately with nothing between them: the ids are the same, without the rounding errors that unigram's
scores accumulate over a whole book.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Literal

import numpy as np
import sentencepiece
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest
from pipelines.contract.tokenizers import json_file as tokenizer_json
from pipelines.contract.tokenizers.spelling import NEWLINE, SPACE_MARK

Library = Literal["sentencepiece", "tokenizers"]
Kind = Literal["bpe", "unigram", "char", "wordpiece", "byte_bpe"]

FILE_NAMES: Mapping[Library, str] = {"sentencepiece": "tokenizer.model", "tokenizers": "tokenizer.json"}


class TokenizerError(UserError):
    """A tokenizer file is missing, does not match its manifest, or cannot be read."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer and its properties. Two tokenizers are the same if their sha256 is."""

    model: bytes = field(repr=False)  # the file: a SentencePiece model, or a tokenizer.json
    kind: Kind
    sha256: str
    processor: Any = field(repr=False, compare=False)  # sentencepiece.SentencePieceProcessor or tokenizers.Tokenizer
    size: int  # number of ids, special ones included
    special_ids: Mapping[str, int]  # by piece: control pieces and the unknown piece, in the order of the ids
    newline_id: int | None  # of the piece between lines, if there is one
    unknown_id: int | None = None  # one of special_ids: text that has no pieces
    library: Library = "sentencepiece"
    by_lines: bool = True  # SentencePiece encodes a text line by line
    keeps_text: bool = True  # the bytes of a text's pieces are the text, except for line_prefix_bytes
    line_prefix_bytes: int = 1  # bytes of a line's first piece that are not in the text: 1 for the "▁"
    mask_spaces: Mapping[str, tuple[bool, bool]] = field(default_factory=dict[str, tuple[bool, bool]])  # see masks.py

    @property
    def file_name(self) -> str:
        """The name of its file in a dataset's folder."""
        return FILE_NAMES[self.library]

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text. The name of a special piece in it is text like any other.

        For a batch of texts, `pipelines.text.tokenization.encode.Encoder` is several times faster and gives the same ids.
        """
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text, with one call of the library on one thread."""
        if self.library == "tokenizers":
            return [tokenizer_json.encode(self.processor, text).ids for text in texts]
        if not self.by_lines:
            return [list(ids) for ids in self.processor.encode(list(texts), num_threads=1)]
        lines = [text.split(NEWLINE) for text in texts]
        encoded = iter(self.processor.encode(list(chain.from_iterable(lines)), num_threads=1))
        return [self._joined(islice(encoded, len(lines_of_text))) for lines_of_text in lines]

    def _joined(self, lines: Iterable[list[int]]) -> list[int]:
        """Return the ids of a text, given those of its lines."""
        if self.newline_id is None:
            return list(chain.from_iterable(lines))
        ids: list[int] = []
        for number, line in enumerate(lines):
            if number:
                ids.append(self.newline_id)
            ids.extend(line)
        return ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
        """Return the ids of a text, and for each id the bytes (UTF-8) of the text at which it begins and ends.

        Neither begins nor ends ever descend. This is for tokenizers that change the text; if `keeps_text`, the sizes follow
        at less cost from `utf8_bytes` in the table of pieces.
        """
        if self.library == "tokenizers":
            return tokenizer_json.encode_with_offsets(self.processor, text)
        ids: list[int] = []
        offsets: list[tuple[int, int]] = []
        begin = 0
        for number, line in enumerate(text.split(NEWLINE) if self.by_lines else [text]):
            if number and self.newline_id is not None:
                ids.append(self.newline_id)
                offsets.append((begin - 1, begin))
            encoded = self.processor.encode(line, out_type="offset_mapping", return_bytes=True)
            ids.extend(encoded["ids"])
            offsets.extend((begin + first, begin + end) for first, end in encoded["offsets"])
            begin += len(line.encode()) + 1
        begins, ends = np.asarray(offsets, np.int64).reshape(-1, 2).T
        return ids, np.maximum.accumulate(begins), np.maximum.accumulate(ends)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """Return the text of ids without special ids; SentencePiece's unknown piece is kept as " ⁇ "."""
        known = [int(i) for i in ids]
        if self.library == "tokenizers":
            special = set(self.special_ids.values())
            return str(self.processor.decode([i for i in known if i not in special], skip_special_tokens=False))
        if self.newline_id is None:
            return str(self.processor.decode(known))
        lines: list[list[int]] = [[]]
        for i in known:
            if i == self.newline_id:
                lines.append([])
            else:
                lines[-1].append(i)
        return NEWLINE.join(self.processor.decode(line) if line else "" for line in lines)

    def piece_names(self) -> list[str]:
        """Return the spelling of each piece by id; empty for an id without a piece."""
        if self.library == "tokenizers":
            return tokenizer_json.piece_names(self.processor, self.special_ids, self.size)
        return [str(self.processor.id_to_piece(i)) for i in range(self.size)]

    def piece_kinds(self) -> list[str]:
        """Return by id: "special", "byte" (of a character that has no piece), "text" or "unused"."""
        special = set(self.special_ids.values())
        if self.library == "tokenizers":
            kinds = tokenizer_json.piece_kinds(self.processor, self.kind, self.size)
        else:
            processor = self.processor
            kinds = ["byte" if processor.is_byte(i) else "unused" if processor.is_unused(i) else "text" for i in range(self.size)]
        return ["special" if i in special else kind for i, kind in enumerate(kinds)]

    def facts(self, path: str) -> dict[str, Any]:
        """Return the facts that a manifest states about this tokenizer, stored at `path` in the dataset's folder."""
        return {
            "sha256": self.sha256,
            "library": self.library,
            "kind": self.kind,
            "size": self.size,
            "special_ids": dict(self.special_ids),
            "path": path,
        }


def load(dataset_uri: str, made: Manifest | None = None) -> Tokenizer:
    """Return the tokenizer of a vocabulary or tokens dataset, which `facts["tokenizer"]` of its manifest describes.

    Raise TokenizerError, which names the file, if it is missing or does not match the manifest.
    """
    made = made or manifest.read(dataset_uri)
    facts = made.facts.get("tokenizer")
    if facts is None:
        raise TokenizerError(
            f"{dataset_uri}: the manifest of {made.dataset} names no tokenizer; name a vocabulary or tokens dataset"
        )
    library = facts.get("library", "sentencepiece")
    tokenizer = load_file(files.join(dataset_uri, facts["path"]), facts["kind"], facts["sha256"], library)
    for name in ("size", "special_ids"):
        if facts[name] != tokenizer.facts("")[name]:
            raise TokenizerError(
                f"{dataset_uri}: the manifest's facts.tokenizer.{name} is not that of {facts['path']}; build it again"
            )
    return tokenizer


def load_file(uri: str, kind: Kind, sha256: str | None = None, library: Library = "sentencepiece") -> Tokenizer:
    """Return the tokenizer in a .model file or tokenizer.json. Raise TokenizerError unless it has the given sha256 (hex)."""
    try:
        with files.reading(uri) as stream:
            model = stream.read()
    except FileNotFoundError:
        raise TokenizerError(f"{uri}: the tokenizer is missing; build the dataset again") from None
    actual = hashlib.sha256(model).hexdigest()
    if sha256 is not None and actual != sha256:
        raise TokenizerError(
            f"{uri}: this is another tokenizer than the manifest's (sha256 {actual[:12]}…, expected {sha256[:12]}…);"
            " put the right file back, or build the dataset again"
        )
    return from_bytes(model, kind, library, uri)


def from_bytes(model: bytes, kind: Kind, library: Library = "sentencepiece", where: str = "a model in memory") -> Tokenizer:
    """Return the tokenizer of a serialised SentencePiece model or tokenizer.json; errors name it as `where`."""
    try:
        return _of_tokenizers(model, kind) if library == "tokenizers" else _of_sentencepiece(model, kind)
    except RuntimeError as error:
        raise TokenizerError(f"{where}: not a SentencePiece model: {error}") from error
    except tokenizer_json.JsonError as error:
        raise TokenizerError(f"{where}: {error}") from error


def _of_tokenizers(model: bytes, kind: Kind) -> Tokenizer:
    read = tokenizer_json.read(model)
    if read.kind != kind:
        raise tokenizer_json.JsonError(f"holds a tokenizer of kind {read.kind}, not {kind}; build the dataset again")
    return Tokenizer(
        model=model,
        kind=kind,
        sha256=hashlib.sha256(model).hexdigest(),
        processor=read.processor,
        size=read.size,
        special_ids=read.special_ids,
        newline_id=None,
        unknown_id=read.unknown_id,
        library="tokenizers",
        by_lines=False,
        keeps_text=read.keeps_text,
        line_prefix_bytes=0,
        mask_spaces=read.mask_spaces,
    )


def _of_sentencepiece(model: bytes, kind: Kind) -> Tokenizer:
    processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = int(processor.get_piece_size())
    special = [i for i in range(size) if processor.is_control(i) or processor.is_unknown(i)]
    newline = int(processor.piece_to_id(NEWLINE))
    newline_id = newline if processor.id_to_piece(newline) == NEWLINE else None
    prefix = int(str(processor.normalize("a")).startswith(SPACE_MARK))
    return Tokenizer(
        model=model,
        kind=kind,
        sha256=hashlib.sha256(model).hexdigest(),
        processor=processor,
        size=size,
        special_ids={str(processor.id_to_piece(i)): i for i in special},
        newline_id=newline_id,
        unknown_id=int(processor.unk_id()),
        by_lines=newline_id is not None or _newline_is_space(processor, size),
        keeps_text=_keeps_text(processor, prefix, newline_id is None),
        line_prefix_bytes=prefix,
    )


def _keeps_text(processor: Any, prefix: int, newlines: bool) -> bool:
    """Return whether the model normalises no character of the first plane and has pieces for every character."""
    characters = "".join(map(chr, chain(range(1, 0xD800), range(0xE000, 0x10000))))
    characters = characters if newlines else characters.replace(NEWLINE, "")
    probe = f" a  {characters} ".replace(SPACE_MARK, " ")
    spelled = all(processor.is_byte(processor.piece_to_id(f"<0x{byte:02X}>")) for byte in range(256))
    return spelled and str(processor.normalize(probe)) == SPACE_MARK * prefix + probe.replace(" ", SPACE_MARK)


def _newline_is_space(processor: Any, size: int) -> bool:
    """Return whether the model treats a line end as a space, strips spaces at the ends, and has no piece across a space."""
    if processor.normalize(" a\n \nb ") != f"{SPACE_MARK}a{SPACE_MARK}b":
        return False
    if processor.piece_to_id(SPACE_MARK) == processor.unk_id():
        return False
    return not any(SPACE_MARK in str(processor.id_to_piece(i))[1:] for i in range(size))
