"""The vocabulary dataset: a SentencePiece model trained on a sample of the train split, and a report on it.

    vocabulary/gpt/3f9a1c20b77e/
        manifest.json     facts: tokenizer (see contract/tokenizer.py), sample, report
        tokenizer.model   the SentencePiece model
        pieces.arrow      one row a piece: piece, kind, utf8_bytes, word_start

The sample is the documents with the smallest sampling keys (a hash of their ids), until they hold `sample_bytes`; so it
does not depend on the order of the parts. No other text is in memory: while it is drawn, at most twice the sample and
one batch; then SentencePiece's own structures. Measured on 26 MB of novels: 0.4 GB for BPE, 2 GB for unigram.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece

from pipelines.build import Context, Dataset, ensure
from pipelines.config import VocabularySection
from pipelines.contract import files, manifest, schema
from pipelines.contract import tokenizer as tokenizers
from pipelines.contract.families import FAMILIES
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.tables import read_batches
from pipelines.contract.tokenizer import Tokenizer
from pipelines.text import vocabulary as text_vocabulary

VERSION = 1

TABLE = "tokenizer"  # of the two parts
MODEL_PATH = "tokenizer.model"
PIECES_PATH = "pieces.arrow"
_COLUMNS = ["id", "source", "language", "text"]
_REPORT_BYTES = 2**22  # of the sample, for the report
_ROWS_AT_ONCE = 1000


def build(context: Context, corpus: Dataset, section: VocabularySection) -> Dataset:
    """The vocabulary of this section, trained on the corpus' train split.

    Raises ValueError, naming the config's field, when the split is empty or the wanted size is impossible.
    """
    share = context.config.corpus.validation_share
    name = f"vocabulary/{section.name}"
    made_from = {
        "vocabulary": section.model_dump(mode="json"),
        "versions": {"vocabulary": VERSION, "training": text_vocabulary.VERSION, "sentencepiece": sentencepiece.__version__},
        "corpus": corpus.manifest.fingerprint,
        "validation_share": share,
    }

    def make(uri: str) -> Manifest:
        sample = draw_sample(_documents(corpus), share, section.sample_bytes)
        tokenizer = _train(section, sample)
        return manifest.assemble(
            name,
            made_from,
            [],
            config=context.config.recorded(),
            parts=write_tokenizer(uri, tokenizer),
            facts=_facts(section, tokenizer, sample),
        )

    return ensure(context, name, made_from, make)


def write_tokenizer(dataset_uri: str, tokenizer: Tokenizer) -> list[Part]:
    """Write the model and the table of its pieces into a dataset's folder."""
    with files.writing(files.join(dataset_uri, MODEL_PATH)) as model:
        model.write(tokenizer.model)
    table = tokenizers.pieces(tokenizer).combine_chunks()
    with files.writing(files.join(dataset_uri, PIECES_PATH)) as stream, pa.ipc.new_file(_sink(stream), table.schema) as writer:
        writer.write_table(table)
    written = [(MODEL_PATH, model), (PIECES_PATH, stream)]
    return [
        Part(table=TABLE, unit=TABLE, path=path, rows=tokenizer.size, bytes=file.bytes_written, sha256=file.sha256)
        for path, file in written
    ]


def _sink(stream: files.HashingWriter) -> Any:
    return pa.PythonFile(stream, mode="w")


def draw_sample(documents: Iterator[pa.RecordBatch], validation_share: float, sample_bytes: int) -> pa.Table:
    """The train split's documents with the smallest sampling keys that hold `sample_bytes` of text, ordered by id.

    `documents` have the columns id, work, source, language, text; the sample has id, source, language, text.
    """
    pool: list[pa.Table] = []
    pooled, limit = 0, 1.0
    for batch in documents:
        keys = schema.sampling_key(batch["id"])
        wanted = ~schema.is_validation(batch["work"], validation_share) & (keys < limit)
        table = pa.Table.from_batches([batch.select(_COLUMNS)]).append_column("key", pa.array(keys)).filter(pa.array(wanted))
        pool.append(table.set_column(3, "text", table["text"].cast(pa.large_string())))
        pooled += pc.sum(pc.binary_length(pool[-1]["text"])).as_py() or 0
        if pooled > 2 * sample_bytes:
            kept = _smallest(pa.concat_tables(pool), sample_bytes)
            pool, pooled, limit = [kept], sample_bytes, kept["key"][-1].as_py()
    if not pool:
        return pa.table({name: pa.array([], pa.string()) for name in _COLUMNS})
    return _smallest(pa.concat_tables(pool), sample_bytes).sort_by("id").drop_columns(["key"]).combine_chunks()


def _smallest(pool: pa.Table, sample_bytes: int) -> pa.Table:
    """The rows with the smallest keys that hold so many bytes (all of them, if they hold less), ordered by key."""
    ordered = pool.sort_by([("key", "ascending"), ("id", "ascending")])
    held = np.cumsum(pc.binary_length(ordered["text"]).to_numpy())
    return ordered.slice(0, int(np.searchsorted(held, sample_bytes)) + 1)


def _documents(corpus: Dataset) -> Iterator[pa.RecordBatch]:
    for part in corpus.manifest.of("documents"):
        yield from read_batches(files.join(corpus.uri, part.path), [*_COLUMNS, "work"])


def _train(section: VocabularySection, sample: pa.Table) -> Tokenizer:
    field = f"vocabularies.{section.name}.size"
    if sample.num_rows == 0:
        raise ValueError(f"{field}: there is no vocabulary to train, the corpus' train split holds no document")
    texts = (batch["text"] for batch in sample.to_batches(max_chunksize=_ROWS_AT_ONCE))
    lines = text_vocabulary.training_lines(texts)
    try:
        control = [piece for family in section.families for piece in FAMILIES[family].pieces]
        model = text_vocabulary.train(lines, section.kind, section.size, [*control, *section.control_pieces], section.threads)
    except ValueError as error:
        raise ValueError(f"{field} {error}") from error
    return tokenizers.from_bytes(model, section.kind)


def _facts(section: VocabularySection, tokenizer: Tokenizer, sample: pa.Table) -> dict[str, Any]:
    lengths = pc.binary_length(sample["text"])
    shown = sample.slice(0, int(np.searchsorted(np.cumsum(lengths.to_numpy()), _REPORT_BYTES)) + 1)
    return {
        "tokenizer": tokenizer.facts(MODEL_PATH),
        "pieces": PIECES_PATH,
        "wanted_size": section.size,
        "sample": {"documents": sample.num_rows, "utf8_bytes": pc.sum(lengths).as_py() or 0},
        "report": text_vocabulary.report(tokenizer, shown),
    }
