"""How fast the objectives make examples on one core: sampler, gather from memory-mapped shards, objective, padded arrays.

    make bench-objectives
    make bench-objectives OPTIONS="--tokens 4000000 --only masked_lm"

The tokens dataset is synthetic: ids by Zipf's law over 32,000 pieces (seven in ten begin a word), documents of 500 tokens in the
median (log-normal), sentences of 25, two sources. The same code reads it as reads every dataset; the configs are those of a
training: length 512, 256 rows a batch, whatever packing is the objective's own. Rates count the text tokens in the rows, not
padding, from the number of the step to the padded arrays. Seconds are CPU seconds of the process with all its threads, so
that a rate is what one core does, whoever else uses the machine; objectives take turns, and the best turn counts.

The peer, over the same full rows and on the same core, is Hugging Face's collator for masked language modelling: once with the
inputs that its documentation advises (lists of ids and the mask of special tokens), and once its masking step alone, on
padded tensors. It draws for each token independently, so the number of predictions varies, and with whole words it masks
all pieces (no 10 % random, no 10 % kept).
"""

import argparse
import hashlib
import shutil
import struct
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.contract import manifest, schema
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import FAMILIES, Specials, specials
from training.data.config import FeedConfig
from training.data.draws import key
from training.data.order.sampler import Sampler, sampler
from training.data.rows.batch import RowBatch
from training.data.rows.index import RowIndex, open_rows
from training.data.shards import TokenDataset, open_dataset
from training.objectives.configured import Objective, layout, objective
from training.objectives.masked_lm import MaskedLM

ROOT = Path(__file__).resolve().parents[1]
PIECES = 32_000
LENGTH, BATCH = 512, 256
GOAL = ">=20"  # M tokens/s on one core

CASES: dict[str, dict[str, Any]] = {
    "causal_lm": {"name": "causal_lm"},
    "causal_lm_boundaries": {"name": "causal_lm"},
    "masked_lm": {"name": "masked_lm", "next_sentence": False},
    "masked_lm_whole_words": {"name": "masked_lm", "next_sentence": False, "whole_words": True},
    "masked_lm_pairs": {"name": "masked_lm"},
    "masked_lm_pairs_whole_words": {"name": "masked_lm", "whole_words": True},
    "text_infilling_words": {"name": "text_infilling"},
    "text_infilling_tokens": {"name": "text_infilling", "spans_of": "tokens"},
    "span_corruption": {"name": "span_corruption"},
}


@dataclass
class Case:
    """An objective, its rows, and how long its turns took."""

    name: str
    index: RowIndex
    sampler: Sampler
    make: Objective
    step: int = 0
    turns: list[tuple[float, float, float, int]] = field(default_factory=list)  # seconds of each stage, tokens

    def turn(self, seconds: float) -> None:
        """Make batches for about so many seconds."""
        sampling = gathering = making = 0.0
        tokens = 0
        while sampling + gathering + making < seconds:
            at = time.process_time()
            numbers = self.sampler.batch(self.step, BATCH)
            sampled = time.process_time()
            rows = self.index.gather(numbers)
            gathered = time.process_time()
            self.make(rows, key(1, self.step, np.arange(BATCH)))
            made = time.process_time()
            sampling, gathering, making = sampling + sampled - at, gathering + gathered - sampled, making + made - gathered
            tokens, self.step = tokens + len(rows.ids), self.step + 1
        self.turns.append((sampling, gathering, making, tokens))

    @property
    def best(self) -> tuple[float, float, float, int]:
        """Return the turn with the highest rate."""
        return max(self.turns, key=lambda turn: turn[3] / sum(turn[:3]))


def main() -> None:
    arguments = parsed()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    print(f"a tokens dataset of {arguments.tokens:,} tokens in {arguments.folder} …", flush=True)
    write_dataset(arguments.folder / "tokens", arguments.tokens)
    dataset = open_dataset(str(arguments.folder / "tokens"))
    cases = [open_case(name, dataset, arguments.folder / "rows") for name in arguments.only or CASES]
    for case in cases:
        case.turn(1e-9)  # one batch: compiled
        case.turns.clear()
    for _ in range(arguments.turns):
        for case in cases:
            case.turn(arguments.seconds)
    report(cases)
    if not arguments.no_peers:
        peers(arguments, dataset)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=16_000_000, help="of the dataset")
    parser.add_argument("--turns", type=int, default=20, help="of each objective; the best counts")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "bench-objectives")
    parser.add_argument("--only", nargs="+", choices=CASES, help="these objectives alone")
    parser.add_argument("--no-peers", action="store_true", help="corpusmill alone")
    return parser.parse_args()


def open_case(name: str, dataset: TokenDataset, folder: Path) -> Case:
    """Open the objective of a case and the row index that it needs."""
    settings = FeedConfig.model_validate(
        {
            "data": {"tokens": dataset.uri, "batch_rows": BATCH},
            "rows": {"length": LENGTH, "document_boundaries": name.endswith("boundaries"), "copies": 2},
            "objective": CASES[name],
        }
    )
    make = objective(settings, dataset)
    index = open_rows(dataset, "train", folder, layout(settings, make, dataset), seed=1)
    return Case(name, index, sampler(index.streams, seed=1), make)


def report(cases: list[Case]) -> None:
    print(
        f"\nlength {LENGTH}, batch {BATCH}, one core (CPU seconds); M text tokens/s from the step's number to the padded arrays"
    )
    print(
        f"{'objective':<28}{'packing':<12}{'padding':>8}{'Mtokens/s':>11}{'sampler':>9}{'gather':>8}{'objective':>11}{'alone':>8}"
    )
    for case in cases:
        sampling, gathering, making, tokens = case.best
        total = sampling + gathering + making
        shares = f"{sampling / total:>9.0%}{gathering / total:>8.0%}{making / total:>11.0%}"
        packing = case.index.layout.packing
        padding = case.index.figures()[-1].padding_share
        print(f"{case.name:<28}{packing:<12}{padding:>8.1%}{tokens / total / 1e6:>11.1f}{shares}{tokens / making / 1e6:>8.0f}")
    for case in cases:
        *spent, tokens = case.best
        result(f"objective_{case.name}", tokens / sum(spent) / 1e6, "Mtokens/s", GOAL)


def peers(arguments: argparse.Namespace, dataset: TokenDataset) -> None:
    """Compare MaskedLM with DataCollatorForLanguageModeling on full rows of one document: tokens and whole words."""
    import torch
    from transformers import BertTokenizer, DataCollatorForLanguageModeling

    torch.set_num_threads(1)
    bert = specials("bert", dataset.tokenizer.special_ids, dataset.uri)
    starts, _ = made_pieces(np.random.default_rng(3))
    rows = full_rows(LENGTH - 2)
    peer = BertTokenizer(vocab=peer_vocabulary(bert))
    features = peer_features(rows, bert, starts)
    keys = key(1, np.arange(BATCH))
    make = MaskedLM(LENGTH, bert, PIECES, pairs=False)
    collator = DataCollatorForLanguageModeling(peer)
    some = [{field: feature[field] for field in ("input_ids", "special_tokens_mask")} for feature in features]
    compare("pieces", lambda: make(rows, keys), lambda: collator(some), arguments.turns)
    # what remains of its work when its inputs are padded tensors already
    ids, special = (torch.tensor([feature[field] for feature in some]) for field in ("input_ids", "special_tokens_mask"))
    compare(
        "pieces_of_tensors", lambda: make(rows, keys), lambda: collator.torch_mask_tokens(ids.clone(), special), arguments.turns
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will mask only
        by_word = DataCollatorForLanguageModeling(peer, whole_word_mask=True)
    words = MaskedLM(LENGTH, bert, PIECES, word_start=starts, pairs=False)
    compare("whole_words", lambda: words(rows, keys), lambda: by_word(features), arguments.turns)


def compare(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], turns: int) -> None:
    """Run both over the same rows, in turns; the best turn of each counts."""
    best = [float("inf"), float("inf")]
    for turn in range(2 * turns + 2):
        at = time.process_time()
        (ours, theirs)[turn % 2]()
        best[turn % 2] = min(best[turn % 2], time.process_time() - at)
    here, there = (BATCH * (LENGTH - 2) / seconds / 1e6 for seconds in best)
    print(f"masked_lm, {name}, the objective alone: {here:,.1f} M tokens/s; Hugging Face {there:,.2f} M tokens/s")
    result(f"masked_lm_{name}_vs_huggingface", here / there, "x", "-")


def full_rows(tokens: int) -> RowBatch:
    bounds = np.arange(BATCH + 1) * tokens
    ids = zipf(np.random.default_rng(4), BATCH * tokens, PIECES).astype(np.int32)
    return RowBatch(ids, bounds, bounds, np.arange(BATCH + 1), np.empty(0, np.int64))


def peer_vocabulary(bert: Specials) -> dict[str, int]:
    names = {bert.pad: "[PAD]", bert.begin: "[CLS]", bert.end: "[SEP]", bert.mask: "[MASK]", PIECES - 1: "[UNK]"}
    return {names.get(number, f"w{number}"): number for number in range(PIECES)}


def peer_features(rows: RowBatch, bert: Specials, starts: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Return what its tokenizer would have returned: the pieces of a word touch, and words are a space apart."""
    features: list[dict[str, Any]] = []
    for ids in rows.ids.reshape(BATCH, -1):
        ends = np.cumsum(starts[ids] + 4)
        offsets = [(0, 0), *zip((ends - 4).tolist(), ends.tolist(), strict=True), (0, 0)]
        special = [1, *[0] * len(ids), 1]
        features.append(
            {"input_ids": [bert.begin, *ids.tolist(), bert.end], "special_tokens_mask": special, "offset_mapping": offsets}
        )
    return features


def first_text_piece() -> int:
    return len(control_pieces()) + 2 + 256  # then <unk>, the newline and the bytes


def control_pieces() -> list[str]:
    """Special pieces of all families, in one vocabulary that they share."""
    pieces = dict.fromkeys(piece for family in FAMILIES.values() for piece in (*family.pieces, *family.last))
    return [piece for piece in pieces if piece != "<unk>"]


def made_pieces(rng: np.random.Generator, pieces: int = PIECES) -> tuple[NDArray[np.bool_], list[str]]:
    """(pieces,) whether a word begins with a piece, and the names of the text pieces; the first is the lone space mark."""
    names = ["▁"]
    starts = np.zeros(pieces, np.bool_)
    for number in range(first_text_piece() + 1, pieces):
        letters, left = "", number
        while left:
            left, letter = divmod(left, 26)
            letters += chr(ord("a") + letter)
        starts[number] = rng.random() < 0.7
        names.append(("▁" if starts[number] else "") + letters)
    starts[first_text_piece()] = True
    return starts, names


def made_model(pieces: int = PIECES) -> bytes:
    """A SentencePiece model with these pieces, written by the fields of sentencepiece_model.proto.

    It encodes nothing here, but says what ids are. (Its module of protocol buffers refuses the runtime that Beam pins.)
    """
    normal, unknown, control, user_defined, byte = 1, 2, 3, 4, 6  # ModelProto.SentencePiece.Type
    named = [("<unk>", unknown), *((piece, control) for piece in control_pieces()), ("\n", user_defined)]
    named += [(f"<0x{value:02X}>", byte) for value in range(256)]
    named += [(name, normal) for name in made_pieces(np.random.default_rng(3), pieces)[1]]
    model = b""
    for number, (name, kind) in enumerate(named):
        model += message(1, message(1, name.encode()) + b"\x15" + struct.pack("<f", -number) + integer(3, kind))
    model += message(2, integer(3, 2) + integer(4, len(named)) + integer(35, 1))  # trainer: BPE, vocabulary, byte fallback
    return model + message(3, message(1, b"identity") + integer(4, 0))  # normaliser: spaces are kept


def message(number: int, content: bytes) -> bytes:
    """A field of protocol buffers that has a length."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def integer(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    return bytes([value & 127 | 128]) + varint(value >> 7) if value > 127 else bytes([value])


def zipf(rng: np.random.Generator, count: int, pieces: int) -> NDArray[np.uint16]:
    """Ids of text pieces by Zipf's law (Mandelbrot's 2.7 added to the rank)."""
    ranks = np.arange(pieces - first_text_piece())
    cumulative = np.cumsum(1 / (ranks + 2.7))
    order = np.random.default_rng(5).permutation(ranks)  # frequent pieces lie anywhere in the vocabulary
    drawn = order[np.searchsorted(cumulative, rng.random(count) * cumulative[-1])]
    return (drawn + first_text_piece()).astype(np.uint16)


def write_dataset(folder: Path, tokens: int, splits: Sequence[str] = ("train",), pieces: int = PIECES) -> None:
    """Two sources of four parts each in every split, and a manifest, as the data side writes them."""
    folder.mkdir(parents=True)
    made = loading.from_bytes(made_model(pieces), "bpe")
    (folder / "tokenizer.model").write_bytes(made.model)
    parts = [part(folder, "tokenizer", "tokenizer", "tokenizer.model", 1)]
    counts: dict[str, dict[str, Any]] = {split: {} for split in splits}
    rng = np.random.default_rng(2)
    for split, source in product(splits, ("books", "web")):
        table = f"tokens/{split}/{source}/en"
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for number in range(4):
            path = f"{table}/unit{number}.arrow"
            documents, ids = write_shard(folder / path, rng, tokens // 8, pieces)
            parts.append(part(folder, table, f"unit{number}", path, documents))
            total = {
                "rows": total["rows"] + documents,
                "tokens": total["tokens"] + ids,
                "utf8_bytes": total["utf8_bytes"] + 4 * ids,
            }
        counts[split][source] = {"en": total}
    facts = {"tokenizer": made.facts("tokenizer.model"), "tokens": counts, "dtype": "uint16"}
    made_from = {"tokens": tokens, "tokenizer": made.sha256}
    fingerprint = manifest.fingerprint(made_from)
    manifest.write(
        str(folder),
        Manifest(dataset="tokens/bench", fingerprint=fingerprint, made_from=made_from, parts=tuple(parts), facts=facts),
    )


def write_shard(path: Path, rng: np.random.Generator, tokens: int, pieces: int) -> tuple[int, int]:
    """One part of record batches of a thousand documents; returns documents and tokens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wanted = schema.tokens(pieces)
    documents = written = 0
    with pa.ipc.new_file(str(path), wanted) as writer:
        while written < tokens:
            sizes = np.clip(rng.lognormal(np.log(500), 1, 1000), 20, 20_000).astype(np.int64)
            offsets = np.concatenate([[0], np.cumsum(sizes)])
            begins = [np.concatenate([[0], np.flatnonzero(rng.random(size - 1) < 1 / 25) + 1]) for size in sizes]
            start_offsets = np.concatenate([[0], np.cumsum([len(starts) for starts in begins])])
            columns = [
                lists(zipf(rng, int(offsets[-1]), pieces), offsets, wanted.field("tokens").type),
                lists(np.concatenate(begins), start_offsets, wanted.field("sentence_starts").type),
                pa.array(4 * sizes, pa.uint32()),
                pa.array([hashlib.md5(b"%d" % (documents + n)).digest() for n in range(len(sizes))], pa.binary(16)),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=wanted))
            documents, written = documents + len(sizes), written + int(offsets[-1])
    return documents, written


def lists(values: NDArray[Any], offsets: NDArray[np.int64], kind: Any) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, kind.value_type), type=kind)


def part(folder: Path, table: str, unit: str, path: str, rows: int) -> Part:
    content = (folder / path).read_bytes()
    return Part(table=table, unit=unit, path=path, rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def result(name: str, value: float, unit: str, goal: str) -> None:
    print(f"RESULT\t{name}\t{value:.1f}\t{unit}\t{goal}")


if __name__ == "__main__":
    sys.exit(main())
