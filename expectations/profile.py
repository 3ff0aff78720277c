"""The tables that the suites of a dataset check, as pandas frames. Each part is read once, batch by batch.

    documents, drops, clusters, tokens, …   a row for every part: its figures (columns.py)
    documents_sample, drops_sample, …       the rows with the smallest sampling keys, long texts shortened
    ledger                                  a row for every source and stage
    reasons                                 a row for every source, stage and reason: rows of drops and the ledger's count
    sources                                 a row for every source: rows of the table and the ledger's count
    shards                                  a row for every split, source and language: counts of the parts and the manifest's
    facts                                   a row for every table whose rows the manifest's facts count: both counts

Every table has a column `where`: the part, row or stage, for the reader.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from expectations import columns
from expectations.sample import RowSample
from expectations.suites import TOKEN_COUNTS
from pipelines.contract import files, manifest, schema
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest, Part
from pipelines.contract.tables import read_batches

Tables = dict[str, pd.DataFrame]
_KINDS = {
    "documents": columns.documents,
    "drops": columns.documents,
    "clusters": columns.clusters,
    "index": columns.index,
    "lines": columns.repeated,
    "paragraphs": columns.repeated,
    "substrings": columns.runs,
    "tokens": columns.tokens,
}
_SCHEMAS = {
    "documents": schema.DOCUMENTS,
    "drops": schema.DROPS,
    "clusters": schema.CLUSTERS,
    "lines": schema.REPEATED,
    "paragraphs": schema.REPEATED,
    "substrings": schema.REPEATED_RUNS,
}


def kind_of(table: str) -> str:
    """Return the kind of a manifest's table: "tokens" for "tokens/train/enwiki/en"."""
    return table.split("/", 1)[0]


@dataclass(slots=True)
class _Profile:
    """What one pass over all parts collects."""

    facts: Mapping[str, Any]
    parts: dict[str, list[dict[str, Any]]] = field(default_factory=dict[str, list[dict[str, Any]]])
    samples: dict[str, RowSample] = field(default_factory=dict[str, RowSample])
    kept: Counter[str] = field(default_factory=Counter[str])  # rows of documents or tokens, by source
    dropped: Counter[tuple[str, str, str]] = field(default_factory=Counter[tuple[str, str, str]])  # by source, stage, reason


def dataset_tables(uri: str, made: Manifest, sample_rows: int) -> Tables:
    """Return all tables of a dataset. Raise OSError if a part is missing or not a Parquet or Arrow file."""
    profile = _Profile({**_vocabulary_facts(uri, made), **_signature_facts(made)})
    for part in made.parts:
        if part.path.endswith((".parquet", ".arrow")):
            _read_part(profile, uri, part, sample_rows)
    tables: Tables = {kind: pd.DataFrame(rows) for kind, rows in sorted(profile.parts.items())}
    tables |= {f"{kind}_sample": sample.frame() for kind, sample in sorted(profile.samples.items())}
    if any(ledger.lines for ledger in made.ledgers.values()):
        tables["ledger"] = ledger_table(made.ledgers)
        if kind_of(made.dataset) in ("documents", "corpus", "tokens"):
            tables["sources"] = _sources_table(made.ledgers, profile.kept)
        reasons = _reasons_table(made.ledgers, profile.dropped)
        if len(reasons):
            tables["reasons"] = reasons
    if "tokens" in tables:
        tables["shards"] = _shards_table(made, profile.parts["tokens"])
    counts = _counts_table(made)
    if len(counts):
        tables["facts"] = counts
    return tables


def _vocabulary_facts(uri: str, made: Manifest) -> dict[str, Any]:
    if not any(kind_of(table) == "tokens" for table in made.tables()):
        return {}
    tokenizer = made.facts.get("tokenizer")
    if tokenizer is None:
        raise manifest.DatasetError(f"{uri}: the manifest of {made.dataset} names no tokenizer; build the dataset again")
    return {"vocabulary_size": tokenizer["size"], "special_ids": sorted(tokenizer["special_ids"].values())}


def _signature_facts(made: Manifest) -> dict[str, Any]:
    """Return, for an index, how many uint32 hold a signature and whether it stores words."""
    if "index" not in made.tables():
        return {}
    scheme = made.facts["scheme"]
    return {"values": scheme["permutations"] * (2 if scheme["scheme"] == "affine64" else 1), "words": scheme["words"]}


def _counts_table(made: Manifest) -> pd.DataFrame:
    """Compare the rows of tables with the facts of the manifest."""
    said: dict[str, int] = {}
    if made.dataset == "index" and made.facts.get("enabled"):
        said["index"] = made.facts["documents"]
    if made.dataset == "repeats" and made.facts.get("enabled"):
        names = (("lines", "repeated"), ("paragraphs", "repeated"), ("substrings", "runs"))
        said |= {table: made.facts[table][name] for table, name in names if table in made.facts}
    return pd.DataFrame([{"where": table, "rows": made.rows(table), "rows_said": count} for table, count in said.items()])


def _read_part(profile: _Profile, uri: str, part: Part, sample_rows: int) -> None:
    kind = kind_of(part.table)
    measure = _KINDS.get(kind, columns.no_figures)
    figures = _no_figures(kind, profile.facts)
    ids: list[pa.Array] = []
    hashes: list[pa.Array] = []
    rows, difference = 0, "none"
    for batch in read_batches(files.join(uri, part.path)):
        rows += batch.num_rows
        difference = _schema_difference(kind, batch.schema, profile.facts)
        if difference != "none":
            continue  # the figures need columns that may be missing
        figures = columns.join(figures, measure(batch, profile.facts))
        if "hash" in batch.schema.names:
            hashes.append(batch["hash"])
        elif measure is not columns.no_figures:
            ids.append(batch["id"])
            profile.samples.setdefault(kind, RowSample(sample_rows)).offer(batch)
        _count(profile, part, batch)
    row = {"where": part.path, **_table_columns(part), "rows": rows, "rows_declared": part.rows, "schema_difference": difference}
    profile.parts.setdefault(kind, []).append({**row, **figures, **_derived(figures, rows, ids, hashes)})


def _wanted_schema(kind: str, facts: Mapping[str, Any]) -> pa.Schema | None:
    """Return the contract's schema of a table; None if it has none."""
    if kind == "tokens":
        return schema.tokens(facts["vocabulary_size"])
    if kind == "index":
        return schema.signatures(facts["values"], words=facts["words"])
    return _SCHEMAS.get(kind)


def _no_figures(kind: str, facts: Mapping[str, Any]) -> columns.Figures:
    """Return the figures of zero rows, so that the profile has every column whatever the part holds."""
    wanted = _wanted_schema(kind, facts)
    return _KINDS[kind](pa.RecordBatch.from_pylist([], schema=wanted), facts) if wanted is not None else {}


def _schema_difference(kind: str, found: pa.Schema, facts: Mapping[str, Any]) -> str:
    """Return how a schema differs from the contract's, in words; "none" if it does not, or if the contract has none."""
    wanted = _wanted_schema(kind, facts) or found
    if found.equals(wanted):
        return "none"
    lacking = sorted(set(wanted.names) - set(found.names))
    unknown = sorted(set(found.names) - set(wanted.names))
    other = [f"{f.name} is {f.type}" for f in found if f.name in wanted.names and not f.equals(wanted.field(f.name))]
    return (
        "; ".join([*(f"{name} is missing" for name in lacking), *(f"{name} is unknown" for name in unknown), *other]) or "order"
    )


def _table_columns(part: Part) -> dict[str, str]:
    """Return split, source and language of a token shard, from its table's name; nothing for other parts."""
    if kind_of(part.table) != "tokens":
        return {}
    names = dict(zip(("split", "source", "language"), part.table.split("/")[1:], strict=False))
    return {name: names.get(name, "") for name in ("split", "source", "language")}


def _derived(figures: columns.Figures, rows: int, ids: list[pa.Array], hashes: list[pa.Array]) -> columns.Figures:
    """Return shares and means of a part; None if there was nothing to measure."""
    derived: columns.Figures = {
        "unique_id_share": pc.count_distinct(pa.chunked_array(ids)).as_py() / rows if ids and rows else None
    }
    if hashes:
        derived["hashes_not_growing"] = columns.not_increasing(pa.chunked_array(hashes))
    if "characters" in figures:
        derived["text_length_mean"] = figures["characters"] / rows if rows else None
    if "tokens" in figures:
        derived["bytes_per_token"] = figures["utf8_bytes"] / figures["tokens"] if figures["tokens"] else None
    return derived


def _count(profile: _Profile, part: Part, batch: pa.RecordBatch) -> None:
    kind = kind_of(part.table)
    if kind == "documents":
        for entry in pc.value_counts(batch["source"]).to_pylist():
            profile.kept[entry["values"]] += entry["counts"]
    elif kind == "tokens":
        profile.kept[_table_columns(part)["source"]] += batch.num_rows
    elif kind == "drops":
        keys = ["source", "stage", "reason"]
        for entry in pa.table(batch).group_by(keys).aggregate([([], "count_all")]).to_pylist():
            profile.dropped[entry["source"], entry["stage"], entry["reason"]] += entry["count_all"]


def ledger_table(ledgers: Mapping[str, Ledger]) -> pd.DataFrame:
    """Return a row for every source and stage; counts that do not add up show as a number other than 0."""
    rows: list[dict[str, Any]] = []
    for source, ledger in ledgers.items():
        before = None
        for stage, line in ledger.lines.items():
            gained = line.characters_in + line.characters_added.total()
            lost = line.characters_out + line.characters_dropped.total() + line.characters_removed.total()
            counts = [value for value in line.model_dump().values() if isinstance(value, int)]
            counters = (line.documents_dropped, line.characters_dropped, line.characters_added, line.characters_removed)
            rows.append(
                {
                    "where": f"{source}: {stage}",
                    "source": source,
                    "stage": stage,
                    "documents_in": line.documents_in,
                    "documents_split": line.documents_split,
                    "documents_out": line.documents_out,
                    "documents_dropped": line.documents_dropped.total(),
                    "documents_missing": line.documents_in
                    + line.documents_split
                    - line.documents_out
                    - line.documents_dropped.total(),
                    "characters_missing": gained - lost,
                    "documents_between_stages": before.documents_out - line.documents_in if before else 0,
                    "characters_between_stages": before.characters_out - line.characters_in if before else 0,
                    "counts_min": min([*counts, *(value for counter in counters for value in counter.values())]),
                }
            )
            before = line
    return pd.DataFrame(rows)


def _sources_table(ledgers: Mapping[str, Ledger], kept: Counter[str]) -> pd.DataFrame:
    rows = [
        {
            "where": source,
            "source": source,
            "rows": kept[source],
            "ledger_documents": ledgers[source].documents_out if source in ledgers else 0,
        }
        for source in sorted({*ledgers, *kept})
    ]
    return pd.DataFrame(rows)


def _reasons_table(ledgers: Mapping[str, Ledger], dropped: Counter[tuple[str, str, str]]) -> pd.DataFrame:
    counted: Counter[tuple[str, str, str]] = Counter()
    for source, ledger in ledgers.items():
        for stage, line in ledger.lines.items():
            for reason, documents in line.documents_dropped.items():
                counted[source, stage, reason] += documents
    rows = [
        {
            "where": f"{source}: {stage}: {reason}",
            "source": source,
            "stage": stage,
            "reason": reason,
            "rows": dropped[source, stage, reason],
            "ledger_documents": counted[source, stage, reason],
        }
        for source, stage, reason in sorted({*dropped, *counted})
    ]
    return pd.DataFrame(rows)


def _shards_table(made: Manifest, parts: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Compare the manifest's counts (facts.tokens) with those of the parts."""
    found: Counter[tuple[str, str]] = Counter()
    for part in parts:
        place = "/".join([part["split"], part["source"], part["language"]])
        found.update({(place, name): part.get(name, 0) for name in TOKEN_COUNTS})
    said = {
        ("/".join([split, source, language]), name): counts[name]
        for split, sources in made.facts.get("tokens", {}).items()
        for source, languages in sources.items()
        for language, counts in languages.items()
        for name in TOKEN_COUNTS
    }
    rows: list[dict[str, Any]] = []
    for place in sorted({place for place, _ in [*found, *said]}):
        both = {name: found[place, name] for name in TOKEN_COUNTS}
        rows.append({"where": place, **both, **{f"{name}_said": said.get((place, name), 0) for name in TOKEN_COUNTS}})
    return pd.DataFrame(rows)
