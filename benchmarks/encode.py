"""Encoding beside SentencePiece itself and Hugging Face tokenizers: MB/s on one thread, ids compared first.

    make bench-encode

Models of 16,000 and 32,000 pieces, BPE and unigram, are trained on real text, once. Then at least 20 MB of text, the
languages interleaved document by document, are encoded by all in one process, in turns; the best of several rounds
counts. The text is the books, encyclopedias and labelled sentences of ../shared/data where that lies beside this
checkout, else the demo's sample. "Cold": a new Encoder, whose cache is empty; "warm": the same text again.
SentencePiece and tokenizers get lists of lines and of texts that are made beforehand; tokenizers keeps its own cache of
words, which is empty when it is cold. Time is that of the processor (one thread each), so that a busy machine
does not count. The conversion for tokenizers is that of pipelines/exports/tokenizer.py.
"""

import argparse
import bz2
import gzip
import json
import lzma
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer as PeerTokenizer

from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.contract.tokenizers.spelling import SPACE_MARK
from pipelines.exports.tokenizer import export_huggingface
from pipelines.text.tokenization.encode import Encoder
from pipelines.text.tokenization.vocabulary import train, training_lines

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
SIZES = (16_000, 32_000)
KINDS: tuple[Literal["bpe", "unigram"], ...] = ("bpe", "unigram")
GROUP_BYTES = 1_350_000  # of each kind of text
DOCUMENT_BYTES = 5_000
BATCH_DOCUMENTS = 3_000  # about 16 MiB, as in the pipeline
TRAINING_SHARE = 5  # every fifth document

_TAG = re.compile(r"<[^>]*>")


@dataclass
class Measured:
    """Seconds of one encoder, best of the rounds."""

    cold: float = float("inf")
    warm: float = float("inf")
    build: float = float("inf")


@dataclass
class Result:
    """One model: seconds by encoder."""

    kind: str
    size: int
    encoders: dict[str, Measured] = field(default_factory=dict)
    peer_differs: int = 0  # texts that tokenizers encodes otherwise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA, help="a folder of real inputs; without it, the demo's sample is read")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="pieces of the models")
    parser.add_argument("--only", help="a model, such as bpe-16000")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-encode")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    texts = interleaved(groups(arguments.data))
    size = sum(len(text.encode()) for text in texts)
    say(f"{len(texts):,} documents, {size / 1e6:.1f} MB")
    results = [
        measure(model(arguments.folder, kind, pieces, texts), texts, arguments, pieces)
        for pieces in arguments.sizes
        for kind in KINDS
        if arguments.only in (None, f"{kind}-{pieces}")
    ]
    report(results, size)


# Text


def groups(data: Path) -> list[list[str]]:
    """Documents by kind of text."""
    if data.is_dir():
        return [group for group in map(list, map(documents, _real(data))) if group]
    sample = ROOT / "build" / "sample"
    if not sample.is_dir():
        sys.exit(f"neither {data} nor {sample} is here; run: corpusmill sample build/sample")
    folders = sorted({path.parent for path in sample.rglob("*") if path.is_file()})
    return [group for group in (list(documents(sorted(f.glob("*.*")))) for f in folders) if group]


def _real(data: Path) -> Iterator[list[Path]]:
    for folder in sorted((data / "books").iterdir()):
        yield sorted(folder.iterdir())
    for path in sorted((data / "wikipedia").glob("*wiki*.xml*")):
        yield [path]
    yield sorted((data / "langid" / "sentences").iterdir())
    yield [data / "lm" / "wikitext-2-raw-valid.txt", data / "dedup" / "articles_1000.train"]
    yield [data / "extraction" / "truth.jsonl"]


def documents(paths: list[Path]) -> Iterator[str]:
    """Lines of files, joined to documents; at most GROUP_BYTES, the same from each file."""
    for path in paths:
        text, taken = readable(path)[: 3 * GROUP_BYTES // len(paths)], 0
        lines: list[str] = []
        for line in text.splitlines():
            lines.append(line.strip())
            if sum(map(len, lines)) > DOCUMENT_BYTES:
                taken += sum(map(len, lines))
                yield "\n".join(lines)
                lines = []
            if taken > GROUP_BYTES // len(paths):
                break
        if lines:
            yield "\n".join(lines)


def readable(path: Path) -> str:
    """The text of a file without tags, whatever it is packed in and whatever its encoding."""
    opened: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    try:
        with opened.get(path.suffix, open)(path, "rb") as stream:
            raw = stream.read(8 * GROUP_BYTES)
    except (EOFError, lzma.LZMAError):
        return ""
    for encoding in ("utf-8", "cp932"):
        try:
            text = raw.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        text = raw.decode("utf-8", "replace")
    if path.suffix == ".jsonl":
        text = "\n".join(str(value) for line in text.splitlines() for value in json.loads(line).values())
    return _TAG.sub("", text).replace(SPACE_MARK, " ")


def interleaved(groups: list[list[str]]) -> list[str]:
    """Return the texts, one of each group in turn."""
    return [text for row in zip_longest(*groups) for text in row if text]


def model(folder: Path, kind: Literal["bpe", "unigram"], pieces: int, texts: list[str]) -> Tokenizer:
    """The trained model, kept for the next run."""
    path = folder / f"{kind}-{pieces}.model"
    if not path.exists():
        say(f"training {path.name}")
        lines = training_lines([pa.array(texts[::TRAINING_SHARE])])
        path.write_bytes(train(lines, kind, pieces, ("<|endoftext|>",), 2))
    return loading.from_bytes(path.read_bytes(), kind)


# Encoders


def measure(tokenizer: Tokenizer, texts: list[str], arguments: argparse.Namespace, pieces: int) -> Result:
    result = Result(tokenizer.kind, pieces, {name: Measured() for name in ("corpusmill", "SentencePiece", "tokenizers")})
    columns = [pa.array(texts[i : i + BATCH_DOCUMENTS]) for i in range(0, len(texts), BATCH_DOCUMENTS)]
    expected = [np.array(tokenizer.encode(text), np.int32) for text in texts]
    peer_folder = arguments.folder / f"{tokenizer.kind}-{pieces}"
    export_huggingface(tokenizer, str(peer_folder))
    for number in range(arguments.rounds + 1):
        start = time.process_time()
        encoder = Encoder(tokenizer)
        built = time.process_time() - start
        ours = [seconds(lambda e=encoder: [e(column) for column in columns]) for _ in range(2)]
        if number == 0:  # compiles, and is compared
            check(encoder, columns, expected, tokenizer)
            continue
        keep(result.encoders["corpusmill"], ours, built)
        lines = [text.split("\n") for text in texts]
        keep(
            result.encoders["SentencePiece"], [seconds(lambda v=lines: [tokenizer.processor.encode(x, num_threads=1) for x in v])]
        )
        if tokenizer.kind == "bpe":
            peer = PeerTokenizer.from_file(str(peer_folder / "tokenizer.json"))
            keep(
                result.encoders["tokenizers"],
                [seconds(lambda p=peer: p.encode_batch(texts, add_special_tokens=False)) for _ in range(2)],
            )
            if number == 1:
                got = peer.encode_batch(texts, add_special_tokens=False)
                result.peer_differs = sum(a.ids != b.tolist() for a, b in zip(got, expected, strict=True))
                del got
    say(f"measured {tokenizer.kind} {pieces:,}")
    return result


def check(encoder: Encoder, columns: list[pa.Array], expected: list[Any], tokenizer: Tokenizer) -> None:
    """Cold (another encoder) and warm: the ids must be the reference's."""
    for one in (encoder, Encoder(tokenizer)):
        number = 0
        for column in columns:
            encoded = one(column)
            for a, b in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True):
                if not np.array_equal(encoded.ids[a:b], expected[number]):
                    sys.exit(f"the ids of text {number} are not the reference's ({tokenizer.kind}, {tokenizer.size:,} pieces)")
                number += 1


def seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def keep(measured: Measured, taken: list[float], built: float = 0.0) -> None:
    """The best so far."""
    measured.cold, measured.warm = min(measured.cold, taken[0]), min(measured.warm, taken[-1])
    measured.build = min(measured.build, built)


# The table


def report(results: list[Result], size: int) -> None:
    print(f"\n{size / 1e6:.1f} MB of text in many languages, one thread; this machine: {os.cpu_count()} cores")
    print(f"{'model':<16}{'encoder':<16}{'cold MB/s':>10}{'warm MB/s':>10}{'ours cold':>11}{'ours warm':>11}{'made in':>9}")
    for result in results:
        ours = result.encoders["corpusmill"]
        for name, m in result.encoders.items():
            if m.cold == float("inf"):
                continue
            print(
                f"{result.kind + f' {result.size:,}':<16}{name:<16}{size / 1e6 / m.cold:>10.1f}{size / 1e6 / m.warm:>10.1f}"
                f"{m.cold / ours.cold:>10.2f}x{m.warm / ours.warm:>10.2f}x{m.build:>8.2f}s"
            )
        if result.peer_differs:
            print(f"{'':<16}tokenizers gives other ids for {result.peer_differs:,} texts")
    peak = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]
    print(f"a cache of words takes {Encoder.cache_bytes / 2**20:.0f} MiB; peak of this process {int(peak) / 1024:,.0f} MiB")
    for result in results:
        ours = result.encoders["corpusmill"]
        name = f"encode_{result.kind}_{result.size / 1000:g}k_vs"
        goals = {"SentencePiece": ">=5" if result.kind == "bpe" else ">=1.5", "tokenizers": ">=3"}
        for peer, goal in goals.items():
            theirs = result.encoders[peer]
            if theirs.cold != float("inf"):
                row(f"{name}_{peer.lower()}", theirs.cold / ours.cold, goal)
                row(f"{name}_{peer.lower()}_warm", theirs.warm / ours.warm, goal)


def row(name: str, value: float, goal: str) -> None:
    print(f"RESULT\t{name}\t{value:.2f}\tx\t{goal}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
