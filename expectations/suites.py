"""The suites: what must hold of a dataset before it is handed over, as literal tables, one suite per kind of dataset.

An expectation is about one column of one table that `profile.py` or `report.py` computes: the figures of each part, a
sample of rows, the ledger, the reasons of the drops. `kind` is Great Expectations' own name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from pipelines.contract.gate_settings import GateLimits
from pipelines.contract.reasons import DropReason
from pipelines.contract.schema import MAX_CHARACTERS_PER_DOCUMENT, SITE_TYPES

VERSION = 5  # of all suites and their tables; with a new number every dataset is checked again

REPORT = "report"  # the closing report is checked like a dataset of this name
TOKEN_COUNTS = ("rows", "tokens", "utf8_bytes")  # what a tokens manifest counts for each split, source and language

_ISO_DATE = "^[0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2})?)?"
_KEPT_SHARE = ("kept_share", "kept_share_by_source", "kept_share_change_limit")
_REASONS = [reason.value for reason in DropReason]


def relevant_limits(dataset: str, limits: GateLimits) -> dict[str, Any]:
    """Return the limits that apply to this dataset; a change of the others leaves its verdict valid."""
    tokens = ["bytes_per_token_min", "bytes_per_token_max"]
    if dataset == REPORT:
        names = [name for name in GateLimits.model_fields if name not in ("sample_rows", *tokens, *_KEPT_SHARE)]
    else:
        names = ["sample_rows", *(tokens if dataset.startswith("tokens/") else [])]
        names += _KEPT_SHARE if dataset.startswith("documents/") else []
    values = {name: getattr(limits, name) for name in sorted(names)}
    return {name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()}


class Expectation(NamedTuple):
    """One thing that must hold."""

    table: str
    column: str  # "" for an expectation about the whole table, or about several columns named in kwargs
    kind: str  # "expect_column_values_to_be_between", …
    kwargs: Mapping[str, Any]
    why: str  # shown when it fails


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
    """For values taken from the input unchanged: one bad record never stops a build."""
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
    """Expectations of every part of every table."""
    return [
        _in_set(table, "schema_difference", ["none"], "the part has the contract's columns"),
        _equal(table, "rows", "rows_declared", "the manifest states the rows of each part"),
        _between(table, "rows", 1, None, "an empty part is not written"),
    ]


def _rows_of_documents(table: str) -> list[Expectation]:
    """Expectations that documents and drops share."""
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "id, work, source, snapshot, origin and text are never null"),
        _between(table, "language_score_min", 0, 1, "a score lies between 0 and 1"),
        _between(table, "language_score_max", 0, 1, "a score lies between 0 and 1"),
        _between(table, "quality_score_min", 0, 1, "a score lies between 0 and 1"),
        _between(table, "quality_score_max", 0, 1, "a score lies between 0 and 1"),
        _zero(table, "unknown_rules", "a failing rule is named by its DropReason"),
    ]


def _documents(limits: GateLimits) -> list[Expectation]:
    table, sample = "documents", "documents_sample"
    return [
        *_rows_of_documents(table),
        _between(table, "unique_id_share", 1, 1, "an id names one document"),
        _between(table, "text_length_max", 1, MAX_CHARACTERS_PER_DOCUMENT, "a longer text is split into numbered documents"),
        _zero(table, "empty_texts", "a document without text is dropped"),
        _zero(table, "texts_not_nfc", "every text is in Unicode normal form C"),
        _zero(table, "texts_with_carriage_return", 'lines end in "\\n"'),
        _zero(table, "texts_with_nul", "control characters are removed"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id names one document across all parts"),
        _pattern(sample, "work", "^[0-9a-f]{32}$", "a work's id has 16 bytes"),
        _forbidden(sample, "origin", "^(?:/|[A-Za-z]:\\\\|[a-z0-9]+://)", "an origin is relative to its source's root"),
        _mostly(sample, "url", "^[A-Za-z][A-Za-z0-9+.-]*:", "a URL has a scheme, except where the crawl recorded a bad one"),
        _mostly(sample, "date", _ISO_DATE, "a date is ISO 8601, except where the source has a bad one"),
        _mostly(sample, "retrieved", _ISO_DATE, "the time of a crawl is ISO 8601, except where it is bad"),
        _in_set(sample, "site_type", list(SITE_TYPES), "the list of types is closed"),
        _pattern(sample, "language", "^[a-z]{2,3}(?:-(?:[A-Z][a-z]{3}|[a-z]{2,}))?$", "a language is a code of BCP 47"),
        _forbidden(sample, "text", "[\\x00-\\x08\\x0b-\\x1f\\x7f]", "control characters are removed"),
        _pattern(sample, "text", "\\S", "a text is not only white space"),
        _between(sample, "characters", 1, MAX_CHARACTERS_PER_DOCUMENT, "a text is neither empty nor longer than the limit"),
    ]


def _drops(limits: GateLimits) -> list[Expectation]:
    """A drop is the document as it was when it was dropped, so its text may be anything."""
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


def _ledger(limits: GateLimits) -> list[Expectation]:
    return [
        _zero("ledger", "documents_missing", "documents in + split = out + dropped"),
        _zero("ledger", "characters_missing", "characters in + added = out + dropped + removed"),
        _zero("ledger", "documents_between_stages", "a stage takes in the documents that the previous one put out"),
        _zero("ledger", "characters_between_stages", "a stage takes in the characters that the previous one put out"),
        _between("ledger", "counts_min", 0, None, "a count is not negative"),
        _equal("sources", "rows", "ledger_documents", "the table holds what the last stage put out"),
    ]


def _tokens(limits: GateLimits) -> list[Expectation]:
    table, sample = "tokens", "tokens_sample"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of a shard is ever null"),
        _between(table, "unique_id_share", 1, 1, "an id names one document"),
        _zero(table, "empty_rows", "a document without tokens is dropped"),
        _zero(table, "ids_beyond_vocabulary", "every token id is below the vocabulary's size"),
        _zero(table, "special_ids", "a text yields no special ids; objectives add them"),
        _zero(table, "starts_unsorted", "sentence_starts increase"),
        _zero(table, "starts_beyond_tokens", "a sentence starts at one of its document's tokens"),
        _between(
            table, "bytes_per_token", limits.bytes_per_token_min, limits.bytes_per_token_max, "the vocabulary fits the text"
        ),
        _in_set(table, "split", ["train", "validation"], "there are two splits"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id names one document across all parts"),
        *(
            _equal("shards", name, f"{name}_said", "facts.tokens of the manifest is the total of the parts")
            for name in TOKEN_COUNTS
        ),
        _between(sample, "tokens", 1, None, "a document has at least one token"),
        _between(sample, "utf8_bytes", 1, 4 * MAX_CHARACTERS_PER_DOCUMENT, "the UTF-8 bytes of a document's text"),
    ]


def _clusters(limits: GateLimits) -> list[Expectation]:
    table = "clusters"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "only corpus may be null (the survivor is in this build)"),
        _between(table, "unique_id_share", 1, 1, "a document is removed once"),
        _zero(table, "own_survivors", "a removed document is not its own survivor, unless an earlier corpus has the same record"),
        _zero(table, "unknown_grains", "the list of grains is closed"),
        _zero(table, "unnamed_corpora", "an earlier corpus has a name"),
        _zero(table, "exact_but_unlike", "equal texts have similarity 1"),
        _between(table, "similarity_min", 0, 1, "a similarity lies between 0 and 1"),
        _between(table, "similarity_max", 0, 1, "a similarity lies between 0 and 1"),
    ]


def _counts(limits: GateLimits) -> list[Expectation]:
    return [_equal("facts", "rows", "rows_said", "the facts of the manifest state the rows of each table")]


def _web_pages(limits: GateLimits) -> list[Expectation]:
    table = "web_pages"
    return [
        _at_most(
            table, "kept_share_least", "kept_share", "no less of the visible text is kept than expectations.kept_share says"
        ),
        _at_most(table, "kept_share", "kept_share_most", "no more of the visible text is kept than expectations.kept_share says"),
        _at_most(
            table,
            "kept_share_change",
            "kept_share_change_limit",
            "about as much is kept as of the snapshot before: other pages, or another extractor, may need a look, or a new"
            " expectations.kept_share_change_limit",
        ),
    ]


def _index(limits: GateLimits) -> list[Expectation]:
    table, sample = "index", "index_sample"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of the signatures is ever null"),
        _between(table, "unique_id_share", 1, 1, "an id names one document"),
        _between(table, "characters_min", 1, None, "a published document is not empty"),
        _between(table, "characters_max", 1, MAX_CHARACTERS_PER_DOCUMENT, "a longer text is split into numbered documents"),
        _pattern(sample, "id", "^[0-9a-f]{32}$", "an id has 16 bytes"),
        _unique(sample, "id", "an id names one document across all parts"),
    ]


def _repeated(table: str) -> list[Expectation]:
    return [
        _in_set(table, "schema_difference", ["none"], "the part has the contract's columns"),
        _equal(table, "rows", "rows_declared", "the manifest states the rows of each part"),
        _zero(table, "nulls_in_required_columns", "no column of repeated hashes is ever null"),
        _zero(table, "hashes_not_growing", "hashes are sorted and unique"),
        _between(table, "documents_min", 2, None, "what repeats occurs in at least two documents"),
    ]


def _runs(limits: GateLimits) -> list[Expectation]:
    table = "substrings"
    return [
        *_parts(table),
        _zero(table, "nulls_in_required_columns", "no column of the runs is ever null"),
        _zero(table, "empty_runs", "a run is not empty"),
        _between(table, "first_min", 0, None, "words are counted from 0"),
    ]


def for_tables(tables: Mapping[str, Any], limits: GateLimits) -> list[Expectation]:
    """Return the suite of a dataset with these tables; a table unknown to all suites must meet `_parts` only."""
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
        "web_pages": _web_pages,
    }
    chosen: list[Expectation] = []
    for table in tables:
        if table in suites:
            chosen += suites[table](limits)
        elif table not in _WITHOUT_PARTS and not table.endswith("_sample"):
            chosen += _parts(table)
    return [entry for entry in chosen if entry.table in tables]


_WITHOUT_PARTS = ("reasons", "sources", "ledger", "shards", "web_pages")
# Tables that a dataset lacks if it has no such row: an expectation on one holds then.
TABLES = frozenset(
    [
        *("documents", "drops", "clusters", "index", "tokens", "lines", "paragraphs", "substrings"),
        *("documents_sample", "drops_sample", "clusters_sample", "index_sample", "tokens_sample"),
        *(*_WITHOUT_PARTS, "facts"),
    ]
)


def for_report(limits: GateLimits, *, with_tokens: bool) -> list[Expectation]:
    """Return the suite of a whole build, over the tables of `report.py`."""
    chosen = [
        _at_most("funnel", "dropped_share", "dropped_share_limit", "a stage that drops nearly everything is misconfigured"),
        _zero("funnel", "documents_between_stages", "a stage takes in the documents that the previous one put out"),
        _between("kept", "documents", limits.min_documents_per_source, None, "every source contributes documents to the corpus"),
        _between("totals", "documents", 1, None, "a corpus holds documents"),
        _equal("sums", "reported", "counted", "the report counts what the datasets before it counted"),
    ]
    if with_tokens:
        chosen += [
            _between("kept", "tokens", limits.min_tokens_per_source, None, "every source contributes tokens to the shards"),
            _between("totals", "train_tokens", 1, None, "the train split is not empty"),
            _zero(
                "totals",
                "validation_missing",
                "the validation split of this many works is not empty",
            ),
        ]
    return chosen
