"""What must hold of a dataset before it is handed over: literal tables, a suite a kind of dataset.

An expectation speaks of one column of one table that `profile.py` or `report.py` computes: a table of figures with a
row for every part, a sample of rows, the ledger, the reasons of the drops. `kind` is Great Expectations' own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from pipelines.contract.errors import UserError
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import MAX_CHARACTERS_PER_DOCUMENT

VERSION = 3  # of all suites and of the tables that they speak of: another number judges every dataset anew

REPORT = "report"  # the name under which the closing report is judged, like a dataset
TOKEN_COUNTS = ("rows", "tokens", "utf8_bytes")  # what a manifest of tokens says of each split, source and language

_REASONS = [reason.value for reason in DropReason]


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers that a config may change (its section [expectations])."""

    min_documents_per_source: int = 1
    """Documents of each source in the corpus."""
    min_tokens_per_source: int = 1
    """Tokens of each source in the shards, both splits together."""
    dropped_share_limit: float = 0.999
    """Share of a source's documents that one stage may drop."""
    dropped_share_limit_by_stage: Mapping[str, float] = field(default_factory=dict[str, float])
    """The same for the stages named here."""
    bytes_per_token_min: float = 0.5
    """Mean of a part. One byte a token is text that the vocabulary does not know; less is a fault."""
    bytes_per_token_max: float = 20.0
    """Mean of a part. English has 4 to 5 with 32,000 pieces."""
    sample_rows: int = 1000
    """Rows of a table that are judged one by one: those with the smallest sampling keys."""

    def __post_init__(self) -> None:
        for stage, share in {"": self.dropped_share_limit, **self.dropped_share_limit_by_stage}.items():
            if not 0 <= share <= 1:
                name = f"dropped_share_limit_by_stage.{stage}" if stage else "dropped_share_limit"
                raise UserError(f"expectations.{name} is {share}; a share lies between 0 and 1")
        if self.sample_rows < 1:
            raise UserError(f"expectations.sample_rows is {self.sample_rows}; at least 1 row must be judged")


def limits_from(values: Mapping[str, Any] | None) -> Limits:
    """Limits with these values changed. Raises ValueError for a name that is no limit."""
    known = [entry.name for entry in fields(Limits)]
    unknown = sorted(set(values or {}) - set(known))
    if unknown:
        raise UserError(f"expectations.{unknown[0]}: no such limit; there are {', '.join(known)}")
    return Limits(**(values or {}))


def that_matter(dataset: str, limits: Limits) -> dict[str, Any]:
    """The limits by which this dataset is judged: a change of the others leaves its verdict as it is."""
    tokens = ["bytes_per_token_min", "bytes_per_token_max"]
    if dataset == REPORT:
        names = [entry.name for entry in fields(Limits) if entry.name not in ("sample_rows", *tokens)]
    else:
        names = ["sample_rows", *(tokens if dataset.startswith("tokens/") else [])]
    values = {name: getattr(limits, name) for name in sorted(names)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


class Expectation(NamedTuple):
    """One thing that must hold."""

    table: str
    column: str  # "" for an expectation about the whole table, or about several columns named in kwargs
    kind: str  # "expect_column_values_to_be_between", …
    kwargs: Mapping[str, Any]
    why: str  # for a person who reads that it failed


def _zero(table: str, column: str, why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_be_between", {"min_value": 0, "max_value": 0}, why)


def _between(table: str, column: str, low: float | None, high: float | None, why: str) -> Expectation:
    kwargs = {name: value for name, value in (("min_value", low), ("max_value", high)) if value is not None}
    return Expectation(table, column, "expect_column_values_to_be_between", kwargs, why)


def _equal(table: str, a: str, b: str, why: str) -> Expectation:
    return Expectation(table, "", "expect_column_pair_values_to_be_equal", {"column_A": a, "column_B": b}, why)


def _at_most(table: str, column: str, limit: str, why: str) -> Expectation:
    kwargs = {"column_A": limit, "column_B": column, "or_equal": True}
    return Expectation(table, "", "expect_column_pair_values_a_to_be_greater_than_b", kwargs, why)


def _pattern(table: str, column: str, regex: str, why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_match_regex", {"regex": regex}, why)


def _mostly(table: str, column: str, regex: str, why: str) -> Expectation:
    """For what comes from the input as it is: one bad record is never the end of a build."""
    return Expectation(table, column, "expect_column_values_to_match_regex", {"regex": regex, "mostly": 0.95}, why)


def _forbidden(table: str, column: str, regex: str, why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_not_match_regex", {"regex": regex}, why)


def _filled(table: str, column: str, why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_not_be_null", {}, why)


def _unique(table: str, column: str, why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_be_unique", {}, why)


def _in_set(table: str, column: str, values: list[str], why: str) -> Expectation:
    return Expectation(table, column, "expect_column_values_to_be_in_set", {"value_set": values}, why)


def _parts(table: str) -> list[Expectation]:
    """What holds of every part of every table."""
    return [
        _in_set(table, "schema_difference", ["none"], "the part has the columns of the contract"),
        _equal(table, "rows", "rows_declared", "the manifest says how many rows a part has"),
        _between(table, "rows", 1, None, "a part without rows is not written"),
    ]


def _rows_of_documents(table: str) -> list[Expectation]:
    """What holds of the parts of documents and of drops alike."""
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "id, work, source, snapshot, origin and text are never null"),
        _between(table, "language_score_min", 0, 1, "a score is a share"),
        _between(table, "language_score_max", 0, 1, "a score is a share"),
        _between(table, "quality_score_min", 0, 1, "a score is a share"),
        _between(table, "quality_score_max", 0, 1, "a score is a share"),
        _zero(table, "unknown_rules", "the first failing rule is a DropReason"),
    ]


def _documents(limits: Limits) -> list[Expectation]:
    table, sample = "documents", "documents_sample"
    return [
        *_rows_of_documents(table),
        _between(table, "unique_id_share", 1, 1, "an id stands for one document"),
        _between(table, "text_length_max", 1, MAX_CHARACTERS_PER_DOCUMENT, "a longer text is cut into pieces"),
        _zero(table, "empty_texts", "a document without text is a drop"),
        _zero(table, "texts_not_nfc", "every text is in Unicode normal form C"),
        _zero(table, "texts_with_carriage_return", 'lines end in "\\n"'),
        _zero(table, "texts_with_nul", "control characters are removed"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id stands for one document, in all parts"),
        _pattern(sample, "work", "^[0-9a-f]{32}$", "a work's id has 16 bytes"),
        _forbidden(sample, "origin", "^(?:/|[A-Za-z]:\\\\|[a-z0-9]+://)", "an origin is relative to its source's root"),
        _mostly(sample, "url", "^[A-Za-z][A-Za-z0-9+.-]*:", "a URL has a scheme, but for what a crawl wrote down wrong"),
        _mostly(
            sample, "date", "^[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?", "a date is ISO 8601, but for what was written down wrong"
        ),
        _pattern(sample, "language", "^[a-z]{2,3}(?:-[a-z]{2,})?$", "a language is a code of lid.176"),
        _forbidden(sample, "text", "[\\x00-\\x08\\x0b-\\x1f\\x7f]", "control characters are removed"),
        _pattern(sample, "text", "\\S", "a document says something"),
        _between(sample, "characters", 1, MAX_CHARACTERS_PER_DOCUMENT, "a text is neither empty nor too long"),
    ]


def _drops(limits: Limits) -> list[Expectation]:
    """A drop is what the document was when it was dropped: its text may be anything."""
    table, sample = "drops", "drops_sample"
    return [
        *_rows_of_documents(table),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _filled(sample, "stage", "a drop names the stage that dropped it"),
        _in_set(sample, "reason", _REASONS, "the list of reasons is closed"),
        _in_set("reasons", "reason", _REASONS, "the list of reasons is closed"),
        _pattern("reasons", "stage", "^[a-z][a-z0-9_ -]*$", "a drop names the stage that dropped it"),
        _equal("reasons", "rows", "ledger_documents", "every drop in the ledger is a row, and every row is in the ledger"),
    ]


def _ledger(limits: Limits) -> list[Expectation]:
    return [
        _zero("ledger", "documents_missing", "documents in + split = out + dropped"),
        _zero("ledger", "characters_missing", "characters in + added = out + dropped + removed"),
        _zero("ledger", "documents_between_stages", "a stage takes the documents that the one before it left"),
        _zero("ledger", "characters_between_stages", "a stage takes the characters that the one before it left"),
        _between("ledger", "counts_min", 0, None, "a count is not negative"),
        _equal("sources", "rows", "ledger_documents", "what leaves the last stage is what the table holds"),
    ]


def _tokens(limits: Limits) -> list[Expectation]:
    table, sample = "tokens", "tokens_sample"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of a shard is ever null"),
        _between(table, "unique_id_share", 1, 1, "an id stands for one document"),
        _zero(table, "empty_rows", "a document without tokens is a drop"),
        _zero(table, "ids_beyond_vocabulary", "a token is a piece of the vocabulary"),
        _zero(table, "special_ids", "no text spells a special piece: objectives add them"),
        _zero(table, "starts_unsorted", "sentence_starts grow"),
        _zero(table, "starts_beyond_tokens", "a sentence starts at a token of its document"),
        _between(
            table, "bytes_per_token", limits.bytes_per_token_min, limits.bytes_per_token_max, "the vocabulary fits the text"
        ),
        _in_set(table, "split", ["train", "validation"], "there are two splits"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id stands for one document, in all parts"),
        *(
            _equal("shards", name, f"{name}_said", "facts.tokens of the manifest is the sum of the parts")
            for name in TOKEN_COUNTS
        ),
        _between(sample, "tokens", 1, None, "a document has a token"),
        _between(sample, "utf8_bytes", 1, 4 * MAX_CHARACTERS_PER_DOCUMENT, "the bytes of a document's text"),
    ]


def _clusters(limits: Limits) -> list[Expectation]:
    table = "clusters"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "only the corpus may be null: the survivor is of this build"),
        _between(table, "unique_id_share", 1, 1, "a document is removed once"),
        _zero(table, "own_survivors", "a removed document is not its own survivor, unless an earlier corpus has the same record"),
        _zero(table, "unknown_grains", "the list of grains is closed"),
        _zero(table, "unnamed_corpora", "an earlier corpus has a name"),
        _zero(table, "exact_but_unlike", "texts that are equal have similarity 1"),
        _between(table, "similarity_min", 0, 1, "a similarity is a share"),
        _between(table, "similarity_max", 0, 1, "a similarity is a share"),
    ]


def _counts(limits: Limits) -> list[Expectation]:
    return [_equal("facts", "rows", "rows_said", "the facts of the manifest count what is there")]


def _index(limits: Limits) -> list[Expectation]:
    table, sample = "index", "index_sample"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of the signatures is ever null"),
        _between(table, "unique_id_share", 1, 1, "an id stands for one document"),
        _between(table, "characters_min", 1, None, "a published document is not empty"),
        _between(table, "characters_max", 1, MAX_CHARACTERS_PER_DOCUMENT, "a longer text is cut into pieces"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id stands for one document, in all parts"),
    ]


def _repeated(table: str) -> list[Expectation]:
    return [
        _in_set(table, "schema_difference", ["none"], "the part has the columns of the contract"),
        _equal(table, "rows", "rows_declared", "the manifest says how many rows a part has"),
        _zero(table, "nulls_in_required_columns", "no column of what repeats is ever null"),
        _zero(table, "hashes_not_growing", "hashes are sorted, and each is there once"),
        _between(table, "documents_min", 2, None, "what stands in one document does not repeat"),
    ]


def _runs(limits: Limits) -> list[Expectation]:
    table = "substrings"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of the runs is ever null"),
        _zero(table, "empty_runs", "a run ends behind its first word"),
        _between(table, "first_min", 0, None, "words are counted from 0"),
    ]


def for_tables(tables: Mapping[str, Any], limits: Limits) -> list[Expectation]:
    """The suite of a dataset that has these tables; a table that no suite knows is held to `_parts`."""
    suites = {
        "documents": _documents,
        "drops": _drops,
        "tokens": _tokens,
        "clusters": _clusters,
        "index": _index,
        "lines": lambda _limits: _repeated("lines"),
        "paragraphs": lambda _limits: _repeated("paragraphs"),
        "substrings": _runs,
        "facts": _counts,
        "ledger": _ledger,
    }
    chosen: list[Expectation] = []
    for table in tables:
        if table in suites:
            chosen += suites[table](limits)
        elif table not in _WITHOUT_PARTS and not table.endswith("_sample"):
            chosen += _parts(table)
    return [entry for entry in chosen if entry.table in tables]


_WITHOUT_PARTS = ("reasons", "sources", "ledger", "shards")


def for_report(limits: Limits, *, with_tokens: bool) -> list[Expectation]:
    """The suite of a whole build, over the tables of `report.py`."""
    chosen = [
        _at_most("funnel", "dropped_share", "dropped_share_limit", "a stage that drops nearly everything is misconfigured"),
        _zero("funnel", "documents_between_stages", "a stage takes the documents that the one before it left"),
        _between("kept", "documents", limits.min_documents_per_source, None, "every source has its part in the corpus"),
        _between("totals", "documents", 1, None, "a corpus holds documents"),
    ]
    if with_tokens:
        chosen += [
            _between("kept", "tokens", limits.min_tokens_per_source, None, "every source has its part in the shards"),
            _between("totals", "train_tokens", 1, None, "there is something to train on"),
            _zero("totals", "validation_missing", "with this many works and this share, the validation split is not empty"),
        ]
    return chosen
