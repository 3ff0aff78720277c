"""A corpus dataset of given documents and drops, measured and with its ledger, without a build."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.ledger import Ledger, Line
from pipelines.contract.manifest import Part, Sidecar
from pipelines.contract.schema import DOCUMENTS, DROPS
from pipelines.text.judgement.measures import measure
from pipelines.text.judgement.words import WordLists
from pipelines.units.context import Dataset

STAGES = ("read", "exclude", "deduplicate", "language", "quality", "private")


def document(number: int, text: str, source: str = "web", **columns: Any) -> dict[str, Any]:
    """A row of documents; with `stage` and `reason`, one of drops."""
    made = {"source": source, "snapshot": "1", "origin": f"f#{number}", "text": text, "language": "en", "language_score": 0.9}
    key = hashlib.blake2b(f"{source} {number}".encode(), digest_size=16).digest()
    return {"id": key, "work": key, **made, **columns}


def corpus(
    folder: Path, rows: Sequence[Mapping[str, Any]], config: Mapping[str, Any] | None = None, group: int = 1000
) -> Dataset:
    """Write a corpus of these rows, each document in the table where it belongs; `config` changes sections of the config."""
    names = sorted({row["source"] for row in rows}) or ["web"]
    sources = [{"name": name, "kind": "records", "root": "x", "snapshot": "1", "curated": name == "wiki"} for name in names]
    settings = CorpusConfig.model_validate({"corpus": {"name": "made"}, "sources": sources, **(config or {})})
    parts: list[Part] = []
    for table, schema in (("documents", DOCUMENTS), ("drops", DROPS)):
        chosen = [row for row in rows if ("stage" in row) == (table == "drops")]
        if chosen:
            parts.append(_write(folder, table, schema, chosen, group))
    sidecars = [Sidecar(unit=f"u{n}", source=name, parts=(), ledger=ledger_of(rows, name)) for n, name in enumerate(names)]
    made = manifest.assemble("corpus", {"n": len(rows)}, sidecars, config=settings.recorded(), parts=parts)
    manifest.write(str(folder), made)
    return Dataset(str(folder), made)


def _write(folder: Path, table: str, schema: pa.Schema, rows: Sequence[Mapping[str, Any]], group: int) -> Part:
    columns = pa.Table.from_pylist([{**row, "measures": None} for row in rows], schema)
    text, language = (columns[name].combine_chunks() for name in ("text", "language"))
    lists = WordLists.of({"en": ("the", "be", "to", "of", "and", "that", "have", "with")})
    measured = measure(text, language, lists, WordLists.of({}))
    columns = columns.set_column(schema.get_field_index("measures"), schema.field("measures"), measured)
    path = folder / table / "u.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(columns, path, row_group_size=group)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return Part(table=table, unit="u", path=f"{table}/u.parquet", rows=len(rows), bytes=path.stat().st_size, sha256=sha256)


def ledger_of(rows: Sequence[Mapping[str, Any]], source: str, times: int = 1) -> Ledger:
    """The ledger of a source whose documents are these rows, `times` over."""
    mine = [row for row in rows if row["source"] == source]
    left, characters, lines = len(mine), sum(len(row["text"]) for row in mine), {}
    for stage in STAGES:
        drops = [row for row in mine if row.get("stage") == stage]
        dropped = Counter[str](row["reason"] for row in drops)
        lost = Counter[str]()
        for row in drops:
            lost[row["reason"]] += len(row["text"])
        lines[stage] = Line(
            documents_in=times * left,
            documents_out=times * (left - len(drops)),
            documents_dropped=Counter({reason: times * count for reason, count in dropped.items()}),
            characters_in=times * characters,
            characters_out=times * (characters - lost.total()),
            characters_dropped=Counter({reason: times * count for reason, count in lost.items()}),
        )
        left, characters = left - len(drops), characters - lost.total()
    return Ledger(lines=lines)


def report(corpus: Dataset, **changes: Any) -> dict[str, Any]:
    """The closing report of a corpus that has nothing else."""
    ledgers = corpus.manifest.ledgers
    funnel = {
        name: [{"stage": s, **line.model_dump(mode="json")} for s, line in one.lines.items()] for name, one in ledgers.items()
    }
    return {
        "corpus": "made",
        "funnel": funnel,
        "skipped": {name: {} for name in funnel},
        "clusters": {"enabled": False},
        "tokens": {},
        "fingerprints": {"corpus": corpus.manifest.fingerprint},
        **changes,
    }
