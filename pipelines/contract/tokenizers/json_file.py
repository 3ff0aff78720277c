"""Build tokenizers of the library `tokenizers` from their tokenizer.json, so that no text yields special ids.

The library recognises special pieces in any text ("[MASK]" becomes the mask's id), and its post-processors add more. To
prevent both, a tokenizer is built without post-processor, truncation and padding, and its special pieces get names that no
text contains. The file does not change.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import tokenizers
from numpy.typing import NDArray

from pipelines.contract.tokenizers.spelling import byte_of_character

# A noncharacter (Unicode 23.7) around the names of special pieces; in texts it is replaced by _OTHER.
_HIDDEN = "\U0010ffff"
_OTHER = "\U0010fffe"  # another noncharacter

_EXACT = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}  # how a special piece is matched

_Kind = Literal["bpe", "unigram", "wordpiece", "byte_bpe"]


class JsonError(ValueError):
    """A tokenizer.json that cannot be used; the message has the reason and the fix, but not the file's name."""


@dataclass(frozen=True, slots=True)
class Made:
    """A tokenizer.json as this program uses it."""

    processor: Any  # tokenizers.Tokenizer
    kind: _Kind
    size: int
    special_ids: dict[str, int]
    unknown_id: int | None
    keeps_text: bool
    mask_spaces: dict[str, tuple[bool, bool]]


def read(model: bytes) -> Made:
    """Return the tokenizer of a tokenizer.json. Raise JsonError if it cannot be used."""
    data = parsed(model)
    special_ids = special_pieces(data)
    processor = _build(_hide_special_pieces(data, special_ids))
    ids = processor.get_vocab(with_added_tokens=True).values()
    if len(set(ids)) != len(ids):
        raise JsonError("two pieces have the same id; export the tokenizer again")
    kind = kind_of(data)
    size = max(ids, default=-1) + 1
    if size == 0:
        raise JsonError("its vocabulary is empty; export the tokenizer again")
    return Made(
        processor,
        kind,
        size,
        special_ids,
        unknown_id=special_ids.get(unknown_piece(data) or ""),
        keeps_text=_keeps_text(data, kind, processor),
        mask_spaces=_spaces_of_pieces(data),
    )


def parsed(model: bytes) -> dict[str, Any]:
    """Return the JSON of a tokenizer. Raise JsonError if it is not a tokenizer's."""
    try:
        data = json.loads(model)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not a tokenizer.json: {error}; give the file that the library tokenizers saves") from error
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict) or "vocab" not in data["model"]:
        raise JsonError('not a tokenizer.json: it has no "model" with a "vocab"; give the file that the library tokenizers saves')
    for place, is_sound in _PLACES.items():
        if not is_sound(data):
            raise JsonError(f"not a tokenizer.json: its {place} is none; give the file that the library tokenizers saves")
    return data


def _vocabulary_is_sound(data: Mapping[str, Any]) -> bool:
    vocab = data["model"]["vocab"]
    if isinstance(vocab, dict):
        return all(type(i) is int and i >= 0 for i in vocab.values())
    pairs = vocab if isinstance(vocab, list) else [None]
    return all(isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in pairs)


def _unknown_piece_is_sound(data: Mapping[str, Any]) -> bool:
    vocab, piece, i = data["model"]["vocab"], data["model"].get("unk_token"), data["model"].get("unk_id")
    if isinstance(vocab, list):
        return i is None or (type(i) is int and 0 <= i < len(vocab))
    return piece is None or isinstance(piece, str)


def _added_tokens_are_sound(data: Mapping[str, Any]) -> bool:
    added = data.get("added_tokens") or []
    return isinstance(added, list) and all(
        isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int for token in added
    )


def _stages_are_sound(data: Mapping[str, Any]) -> bool:
    return all(data.get(stage) is None or isinstance(data[stage], dict) for stage in ("normalizer", "pre_tokenizer"))


_PLACES = {  # what this module reads, by its name in messages; the library checks the rest
    "model's type": lambda data: isinstance(data["model"].get("type"), str | None),
    "vocabulary (model.vocab)": _vocabulary_is_sound,
    "unknown piece (model.unk_token or unk_id)": _unknown_piece_is_sound,
    "list of added_tokens": _added_tokens_are_sound,
    "normalizer or pre_tokenizer": _stages_are_sound,
}


def kind_of(data: Mapping[str, Any]) -> _Kind:
    """Return the kind of tokenizer in a tokenizer.json. Raise JsonError for an unknown kind."""
    model = data["model"]
    name = model.get("type") or ("Unigram" if isinstance(model["vocab"], list) else "BPE" if "merges" in model else "WordPiece")
    if name == "BPE":
        return "byte_bpe" if _stage(data, "pre_tokenizer", "ByteLevel") else "bpe"
    kinds: dict[str, _Kind] = {"Unigram": "unigram", "WordPiece": "wordpiece"}
    if name not in kinds:
        raise JsonError(f"its model is of type {name}; this program knows BPE, Unigram and WordPiece")
    return kinds[name]


def special_pieces(data: Mapping[str, Any]) -> dict[str, int]:
    """Return the ids of the special pieces and the unknown piece, in ascending order."""
    ids_by_piece = {str(token["content"]): int(token["id"]) for token in _special(data)}
    unknown, vocab = unknown_piece(data), data["model"]["vocab"]
    if unknown is not None:
        ids_by_piece[unknown] = data["model"]["unk_id"] if isinstance(vocab, list) else vocab[unknown]
    return dict(sorted(ids_by_piece.items(), key=lambda item: item[1]))


def with_special_pieces(data: Mapping[str, Any], pieces: Sequence[str]) -> str | None:
    """Return the JSON with the missing special pieces added after its last piece, or None if none is missing.

    A piece that is in the vocabulary but not marked as special keeps its id and becomes special, because published tokenizers
    often mark some pieces only in another file.
    """
    vocab = data["model"]["vocab"]
    known = {name: i for i, (name, _) in enumerate(vocab)} if isinstance(vocab, list) else dict(vocab)
    added = list(data.get("added_tokens") or [])
    special = {token["content"] for token in added if token.get("special")}
    missing = [piece for piece in pieces if piece not in special]
    if not missing:
        return None
    last = max([*known.values(), *(token["id"] for token in added)], default=-1)
    kept = [token for token in added if token["content"] not in missing]
    known |= {token["content"]: token["id"] for token in added}
    for piece in missing:
        if piece not in known:
            last = known[piece] = last + 1
        kept.append({"id": known[piece], "content": piece, "special": True, **_EXACT})
    return json.dumps({**data, "added_tokens": sorted(kept, key=lambda token: token["id"])}, ensure_ascii=False)


def unknown_piece(data: Mapping[str, Any]) -> str | None:
    """Return the piece for text that has no pieces, or None."""
    model = data["model"]
    if not isinstance(model["vocab"], list):
        return model.get("unk_token") if model.get("unk_token") in model["vocab"] else None
    return None if model.get("unk_id") is None else str(model["vocab"][model["unk_id"]][0])


def encode(processor: Any, text: str) -> Any:
    """Return the library's Encoding of a text: `ids`, `offsets` (in characters)."""
    return processor.encode(text, add_special_tokens=False)


def encode_with_offsets(processor: Any, text: str) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64]]:
    """Return the ids, and the bytes of the text where each begins and ends; both are made to ascend."""
    encoded = encode(processor, text)
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    sizes = 1 + (codes >= 0x80).astype(np.int64) + (codes >= 0x800) + (codes >= 0x10000)
    byte_at = np.concatenate([[0], np.cumsum(sizes)])
    begins, ends = byte_at[np.asarray(encoded.offsets, np.int64).reshape(-1, 2).T]
    return list(encoded.ids), np.maximum.accumulate(begins), np.maximum.accumulate(ends)


def piece_names(processor: Any, special_ids: Mapping[str, int], size: int) -> list[str]:
    """Return the pieces by id; empty for an id without a piece."""
    names = [""] * size
    for name, i in processor.get_vocab(with_added_tokens=True).items():
        names[i] = name
    for name, i in special_ids.items():
        names[i] = name
    return names


def piece_kinds(processor: Any, kind: str, size: int) -> list[str]:
    """Return by id: "byte", "text" or "unused"; special pieces are not distinguished."""
    kinds = ["unused"] * size
    for name, i in processor.get_vocab(with_added_tokens=True).items():
        kinds[i] = "byte" if kind in ("bpe", "unigram") and _is_byte(name) else "text"
    return kinds


def _is_byte(name: str) -> bool:
    return len(name) == 6 and name.startswith("<0x") and name.endswith(">")


def _hide_special_pieces(data: Mapping[str, Any], special_ids: Mapping[str, int]) -> dict[str, Any]:
    """Return the JSON with hidden names for special pieces, and without post-processor, truncation and padding."""
    names = {name: f"{_HIDDEN}{name}{_HIDDEN}" for name in special_ids}
    model = dict(data["model"])
    if isinstance(model["vocab"], list):
        model["vocab"] = [[names.get(name, name), score] for name, score in model["vocab"]]
    else:
        model["vocab"] = {names.get(name, name): i for name, i in model["vocab"].items()}
    if model.get("unk_token") in names:
        model["unk_token"] = names[model["unk_token"]]
    added = [{**token, "content": names.get(token["content"], token["content"])} for token in data.get("added_tokens") or []]
    hidden = {**data, "model": model, "added_tokens": added, "post_processor": None, "truncation": None, "padding": None}
    return hidden if kind_of(data) == "byte_bpe" else {**hidden, "normalizer": _replace_mark(data.get("normalizer"))}


def _replace_mark(normalizer: Any) -> dict[str, Any]:
    """Return a normaliser that first replaces _HIDDEN. Byte-level models need none: they see it as four bytes."""
    replace = {"type": "Replace", "pattern": {"String": _HIDDEN}, "content": _OTHER}
    return {"type": "Sequence", "normalizers": [replace, *([normalizer] if normalizer else [])]}


def _build(data: Mapping[str, Any]) -> Any:
    try:
        processor: Any = tokenizers.Tokenizer.from_str(json.dumps(data))
    except Exception as error:  # the library raises Exception itself
        raise JsonError(f"the library tokenizers {tokenizers.__version__} cannot read it: {error}") from error
    processor.encode_special_tokens = True
    return processor


def _keeps_text(data: Mapping[str, Any], kind: _Kind, processor: Any) -> bool:
    """Return whether the pieces' bytes are the text: byte-level, no normaliser or prefix, a piece for every byte."""
    level = _stage(data, "pre_tokenizer", "ByteLevel")
    if kind != "byte_bpe" or level is None or level.get("add_prefix_space", True) or data.get("normalizer") is not None:
        return False
    plain = [token for token in data.get("added_tokens") or [] if not token.get("special")]
    if any(token.get("lstrip") or token.get("rstrip") or not token["content"].isascii() for token in plain):
        return False  # such a piece is spelled as text, not in the alphabet of bytes
    vocab = processor.get_vocab(with_added_tokens=True)
    return all(character in vocab for character in byte_of_character())


def _spaces_of_pieces(data: Mapping[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Return the special pieces to which white space before or after them belongs (`lstrip`, `rstrip`)."""
    spaces = {token["content"]: (bool(token.get("lstrip")), bool(token.get("rstrip"))) for token in _special(data)}
    return {piece: sides for piece, sides in spaces.items() if any(sides)}


def _special(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [token for token in data.get("added_tokens") or [] if token.get("special")]


def _stage(data: Mapping[str, Any], field: str, kind: str) -> dict[str, Any] | None:
    """Return the normaliser or pre-tokenizer of this type, alone or in a sequence; None if there is none."""
    stage = data.get(field)
    if stage is None:
        return None
    inner = stage.get("pretokenizers") or stage.get("normalizers") or [stage]
    return next((one for one in inner if one.get("type") == kind), None)
