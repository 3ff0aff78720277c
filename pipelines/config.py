"""The configuration of a corpus: a TOML file, typed. Sections stand in the order in which they act.

Every field says what it means below it; a key that is not here is an error that names the nearest one that is.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from pipelines.contract.gate_settings import GateLimits, OwnExpectation
from pipelines.contract.settings import ConfigError as ConfigError  # also of this module, for its callers
from pipelines.contract.settings import Section, read, validated
from pipelines.contract.tokenizers.families import Family
from pipelines.text.copies.lsh import optimal_bands

# What says where things lie or how much room there is: no part of what a dataset is made from.
MACHINE: dict[str, Any] = {
    "sources": {"__all__": {"root"}},
    "deduplicate": {"against", "memory_mib"},
    "decontaminate": {"paths"},
    "language": {"model"},
    "vocabularies": {"__all__": {"path"}},
}


class CorpusSection(Section):
    """What the corpus is called."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Goes into reports and file names."""
    validation_share: float = Field(default=0.005, ge=0, lt=1)
    """Share of works (not of pieces) that no vocabulary, classifier or training sees."""


class SourceSection(Section):
    """One source: where it lies and how far it is trusted."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Goes into ids: renaming a source renames its documents."""
    kind: Literal["wikipedia", "books", "common_crawl", "records"]
    root: str
    """Folder or URI; relative to the config file's folder. Paths below it go into ids and origins."""
    paths: tuple[str, ...] = ("**/*",)
    """Glob patterns below the root. A pattern without a match is an error."""
    snapshot: str
    """Which edition this is, e.g. "20261101" or "CC-MAIN-2026-43"."""
    license: str | None = None
    """Of the documents, as an SPDX name where there is one."""
    priority: int = 0
    """Among near-duplicates that pass the filters, the document of the source with the highest priority survives."""
    curated: bool = False
    """Its documents are the quality classifier's positives; the others are its negatives."""
    bad_share_limit: float = Field(default=0.05, ge=0, le=1)
    """The build stops when more than this share of a source's records cannot be read."""
    cut_off_files: Literal["stop", "drop"] = "stop"
    """What a file that breaks off does: it stops the build (so much may be missing), or is a drop like other broken records."""
    namespaces: tuple[int, ...] = (0,)
    """wikipedia: the namespaces that hold documents."""
    encoding: str | None = None
    """books: the files' encoding where it is known; else it is detected file by file."""
    text_field: str = "text"
    """records: the field or column that holds the text; "a.b" is the field b of the object a, here and below."""
    id_field: str | None = None
    """records: the one that names a document for ever; without it, a document goes by its place in its file."""
    url_field: str | None = None
    title_field: str | None = None
    date_field: str | None = None
    language: str | None = None
    """What the source says its language is; for reports only, the documents are judged one by one."""


class ExcludeSection(Section):
    """Takedown: documents that must not be in the corpus."""

    ids: tuple[str, ...] = ()
    """Hexadecimal document ids (of a document or of a whole work)."""
    urls: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    """A host and all hosts below it."""


class NormalizeSection(Section):
    """Characters."""

    repair_encoding: bool = True
    """Undo mojibake (UTF-8 read as Latin-1 and the like) with ftfy."""
    garbled_share_limit: float = Field(default=0.01, ge=0, le=1)
    """Drop a document with a larger share of U+FFFD."""


class LinesSection(Section):
    """Web pages: what the extractor left of navigation and imprint above and below the running text."""

    enabled: bool = True
    prose_limit: float = Field(default=0.2, ge=0, le=1)
    """Cut no more than this share of a page's prose at either end; 1 suits a crawl of news only."""


class LshTarget(Section):
    """Bands and rows from what they are for: the pair with the least weighted error, as in datasketch's MinHashLSH."""

    threshold: float = Field(gt=0, lt=1)
    """Similarity at which two documents should begin to meet."""
    permutations: int = Field(default=128, ge=2, le=4096)
    """Length of a signature; bands × rows may be less."""
    false_positive_weight: float = Field(default=0.5, ge=0, le=1)
    """Of meeting below the threshold; the two weights add up to 1."""
    false_negative_weight: float = Field(default=0.5, ge=0, le=1)

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        if abs(self.false_positive_weight + self.false_negative_weight - 1) > 1e-9:
            raise ValueError("false_positive_weight and false_negative_weight must add up to 1")
        return self


class DeduplicateSection(Section):
    """Copies of whole documents across all sources (MinHash LSH; FineWeb's 14 bands of 8 rows over word 5-grams)."""

    enabled: bool = True
    exact: bool = True
    """Remove documents that are equal after normalisation."""
    near: bool = True
    """Remove documents that are similar."""
    url: bool = False
    """Remove documents of one address, canonicalised as C4 does; the best-ranked stays."""
    ngram: int = Field(default=5, ge=1, le=50)
    """Words in a shingle; characters in scripts that are written without spaces."""
    bands: int = Field(default=14, ge=1, le=256)
    rows: int = Field(default=8, ge=1, le=64)
    target: LshTarget | None = None
    """Instead of bands and rows."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    scheme: Literal["affine32", "affine64"] = "affine32"
    """datasketch's name of the family of hash functions."""
    threshold: float = Field(default=0.7, ge=0, le=1)
    """Remove a document at least this similar (Jaccard of the shingles) to a survivor."""
    verify: Literal["signature", "jaccard", "edit"] = "signature"
    """How pairs are compared: estimated by their signatures; by their shingles; by these and their edit similarity."""
    edit_threshold: float = Field(default=0.8, ge=0, le=1)
    """verify = "edit": the edit similarity in words that is asked for beside the threshold (Lee et al. 2022: 0.8)."""
    bucket_limit: int = Field(default=10_000, ge=2)
    """Of a bucket's members that are not like its best document, so many look for another centre; more are counted."""
    cluster_limit: int = Field(default=100_000, ge=2)
    """The build stops when a cluster has more members: a sign of a template taken for a text."""
    removed_share_limit: float = Field(default=0.9, ge=0, le=1)
    """The build stops when deduplication removes more than this share of a source."""
    against: tuple[str, ...] = ()
    """Output folders of earlier published builds; what they have is not taken again. Relative to the config's folder."""
    memory_mib: int = Field(default=2048, ge=64)
    """Clusters are found in this much memory of each process, beside the program's own 200 MiB; what needs more goes through
    files. It changes no result."""

    @model_validator(mode="after")
    def _bands_or_a_target(self) -> Self:
        if self.target is not None and self.model_fields_set & {"bands", "rows"}:
            raise ValueError("target stands for bands and rows: give one or the other")
        return self

    @property
    def lsh(self) -> tuple[int, int]:
        """Bands, and rows of a band."""
        target = self.target
        if target is None:
            return self.bands, self.rows
        return optimal_bands(target.threshold, target.permutations, target.false_positive_weight, target.false_negative_weight)

    @property
    def permutations(self) -> int:
        """Length of a signature."""
        return self.bands * self.rows if self.target is None else self.target.permutations


class RepeatsSection(Section):
    """Text that many documents share: lines, paragraphs, runs of words. Off by default: verse and dialogue repeat, too."""

    lines_limit: int | None = Field(default=None, ge=1)
    """Cut lines that stand in more than so many documents (boilerplate of a site)."""
    paragraphs_limit: int | None = Field(default=None, ge=1)
    """The same for paragraphs (between blank lines)."""
    min_words: int = Field(default=3, ge=1)
    """Shorter lines and paragraphs stay."""
    substring_words: int | None = Field(default=None, ge=10)
    """Cut runs of at least so many words that a better-ranked place has too (Lee et al. 2022: 50 tokens)."""

    @property
    def enabled(self) -> bool:
        """Whether anything is asked for."""
        return self.lines_limit is not None or self.paragraphs_limit is not None or self.substring_words is not None


class DecontaminateSection(Section):
    """Texts of benchmarks that must not be in the corpus (GPT-3, arXiv 2005.14165, appendix C: 13-grams)."""

    paths: tuple[str, ...] = ()
    """Glob patterns of JSON Lines files, relative to the config's folder; without any the stage is off."""
    fields: tuple[str, ...] = ()
    """Fields of a line that are text, each an item; empty takes every string of at least `min_words` words."""
    ngram: int = Field(default=13, ge=3, le=50)
    """A document that shares so many consecutive words with an item is contaminated."""
    min_words: int = Field(default=13, ge=3)
    """An item shorter than `ngram`, but not than this, must be there whole; shorter ones are counted and not looked for.
    GPT-3 went down to 8 words, where everyday phrases are met too."""
    action: Literal["drop", "cut"] = "drop"
    """Drop the document, or cut the shared words out of it."""


class LanguageSection(Section):
    """Language identification (fastText lid.176)."""

    enabled: bool = True
    keep: tuple[str, ...] = ()
    """ISO 639 codes as lid.176 names them; empty keeps all."""
    score_limit: float = Field(default=0.65, ge=0, le=1)
    """Drop a document whose best language scores less (FineWeb: 0.65)."""
    prefix_characters: int = Field(default=1000, ge=50)
    """How much of a document is judged: whole documents take three times as long for the same answer."""
    model: str | None = None
    """Path of lid.176.ftz; by default it is downloaded once, checked and cached."""


class QualitySection(Section):
    """Rules of C4, Gopher and FineWeb, then a classifier trained on curated sources against the crawl."""

    rules: tuple[Literal["c4", "gopher", "gopher_repetition", "fineweb"], ...] = ("c4", "gopher", "gopher_repetition")
    rules_for: Literal["crawl", "all"] = "crawl"
    """The rules were made for web pages: by default curated sources are not judged by them."""
    classifier: bool = True
    """Train the classifier inside the build. Below `examples_per_class` it stays off, and the report says so."""
    examples_per_class: int = Field(default=500, ge=10)
    examples_per_class_limit: int = Field(default=200_000, ge=10)
    keep_share: float = Field(default=0.9, gt=0, le=1)
    """Of held-out crawl documents, the share that the classifier's threshold lets through (DCLM keeps 0.1)."""
    seed: int = Field(default=1, ge=0)


class VocabularySection(Section):
    """One tokenizer: a SentencePiece model, trained on a sample of the train split, or an existing one."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    kind: Literal["bpe", "unigram", "char"] = "bpe"
    """char: every character is a piece, and so is "\\n"; to have those that are rare among them, too, set
    character_coverage = 1."""
    size: int = Field(default=32_000, ge=300, le=2**20)
    """Pieces, the special and byte pieces included; of char at most, where the rarest characters are left out."""
    families: tuple[Family, ...] = ("gpt",)
    """The vocabulary has the special pieces of each (see contract/tokenizers/families.py), the first family's first."""
    control_pieces: tuple[str, ...] = ()
    """More special pieces: control pieces, which no text can spell."""
    normalizer: Literal["identity", "nfkc", "nfkc_lower"] = "identity"
    """identity keeps every space and newline: decode(encode(text)) is the text. nfkc and nfkc_lower (SentencePiece's nmt_nfkc
    and nmt_nfkc_cf) unify characters and white space, for models that only read, such as BERT (nfkc_lower: uncased)."""
    split_digits: bool = True
    """Every digit is a piece of its own."""
    byte_fallback: bool = True
    """Characters that are no piece are spelled in bytes; without it they are the unknown piece."""
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1)
    """Share of the sample's characters that get a piece (SentencePiece's default)."""
    sample_bytes: int = Field(default=200_000_000, ge=10_000)
    """Of UTF-8 text that the trainer sees; drawn by a hash of the documents' ids. It bounds the trainer's memory."""
    language_exponent: float = Field(default=1.0, ge=0, le=1)
    """A language's share of the sample is in proportion to (its bytes) ** exponent: 1 as in the corpus, 0 the same for each
    (XLM-R, arXiv 1911.02116, 3.1: 0.3)."""
    language_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict[str, float])
    """By language, multiplies that share; 0 leaves a language out."""
    threads: int = Field(default=2, ge=1, le=128)
    """Another number of threads gives another model, so it is part of the fingerprint."""
    path: str | None = None
    """An existing tokenizer instead of a new one: a SentencePiece .model, a tokenizer.json, BERT's vocab.txt, or the folder of
    GPT-2's and BART's vocab.json and merges.txt. Nothing is trained; of the fields above only `families` (where it stands in
    the file) and `control_pieces` act: pieces that are missing are added behind the last."""


class TokensSection(Section):
    """Token shards, of every vocabulary."""

    vocabularies: tuple[str, ...] = ()
    """Names of the vocabularies that shards are written with; none names all."""
    text_bytes_per_unit: int = Field(default=2**30, ge=2**10)
    """Text that one worker turns into one part per split, source and language."""


class ExpectationsSection(GateLimits):
    """The gates' limits, and a user's own expectations."""

    extra: tuple[OwnExpectation, ...] = ()


class RetainSection(Section):
    """Which intermediate datasets `corpusmill gc` keeps after publishing."""

    documents: bool = True
    clusters: bool = True


class CorpusConfig(Section):
    """A whole build."""

    corpus: CorpusSection
    sources: tuple[SourceSection, ...]
    exclude: ExcludeSection = ExcludeSection()
    normalize: NormalizeSection = NormalizeSection()
    lines: LinesSection = LinesSection()
    deduplicate: DeduplicateSection = DeduplicateSection()
    repeats: RepeatsSection = RepeatsSection()
    decontaminate: DecontaminateSection = DecontaminateSection()
    language: LanguageSection = LanguageSection()
    quality: QualitySection = QualitySection()
    vocabularies: tuple[VocabularySection, ...] = ()
    tokens: TokensSection = TokensSection()
    expectations: ExpectationsSection = ExpectationsSection()
    retain: RetainSection = RetainSection()

    @field_validator("sources", "vocabularies")
    @classmethod
    def _names_are_unique(cls, sections: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [section.name for section in sections]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the name {twice[0]!r} stands twice; every one needs its own")
        return sections

    @field_validator("sources")
    @classmethod
    def _there_is_a_source(cls, sources: tuple[SourceSection, ...]) -> tuple[SourceSection, ...]:
        if not sources:
            raise ValueError("there is no source; add a [[sources]] section")
        return sources

    @model_validator(mode="after")
    def _tokens_have_a_vocabulary(self) -> Self:
        names = [vocabulary.name for vocabulary in self.vocabularies]
        unknown = [name for name in self.tokens.vocabularies if name not in names]
        if unknown:
            raise ValueError(f"tokens.vocabularies names {unknown[0]!r}, but the vocabularies are {names}")
        return self

    def recorded(self) -> dict[str, Any]:
        """The resolved config as a manifest keeps it: without the paths of the machine that built it."""
        return self.model_dump(mode="json", exclude=MACHINE)

    def source(self, name: str) -> SourceSection:
        """The section of a source."""
        return next(section for section in self.sources if section.name == name)


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> CorpusConfig:
    """Read a config; `overrides` are `section.key=value` with a TOML value (`sources.0.snapshot="x"` for lists).

    Raises ConfigError with the file, the field and the fix. Relative roots and models are made absolute here, from the
    folder of the config file.
    """
    path = Path(path)
    config = validated(CorpusConfig, read(path, overrides), str(path))
    return _resolve_paths(config, path.resolve().parent)


def _resolve_paths(config: CorpusConfig, base: Path) -> CorpusConfig:
    def absolute(value: str) -> str:
        return value if "://" in value else str((base / Path(value).expanduser()).resolve())

    sources = tuple(s.model_copy(update={"root": absolute(s.root)}) for s in config.sources)
    language = config.language
    if language.model is not None:
        language = language.model_copy(update={"model": absolute(language.model)})
    deduplicate = config.deduplicate.model_copy(update={"against": tuple(map(absolute, config.deduplicate.against))})
    vocabularies = tuple(v.model_copy(update={"path": absolute(v.path)}) if v.path else v for v in config.vocabularies)
    decontaminate = config.decontaminate.model_copy(update={"paths": tuple(map(absolute, config.decontaminate.paths))})
    return config.model_copy(
        update={
            "sources": sources,
            "language": language,
            "deduplicate": deduplicate,
            "decontaminate": decontaminate,
            "vocabularies": vocabularies,
        }
    )
