r"""Load a tokenizer by the manifest that describes it, and use it: encode, decode, special ids.

What a text is in ids, for the SentencePiece models that this program makes (`datasets/vocabulary.py`):

    the text is cut at "\n"; every line that is not empty is encoded by SentencePiece by itself; between two lines
    stands the piece "\n".

So every line begins with "▁", and a word has the same pieces at the start of a line as in the middle of it. With the
identity normaliser `decode(encode(text)) == text` for every text, with one exception that SentencePiece makes: U+2581
("▁") is its own mark of a space, and comes back as a space.
"""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import sentencepiece
from numpy.typing import NDArray

from pipelines.contract import files, manifest
from pipelines.contract.manifest import Manifest

SPACE_MARK = "\u2581"  # SentencePiece's mark of a space inside a piece
NEWLINE = "\n"  # the piece between two lines

# Scripts that are written without spaces, by the first word of their characters' Unicode names.
_UNSPACED_SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HALFWIDTH", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")

Kind = Literal["bpe", "unigram"]


class TokenizerError(ValueError):
    """A tokenizer file is missing, is another one than its manifest says, or cannot be read."""


@dataclass(frozen=True)
class Tokenizer:
    """A SentencePiece model and what is known of it. Two tokenizers are the same when their sha256 is."""

    model: bytes = field(repr=False)
    kind: Kind
    sha256: str
    processor: Any = field(repr=False, compare=False)  # sentencepiece.SentencePieceProcessor
    size: int  # pieces, the special ones included
    special_ids: Mapping[str, int]  # control pieces and the unknown piece, by piece, in the order of their ids
    newline_id: int | None  # None: the model has no piece "\n", and texts are encoded whole

    def encode(self, text: str) -> list[int]:
        """The ids of a text; a special piece that is spelled in it is text like any other.

        Texts of a batch are encoded some times faster by `pipelines.text.encode.Encoder`, with the same ids.
        """
        if self.newline_id is None:
            return list(self.processor.encode(text))
        ids: list[int] = []
        for number, line in enumerate(self.processor.encode(text.split(NEWLINE), num_threads=1)):
            if number:
                ids.append(self.newline_id)
            ids.extend(line)
        return ids

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """The text of ids; special ids are left out."""
        known = [int(i) for i in ids]
        if self.newline_id is None:
            return str(self.processor.decode(known))
        lines: list[list[int]] = [[]]
        for i in known:
            if i == self.newline_id:
                lines.append([])
            else:
                lines[-1].append(i)
        return NEWLINE.join(self.processor.decode(line) if line else "" for line in lines)

    def facts(self, path: str) -> dict[str, Any]:
        """What a manifest says of this tokenizer, which lies at `path` in the dataset's folder."""
        return {
            "sha256": self.sha256,
            "kind": self.kind,
            "size": self.size,
            "special_ids": dict(self.special_ids),
            "path": path,
        }


def load(dataset_uri: str, made: Manifest | None = None) -> Tokenizer:
    """The tokenizer of a vocabulary or tokens dataset, by `facts["tokenizer"]` of its manifest.

    Raises TokenizerError, with the file, when it is missing or is not the one of the manifest.
    """
    made = made or manifest.read(dataset_uri)
    facts = made.facts.get("tokenizer")
    if facts is None:
        raise TokenizerError(
            f"{dataset_uri}: the manifest of {made.dataset} names no tokenizer; name a vocabulary or tokens dataset"
        )
    tokenizer = load_file(files.join(dataset_uri, facts["path"]), facts["kind"], facts["sha256"])
    for name in ("size", "special_ids"):
        if facts[name] != tokenizer.facts("")[name]:
            raise TokenizerError(
                f"{dataset_uri}: the manifest's facts.tokenizer.{name} is not that of {facts['path']}; build it again"
            )
    return tokenizer


def load_file(uri: str, kind: Kind, sha256: str | None = None) -> Tokenizer:
    """The tokenizer in a .model file, which must have this sha256 (hex) if one is given."""
    try:
        with files.reading(uri) as stream:
            model = stream.read()
    except FileNotFoundError:
        raise TokenizerError(f"{uri}: the tokenizer is missing; build the dataset again") from None
    found = hashlib.sha256(model).hexdigest()
    if sha256 is not None and found != sha256:
        raise TokenizerError(
            f"{uri}: this is another tokenizer than the manifest's (sha256 {found[:12]}…, expected {sha256[:12]}…);"
            " put the right file back, or build the dataset again"
        )
    try:
        return from_bytes(model, kind)
    except RuntimeError as error:
        raise TokenizerError(f"{uri}: not a SentencePiece model: {error}") from error


def from_bytes(model: bytes, kind: Kind) -> Tokenizer:
    """The tokenizer of a serialised SentencePiece model."""
    processor: Any = sentencepiece.SentencePieceProcessor(model_proto=model)
    size = int(processor.get_piece_size())
    special = [i for i in range(size) if processor.is_control(i) or processor.is_unknown(i)]
    newline = int(processor.piece_to_id(NEWLINE))
    return Tokenizer(
        model=model,
        kind=kind,
        sha256=hashlib.sha256(model).hexdigest(),
        processor=processor,
        size=size,
        special_ids={str(processor.id_to_piece(i)): i for i in special},
        newline_id=newline if processor.id_to_piece(newline) == NEWLINE else None,
    )


def pieces(tokenizer: Tokenizer) -> pa.Table:
    """One row a piece, in the order of the ids: `piece`, `kind`, `utf8_bytes`, `word_start`.

    `kind` is "special", "byte" or "text". `utf8_bytes` counts the bytes of text that the piece stands for (the "▁"
    that SentencePiece puts before a line included, special pieces 0). `word_start`: whether a word begins with this
    piece: it begins with "▁", with punctuation, or with a character of a script that is written without spaces, or is
    a newline. Byte pieces begin no word, so that the bytes of one character stay together.
    """
    processor = tokenizer.processor
    names = [str(processor.id_to_piece(i)) for i in range(tokenizer.size)]
    special = set(tokenizer.special_ids.values())
    kinds = ["special" if i in special else "byte" if processor.is_byte(i) else "text" for i in range(tokenizer.size)]
    sizes = [
        len(name.replace(SPACE_MARK, " ").encode()) if kind == "text" else int(kind == "byte")
        for name, kind in zip(names, kinds, strict=True)
    ]
    starts = [kind == "text" and _starts_word(name) for name, kind in zip(names, kinds, strict=True)]
    return pa.table({"piece": names, "kind": kinds, "utf8_bytes": pa.array(sizes, pa.uint16()), "word_start": starts})


def _starts_word(piece: str) -> bool:
    first = piece[0]
    if first in (SPACE_MARK, NEWLINE) or unicodedata.category(first).startswith("P"):
        return True
    return unicodedata.name(first, "").startswith(_UNSPACED_SCRIPTS)
