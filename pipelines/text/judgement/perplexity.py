"""Perplexity of texts by an n-gram model of KenLM: how unlike the text of its training a text is (CCNet, arXiv 1911.00359, 4.2).

    score = load("en.arpa.bin", "en.sp.model", "ccnet")
    score(texts)               # 10 ** -(sum of log10 probabilities / number of tokens), the ends of lines among the tokens

A line is a sentence to the model: its words, or its pieces if there is a SentencePiece model. A text without a line that holds a
token has no perplexity.

CCNet normalises: lower case, without accents and control characters, digits are 0, typographic punctuation is that of ASCII. Its
paper scores paragraphs, as is done here; its code joins the lines of a page into one before, so its published limits of
perplexity fit only roughly.

Limits: Python calls for each line; 4 MB/s of words on one core, 2.4 MB/s of pieces, with a small model in memory.
"""

import importlib
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from pipelines.contract.errors import UserError

VERSION = 1

Normalization = Literal["ccnet", "none"]
Scorer = Callable[[pa.Array], pa.Array]

# Typographic signs by what CCNet makes of them.
_SIGNS = {
    ",": "，、",
    ".": "。",
    ". ": "．",
    '"': "„“”«»「」《》",
    "'": "´’",
    ":": "：∶",
    ";": "；",
    "?": "？",
    "!": "！",
    "(": "（",
    ")": "）",
    "[": "【",
    "]": "】",
    "<": "〈",
    ">": "〉",
    "-": "–━►",
    " - ": "—",
    "~": "～",
    "...": "…",
    "%": "％",
}
_TO_ASCII = {ord(sign): plain for plain, signs in _SIGNS.items() for sign in signs}
_DROPPED = dict.fromkeys([*range(32), *range(127, 160)])
_TABLE = _TO_ASCII | _DROPPED
_DIGIT, _MARK = re.compile(r"\d"), "Mn"


class PerplexityError(UserError):
    """A model of perplexity that cannot be used; the message names the file and the fix."""


def load(path: str | Path, pieces: str | Path | None, normalization: Normalization) -> Scorer:
    """Return the scorer of a model in ARPA's or KenLM's binary format: texts (a StringArray without nulls) to float32.

    `pieces` is a SentencePiece model; without it, words are what white space divides. Raise PerplexityError if a file cannot be
    used, or kenlm is not installed.
    """
    model, tokenized = _model(path), _tokenizer(pieces)
    normalize = ccnet if normalization == "ccnet" else str

    def one(text: str) -> float | None:
        total, tokens = 0.0, 0
        for line in map(normalize, text.split("\n")):
            words = tokenized(line)
            if words:
                total += model.score(" ".join(words))
                tokens += len(words) + 1  # and the end of the line
        return 10.0 ** min(-total / tokens, 38) if tokens else None  # 38: within float32

    return lambda texts: pa.array([one(text) for text in texts.to_pylist()], pa.float32())


def ccnet(line: str) -> str:
    """Return a line as CCNet's models read it.

    >>> ccnet("  Café “Noir”, 1998 … ")
    'cafe "noir", 0000 ...'
    """
    line = line.strip().lower()
    if not line.isascii():
        line = "".join(c for c in unicodedata.normalize("NFD", line) if unicodedata.category(c) != _MARK)
    return _DIGIT.sub("0", line).translate(_TABLE)


def _model(path: str | Path) -> Any:
    try:
        kenlm: Any = importlib.import_module("kenlm")
    except ImportError:
        raise PerplexityError(
            "quality.perplexity needs the package kenlm: pip install 'corpusmill[perplexity]' (it is compiled, which needs a"
            " C++ compiler), or take the table out of the config"
        ) from None
    settings: Any = kenlm.Config()
    settings.show_progress = False
    try:
        return kenlm.Model(str(path), settings)
    except (OSError, RuntimeError) as error:
        raise PerplexityError(
            f"{path}: is no n-gram model of KenLM, or is cut off ({_first_line(error)}); correct quality.perplexity.models"
        ) from None


def _tokenizer(path: str | Path | None) -> Callable[[str], list[str]]:
    if path is None:
        return str.split
    from sentencepiece import SentencePieceProcessor

    try:
        processor: Any = SentencePieceProcessor(model_file=str(path))
    except (OSError, RuntimeError) as error:
        raise PerplexityError(
            f"{path}: is no SentencePiece model ({_first_line(error)}); correct quality.perplexity.sentencepiece"
        ) from None
    return lambda line: processor.encode(line, out_type=str)


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:200]
