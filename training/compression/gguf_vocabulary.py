"""A tokenizer in GGUF's keys, as llama.cpp reads them (its conversion/*.py, src/llama-vocab.cpp).

    SentencePiece BPE        llama   pieces, scores, types
    SentencePiece unigram    t5      the same, and the normaliser's table
    WordPiece                bert    "▁geese" for "geese", "ese" for "##ese"; llama.cpp always lower-cases and removes accents
    byte-level BPE           gpt2    pieces, merges; GPT-2's rule for words

Limits: other tokenizers are refused (a vocabulary of characters, a BPE with a normaliser, another rule for words).
"""

from collections.abc import Mapping
from typing import Any

from pipelines.contract.tokenizers import json_file, sentencepiece_proto
from pipelines.contract.tokenizers.families import Family, specials
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.spelling import CONTINUED, SPACE_MARK
from training.convert.export import ExportError

_NORMAL, _CONTROL, _UNUSED = 1, 3, 5  # gguf.TokenType, which are SentencePiece's


def add_vocabulary(writer: Any, tokenizer: Tokenizer, family: Family, where: str) -> None:
    """Write pieces, normaliser and special ids. Raises ExportError for a tokenizer that llama.cpp has not, SpecialsError."""
    if tokenizer.library == "sentencepiece" and tokenizer.kind in ("bpe", "unigram"):
        _sentencepiece(writer, tokenizer, where)
    elif tokenizer.kind == "wordpiece":
        _pieces(writer, "bert", [_phantom(name, kind) for name, kind in _by_id(tokenizer)], tokenizer)
    elif tokenizer.kind == "byte_bpe":
        _byte_bpe(writer, tokenizer, where)
    else:
        raise ExportError(
            f"{where}: llama.cpp has no {tokenizer.kind} tokenizer of {tokenizer.library}; it has SentencePiece's BPE and "
            "unigram, WordPiece and byte-level BPE"
        )
    _special_ids(writer, tokenizer, family, where)


def _sentencepiece(writer: Any, tokenizer: Tokenizer, where: str) -> None:
    spec = sentencepiece_proto.normalizer(tokenizer.model)
    if tokenizer.kind == "bpe" and spec.charsmap:
        raise ExportError(
            f"{where}: llama.cpp has no normaliser for a SentencePiece BPE; use a vocabulary of normalizer = identity"
        )
    pieces = list(sentencepiece_proto.model_pieces(tokenizer.model))
    writer.add_tokenizer_model("llama" if tokenizer.kind == "bpe" else "t5")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([piece.text for piece in pieces])
    writer.add_token_scores([piece.score for piece in pieces])
    writer.add_token_types([piece.type for piece in pieces])
    writer.add_add_space_prefix(spec.adds_prefix)
    writer.add_remove_extra_whitespaces(spec.removes_spaces)
    if spec.charsmap:
        writer.add_precompiled_charsmap(spec.charsmap)


def _byte_bpe(writer: Any, tokenizer: Tokenizer, where: str) -> None:
    data = json_file.parsed(tokenizer.model)
    rule: Mapping[str, Any] = data.get("pre_tokenizer") or {}
    if rule.get("type") != "ByteLevel" or not rule.get("use_regex", True) or data.get("normalizer"):
        raise ExportError(
            f"{where}: its tokenizer splits words by another rule than GPT-2's, for which llama.cpp has no name here"
        )
    _pieces(writer, "gpt2", [name for name, _ in _by_id(tokenizer)], tokenizer)
    merges: list[str | list[str]] = data["model"]["merges"]
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair) for pair in merges])
    writer.add_add_space_prefix(bool(rule.get("add_prefix_space")))


def _by_id(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    """Return name and kind of each piece; an id without a piece gets a name, as llama.cpp wants all to differ."""
    found = zip(tokenizer.piece_names(), tokenizer.piece_kinds(), strict=True)
    return [(name or f"[PAD{number}]", kind) for number, (name, kind) in enumerate(found)]


def _phantom(name: str, kind: str) -> str:
    """Return a WordPiece in llama.cpp's spelling, which marks the beginning of a word, not its continuation."""
    if kind in ("special", "unused"):
        return name
    return name.removeprefix(CONTINUED) if name.startswith(CONTINUED) else SPACE_MARK + name


def _pieces(writer: Any, model: str, names: list[str], tokenizer: Tokenizer) -> None:
    types = {"special": _CONTROL, "unused": _UNUSED}
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre("gpt-2" if model == "gpt2" else "default")
    writer.add_token_list(names)
    writer.add_token_types([types.get(kind, _NORMAL) for kind in tokenizer.piece_kinds()])


def _special_ids(writer: Any, tokenizer: Tokenizer, family: Family, where: str) -> None:
    """Write the ids of special pieces, and which of them frame a text (for GPT none)."""
    ids = specials(family, tokenizer.special_ids, where)
    begins = ids.end if family == "gpt" else ids.begin
    if begins is not None:
        writer.add_bos_token_id(begins)
    writer.add_eos_token_id(ids.end)
    writer.add_pad_token_id(ids.pad)
    if tokenizer.unknown_id is not None:
        writer.add_unk_token_id(tokenizer.unknown_id)
    if ids.mask is not None:
        writer.add_mask_token_id(ids.mask)
    if family == "bert":
        writer.add_sep_token_id(ids.end)
    writer.add_add_bos_token(family == "bert")
    writer.add_add_eos_token(family != "gpt")
