"""tokens/<vocabulary>: the shards that training reads. Map-only over the corpus; a unit is a group of its parts.

    tokens/gpt/3f9a1c20b77e/
        manifest.json                             facts: tokenizer, dtype, tokens (counts), corpus, vocabulary
        tokenizer.model, pieces.arrow             the tokenizer: training needs nothing else
        tokens/train/enwiki/en/<unit>.arrow       schema.tokens; Arrow IPC, memory-mappable
        counts/<unit>.parquet                     rows, tokens and bytes by split, source and language

`facts["tokens"][split][source][language]` is {"rows", "tokens", "utf8_bytes"}; `facts["dtype"]` is "uint16" or "uint32".
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipelines.beam.process_units import process_units
from pipelines.contract import files, manifest, schema
from pipelines.contract.batch import Batch, born
from pipelines.contract.manifest import DatasetError, Manifest, Sidecar
from pipelines.contract.tables import read_batches
from pipelines.contract.tokenizers import loading
from pipelines.contract.tokenizers.loading import Tokenizer
from pipelines.datasets import vocabulary as vocabularies
from pipelines.stages import tokens as stage
from pipelines.stages.base import Stages
from pipelines.units import parts
from pipelines.units.context import Context, Dataset, ensure
from pipelines.units.descriptor import Unit, grouped
from pipelines.units.kept import BASE, OF_GROUP, base

VERSION = 2


@dataclass(frozen=True, slots=True)
class TokensJob:
    """The work on a unit: corpus documents to batches with token tables."""

    stages: Stages

    def open(self) -> Callable[[Unit], Iterator[Batch]]:
        """Load the tokenizer and return the function that reads a unit of corpus parts and encodes it."""
        prepare = self.stages.open()

        def process(unit: Unit) -> Iterator[Batch]:
            encoded = prepare(unit.source, unit.name)
            for path in unit.paths:
                for documents in read_batches(files.join(unit.root, path)):
                    yield encoded(born("read", documents))

        return process


def stages(vocabulary: Dataset, validation_share: float) -> Stages:
    """Return the stages of a tokens dataset of this vocabulary."""
    load = partial(load_unchanged, vocabulary.uri, vocabulary.manifest.facts["tokenizer"]["sha256"])
    return Stages((stage.stage(load, vocabulary.manifest.fingerprint, validation_share),))


def load_unchanged(vocabulary_uri: str, sha256: str) -> Tokenizer:
    """Load a vocabulary's tokenizer. Raise TokenizerError if it has changed since the build began."""
    tokenizer = loading.load(vocabulary_uri)
    if tokenizer.sha256 != sha256:
        raise loading.TokenizerError(f"{vocabulary_uri}: another tokenizer than when the build began; build it again")
    return tokenizer


def build(context: Context, corpus: Dataset, vocabulary: Dataset) -> Dataset:
    """Encode the corpus with this vocabulary, or find it encoded."""
    section, share = context.config.tokens, context.config.corpus.validation_share
    name = f"tokens/{vocabulary.manifest.dataset.removeprefix('vocabulary/')}"
    job = TokensJob(stages(vocabulary, share))
    made_from = {
        "text_bytes_per_unit": section.text_bytes_per_unit,
        "versions": {"tokens": VERSION, **job.stages.versions()},
        "corpus": corpus.manifest.fingerprint,
        **job.stages.settings(),
    }

    def make(uri: str) -> Manifest:
        tokenizer = loading.load(vocabulary.uri, vocabulary.manifest)
        all_units = _with_digests(units(corpus, section.text_bytes_per_unit), made_from, corpus)
        sidecars = process_units(context, uri, job, all_units, documents=False)
        return manifest.assemble(
            name,
            made_from,
            sidecars,
            config=context.config.recorded(),
            parts=vocabularies.write_tokenizer(uri, tokenizer),
            facts=facts(uri, sidecars, tokenizer, corpus, vocabulary),
        )

    return ensure(context, name, made_from, make)


def units(corpus: Dataset, text_bytes_per_unit: int) -> list[Unit]:
    """Return groups of parts of one source, in the order of their paths, each with about this much text.

    A part is never cut. The corpus's ledgers count characters, so a unit of Chinese has up to three times as many bytes.
    """
    by_source: dict[str, list[tuple[str, int]]] = {}
    for part in corpus.manifest.of("documents"):
        sidecar = parts.read_sidecar(corpus.uri, part.unit)
        if sidecar is None:
            raise DatasetError(f"{parts.sidecar_uri(corpus.uri, part.unit)}: is missing; build the corpus again")
        by_source.setdefault(sidecar.source, []).append((part.path, sidecar.ledger.characters_out))
    identity = corpus.manifest.fingerprint
    return [
        unit
        for source in sorted(by_source)
        for unit in grouped(source, corpus.uri, identity, by_source[source], text_bytes_per_unit)
    ]


def _with_digests(units: Sequence[Unit], made_from: Mapping[str, Any], corpus: Dataset) -> list[Unit]:
    """Return the units with the digest of what determines their shards: the tokenizer, and their own parts of the corpus."""
    common = {name: value for name, value in made_from.items() if name != "corpus"}
    sha256 = {part.path: part.sha256 for part in corpus.manifest.parts}

    def digest(unit: Unit) -> str:
        return base(unit, common, [sha256[path] for path in unit.paths], fields=OF_GROUP)

    return [unit.model_copy(update={"made_from": {BASE: digest(unit)}}) for unit in units]


def facts(
    uri: str, sidecars: Iterable[Sidecar], tokenizer: Tokenizer, corpus: Dataset, vocabulary: Dataset
) -> dict[str, Any]:  # fmt: skip
    """Return the manifest's facts, which training reads in addition to the shards."""
    return {
        "tokenizer": tokenizer.facts(tokenizer.file_name),
        "pieces": vocabularies.PIECES_PATH,
        "dtype": str(schema.tokens(tokenizer.size).field("tokens").type.value_type),
        "tokens": _counts(uri, sidecars),
        "corpus": corpus.manifest.fingerprint,
        "vocabulary": vocabulary.manifest.fingerprint,
    }


def _counts(uri: str, sidecars: Iterable[Sidecar]) -> dict[str, dict[str, dict[str, dict[str, int]]]]:
    """Return rows, tokens and bytes by split, source and language, summed over the units' counts."""
    sums: dict[tuple[str, str, str], dict[str, int]] = {}
    for part in (part for sidecar in sidecars for part in sidecar.parts if part.table == stage.COUNTS):
        for row in (row for batch in read_batches(files.join(uri, part.path)) for row in batch.to_pylist()):
            counted = sums.setdefault((row["split"], row["source"], row["language"]), {"rows": 0, "tokens": 0, "utf8_bytes": 0})
            for name in counted:
                counted[name] += row[name]
    nested: dict[str, dict[str, dict[str, dict[str, int]]]] = {}
    for split, source, language in sorted(sums):
        nested.setdefault(split, {}).setdefault(source, {})[language] = sums[split, source, language]
    return nested
