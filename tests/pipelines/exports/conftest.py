"""Tokens datasets of given ids: two sources, two languages, parts of several record batches, an empty document."""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from pipelines.contract import manifest, schema
from pipelines.contract.manifest import Manifest, Part

Batches = Sequence[Sequence[Sequence[int]]]  # batches of documents of ids
Parts = Mapping[tuple[str, str, str], Sequence[Batches]]  # (split, source, language) -> parts

LONG = [1 + n % 40 for n in range(300)]  # its shape needs two bytes in MDS

DOCUMENTS: Parts = {
    ("train", "books", "de"): [[[[7, 8, 9]]]],
    ("train", "books", "en"): [[[[1, 2, 3], []], [[4]]], [[[5, 6], LONG]]],
    ("train", "wiki", "en"): [[[[10], [11, 12]]]],
    ("validation", "wiki", "en"): [[[[20, 21]]]],
}
TRAIN = [
    ("books", "de", [7, 8, 9]),
    ("books", "en", [1, 2, 3]),
    ("books", "en", []),
    ("books", "en", [4]),
    ("books", "en", [5, 6]),
    ("books", "en", LONG),
    ("wiki", "en", [10]),
    ("wiki", "en", [11, 12]),
]


def document_id(number: int) -> bytes:
    return hashlib.md5(bytes([number])).digest()


def _write(folder: Path, size: int = 300, model: bytes | None = None, special_ids: Mapping[str, int] | None = None) -> Path:
    """Documents are numbered in the order of the streams: their ids are `document_id(0)`, …"""
    model = b"a tokenizer" if model is None else model
    (folder / "tokenizer.model").parent.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(model)
    parts = [_part(folder, "tokenizer", "tokenizer.model", size)]
    counts: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    number = 0
    for (split, source, language), of_language in DOCUMENTS.items():
        table = f"tokens/{split}/{source}/{language}"
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for unit, batches in enumerate(of_language):
            path = folder / table / f"unit{unit}.arrow"
            path.parent.mkdir(parents=True, exist_ok=True)
            with pa.ipc.new_file(str(path), schema.tokens(size)) as writer:
                for documents in batches:
                    rows = _rows(documents, number, size)
                    writer.write_batch(rows)
                    number += len(documents)
                    total["rows"] += len(documents)
                    total["tokens"] += sum(map(len, documents))
                    total["utf8_bytes"] += int(np.sum(rows["utf8_bytes"].to_numpy()))
            parts.append(_part(folder, table, f"{table}/unit{unit}.arrow", sum(map(len, batches))))
        counts.setdefault(split, {}).setdefault(source, {})[language] = total
    facts = {
        "tokenizer": {
            "sha256": hashlib.sha256(model).hexdigest(),
            "kind": "bpe",
            "size": size,
            "special_ids": {"<|endoftext|>": 0} if special_ids is None else dict(special_ids),
            "path": "tokenizer.model",
        },
        "tokens": counts,
    }
    made_from = {"size": size}
    made = Manifest(
        dataset="tokens/test", fingerprint=manifest.fingerprint(made_from), made_from=made_from, parts=tuple(parts), facts=facts
    )
    manifest.write(str(folder), made)
    return folder


def _rows(documents: Sequence[Sequence[int]], first: int, size: int) -> pa.RecordBatch:
    wanted = schema.tokens(size)
    columns = [
        pa.array(documents, wanted.field("tokens").type),
        pa.array([[0] if ids else [] for ids in documents], wanted.field("sentence_starts").type),
        pa.array([3 * len(ids) for ids in documents], pa.uint32()),
        pa.array([document_id(first + n) for n in range(len(documents))], pa.binary(16)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _part(folder: Path, table: str, path: str, rows: int) -> Part:
    content = (folder / path).read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    return Part(table=table, unit=Path(path).stem, path=path, rows=rows, bytes=len(content), sha256=sha256)


@pytest.fixture(scope="session")
def write_tokens() -> Callable[..., Path]:
    """Writes a tokens dataset of the documents above: write_tokens(folder, size=…, model=…, special_ids=…)."""
    return _write


@pytest.fixture(scope="session")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tokens dataset that no test may change."""
    return str(_write(tmp_path_factory.mktemp("tokens")))


@pytest.fixture(scope="session")
def train_documents() -> list[tuple[str, str, list[int]]]:
    """Source, language and ids of the documents of the train split, in the order of the streams."""
    return TRAIN


@pytest.fixture(scope="session")
def train_ids() -> list[bytes]:
    """The 16-byte ids of the documents of the train split."""
    return [document_id(number) for number in range(len(TRAIN))]


@pytest.fixture(scope="session")
def sentencepiece_model() -> bytes:
    """A real tokenizer with an end of text, for what loads it."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["the old house by the river", "the people of the town"] * 5),
        model_writer=model,
        model_type="bpe",
        vocab_size=60,
        hard_vocab_limit=False,
        control_symbols=["<|endoftext|>"],
        normalization_rule_name="identity",
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()
