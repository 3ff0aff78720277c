"""Small token datasets, made as the data side makes them: a manifest, Arrow shards, a SentencePiece model."""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
import torch
from tuning import SHAPES

from pipelines.contract import manifest, schema
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.shards import ShardRun
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.families import END_OF_TEXT, FAMILIES, Family
from training.checkpoints import trained
from training.data.maps import RUN, Maps, PartOfStream, line_of, maps_of_table
from training.data.shards import open_dataset
from training.models.families import make

Documents = Mapping[tuple[str, str, str], Sequence[Sequence[str]]]  # (split, source, language) -> parts -> texts

TALE = "the old house stood near the river and the people of the town told many stories about it every evening"
WORDS = TALE.split(" ")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Run each module's models on one thread: they are too small for two, and a run in this process may have asked for more."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def train_tokenizer(texts: Sequence[str], size: int, control: Sequence[str] = (END_OF_TEXT,)) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for text in texts for line in text.split("\n") if line]),
        model_writer=model,
        model_type="bpe",
        vocab_size=size,
        control_symbols=list(control),
        user_defined_symbols=["\n"],
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def write_dataset(
    folder: Path,
    documents: Documents,
    *,
    vocabulary: int = 300,
    rows_per_batch: int = 3,
    families: Sequence[Family] = ("gpt",),
    sentence_tokens: int | None = None,
    tokenizer: Path | None = None,
) -> Path:
    """A tokens dataset of these texts; every part has record batches of `rows_per_batch` documents.

    The vocabulary has the special pieces of the families; a sentence starts every `sentence_tokens` tokens. `tokenizer` is a
    dataset whose tokenizer this one shares.
    """
    texts = [text for parts in documents.values() for part in parts for text in part]
    control = dict.fromkeys(p for name in families for p in (*FAMILIES[name].pieces, *FAMILIES[name].last) if p != "<unk>")
    model = (tokenizer / "tokenizer.model").read_bytes() if tokenizer else None
    made = loading.from_bytes(model or train_tokenizer(texts, vocabulary + len(control) - 1, list(control)), "bpe")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.model").write_bytes(made.model)
    parts = [_file(folder, "tokenizer", "tokenizer", "tokenizer.model", rows=1)]
    counts: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for (split, source, language), groups in documents.items():
        table = f"tokens/{split}/{source}/{language}"
        total = {"rows": 0, "tokens": 0, "utf8_bytes": 0}
        for number, group in enumerate(groups):
            path = f"{table}/unit{number}.arrow"
            rows = _write_shard(folder / path, made, group, rows_per_batch, sentence_tokens)
            parts.append(_file(folder, table, f"unit{number}", path, rows=len(rows)))
            total = {
                "rows": total["rows"] + len(rows),
                "tokens": total["tokens"] + sum(map(len, rows)),
                "utf8_bytes": total["utf8_bytes"] + sum(len(text.encode()) for text in group),
            }
        counts.setdefault(split, {}).setdefault(source, {})[language] = total
    made_from = {"texts": hashlib.sha256("\0".join(texts).encode()).hexdigest(), "tokenizer": made.sha256}
    facts = {"tokenizer": made.facts("tokenizer.model"), "tokens": counts, "dtype": "uint16"}
    manifest.write(
        str(folder),
        Manifest(
            dataset="tokens/test",
            fingerprint=manifest.fingerprint(made_from),
            made_from=made_from,
            parts=tuple(parts),
            facts=facts,
        ),
    )
    return folder


def _write_shard(
    path: Path, made: loading.Tokenizer, texts: Sequence[str], rows_per_batch: int, sentence_tokens: int | None
) -> list[list[int]]:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [made.encode(text) for text in texts]
    wanted = schema.tokens(made.size)
    with pa.ipc.new_file(str(path), wanted) as writer:
        for at in range(0, len(ids), rows_per_batch):
            piece = slice(at, at + rows_per_batch)
            columns = [
                pa.array(ids[piece], wanted.field("tokens").type),
                pa.array(
                    [list(range(0, max(len(i), 1), sentence_tokens or len(i) + 1)) for i in ids[piece]], pa.list_(pa.uint32())
                ),
                pa.array([len(text.encode()) for text in texts[piece]], pa.uint32()),
                pa.array([hashlib.md5(text.encode()).digest() for text in texts[piece]], pa.binary(16)),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=wanted))
    return ids


def _file(folder: Path, table: str, unit: str, path: str, rows: int) -> Part:
    content = (folder / path).read_bytes()
    return Part(table=table, unit=unit, path=path, rows=rows, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def sentences(number: int, words: int) -> str:
    """Text that repeats itself in an order that a model can learn, different for every number."""
    turned = WORDS[number % len(WORDS) :] + WORDS[: number % len(WORDS)]
    return " ".join((turned * (words // len(turned) + 1))[:words])


def small_documents() -> Documents:
    """Two sources, three languages, several parts, documents of 0 to 90 words."""
    return {
        ("train", "books", "en"): [[sentences(n, 5 + 7 * n % 91) for n in range(20)], [sentences(n, 40) for n in range(20, 31)]],
        ("train", "books", "de"): [[sentences(n, 30) for n in range(40, 45)]],
        ("train", "wiki", "en"): [[sentences(n, 60) for n in range(50, 63)], [""], [sentences(70, 12)]],
        ("validation", "books", "en"): [[sentences(n, 45) for n in range(80, 90)]],
    }


@pytest.fixture(scope="session")
def dataset_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokens dataset that no test may change."""
    return write_dataset(tmp_path_factory.mktemp("tokens"), small_documents())


@pytest.fixture
def own_dataset(tmp_path: Path) -> Path:
    """A tokens dataset that a test may break."""
    return write_dataset(tmp_path / "own_tokens", small_documents())


@pytest.fixture(scope="session")
def documents() -> Documents:
    """The documents of the datasets above."""
    return small_documents()


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Path]:
    """`write_dataset`, for tests with documents of their own."""
    return write_dataset


@pytest.fixture(scope="session")
def bert_base(documents: Documents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small BERT that has seen nothing, to fine-tune."""
    folder = write_dataset(tmp_path_factory.mktemp("tokens_of_bert"), documents, families=["bert"])
    tokenizer = open_dataset(str(folder)).tokenizer
    base = tmp_path_factory.mktemp("base") / "bert"
    trained.save(base, make(SHAPES["bert"](tokenizer.size), 1), "bert", tokenizer, {})
    return base


TINY = """
[data]
tokens = "{tokens}"
batch_rows = 8
[rows]
length = 16
[model]
family = "gpt"
layers = 2
heads = 2
width = 16
dropout = 0.1
[train]
steps = 12
accumulate = 2
learning_rate = 1e-2
warmup_steps = 2
eval_every = 4
eval_rows = 16
save_every = 3
log_every = 4
threads = 1
device = "cpu"
[run]
out = "{out}"
[sample]
prompt = "the old"
tokens = 8
"""


def write_config(dataset: Path, folder: Path) -> Path:
    """A config that trains in a second; its run lies in `folder / "run"`."""
    path = folder / "tiny.toml"
    path.write_text(TINY.format(tokens=dataset, out=folder / "run"))
    return path


@pytest.fixture(scope="session")
def make_config() -> Callable[[Path, Path], Path]:
    """`write_config`, for runs that several tests share."""
    return write_config


@pytest.fixture
def tiny_config(dataset_folder: Path, tmp_path: Path) -> Path:
    """A config that trains in a second; its run lies in `tmp_path / "run"`."""
    return write_config(dataset_folder, tmp_path)


Sentences = Sequence[Sequence[Sequence[int]]]  # runs -> documents -> lengths of their sentences


def run_of(documents: Sequence[Sequence[int]], source: str, language: str, first: int, place: int) -> ShardRun:
    """A run of documents with sentences of these lengths; ids count up from 1 over all runs, and no column begins at 0."""
    sizes = np.array([sum(lengths) for lengths in documents], dtype=np.int64)
    starts = [np.cumsum([0, *lengths[:-1]]) for lengths in documents if lengths]
    counts = [len(lengths) for lengths in documents]
    return ShardRun(
        f"{source}/{language}/{place}",
        np.concatenate([[0, 0], np.arange(first, first + sizes.sum()) + 1]).astype(np.uint16),
        (np.concatenate([[0], np.cumsum(sizes)]) + 2).astype(np.int32),
        source,
        language,
        ids=np.frombuffer(
            b"".join(hashlib.md5(f"{source}{language}{place}{n}".encode()).digest() for n in range(len(sizes))), np.uint8
        )
        .reshape(-1, 16)
        .copy(),
        sentences=np.concatenate([[7], *starts]).astype(np.uint32),
        sentence_offsets=(np.concatenate([[0], np.cumsum(counts)]) + 1).astype(np.int32),
    )


def maps_over(streams: Mapping[tuple[str, str], Sentences], separated: bool) -> Maps:
    """Maps of runs in memory, by source and language in their order; every run is a part of its own."""
    runs: list[ShardRun] = []
    parts: list[PartOfStream] = []
    for (source, language), stream in streams.items():
        for number, documents in enumerate(stream):
            first = sum(int(run.offsets[-1]) - 2 for run in runs)
            runs.append(run_of(documents, source, language, first, number))
            part = Part(
                table=f"tokens/train/{source}/{language}", unit=str(number), path="", rows=len(documents), bytes=0, sha256=""
            )
            parts.append(PartOfStream(part, source, language))
    table = np.array([line_of(number, run) for number, run in enumerate(runs)], dtype=RUN)
    return maps_of_table(parts, table, lambda part: [runs[parts.index(part)]], separated=separated)


@pytest.fixture(scope="session")
def make_maps() -> Callable[[Mapping[tuple[str, str], Sentences], bool], Maps]:
    """`maps_over`, for tests of packings with documents of their own."""
    return maps_over
