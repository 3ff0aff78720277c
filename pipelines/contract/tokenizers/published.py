"""Tokenizers of other projects, loaded from their published files.

    a .model                  SentencePiece's: T5's, Llama's, XLM-R's
    a tokenizer.json          of the library tokenizers
    a vocab.txt               BERT's WordPiece
    vocab.json, merges.txt    the byte-level BPE of GPT-2, BART, RoBERTa, by their folder
    encoder.json, vocab.bpe   the same files under OpenAI's names
    a folder                  with one of these; the first in this list if there are several

If a vocabulary lacks special pieces of a family (T5's file has no sentinels), they are added after its last piece in the
order of `families.py`: T5's get the ids that Hugging Face gives them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import tokenizers
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers

from pipelines.contract import files
from pipelines.contract.tokenizers import json_file as tokenizer_json
from pipelines.contract.tokenizers import sentencepiece_proto
from pipelines.contract.tokenizers.families import FAMILIES, Family
from pipelines.contract.tokenizers.loading import Kind, Tokenizer, TokenizerError, from_bytes

_MODELS = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model")
_JSON, _VOCAB_TXT, _CONFIG = "tokenizer.json", "vocab.txt", "tokenizer_config.json"
_MERGES = {"vocab.json": "merges.txt", "encoder.json": "vocab.bpe"}  # beside the pieces: Hugging Face's names, OpenAI's
_KNOWN = "a SentencePiece .model, a tokenizer.json, BERT's vocab.txt, or the folder of vocab.json and merges.txt"
_SWITCHES = ("do_lower_case", "tokenize_chinese_chars", "strip_accents", "add_prefix_space")  # of the config, read here
_UNKNOWN = ("[UNK]", "<unk>")  # how families spell the unknown piece


def load_existing(
    path: str, families: Sequence[Family] = (), control_pieces: Sequence[str] = (), *, lower_case: bool | None = None
) -> Tokenizer:
    """Return the tokenizer at a path or URI (the module lists the kinds of files). No text yields a special id.

    Missing special pieces of `families` and `control_pieces` are added after the last piece. For BERT's vocab.txt,
    case is decided by `do_lower_case` in the tokenizer_config.json beside it, else by `lower_case`, else by whether a piece has
    a capital letter.

    Raise TokenizerError, which names the file and the fix, if a file is missing or cannot be read.
    """
    file = _file(path)
    required = _required_pieces(families, control_pieces)
    if file.endswith(".model"):
        return _sentencepiece(file, required)
    name = file.rsplit("/", 1)[-1]
    try:
        if name in _MERGES:
            model = _byte_bpe(file)
        elif name.endswith(".txt"):
            model = _wordpiece(file, lower_case)
        elif name.endswith(".json"):
            model = _text(file)
        else:
            raise TokenizerError(f"{path}: a file of an unknown kind; give {_KNOWN}")
        data = tokenizer_json.parsed(model.encode())
        kind = tokenizer_json.kind_of(data)
        content = tokenizer_json.with_special_pieces(data, required) if required else None
    except tokenizer_json.JsonError as error:
        raise TokenizerError(f"{file}: {error}") from error
    return from_bytes((model if content is None else content).encode(), kind, "tokenizers", file)


def _file(path: str) -> str:
    """Return the tokenizer's file: the path itself, or the first known file in the folder."""
    name = path.rstrip("/").rsplit("/", 1)[-1]
    for pieces, merges in _MERGES.items():
        if name == merges:
            return files.join(path.rstrip("/").removesuffix(merges), pieces)
    for known in (*_MODELS, _JSON, *_MERGES, _VOCAB_TXT):
        if files.exists(files.join(path, known)):
            return files.join(path, known)
    if not files.exists(path):
        raise TokenizerError(f"{path}: there is no such file or folder; give {_KNOWN}")
    if name.endswith((".model", ".json", ".txt")):
        return path
    raise TokenizerError(f"{path}: no tokenizer is known by this name or is in this folder; give {_KNOWN}")


def _required_pieces(families: Iterable[Family], control_pieces: Iterable[str]) -> list[str]:
    """Return the required special pieces, without the unknown piece, which may have any name."""
    pieces = [piece for family in families for piece in (*FAMILIES[family].pieces, *FAMILIES[family].last)]
    return [piece for piece in dict.fromkeys([*pieces, *control_pieces]) if piece not in _UNKNOWN]


def _sentencepiece(file: str, required: Sequence[str]) -> Tokenizer:
    model = _bytes(file)
    try:
        kind = sentencepiece_proto.model_type(model)
    except sentencepiece_proto.ProtoError as error:
        raise TokenizerError(f"{file}: not a SentencePiece model: {error}") from error
    if kind not in ("bpe", "unigram", "char"):
        raise TokenizerError(f"{file}: a SentencePiece model of the kind {kind}; this program knows bpe, unigram and char")
    tokenizer = from_bytes(model, cast(Kind, kind), where=file)
    missing = [piece for piece in required if piece not in tokenizer.special_ids]
    text = set(tokenizer.piece_names()) & set(missing)
    if text:
        raise TokenizerError(f"{file}: {min(text)!r} is a piece of text in it, so it cannot be a special piece; use another name")
    if not missing:
        return tokenizer
    return from_bytes(sentencepiece_proto.with_control_pieces(model, missing), cast(Kind, kind), where=file)


def _wordpiece(file: str, lower_case: bool | None) -> str:
    """Return BERT's tokenizer.json, made from its vocab.txt (one piece per line)."""
    lines = [line.rstrip("\r\n") for line in _text(file).removesuffix("\n").split("\n")]
    vocab = {line: i for i, line in enumerate(lines)}
    if len(vocab) != len(lines):
        first = next(i for i, line in enumerate(lines) if vocab[line] != i)
        raise TokenizerError(
            f"{file}: lines {first + 1} and {vocab[lines[first]] + 1} are the same piece {lines[first]!r}; remove one and"
            " train again, or give the vocabulary as it was published"
        )
    if "[UNK]" not in vocab:
        raise TokenizerError(f"{file}: it has no piece [UNK], so it is not BERT's WordPiece; give {_KNOWN}")
    config = _config(file)
    lower = config.get("do_lower_case", lower_case)
    made: Any = tokenizers.Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=config.get("tokenize_chinese_chars", True),
        strip_accents=config.get("strip_accents"),
        lowercase=not _has_capitals(lines) if lower is None else lower,
    )
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece(prefix="##")
    return _with_specials(made, [piece for piece in FAMILIES["bert"].pieces if piece in vocab])


def _has_capitals(pieces: Iterable[str]) -> bool:
    """Return whether lower-casing would change a piece, apart from names such as [CLS], [unused1] and <S>."""
    plain = (piece for piece in pieces if piece[:1] + piece[-1:] not in ("[]", "<>"))
    return any(character.isupper() and character.lower() != character for piece in plain for character in piece)


def _byte_bpe(file: str) -> str:
    """Return GPT-2's or BART's tokenizer.json, made from vocab.json and merges.txt (or OpenAI's names for both)."""
    vocab = _json(file)
    folder, _, name = file.rpartition("/")
    merges_file = files.join(folder or ".", _MERGES[name])
    if not all(isinstance(i, int) for i in vocab.values()):
        raise TokenizerError(f"{file}: not a vocabulary: it should give an id for every piece; give GPT-2's or BART's vocab.json")
    merges = _merges(merges_file)
    try:
        model = models.BPE(vocab, merges, continuing_subword_prefix="", end_of_word_suffix="", fuse_unk=False)
    except Exception as error:  # the library raises Exception itself
        raise TokenizerError(
            f"{merges_file}: it does not belong to {file}: {error}; put both files of one model there"
        ) from error
    made: Any = tokenizers.Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=_config(file).get("add_prefix_space", False))
    made.decoder = decoders.ByteLevel()
    merged = {a + b for a, b in merges}
    names = dict.fromkeys(piece for family in FAMILIES.values() for piece in (*family.pieces, *family.last))
    return _with_specials(made, [piece for piece in names if piece in vocab and piece not in merged])


def _merges(file: str) -> list[tuple[str, str]]:
    """Return the pairs of a merges.txt, whose first line may be a comment ("#version: 0.2")."""
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(_text(file).split("\n"), 1):
        parts = line.rstrip("\r").split(" ")
        if line.startswith("#version") or parts == [""]:
            continue
        if len(parts) != 2:
            raise TokenizerError(f"{file}: line {number} is not two pieces with a space between; give the file as published")
        merges.append((parts[0], parts[1]))
    return merges


def _with_specials(made: Any, pieces: Iterable[str]) -> str:
    vocab = made.get_vocab()
    made.add_special_tokens(
        [AddedToken(piece, special=True, normalized=False) for piece in sorted(pieces, key=vocab.__getitem__)]
    )
    return str(made.to_str())


def _config(file: str) -> Mapping[str, Any]:
    """Return the tokenizer_config.json beside a file; empty if there is none."""
    path = files.join(file.rsplit("/", 1)[0] if "/" in file else ".", _CONFIG)
    config = _json(path) if files.exists(path) else {}
    for name in _SWITCHES:
        if not isinstance(config.get(name), bool | None):
            raise TokenizerError(f"{path}: {name} is {config[name]!r}; it must be true or false")
    return {name: value for name, value in config.items() if value is not None}


def _json(file: str) -> dict[str, Any]:
    try:
        data = json.loads(_text(file))
    except (json.JSONDecodeError, RecursionError) as error:
        raise TokenizerError(f"{file}: not JSON: {error}; give the file as it was published") from error
    if not isinstance(data, dict):
        raise TokenizerError(f"{file}: not a JSON object; give the file as it was published")
    return cast(dict[str, Any], data)


def _text(file: str) -> str:
    try:
        return _bytes(file).decode()
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{file}: not UTF-8 at byte {error.start}; give the file as it was published") from error


def _bytes(file: str) -> bytes:
    try:
        with files.reading(file) as stream:
            return stream.read()
    except FileNotFoundError:
        raise TokenizerError(f"{file}: there is no such file; give {_KNOWN}") from None
