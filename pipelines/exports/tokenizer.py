r"""Export a tokenizer to Hugging Face: a folder for `transformers.AutoTokenizer.from_pretrained`.

    tokenizer.json           for the library tokenizers: everything that turns texts into ids
    tokenizer_config.json    the roles of the special pieces
    tokenizer.model          SentencePiece's model, if it is one: this program imports it, so that nothing changes on the way

Apart from special pieces (`add_special_tokens=False`) a text gets the same ids as here. SentencePiece's steps in the
library's terms:

    "to be\n\n or"  normaliser     "▁" before every line that is not empty, "▁" for " "  "▁to▁be\n\n▁▁or"
                    pre-tokenizer  split at "\n" and before every "▁"                      "▁to" "▁be" "\n" "\n" "▁" "▁or"
                    model          BPE: every pair of pieces that joins to a piece, by the piece's score; or Unigram;
                                   bytes for characters that are not pieces

Where Hugging Face's rules differ:
- A special piece spelled out in a text becomes its id (users mask by writing "[MASK]"), and the text after it starts with
  a "▁" again. So white space around masks and sentinels is removed: "a <mask> c" is "▁a", <mask>, "▁c", as in
  training. With `split_special_tokens=True` it is text, as here.
- Unigram's scores are added in float64, SentencePiece's in float32: where two segmentations of a word are equally good ("...." as
  "..." "." or "." "..."), they may choose differently.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from pipelines.contract import files
from pipelines.contract.tokenizers import json_file as tokenizer_json
from pipelines.contract.tokenizers import sentencepiece_proto
from pipelines.contract.tokenizers.families import FAMILIES, Family, specials, spelled_as
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.masks import mask_names, mask_spaces
from pipelines.contract.tokenizers.sentencepiece_proto import NORMAL, USER_DEFINED
from pipelines.contract.tokenizers.spelling import NEWLINE, SPACE_MARK

_ROLES: dict[Family, dict[str, str]] = {  # field of FamilyPieces -> Hugging Face's name of the role
    "bert": {"pad": "pad_token", "begin": "cls_token", "end": "sep_token", "mask": "mask_token"},
    "gpt": {"pad": "pad_token", "begin": "bos_token", "end": "eos_token"},
    "bart": {"pad": "pad_token", "begin": "bos_token", "end": "eos_token", "mask": "mask_token"},
    "t5": {"pad": "pad_token", "end": "eos_token"},
}
_TEMPLATES: dict[Family, tuple[str, str]] = {  # for one text and for a pair; the number is the segment
    "bert": ("[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1"),
    "gpt": ("$A:0", "$A:0 $B:0"),
    "bart": ("<s>:0 $A:0 </s>:0", "<s>:0 $A:0 </s>:0 </s>:0 $B:0 </s>:0"),
    "t5": ("$A:0 </s>:0", "$A:0 </s>:0 $B:0 </s>:0"),
}


def export_huggingface(tokenizer: Tokenizer, folder: str, family: Family | None = None) -> None:
    r"""Write the folder (a path or URI); a family's special pieces get their roles and are added around texts.

    Without a family no special pieces are added, and only the unknown piece has a role.

    Raise SpecialsError if the vocabulary lacks the family's pieces, TokenizerError for a SentencePiece model that the library
    tokenizers cannot represent (user-defined pieces, or a normaliser together with the piece "\n").
    """
    if family is not None:
        specials(family, tokenizer.special_ids, "the tokenizer")
        family = spelled_as(family, tokenizer.special_ids)
    data = _from_json(tokenizer) if tokenizer.library == "tokenizers" else _from_sentencepiece(tokenizer)
    masks = {} if tokenizer.kind == "wordpiece" else mask_spaces(tokenizer, family)
    data["added_tokens"] = [_with_spaces(token, masks) for token in data["added_tokens"]]
    if family is not None:
        data["post_processor"] = _template(tokenizer, family)
    config = _config(tokenizer, family, {token["content"]: token for token in data["added_tokens"]})
    if tokenizer.library == "sentencepiece":
        with files.writing(files.join(folder, tokenizer.file_name)) as stream:
            stream.write(tokenizer.model)
    files.write_text(files.join(folder, "tokenizer.json"), json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    files.write_text(files.join(folder, "tokenizer_config.json"), json.dumps(config, ensure_ascii=False, indent=2) + "\n")


def _with_spaces(token: dict[str, Any], masks: Mapping[str, tuple[bool, bool]]) -> dict[str, Any]:
    """Return an added token; a mask with the white space that belongs to it."""
    before, after = masks.get(token["content"], (token.get("lstrip", False), token.get("rstrip", False)))
    return {**token, "lstrip": before, "rstrip": after}


def _config(tokenizer: Tokenizer, family: Family | None, added: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the content of tokenizer_config.json; its class takes tokenizer.json unchanged."""
    roles: dict[str, Any] = {}
    if tokenizer.unknown_id is not None:
        roles["unk_token"] = next(piece for piece, i in tokenizer.special_ids.items() if i == tokenizer.unknown_id)
    if family is not None:
        roles |= {theirs: getattr(FAMILIES[family], ours) for ours, theirs in _ROLES[family].items()}
    if family == "bart":
        roles |= {"cls_token": FAMILIES["bart"].begin, "sep_token": FAMILIES["bart"].end}
    roles = {role: _added(added[piece]) for role, piece in roles.items()}
    if family == "t5":
        names = sorted(mask_names("t5", tokenizer.special_ids), key=lambda name: -tokenizer.special_ids[name])
        roles["additional_special_tokens"] = [_added(added[name]) for name in names]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", *(["token_type_ids"] if family == "bert" else []), "attention_mask"],
        "clean_up_tokenization_spaces": False,
        **roles,
    }


def _added(token: dict[str, Any]) -> dict[str, Any]:
    return {"__type": "AddedToken", **{name: value for name, value in token.items() if name != "id"}}


def _template(tokenizer: Tokenizer, family: Family) -> dict[str, Any]:
    """Return the post-processor: the library's TemplateProcessing in JSON."""
    names = [name for name in (FAMILIES[family].begin, FAMILIES[family].end) if name is not None]
    single, pair = ([_template_part(part) for part in template.split(" ")] for template in _TEMPLATES[family])
    used = {part["SpecialToken"]["id"] for part in single if "SpecialToken" in part}
    tokens = {name: {"id": name, "ids": [tokenizer.special_ids[name]], "tokens": [name]} for name in sorted(set(names) & used)}
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def _template_part(part: str) -> dict[str, Any]:
    name, segment = part.split(":")
    return {"Sequence" if name[0] == "$" else "SpecialToken": {"id": name.removeprefix("$"), "type_id": int(segment)}}


def _from_json(tokenizer: Tokenizer) -> dict[str, Any]:
    data = tokenizer_json.parsed(tokenizer.model)
    return {**data, "added_tokens": data.get("added_tokens") or [], "truncation": None, "padding": None, "post_processor": None}


def _from_sentencepiece(tokenizer: Tokenizer) -> dict[str, Any]:
    spec = sentencepiece_proto.normalizer(tokenizer.model)
    names, types = tokenizer.piece_names(), [piece.type for piece in sentencepiece_proto.model_pieces(tokenizer.model)]
    own = [name for name, kind in zip(names, types, strict=True) if kind == USER_DEFINED and name != NEWLINE]
    if own:
        raise TokenizerError(
            f"the model has user-defined pieces ({own[0]!r}), at which the library tokenizers splits texts differently"
        )
    if tokenizer.newline_id is not None and (spec.charsmap or spec.removes_spaces):
        raise TokenizerError(
            "the model has the piece \\n and a normaliser; train it with normalizer = identity, or without the piece"
        )
    reaches_over = any(SPACE_MARK in name[1:] for name, kind in zip(names, types, strict=True) if kind == NORMAL)
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_special(piece, i) for piece, i in tokenizer.special_ids.items()],
        "normalizer": _normalizer(spec, tokenizer.newline_id is not None),
        "pre_tokenizer": _pre_tokenizer(tokenizer.newline_id is not None, not reaches_over),
        "post_processor": None,
        "decoder": _decoder(spec, tokenizer.newline_id is not None),
        "model": _bpe(tokenizer, names, types) if tokenizer.kind == "bpe" else _unigram(tokenizer, names, types),
    }


def _special(piece: str, i: int) -> dict[str, Any]:
    return {
        "id": i, "content": piece, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True,
    }  # fmt: skip


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _normalizer(spec: sentencepiece_proto.NormalizerSpec, by_lines: bool) -> dict[str, Any]:
    stages: list[dict[str, Any]] = []
    if spec.charsmap:  # the library applies it per grapheme and misses compositions within longer ones, so NFC comes first
        stages.append({"type": "NFC"})
        stages.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(spec.charsmap).decode()})
    if spec.removes_spaces:
        stages += [_replace({"Regex": r"\A +| +\z"}, ""), _replace({"Regex": " {2,}"}, " ")]
    if spec.adds_prefix:
        stages.append({"type": "Prepend", "prepend": SPACE_MARK})
        if by_lines:  # no "▁" before an empty first line; one before every other non-empty line
            stages.append(_replace({"Regex": rf"\A{SPACE_MARK}\n"}, NEWLINE))
            stages.append(_replace({"Regex": r"\n(?=[^\n])"}, NEWLINE + SPACE_MARK))
    return {"type": "Sequence", "normalizers": [*stages, _replace({"String": " "}, SPACE_MARK)]}


def _pre_tokenizer(by_lines: bool, by_words: bool) -> dict[str, Any] | None:
    cuts = ([(NEWLINE, "Isolated")] if by_lines else []) + ([(SPACE_MARK, "MergedWithNext")] if by_words else [])
    splits = [
        {"type": "Split", "pattern": {"String": pattern}, "behavior": behavior, "invert": False} for pattern, behavior in cuts
    ]
    return {"type": "Sequence", "pretokenizers": splits} if splits else None


def _decoder(spec: sentencepiece_proto.NormalizerSpec, by_lines: bool) -> dict[str, Any]:
    """Return the decoder: bytes to characters, "▁" to spaces, without the one before a line."""
    stages: list[dict[str, Any]] = [_replace({"String": SPACE_MARK}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    if spec.removes_spaces:
        stages.append(_replace({"Regex": r"\A +"}, ""))
    elif spec.adds_prefix:
        stages.append(_replace({"Regex": r"\A |(?<=\n) " if by_lines else r"\A "}, ""))
    return {"type": "Sequence", "decoders": stages}


def _bpe(tokenizer: Tokenizer, names: list[str], types: list[int]) -> dict[str, Any]:
    normal = {name: i for i, (name, kind) in enumerate(zip(names, types, strict=True)) if kind == NORMAL}
    scores = {name: float(tokenizer.processor.get_score(i)) for name, i in normal.items()}
    merges = [
        (-scores[name], cut, name[:cut], name[cut:])
        for name in normal
        for cut in range(1, len(name))
        if name[:cut] in normal and name[cut:] in normal
    ]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": names[tokenizer.unknown_id or 0],
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": "byte" in tokenizer.piece_kinds(),
        "ignore_merges": False,
        "vocab": {name: i for i, name in enumerate(names)},
        "merges": [[left, right] for _, _, left, right in sorted(merges)],
    }


def _unigram(tokenizer: Tokenizer, names: list[str], types: list[int]) -> dict[str, Any]:
    """Return the model; pieces that no text may spell ("<0x41>", "</s>") get a score so low that no path through them wins.

    The library derives the unknown character's score from the lowest one, so it falls too. That changes nothing if every
    character of a piece is itself a piece, as SentencePiece's trainer ensures.
    """
    alike = tokenizer.kind == "char"  # only one segmentation exists, and a character that never occurred has the score -inf
    scores = [-1.0 if alike else float(tokenizer.processor.get_score(i)) for i in range(tokenizer.size)]
    never = 1000 * min([score for score, kind in zip(scores, types, strict=True) if kind == NORMAL], default=-1.0)
    spelled = (NORMAL, USER_DEFINED)
    vocab = [[name, score if kind in spelled else never] for name, score, kind in zip(names, scores, types, strict=True)]
    byte_fallback = "byte" in tokenizer.piece_kinds()
    return {"type": "Unigram", "unk_id": tokenizer.unknown_id, "vocab": vocab, "byte_fallback": byte_fallback}
