"""BART in fairseq's files: a pickle of settings and weights, a dictionary, and GPT-2's byte-level BPE.

    model.pt         {"args": Namespace, "model": {name: tensor}, …}, of newer releases {"cfg": {"model": …}, "model": …}
    dict.txt         one line per id, from 4 on: the BPE's id as text and its frequency, "13 850314647"
    encoder.json     the BPE's pieces, by its own ids      (the same file as the vocab.json of GPT-2 at Hugging Face)
    vocab.bpe        its merges                            (the same file as its merges.txt)

The published archives (bart.base.tar.gz, bart.large.tar.gz) hold the first two; fairseq fetches the others from its gpt2_bpe
folder when a model is used.

Ids: the model uses those of the dictionary (<s> <pad> </s> <unk>, its lines, <mask>), not the BPE's. They are kept, so that no
row of the weights moves, and the tokenizer built here maps the BPE's pieces to the dictionary's ids.
For bart.large these are the ids of Hugging Face's tokenizer; for bart.base, whose dictionary has 936 more fillers
("madeupword0003" …) than Hugging Face kept, all are equal except <mask>: 51,200 here, 50,264 there. The fillers stay because they
are in the softmax that the model was trained with.

Left out: classification heads, with a warning. A model that was fine-tuned without <mask> (bart.large.cnn, bart.large.xsum)
gets a row of zeros for it, with a warning: no other logit changes. fairseq counts positions of real tokens only;
Hugging Face and this project count padding, too. Both agree for rows that are padded at the end.
"""

import json
import re
import warnings
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import NoneType
from typing import Any, cast

import torch
from torch import Tensor

from pipelines.contract.tokenizers.families import END_OF_TEXT, FAMILIES
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.published import load_existing
from training.convert import bart
from training.convert.formats import weight_files
from training.convert.rules import Rule, WeightsError, to_ours
from training.models.bart import BART, BARTShape

MODEL, DICTIONARY = "model.pt", "dict.txt"
_PIECES, _MERGES = ("encoder.json", "vocab.json"), ("vocab.bpe", "merges.txt")  # fairseq's names, Hugging Face's
_IGNORED = ("version",)  # buffers with the release that wrote a stack
_HEADS = "classification_heads."
_FILLER = re.compile(r"madeupword\d{4,}")  # pads a dictionary to a multiple of 8
_SPECIAL = (*FAMILIES["bart"].pieces, *FAMILIES["bart"].last)
_TOKENS = "encoder.embed_tokens.weight"
_EXPECTED = {  # BART's settings; if fairseq's lack a field, it is that of `bart_large_architecture`
    "activation_fn": "gelu",
    "encoder_normalize_before": False,
    "decoder_normalize_before": False,
    "encoder_learned_pos": True,
    "decoder_learned_pos": True,
    "no_scale_embedding": True,
    "layernorm_embedding": True,
    "share_all_embeddings": True,
    "adaptive_softmax_cutoff": None,
    "no_token_positional_embeddings": False,
    "no_cross_attention": False,
    "cross_self_attention": False,
}


def load(path: str) -> tuple[BARTShape, dict[str, Tensor], Tokenizer]:
    """Load shape, weights (float32, under our names) and tokenizer from a folder with the files above, or from its .pt file.

    The pickle is read without executing anything: one that needs more than tensors, plain values and argparse.Namespace
    is refused. Raises WeightsError or TokenizerError, with the file, the field, weight or line, and the fix.
    """
    file = _model_file(Path(path))
    settings, weights = _content(file)
    symbols = read_dictionary(file.with_name(DICTIONARY))
    has_mask = _has_mask(symbols, weights, file)
    shape = _shape(settings, weights, file)
    ours = to_ours(_rules(shape), weights, {name: tensor.shape for name, tensor in _empty(shape).items()}, str(file), _IGNORED)
    ours = {name: tensor.float() for name, tensor in ours.items()}
    if not has_mask:
        shape = _with_mask(shape, ours, file)
    tokenizer = _tokenizer([*symbols, *(["<mask>"] if "<mask>" not in symbols else [])], file.parent)
    return shape, ours, tokenizer


def read_dictionary(path: Path) -> list[str]:
    """Return the symbols of a dict.txt by id, including the four that fairseq puts before its lines.

    Raises TokenizerError, with the line, if it is not a dictionary.
    """
    symbols = dict.fromkeys(FAMILIES["bart"].pieces)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise TokenizerError(f"{path}: is missing; put the dictionary of the archive beside its .pt file") from None
    except UnicodeDecodeError as error:
        raise TokenizerError(f"{path}: not UTF-8 at byte {error.start}; unpack the archive again") from error
    for number, line in enumerate(lines, 1):
        symbol, _, count = line.rstrip().rpartition(" ")
        if not symbol or not count.isdigit():
            raise TokenizerError(f"{path}: line {number} is {line[:40]!r}, not a symbol and a count; unpack the archive again")
        if symbol in symbols:
            raise TokenizerError(f"{path}: line {number} has {symbol!r} for the second time; unpack the archive again")
        symbols[symbol] = None
    return list(symbols)


def _model_file(path: Path) -> Path:
    """Return the .pt file of a path."""
    if path.is_dir():
        candidates = sorted(path.glob("*.pt"))
        path = candidates[0] if len(candidates) == 1 else path / MODEL
    if path.suffix != ".pt":
        raise WeightsError(f"{path}: not a .pt file; unpack the archive, and name its folder or the .pt file in it")
    return path


def _content(file: Path) -> tuple[Mapping[str, Any], dict[str, Tensor]]:
    """Return the model's settings, and its weights under fairseq's current names."""
    pickled = weight_files.read_pickle(file, (Namespace,))
    if not isinstance(pickled, dict) or not isinstance(cast(dict[Any, Any], pickled).get("model"), dict):
        raise WeightsError(f'{file}: holds no "model"; give a .pt file as fairseq saves it')
    state = cast(dict[str, Any], pickled)
    configured = state.get("args")
    if configured is None:
        whole = _fields(state.get("cfg"))
        configured = whole.get("model") if whole is not None else None
    settings = _fields(configured)
    if settings is None:
        raise WeightsError(
            f'{file}: holds neither "args" nor "cfg" with the model\'s settings; give a .pt file as fairseq saves it'
        )
    return settings, _todays_weights(cast(dict[Any, Any], state["model"]), file)


def _fields(settings: Any) -> Mapping[str, Any] | None:
    """Return settings by name, only plain values and nested settings; None if these are not settings."""
    values = vars(settings) if isinstance(settings, Namespace) else settings
    if not isinstance(values, dict):
        return None
    plain = (int, float, str, NoneType, Namespace, dict)
    return {name: value for name, value in cast(dict[str, Any], values).items() if isinstance(value, plain)}


def _todays_weights(stored: Mapping[Any, Any], file: Path) -> dict[str, Tensor]:
    """Drop classification heads, and split queries, keys and values that are one weight (before fairseq 0.9)."""
    weights: dict[str, Tensor] = {}
    heads: set[str] = set()
    for name, tensor in stored.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise WeightsError(f'{file}: "model" holds a {type(tensor).__name__} named {name!r}, which is no weight')
        if name.startswith(_HEADS):
            heads.add(name.removeprefix(_HEADS).split(".")[0])
        elif name.endswith((".in_proj_weight", ".in_proj_bias")):
            prefix, kind = name.rsplit(".in_proj_", 1)
            weights.update({f"{prefix}.{part}_proj.{kind}": cut for part, cut in zip("qkv", tensor.chunk(3), strict=False)})
        else:
            weights[name] = tensor
    if heads:
        warnings.warn(f"{file}: its classification heads ({', '.join(sorted(heads))}) are left out", stacklevel=2)
    return weights


def _shape(settings: Mapping[str, Any], weights: Mapping[str, Tensor], file: Path) -> BARTShape:
    """Return the shape in the settings, with the vocabulary size of the weights."""
    for field, expected in _EXPECTED.items():
        if settings.get(field, expected) != expected:
            raise WeightsError(f"{file}: {field} is {settings[field]!r}, BART's is {expected!r}; this is another model")
    width, heads = _number(settings, "encoder_embed_dim", file), _number(settings, "encoder_attention_heads", file)
    length = _number(settings, "max_source_positions", file)
    expected = {
        "decoder_embed_dim": width,
        "decoder_output_dim": width,
        "max_target_positions": length,
    }
    for field, number in expected.items():
        if settings.get(field, number) != number:
            raise WeightsError(
                f"{file}: {field} is {settings[field]!r}; this program knows only {number} beside its other numbers"
            )
    numbers = {f"{stack}_layers": _number(settings, f"{stack}_layers", file) for stack in ("encoder", "decoder")}
    for field, number in numbers.items():
        if number > len(weights):  # before that many are built
            raise WeightsError(f"{file}: {field} is {number}, but there are {len(weights)} weights; it is not whole")
    own: dict[str, Any] = {"encoder_attention_heads": heads, "d_model": width}
    for field in ("decoder_attention_heads", "encoder_ffn_embed_dim", "decoder_ffn_embed_dim"):
        own |= {field: _number(settings, field, file)} if field in settings else {}
    dropout = settings.get("dropout", 0.1)
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        raise WeightsError(f"{file}: dropout is {dropout!r}; it must be a number from 0 to less than 1")
    try:
        return BARTShape(
            **numbers,
            heads=heads,
            width=width,
            vocabulary=weights[_TOKENS].shape[0],
            length=length,
            dropout=float(dropout),
            **bart.decoders_own(own, "ffn_embed_dim"),
        )
    except ValueError as error:
        raise WeightsError(f"{file}: {error}") from error


def _number(settings: Mapping[str, Any], field: str, file: Path) -> int:
    value = settings.get(field)
    if type(value) is not int or not 1 <= value <= 2**24:
        raise WeightsError(f"{file}: its settings have {value!r} as {field}; it must be a whole number from 1 to 2^24")
    return value


def _rules(shape: BARTShape) -> list[Rule]:
    tied = ("decoder.embed_tokens.weight", "decoder.output_projection.weight")
    rules = [Rule("embeddings.tokens.weight", (_TOKENS,), also=tied)]
    for stack, layers in (("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)):
        rules += bart.stack_rules(stack, layers, stack)
    return rules


def _empty(shape: BARTShape) -> dict[str, Tensor]:
    with torch.device("meta"):
        return BART(shape).state_dict()


def _has_mask(symbols: list[str], weights: Mapping[str, Tensor], file: Path) -> bool:
    """Return whether the model has a row for <mask>: in the dictionary, or after it, where the denoising task puts it."""
    if _TOKENS not in weights:
        raise WeightsError(f"{file}: has no weight {_TOKENS}; it is another model, or not whole")
    rows = len(weights[_TOKENS]) if weights[_TOKENS].dim() else 0
    if rows == len(symbols):
        return "<mask>" in symbols
    if rows == len(symbols) + 1 and "<mask>" not in symbols:
        return True
    raise WeightsError(
        f"{file}: {_TOKENS} has {rows} rows, but {DICTIONARY} makes {len(symbols)} symbols; "
        "put the dictionary of its archive there"
    )


def _with_mask(shape: BARTShape, weights: dict[str, Tensor], file: Path) -> BARTShape:
    """Give the model a row of zeros for <mask>."""
    warnings.warn(f"{file}: the model has no row for <mask>, it was fine-tuned without; it gets one of zeros", stacklevel=3)
    tokens = weights["embeddings.tokens.weight"]
    weights["embeddings.tokens.weight"] = torch.cat([tokens, tokens.new_zeros(1, shape.width)])
    return replace(shape, vocabulary=shape.vocabulary + 1)


def _tokenizer(symbols: list[str], folder: Path) -> Tokenizer:
    """Return GPT-2's tokenizer with the ids of the dictionary."""
    pieces_file, merges_file = _beside(folder, _PIECES), _beside(folder, _MERGES)
    pieces = weight_files.read_json(pieces_file)
    if "<s>" in pieces:
        raise TokenizerError(f"{pieces_file}: has the ids of the model already; give GPT-2's, which the dictionary is about")
    by_number = {str(number): piece for piece, number in pieces.items()}
    vocabulary: dict[str, int] = {}
    for i, symbol in enumerate(symbols):
        piece = by_number.get(symbol) if symbol.isdigit() else symbol
        if piece is None or not (symbol.isdigit() or symbol in _SPECIAL or _FILLER.fullmatch(symbol)):
            raise TokenizerError(
                f"{folder / DICTIONARY}: {symbol!r} is no piece of {pieces_file.name}; "
                "only BARTs over GPT-2's byte-level BPE are known, with the files that belong together"
            )
        vocabulary[piece] = i
    missing = [piece for piece in pieces if piece not in vocabulary and piece != END_OF_TEXT]
    if missing:
        raise TokenizerError(
            f"{folder / DICTIONARY}: has no line for {pieces[missing[0]]}, {missing[0]!r} in {pieces_file.name}; "
            "give the dictionary that was published for GPT-2's BPE"
        )
    return _byte_bpe(vocabulary, pieces_file, merges_file)


def _byte_bpe(vocabulary: Mapping[str, int], pieces_file: Path, merges_file: Path) -> Tokenizer:
    with TemporaryDirectory() as folder:
        ids, merges = Path(folder) / "vocab.json", Path(folder) / "merges.txt"
        ids.write_text(json.dumps(vocabulary), encoding="utf-8")
        merges.write_bytes(merges_file.read_bytes())
        try:
            return load_existing(folder, ["bart"])
        except TokenizerError as error:
            message = str(error).replace(str(ids), str(pieces_file)).replace(str(merges), str(merges_file))
            raise TokenizerError(message) from error


def _beside(folder: Path, names: tuple[str, ...]) -> Path:
    path = next((folder / name for name in names if (folder / name).exists()), None)
    if path is None:
        raise TokenizerError(
            f"{folder / names[0]}: is missing; put GPT-2's there, fairseq's {names[0]} or Hugging Face's {names[1]} of gpt2"
        )
    return path
