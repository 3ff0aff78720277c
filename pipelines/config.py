"""The configuration of a corpus: a TOML file, typed. The sections are in the order of the build.

The docstring below a field is its reference. An unknown key is an error that names the nearest known one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from pipelines.contract import files
from pipelines.contract.gate_settings import GateLimits, OwnExpectation
from pipelines.contract.settings import ConfigError as ConfigError  # also of this module, for its callers
from pipelines.contract.settings import Section, read, validated
from pipelines.contract.tokenizers.families import Family
from pipelines.judgement_config import LanguageSection as LanguageSection
from pipelines.judgement_config import OwnFunction as OwnFunction
from pipelines.judgement_config import PrivateSection as PrivateSection
from pipelines.judgement_config import QualityModelSection as QualityModelSection
from pipelines.judgement_config import QualitySection as QualitySection
from pipelines.rule_thresholds import C4Lines, RefinedWebLines
from pipelines.text.copies.lsh import optimal_bands

_Section = TypeVar("_Section", bound=Section)

# Paths and memory of a machine: they change no result, so no fingerprint and no manifest has them.
MACHINE: dict[str, Any] = {
    "sources": {"__all__": {"root"}},
    "exclude": {"ids_files", "urls_files", "hosts_files", "block_lists"},
    "deduplicate": {"against", "memory_mib"},
    "decontaminate": {"paths"},
    "language": {"model": True, "models": {"__all__": {"path"}}},
    "quality": {
        "bad_words": True,
        "own": {"__all__": {"function"}},
        "models": {"__all__": {"path", "run"}},
        "perplexity": {"models", "sentencepiece"},
    },
    "private": {"names"},
    "vocabularies": {"__all__": {"path"}},
}


class CorpusSection(Section):
    """The name of the corpus and its validation split."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Used in reports and file names."""
    validation_share: float = Field(default=0.005, ge=0, lt=1)
    """Share of works (not of their pieces) that is held out from vocabularies, classifier and training."""


class SourceSection(Section):
    """One source: where its files are and how far it is trusted."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    """Part of the document ids: renaming a source gives its documents new ids."""
    kind: Literal["wikipedia", "books", "common_crawl", "records"]
    root: str
    """Folder or URI, relative to the config file's folder. Ids and origins contain paths relative to it."""
    paths: tuple[str, ...] = Field(default=("**/*",), min_length=1)
    """Glob patterns of files below the root; links are followed. A pattern that matches nothing is an error, and so is a link to
    nothing or a folder without permission that may hold matches. A name that begins with a dot must be named with the dot, and
    the output folder of a build by its path."""
    unread_files: Literal["stop", "skip"] = "stop"
    """A file that matches and has a name that the kind does not read stops the build, or is counted as skipped (`file_type`)."""
    snapshot: str
    """The edition of the data, e.g. "20261101" or "CC-MAIN-2026-43"."""
    license: str | None = None
    """License of the documents: its SPDX identifier if it has one."""
    priority: int = 0
    """Decides between near-duplicates that pass the filters: the one from the source with the highest priority is kept."""
    curated: bool = False
    """Whether its documents are positive examples of the quality classifier; documents of other sources are negative ones."""
    bad_share_limit: float = Field(default=0.05, ge=0, le=1)
    """The build stops if more than this share of the source's records cannot be read."""
    cut_off_files: Literal["stop", "drop"] = "stop"
    """A truncated file stops the build (much may be missing), or is counted as a drop like any other broken record."""
    namespaces: tuple[int, ...] = (0,)
    """wikipedia: the namespaces whose pages are documents."""
    extractor: Literal["corpusmill", "resiliparse", "trafilatura"] = "corpusmill"
    """common_crawl: what takes the main text out of web pages. corpusmill is the program's own page model. trafilatura is of the
    extra `bench`, much slower, and runs in a process of its own: a page that takes more than 2 GiB or 60 s of CPU time is dropped
    (`extraction_failed`)."""
    format: Literal["text", "markdown"] = "text"
    """common_crawl: how a page's structure is written. Both keep code between ``` fences with every space, tables of data as rows
    of "| cells |", formulas as $LaTeX$, lists with "- " and "1. ". markdown: headings with #, quotes with >, **bold**, *emphasis*
    and `code`, too; only extractor = "corpusmill" writes it."""
    respect: tuple[Literal["noindex", "noai", "tdm"], ...] = ()
    """common_crawl: pages that say one of these are dropped (`opted_out_noindex`, …). noindex: search engines should not show the
    page. noai: it is not for the training of models (robots directives noai and noimageai). tdm: text and data mining is reserved
    (tdm-reservation). All are in the column `opt_outs` whether they are respected or not; a .wet file has none of them."""
    images: bool = False
    """common_crawl: whether the column `images` has the images of a page's main part: address, alternative text and caption."""
    encoding: str | None = None
    """books: the encoding of the files; by default, it is detected file by file."""
    text_field: str = "text"
    """records: the field or column of the text. Here and below, "a.b" is the field b of the object a."""
    id_field: str | None = None
    """records: the field of a permanent document id; by default, a document is identified by its position in its file."""
    url_field: str | None = None
    """records: the field of the URL; `title_field` and `date_field` likewise."""
    title_field: str | None = None
    date_field: str | None = None
    language: str | None = None
    """The language that the source declares, by the model's code if it has one. For reports only: the language of each document
    is identified."""

    @model_validator(mode="after")
    def _markdown_needs_structure(self) -> Self:
        if self.format == "markdown" and self.extractor != "corpusmill":
            raise ValueError(f'format = "markdown" needs extractor = "corpusmill": {self.extractor} keeps no structure')
        return self


class ExcludeSection(Section):
    """Takedown: documents that must not be in the corpus. The report says which entries matched no document."""

    ids: tuple[str, ...] = ()
    """Ids of documents or of whole works, in hexadecimal."""
    urls: tuple[str, ...] = ()
    """Addresses, compared in canonical form: http or https, with www. or without, a slash or a fragment at the end, capitals in
    the host and the percent-encoding make no difference."""
    hosts: tuple[str, ...] = ()
    """Host names; each excludes its subdomains too."""
    ids_files: tuple[str, ...] = ()
    """Files of further ids, one a line (plain or compressed, paths relative to the config's folder); "#" begins a comment. They
    may have millions of lines."""
    urls_files: tuple[str, ...] = ()
    hosts_files: tuple[str, ...] = ()
    block_lists: tuple[str, ...] = ()
    """Folders of published block lists, a folder a category, with files `domains` and `urls`, and `expressions` if there are any
    (the form of UT1 and squidGuard, plain or compressed), such as "blacklists/adult". Their documents are dropped as `blocked`.
    For many names: unlike those above, the entries that matched no document are not reported."""


class NormalizeSection(Section):
    r"""Normalisation of characters and white space. Every text is NFC, with "\n" for line ends and without control characters."""

    whitespace: Literal["keep", "prose"] | None = None
    """keep: every space, tab and blank line stays as it is (code, tables, YAML). prose: a run of spaces and tabs becomes one
    space, lines are stripped, and at most one blank line stays in a row. By default, `records` are kept; of the other kinds the
    prose is unified, and code (<pre>, blocks of <code>, <syntaxhighlight>, indented lines of wikitext) is kept."""
    repair_encoding: bool = True
    """Repair mojibake (such as UTF-8 read as Latin-1) with ftfy."""
    garbled_share_limit: float = Field(default=0.01, ge=0, le=1)
    """Drop a document if the share of U+FFFD among its characters is larger."""


class LinesSection(Section):
    """Web pages: removal of the menus and footers that the extractor left above and below the running text."""

    enabled: bool = True
    prose_limit: float = Field(default=0.2, ge=0, le=1)
    """Largest share of a page's prose that may be cut at either end; 1 suits only a crawl of news."""
    c4: C4Lines | None = None
    """`[lines.c4]` removes the lines that C4 removes, from the sources that the rules judge; headings, lists and code go, too."""
    refinedweb: RefinedWebLines | None = None
    """`[lines.refinedweb]` removes the lines that RefinedWeb removes."""


class LshTarget(Section):
    """Bands and rows chosen for a threshold: the pair with the smallest weighted error, as in datasketch's MinHashLSH."""

    threshold: float = Field(gt=0, lt=1)
    """Similarity from which two documents should become candidates."""
    permutations: int = Field(default=128, ge=2, le=4096)
    """Length of a signature; bands × rows may be smaller."""
    false_positive_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of candidates below the threshold; the two weights must add up to 1."""
    false_negative_weight: float = Field(default=0.5, ge=0, le=1)
    """Weight of missed pairs above the threshold."""

    @model_validator(mode="after")
    def _weights_are_shares(self) -> Self:
        if abs(self.false_positive_weight + self.false_negative_weight - 1) > 1e-9:
            raise ValueError("false_positive_weight and false_negative_weight must add up to 1")
        return self


class DeduplicateSection(Section):
    """Removal of duplicate documents across all sources (MinHash LSH; by default FineWeb's 14 bands of 8 rows, word 5-grams)."""

    enabled: bool = True
    exact: Literal["bytes", "letters", False] = "bytes"
    """Remove documents whose texts are equal. bytes: character by character (every text is NFC). letters: in their words alone,
    without case, diacritics, punctuation and signs, so "2 + 2 = 4" is "2 - 2 = 4", and "Résumé" is "resume". `near` judges all
    others. true is read as "bytes"."""
    near: bool = True
    """Remove documents that are similar to another."""
    url: bool = False
    """Keep only the best-ranked document of each URL; URLs are canonicalised as in C4 and by RFC 3986."""
    ngram: int = Field(default=5, ge=1, le=50)
    """Words in a shingle; in scripts written without spaces, characters."""
    bands: int = Field(default=14, ge=1, le=256)
    rows: int = Field(default=8, ge=1, le=64)
    target: LshTarget | None = None
    """Chooses bands and rows; cannot be combined with them."""
    seed: int = Field(default=1, ge=0, lt=2**32)
    scheme: Literal["affine32", "affine64"] = "affine32"
    """Family of hash functions, by datasketch's name."""
    threshold: float = Field(default=0.7, ge=0, le=1)
    """Remove a document that is at least this similar (Jaccard index of the shingles) to one that is kept."""
    verify: Literal["signature", "jaccard", "edit"] = "signature"
    """How pairs are compared: by their signatures (an estimate), by their shingles, or by shingles and edit similarity."""
    edit_threshold: float = Field(default=0.8, ge=0, le=1)
    """verify = "edit": the edit similarity, in words, that a pair must also reach (Lee et al. 2022: 0.8)."""
    bucket_limit: int = Field(default=10_000, ge=2)
    """Largest number of members, unlike the best document of their bucket, that are compared again; any more are only counted."""
    cluster_limit: int = Field(default=100_000, ge=2)
    """The build stops if a cluster has more members: a sign that a template was taken for text."""
    removed_share_limit: float = Field(default=0.9, ge=0, le=1)
    """The build stops if deduplication removes more than this share of a source."""
    against: tuple[str, ...] = ()
    """Output folders of earlier builds, relative to the config's folder; documents that they published are removed here."""
    memory_mib: int = Field(default=2048, ge=64)
    """Memory of each process for finding clusters, on top of the program's own 200 MiB; larger builds go through files. It
    changes no result."""

    @field_validator("exact", mode="before")
    @classmethod
    def _true_is_bytes(cls, value: Any) -> Any:
        return "bytes" if value is True else value

    @model_validator(mode="after")
    def _bands_or_a_target(self) -> Self:
        if self.target is not None and self.model_fields_set & {"bands", "rows"}:
            raise ValueError("target stands for bands and rows: give one or the other")
        return self

    @property
    def lsh(self) -> tuple[int, int]:
        """Number of bands, and rows per band."""
        target = self.target
        if target is None:
            return self.bands, self.rows
        return optimal_bands(target.threshold, target.permutations, target.false_positive_weight, target.false_negative_weight)

    @property
    def permutations(self) -> int:
        """Length of a signature."""
        return self.bands * self.rows if self.target is None else self.target.permutations


class RepeatsSection(Section):
    """Removal of text that many documents share: lines, paragraphs, runs of words. Off by default: verse and dialogue repeat.

    What is left of a document is judged once more, by the rules of its source and by its language.
    """

    lines_limit: int | None = Field(default=None, ge=1)
    """Cut lines that occur in more than this many documents (such as a site's boilerplate), but see `keep`."""
    paragraphs_limit: int | None = Field(default=None, ge=1)
    """The same for paragraphs (between blank lines)."""
    keep: Literal["first", "none"] = "first"
    """first: the best document that has such a line or paragraph keeps it (highest priority of its source, then least id), so of
    two editions of a novel one stays whole. none: it is cut everywhere, also where it is the only copy left."""
    min_words: int = Field(default=3, ge=1)
    """Lines and paragraphs of fewer words are kept."""
    substring_words: int | None = Field(default=None, ge=10)
    """Cut runs of at least this many words that also occur in a better-ranked place (Lee et al. 2022: 50 tokens)."""

    @property
    def enabled(self) -> bool:
        """Whether any limit is set."""
        return self.lines_limit is not None or self.paragraphs_limit is not None or self.substring_words is not None


class DecontaminateSection(Section):
    """Removal of the texts of benchmarks, found by the share of an item's n-grams, the rare ones weighing most."""

    paths: tuple[str, ...] = ()
    """Glob patterns of JSON Lines files, relative to the config's folder; the stage is off if there are none."""
    fields: tuple[str, ...] = ()
    """Fields whose text is an item; if empty, every string of at least `min_words` words is one."""
    ngram: int = Field(default=5, ge=3, le=50)
    """Words of an n-gram. One changed word hides as many n-grams as this."""
    min_words: int = Field(default=6, ge=3)
    """Items of fewer words are counted and not searched for."""
    short_words: int = Field(default=13, ge=3)
    """An item of fewer words must be there as a whole, with a second sign: an n-gram of it that is rare, or the answer or an
    option of its line nearby."""
    share: float = Field(default=0.4, gt=0, le=1)
    """A document is contaminated if a place in it has this share of an item, its n-grams weighted by their rarity among the items
    and in the corpus. With every twelfth word changed, about half is left."""
    frequent: int = Field(default=20, ge=1)
    """N-grams that more documents have (or more than 1 in 100,000) count for nothing: quotations everybody knows, licences,
    templates of questions."""
    action: Literal["drop", "cut"] = "drop"
    """Drop a contaminated document, or cut the item out of it and judge what is left once more."""

    @model_validator(mode="after")
    def _items_have_ngrams(self) -> Self:
        if self.min_words < self.ngram:
            raise ValueError(
                f"min_words ({self.min_words}) must be at least ngram ({self.ngram}): a shorter item has no n-gram; leave both"
                " out for the defaults, 6 and 5"
            )
        return self


class VocabularySection(Section):
    """One tokenizer: a SentencePiece model, trained on a sample of the train split, or an existing one."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    kind: Literal["bpe", "unigram", "char"] = "bpe"
    """char: every character is a piece, "\\n" too; for rare characters as well, set character_coverage = 1."""
    size: int = Field(default=32_000, ge=300, le=2**20)
    """Number of pieces, special and byte pieces included. For char it is a maximum: the rarest characters are left out."""
    families: tuple[Family, ...] = ("gpt",)
    """Model families whose special pieces the vocabulary has (contract/tokenizers/families.py), the first family's first."""
    control_pieces: tuple[str, ...] = ()
    """Additional special pieces: control pieces, which no text can spell."""
    normalizer: Literal["identity", "nfkc", "nfkc_lower"] = "identity"
    """identity keeps every space and newline: decode(encode(text)) is the text. nfkc and nfkc_lower (SentencePiece's nmt_nfkc
    and nmt_nfkc_cf) unify characters and white space, for models that only read, such as BERT (nfkc_lower: uncased)."""
    split_digits: bool = True
    """Every digit is a piece of its own."""
    byte_fallback: bool = True
    """Spell characters that are not a piece in bytes; otherwise they become the unknown piece."""
    character_coverage: float = Field(default=0.9995, ge=0.98, le=1)
    """Share of the sample's characters that have a piece of their own (SentencePiece's default)."""
    sample_bytes: int = Field(default=200_000_000, ge=10_000)
    """Bytes of UTF-8 in the trainer's sample, drawn by a hash of the document ids. They bound the trainer's memory."""
    language_exponent: float = Field(default=1.0, ge=0, le=1)
    """A language's share of the sample is proportional to bytes ** exponent: 1 as in the corpus, 0 the same for each
    (XLM-R, arXiv 1911.02116, 3.1: 0.3)."""
    language_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict[str, float])
    """Factors of that share by language (the model's code; und: no known language); 0 leaves a language out."""
    threads: int = Field(default=2, ge=1, le=128)
    """Threads of the trainer. Another number gives another model, so it is part of the fingerprint."""
    refresh: Literal["never", "when_changed"] = "never"
    """Whether a vocabulary that the output folder has published is trained again when the corpus has changed: then all ids are
    others, also those that models were trained with. A change of any setting above trains it anew."""
    path: str | None = None
    """An existing tokenizer to use instead of training one: a SentencePiece .model, a tokenizer.json, BERT's vocab.txt, or a
    folder with the vocab.json and merges.txt of GPT-2 and BART. Of the fields above, only `families` (if the config has it)
    and `control_pieces` apply: pieces that are missing are added after the last."""


class TokensSection(Section):
    """Token shards."""

    vocabularies: tuple[str, ...] = ()
    """Names of the vocabularies to write shards with; if empty, all of them."""
    text_bytes_per_unit: int = Field(default=2**30, ge=2**10)
    """Bytes of text in a unit of work; a unit writes one part per split, source and language."""


class ExpectationsSection(GateLimits):
    """The gates' limits, and a user's own expectations."""

    extra: tuple[OwnExpectation, ...] = ()


class RetainSection(Section):
    """Intermediate datasets that `corpusmill gc` keeps after publishing."""

    documents: bool = True
    clusters: bool = True


class CorpusConfig(Section):
    """The configuration of a build."""

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
    private: PrivateSection = PrivateSection()
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
            raise ValueError(f"the name {twice[0]!r} is used twice; every one needs its own")
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

    @model_validator(mode="after")
    def _limits_name_sources(self) -> Self:
        names = [source.name for source in self.sources]
        unknown = sorted(set(self.expectations.kept_share_by_source) - set(names))
        if unknown:
            raise ValueError(f"expectations.kept_share_by_source names {unknown[0]!r}, but the sources are {names}")
        return self

    def recorded(self) -> dict[str, Any]:
        """Return the resolved config as a manifest records it: without the paths of the machine that built it."""
        return self.model_dump(mode="json", exclude=MACHINE)

    def source(self, name: str) -> SourceSection:
        """Return the section of a source."""
        return next(section for section in self.sources if section.name == name)


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> CorpusConfig:
    """Read a config; an override is `section.key=value` with a TOML value (in a list: `sources.web.priority=2`).

    Relative paths are resolved against the folder of the config file.

    Raises:
        ConfigError: with the file, the field and the fix.
    """
    path = Path(path)
    config = validated(CorpusConfig, read(path, overrides, "build"), str(path))
    return _resolve_paths(config, path.resolve().parent)


def _resolve_paths(config: CorpusConfig, base: Path) -> CorpusConfig:
    def absolute(value: str) -> str:
        value = files.plain(value)
        return value if "://" in value else str((base / Path(value).expanduser()).resolve())

    sources = tuple(s.model_copy(update={"root": absolute(s.root)}) for s in config.sources)
    language = config.language
    if language.model is not None:
        language = language.model_copy(update={"model": absolute(language.model)})
    models = tuple(model.model_copy(update={"path": absolute(model.path)}) for model in language.models)
    language = language.model_copy(update={"models": models})
    exclude = config.exclude.model_copy(
        update={name: tuple(map(absolute, getattr(config.exclude, name))) for name in sorted(MACHINE["exclude"])}
    )
    bad_words = {language: absolute(path) for language, path in config.quality.bad_words.items()}
    own = {name: _resolved(rule, absolute) for name, rule in config.quality.own.items()}
    scored = tuple(_found(model, ("path", "run"), absolute) for model in config.quality.models)
    quality = config.quality.model_copy(update={"bad_words": bad_words, "own": own, "models": scored})
    if (perplexity := quality.perplexity) is not None:
        paths = {
            name: {language: absolute(path) for language, path in getattr(perplexity, name).items()}
            for name in sorted(MACHINE["quality"]["perplexity"])
        }
        quality = quality.model_copy(update={"perplexity": perplexity.model_copy(update=paths)})
    deduplicate = config.deduplicate.model_copy(update={"against": tuple(map(absolute, config.deduplicate.against))})
    vocabularies = tuple(v.model_copy(update={"path": absolute(v.path)}) if v.path else v for v in config.vocabularies)
    decontaminate = config.decontaminate.model_copy(update={"paths": tuple(map(absolute, config.decontaminate.paths))})
    return config.model_copy(
        update={
            "sources": sources,
            "exclude": exclude,
            "language": language,
            "deduplicate": deduplicate,
            "decontaminate": decontaminate,
            "quality": quality,
            "private": _found(config.private, ("names",), absolute),
            "vocabularies": vocabularies,
        }
    )


def _found(section: _Section, names: Sequence[str], absolute: Callable[[str], str]) -> _Section:
    """Return a section with these paths resolved, where it has them."""
    paths = {name: absolute(path) for name in names if (path := getattr(section, name)) is not None}
    return section.model_copy(update=paths)


def _resolved(rule: str | OwnFunction, absolute: Callable[[str], str]) -> str | OwnFunction:
    if isinstance(rule, str) or ".py:" not in rule.function:
        return rule
    place, _, function = rule.function.rpartition(":")
    return rule.model_copy(update={"function": f"{absolute(place)}:{function}"})
