"""vocabulary/<name>: a SentencePiece model trained on a sample of the train split, or an existing tokenizer.

One that the output folder has published stays, by default, when the corpus changes (`vocabularies.refresh`).

    vocabulary/gpt/3f9a1c20b77e/
        manifest.json     facts: tokenizer (see contract/tokenizers/loading.py), wanted_size, sample, report
        tokenizer.model   the SentencePiece model; tokenizer.json for a tokenizer of another library
        pieces.arrow      one row per piece (see contract/tokenizers/pieces.py)

`facts["sample"]["languages"][language]` holds the bytes of a language in the split, its share of the sample by the rule of
text/tokenization/shares.py, and the bytes drawn. `facts["report"]` is the report of text/tokenization/report.py on the sample,
up to _REPORT_BYTES; its `warnings` are for the user.

Memory: see vocabulary_sample.py for the sample and text/tokenization/vocabulary.py for the trainer, a separate process.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import sentencepiece

from pipelines import release
from pipelines.config import VocabularySection
from pipelines.contract import files, manifest, memory
from pipelines.contract.errors import UserError
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.tables import read_batches
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers import published as existing
from pipelines.contract.tokenizers.loading import Tokenizer, TokenizerError
from pipelines.contract.tokenizers.pieces import piece_table
from pipelines.datasets import vocabulary_sample
from pipelines.text.tokenization import report as vocabulary_report
from pipelines.text.tokenization import vocabulary as text_vocabulary
from pipelines.text.tokenization.shares import Share, shares
from pipelines.units.context import Context, Dataset, ensure

VERSION = 3

TABLE = "tokenizer"  # the table of both parts
PIECES_PATH = "pieces.arrow"
_REPORT_BYTES = 2**26  # of the sample, for the report
_ROWS_AT_ONCE = 1000


def build(context: Context, corpus: Dataset, section: VocabularySection) -> Dataset:
    """Train this vocabulary on the corpus's train split, or take the existing one that `path` names.

    Raise UserError with the config's field if the split is empty, the size is impossible, a language is missing, the trainer
    would need more memory than is free, or the existing tokenizer cannot be read.
    """
    if section.path is not None:
        return _existing(context, corpus, section, section.path)
    made_from = {
        "vocabulary": section.model_dump(mode="json", exclude={"path", "refresh"}),
        "versions": {
            "vocabulary": VERSION,
            "training": text_vocabulary.VERSION,
            "report": vocabulary_report.VERSION,
            "sentencepiece": sentencepiece.__version__,
        },
        **_corpus(context, corpus),
    }

    def make(uri: str) -> Manifest:
        by_language = _shares(context, corpus, section)
        _check_memory(section, {language: share.drawn_bytes for language, share in by_language.items()})
        sample = _draw(context, corpus, by_language)
        tokenizer = _train(section, sample)
        is_smaller = tokenizer.size < section.size and section.kind != "char"  # the size of a char model is only a limit
        warnings = [_size_warning(section, tokenizer)] if is_smaller else []
        facts = {"wanted_size": section.size, **_facts(tokenizer, sample, by_language, warnings)}
        return _assemble(context, uri, f"vocabulary/{section.name}", made_from, tokenizer, facts)

    return _published(context, section, made_from) or ensure(context, f"vocabulary/{section.name}", made_from, make)


def _published(context: Context, section: VocabularySection, made_from: Mapping[str, Any]) -> Dataset | None:
    """Return the vocabulary that the output folder has published, if it has all that determines this one but the corpus."""
    name = f"vocabulary/{section.name}"
    found = None if section.refresh == "when_changed" else release.published(context.out, name)
    if found is None or _but_corpus(found.manifest.made_from) != _but_corpus(made_from):
        return None
    context.on_event("dataset_found", {"dataset": name, "uri": found.uri})
    return found


def _but_corpus(made_from: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in made_from.items() if name not in ("corpus", "validation_share")}


def _existing(context: Context, corpus: Dataset, section: VocabularySection, path: str) -> Dataset:
    """Take an existing tokenizer, add the configured special pieces, and report on it, without any training."""
    families = section.families if "families" in section.model_fields_set else ()
    try:
        tokenizer = existing.load_existing(path, families, section.control_pieces)
    except TokenizerError as error:
        raise TokenizerError(f"vocabularies.{section.name}.path: {error}") from error
    made_from = {
        "vocabulary": {"name": section.name, "sha256": tokenizer.sha256, "library": tokenizer.library, "kind": tokenizer.kind},
        "versions": {"vocabulary": VERSION, "report": vocabulary_report.VERSION},
        **_corpus(context, corpus),
    }

    name = f"vocabulary/{section.name}"
    proportional = VocabularySection(name=section.name, sample_bytes=_REPORT_BYTES)  # every language by its size

    def make(uri: str) -> Manifest:
        by_language = _shares(context, corpus, proportional)
        sample = _draw(context, corpus, by_language)
        facts = {"wanted_size": tokenizer.size, **_facts(tokenizer, sample, by_language, [])}
        return _assemble(context, uri, name, made_from, tokenizer, facts)

    return _published(context, section, made_from) or ensure(context, name, made_from, make)


def _corpus(context: Context, corpus: Dataset) -> dict[str, Any]:
    return {"corpus": corpus.manifest.fingerprint, "validation_share": context.config.corpus.validation_share}


def _assemble(
    context: Context, uri: str, name: str, made_from: Mapping[str, Any], tokenizer: Tokenizer, facts: Mapping[str, Any]
) -> Manifest:
    for warning in facts["report"]["warnings"]:
        context.on_event("warning", {"dataset": name, "text": warning})
    parts = write_tokenizer(uri, tokenizer)
    return manifest.assemble(name, made_from, [], config=context.config.recorded(), parts=parts, facts=facts)


def write_tokenizer(dataset_uri: str, tokenizer: Tokenizer) -> list[Part]:
    """Write the tokenizer's file and the table of its pieces into a dataset's folder."""
    with files.writing(files.join(dataset_uri, tokenizer.file_name)) as model:
        model.write(tokenizer.model)
    table = piece_table(tokenizer).combine_chunks()
    with files.writing(files.join(dataset_uri, PIECES_PATH)) as stream, pa.ipc.new_file(_sink(stream), table.schema) as writer:
        writer.write_table(table)
    written = [(tokenizer.file_name, model), (PIECES_PATH, stream)]
    return [
        Part(table=TABLE, unit=TABLE, path=path, rows=tokenizer.size, bytes=file.bytes_written, sha256=file.sha256)
        for path, file in written
    ]


def _sink(stream: files.HashingWriter) -> Any:
    return pa.PythonFile(stream, mode="w")


def _shares(context: Context, corpus: Dataset, section: VocabularySection) -> dict[str, Share]:
    """Return each language's share of the sample. Raise UserError with the config's field."""
    split = _documents(corpus, vocabulary_sample.COUNTED_COLUMNS)
    available = vocabulary_sample.language_bytes(split, context.config.corpus.validation_share)
    field = f"vocabularies.{section.name}"
    if not available:
        raise UserError(f"{field}: there is no text for a vocabulary, the corpus' train split holds no document")
    try:
        return shares(available, section.sample_bytes, section.language_exponent, section.language_weights)
    except ValueError as error:
        raise UserError(f"{field}.{error}") from error


def _draw(context: Context, corpus: Dataset, by_language: Mapping[str, Share]) -> pa.Table:
    sizes = {language: share.drawn_bytes for language, share in by_language.items()}
    draw = vocabulary_sample.Draw(sizes, context.config.corpus.validation_share)
    for batch in _documents(corpus, vocabulary_sample.DRAWN_COLUMNS):
        draw.add(batch)
    return draw.sample()


def _documents(corpus: Dataset, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for part in corpus.manifest.of("documents"):
        yield from read_batches(files.join(corpus.uri, part.path), columns)


def _check_memory(section: VocabularySection, sample: Mapping[str, int]) -> None:
    """Raise UserError if the trainer would run out of memory, because it would do so after an hour of work."""
    free, size = memory.available_bytes(), sum(sample.values())
    needed = text_vocabulary.trainer_memory(section.kind, sample) + size  # the sample stays in this process
    if free is None or needed <= free:
        return
    fixed = text_vocabulary.TRAINER_FIXED
    fits = int(size * max(free - fixed, 0) / (needed - fixed)) // 10_000 * 10_000
    raise UserError(
        f"vocabularies.{section.name}.sample_bytes: {section.kind} on {size:,} bytes takes about {needed / 1e9:.1f} GB "
        f"of memory, and {free / 1e9:.1f} GB are free; lower it to {fits:,}, or use a machine with more"
    )


def _train(section: VocabularySection, sample: pa.Table) -> Tokenizer:
    texts = (batch["text"] for batch in sample.to_batches(max_chunksize=_ROWS_AT_ONCE))
    recipe = text_vocabulary.Recipe(
        normalizer=section.normalizer,
        split_digits=section.split_digits,
        byte_fallback=section.byte_fallback,
        character_coverage=section.character_coverage,
        large=_bytes(sample) >= text_vocabulary.LARGE_BYTES,
    )
    try:
        special = text_vocabulary.special_pieces(section.families, section.control_pieces)
        lines = text_vocabulary.training_lines(texts)
        model = text_vocabulary.train(lines, section.kind, section.size, special, section.threads, recipe)
    except ValueError as error:
        raise UserError(f"vocabularies.{section.name}.{error}") from error
    return loading.from_bytes(model, section.kind)


def _size_warning(section: VocabularySection, tokenizer: Tokenizer) -> str:
    return (
        f"the vocabulary has {tokenizer.size:,} pieces instead of {section.size:,}: the sample has no more; "
        f"raise vocabularies.{section.name}.sample_bytes or lower its size"
    )


def _facts(
    tokenizer: Tokenizer, sample: pa.Table, by_language: Mapping[str, Share], warnings: Sequence[str]
) -> dict[str, Any]:  # fmt: skip
    held = np.cumsum(pc.binary_length(sample["text"]).to_numpy())
    shown = sample.slice(0, int(np.searchsorted(held, _REPORT_BYTES)) + 1)
    return {
        "tokenizer": tokenizer.facts(tokenizer.file_name),
        "pieces": PIECES_PATH,
        "sample": {
            "documents": len(sample["id"].unique()),
            "passages": sample.num_rows,
            "utf8_bytes": _bytes(sample),
            "languages": _languages(sample, by_language),
        },
        "report": {**vocabulary_report.report(tokenizer, shown), "warnings": list(warnings)},
    }


def _languages(sample: pa.Table, by_language: Mapping[str, Share]) -> dict[str, dict[str, Any]]:
    lengths = pa.table({"language": sample["language"], "bytes": pc.binary_length(sample["text"]).cast(pa.int64())})
    sums = lengths.group_by("language").aggregate([("bytes", "sum"), ("bytes", "count")])
    drawn = {row["language"]: row for row in sums.to_pylist()}
    return {
        language: {
            "available_bytes": share.available_bytes,
            "wanted_share": round(share.wanted_share, 6),
            "drawn_bytes": drawn[language]["bytes_sum"] if language in drawn else 0,
            "passages": drawn[language]["bytes_count"] if language in drawn else 0,
        }
        for language, share in by_language.items()
    }


def _bytes(sample: pa.Table) -> int:
    return pc.sum(pc.binary_length(sample["text"])).as_py() or 0
