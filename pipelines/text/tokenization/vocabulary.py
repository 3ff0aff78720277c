r"""Train a SentencePiece model on texts in memory.

With the identity normaliser, the model keeps every character: spaces and newlines as they are, and characters outside the
vocabulary as bytes. The model only sees lines; a newline is a separate piece (see contract/tokenizers/loading.py). The other
normalisers turn a newline into a space, so their models have no such piece.

A model of the kind "char" has only the characters of the text, not all of printable ASCII, and puts no "▁" before a line.

Peak resident memory of SentencePiece 0.2.3's trainer with two threads and 32,000 pieces, measured on books, wikitext and news
in 12 languages, and on their Japanese and Chinese part:

    sample         BPE       unigram
     20 MB      0.34 GB      0.43 GB
     50 MB      0.60 GB      1.03 GB
    100 MB      0.98 GB      2.04 GB
    9.8 MB, ja  0.37 GB      0.18 GB

So unigram takes 20 bytes per byte of text. BPE takes 8, but 32 for text written without spaces, because it stores distinct
words and a line of such text is one word. The char trainer takes 5 (66 MB of plays: 0.31 GB).
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contract.errors import UserError
from pipelines.contract.tokenizers.families import FAMILIES, Family
from pipelines.contract.tokenizers.sentencepiece_proto import with_last
from pipelines.contract.tokenizers.spelling import NEWLINE
from pipelines.text.tokenization import train_sentencepiece

VERSION = 2

TrainedKind = Literal["bpe", "unigram", "char"]
Normalizer = Literal["identity", "nfkc", "nfkc_lower"]

MAX_LINE_BYTES = 4192  # the trainer's max_sentence_length; it skips longer lines with a warning
LARGE_BYTES = 2**31  # a sample of this size may have more characters than a 32-bit number can count
LEAST_COVERAGE = 0.98  # the lowest that the trainer accepts
_RULES: Mapping[Normalizer, str] = {"identity": "identity", "nfkc": "nmt_nfkc", "nfkc_lower": "nmt_nfkc_cf"}
_UNKNOWN = ("<unk>", "[UNK]", "<UNK>")  # how families spell the unknown piece
_UNKNOWN_MARK = "\u2585"  # the trainer's mark of an unknown character; it skips every line that contains one
_PRINTABLE_ASCII = "".join(map(chr, range(0x21, 0x7F)))


# Memory of the trainer in bytes: fixed, per byte of text, and per byte of text written without spaces; measured above and
# rounded up.
TRAINER_FIXED = 150_000_000
_TRAINER_BYTES: Mapping[str, tuple[int, int]] = {"bpe": (10, 36), "unigram": (22, 22), "char": (6, 6)}
_UNSPACED_LANGUAGES = ("bo", "ja", "km", "lo", "my", "th", "wuu", "yue", "zh")  # among those of lid.176


@dataclass(frozen=True, slots=True)
class Specials:
    """The special pieces of a vocabulary, and those with a role in SentencePiece (its `pad_id()` and so on)."""

    first: tuple[str, ...]  # with ids from 0 on; one of them is the unknown piece
    last: tuple[str, ...] = ()  # with the last ids
    pad: str | None = None
    begin: str | None = None
    end: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """Training settings other than kind, size, special pieces and threads; fields of the config's section."""

    normalizer: Normalizer = "identity"
    split_digits: bool = True
    byte_fallback: bool = True
    character_coverage: float = 0.9995
    large: bool = False  # 2^31 characters or more: unigram's suffix array needs 64-bit numbers and twice the memory


def special_pieces(families: Sequence[Family], more: Sequence[str] = ()) -> Specials:
    """Return the special pieces of families that share a vocabulary, each once, with one unknown piece, in the families' order.

    >>> special_pieces(["gpt", "bart"]).first, special_pieces(["bart"]).last
    (('<|endoftext|>', '<s>', '<pad>', '</s>', '<unk>'), ('<mask>',))

    The roles in SentencePiece are those of the first family; a piece can have only one role, so GPT's piece is the end of text.
    Raise UserError, which names the field, if a piece in `more` could then no longer appear as text.
    """
    known = [FAMILIES[family] for family in families]
    unknown = next((family.unknown for family in known if family.unknown), _UNKNOWN[0])
    others = {family.unknown for family in known} - {unknown}
    own = [piece for family in known for piece in family.pieces if piece not in others]
    first = tuple(dict.fromkeys([*own, unknown, *_checked(more)]))
    last = tuple(dict.fromkeys(piece for family in known for piece in family.last if piece not in first))
    if not known:
        return Specials(first, last)
    pad, begin, end = known[0].pad, known[0].begin, known[0].end
    return Specials(first, last, pad if pad != end else None, begin if begin != end else None, end)


def _checked(pieces: Sequence[str]) -> Sequence[str]:
    for piece in pieces:
        if len(piece) < 2 or piece.split() != [piece] or re.fullmatch("<0x[0-9A-F]{2}>", piece):
            raise UserError(
                f"control_pieces holds {piece!r}, which text needs itself: "
                'a special piece has at least two characters, no space, and is not a byte; write it like "<name>"'
            )
    return pieces


def train(
    lines: Iterable[str],
    kind: TrainedKind,
    size: int,
    special: Specials | Sequence[str],
    threads: int,
    recipe: Recipe = Recipe(),
) -> bytes:
    """Return the serialised model with `size` pieces, or fewer if the text does not yield so many.

    The special pieces are control pieces: no text yields them. They have the first ids, in order, except those in `last`. If
    none of them is spelled like an unknown piece, "<unk>" is put before them. Equal arguments give equal bytes; a different
    number of threads gives a different model.

    Raise UserError, which names the config's field and the least or largest possible size, if `size` is impossible or memory
    runs out. Raise AssertionError if the trainer skipped a line, which `training_lines` prevents.
    """
    special = special if isinstance(special, Specials) else Specials(tuple(special))
    counted = _Counted(lines)
    code, model, log = _run(_options(kind, size, special, threads, recipe), counted)
    if code < 0:
        raise UserError(
            f"sample_bytes: SentencePiece's trainer was killed by signal {-code} after it had read {counted.bytes:,} bytes of "
            "text, as a machine does when its memory runs out; lower it"
        )
    if code:
        raise UserError(_explain(size, recipe, log.rpartition(train_sentencepiece.FAILED)[2].strip()))
    _check_nothing_was_skipped(log, counted.lines)
    return with_last(model, special.last) if special.last else model


def trainer_memory(kind: TrainedKind, bytes_by_language: Mapping[str, int]) -> int:
    """Return the most memory, in bytes, that the trainer takes for this much text of each language.

    From 2^31 bytes of text on, the numbers in unigram's suffix array are twice as large.
    """
    spaced, unspaced = _TRAINER_BYTES[kind]
    text = sum(n * (unspaced if language in _UNSPACED_LANGUAGES else spaced) for language, n in bytes_by_language.items())
    return TRAINER_FIXED + text * (2 if kind == "unigram" and sum(bytes_by_language.values()) >= LARGE_BYTES else 1)


def _options(kind: TrainedKind, size: int, special: Specials, threads: int, recipe: Recipe) -> dict[str, Any]:
    """Return the trainer's options."""
    unknown = next((piece for piece in special.first if piece in _UNKNOWN), None)
    first = list(special.first) if unknown else [_UNKNOWN[0], *special.first]
    roles = {"unk": unknown or _UNKNOWN[0], "pad": special.pad, "bos": special.begin, "eos": special.end}
    named = {f"{role}_piece": piece for role, piece in roles.items() if piece is not None}
    ids = {f"{role}_id": -1 if piece is None else first.index(piece) for role, piece in roles.items()}
    lower = recipe.normalizer == "nfkc_lower"
    keeps = recipe.normalizer == "identity"
    characters = kind == "char"
    return {
        **ids,
        **named,
        "model_type": kind,
        "vocab_size": size,
        "num_threads": threads,
        "control_symbols": [piece for piece in (*first, *special.last) if piece not in named.values()],
        "user_defined_symbols": [NEWLINE] if keeps else [],
        "required_chars": "" if characters else "".join(c for c in _PRINTABLE_ASCII if not (lower and c.isupper())),
        "add_dummy_prefix": not characters,
        "byte_fallback": recipe.byte_fallback,
        "split_digits": recipe.split_digits,
        "character_coverage": recipe.character_coverage,
        "normalization_rule_name": _RULES[recipe.normalizer],
        "remove_extra_whitespaces": not keeps,
        "hard_vocab_limit": False,
        "max_sentence_length": MAX_LINE_BYTES,
        **({"train_extremely_large_corpus": True} if recipe.large else {}),
        "minloglevel": 0,  # log information: the number of lines read is in it
    }


class _Counted:
    """Lines for the trainer, counted as it reads them."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._source, self.lines, self.bytes = lines, 0, 0

    def __iter__(self) -> Iterator[bytes]:
        for line in self._source:
            data = line.encode()
            self.lines += 1
            self.bytes += len(data)
            yield data + b"\n"


def _run(options: Mapping[str, Any], lines: Iterable[bytes]) -> tuple[int, bytes, str]:
    """Return the exit status of the trainer's process (negative: killed by a signal), the model, and the log."""
    command = [sys.executable, "-P", train_sentencepiece.__file__, json.dumps(options)]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process:
            assert process.stdin is not None and process.stdout is not None
            try:
                process.stdin.writelines(lines)
                process.stdin.close()
            except BrokenPipeError:  # it ended before reading all lines; the log has the reason
                with suppress(BrokenPipeError):
                    process.stdin.close()
            except BaseException:
                process.kill()  # else it would train on the lines it has read while we wait
                raise
            model = process.stdout.read()
        log.seek(0)
        return process.returncode, model, log.read().decode(errors="replace")


def _check_nothing_was_skipped(log: str, lines: int) -> None:
    """Raise AssertionError if the trainer skipped lines; only its count of loaded lines shows that."""
    loaded = re.search(r"Loaded all (\d+) sentences", log)
    if loaded is None or int(loaded[1]) != lines:
        reasons = re.findall(r"\] (Found too long line.*|Reserved chars are found|Sampled .*)", log)
        raise AssertionError(f"SentencePiece's trainer took {loaded and loaded[1]} of {lines} lines: {reasons[:3]}")


def _explain(size: int, recipe: Recipe, message: str) -> str:
    """Return the trainer's error in terms of the config."""
    if least := re.search(r"smaller than required_chars\. \d+ vs (\d+)", message):
        need = f"the characters, the bytes and the special pieces alone are {least[1]}"
        return f"size is {size}, but {need}: raise it to more than that"
    if largest := re.search(r"value <= (\d+)", message):
        return f"size is {size}, but this text gives at most {largest[1]} pieces: lower it to {largest[1]} or train on more text"
    if "sentences_.empty()" in message:
        return f"size is {size}, but there is no text to train on"
    if "character_coverage()" in message:
        return f"character_coverage is {recipe.character_coverage}, but SentencePiece takes {LEAST_COVERAGE} to 1: raise it"
    if twice := re.search(r"(\S+) is already defined", message):
        return f"control_pieces holds {twice[1]!r}, which is a piece already: leave it out"
    return f"size is {size}, and SentencePiece failed: {message}"


def training_lines(texts: Iterable[pa.Array]) -> Iterator[str]:
    """Yield all lines of texts in a form that the trainer accepts: not empty, and at most MAX_LINE_BYTES long."""
    for column in texts:
        lines = pc.list_flatten(pc.split_pattern(pc.replace_substring(column, _UNKNOWN_MARK, " "), NEWLINE))
        for line in lines.filter(pc.greater(pc.binary_length(lines), 0)).to_pylist():
            if len(line) * 4 <= MAX_LINE_BYTES:
                yield line
            else:
                yield from cut(line, MAX_LINE_BYTES)


def cut(line: str, limit_bytes: int) -> Iterator[str]:
    """Cut a line into parts of at most `limit_bytes` of UTF-8, at spaces, or between characters if there is no space.

    >>> list(cut("to be or not", 6)), list(cut("你好吗", 7))
    (['to be', 'or not'], ['你好', '吗'])
    """
    data = line.encode()
    start = 0
    while len(data) - start > limit_bytes:
        end = data.rfind(b" ", start + 1, start + limit_bytes + 1)
        if end < 0:
            end = start + limit_bytes
            while data[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
        yield data[start:end].decode()
        start = end + (data[end] == 0x20)
    if start < len(data):
        yield data[start:].decode()
