"""The tables of the closing report (pipelines.release.closing_report), as pandas frames.

funnel   a row for every source and stage: documents in, out and dropped, and the share dropped
kept     a row for every source: documents in the corpus, tokens in the shards
totals   one row for the whole build
sums     a row for every count of the documents datasets, and for the documents that each tokens dataset read
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines.contract.gate_settings import GateLimits
from pipelines.contract.ledger import Ledger
from pipelines.contract.manifest import Manifest

# With this many validation works expected, an empty split has a probability of e^-20.
_EXPECTED_VALIDATION_WORKS = 20
# A table without rows has its columns too, or no expectation could be checked.
_FUNNEL = ("where", "source", "stage", "documents_in", "documents_out", "dropped", "dropped_share", "dropped_share_limit")
_FUNNEL_COLUMNS = pd.Index([*_FUNNEL, "documents_between_stages"])
_SUMS_COLUMNS = pd.Index(["where", "reported", "counted"])
_KEPT_COLUMNS = pd.Index(["where", "source", "documents", "works_at_least", "tokens"])


def report_tables(report: Mapping[str, Any], datasets: Mapping[str, Manifest], limits: GateLimits) -> dict[str, pd.DataFrame]:
    """Return the four tables; without tokens in the report, the token counts are 0. `datasets` are the build's manifests."""
    funnel = [row for source, lines in report["funnel"].items() for row in _funnel(source, lines, limits)]
    return {
        "funnel": pd.DataFrame(funnel, columns=None if funnel else _FUNNEL_COLUMNS),
        "kept": pd.DataFrame(_kept(report), columns=_KEPT_COLUMNS),
        "totals": pd.DataFrame([_totals(report)]),
        "sums": pd.DataFrame(_sums(report, datasets), columns=_SUMS_COLUMNS),
    }


def _funnel(source: str, lines: list[Mapping[str, Any]], limits: GateLimits) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before = None
    for line in lines:
        stage = line["stage"]
        dropped = sum(line["documents_dropped"].values())
        taken = line["documents_in"] + line["documents_split"]
        share = dropped / taken if taken else 0.0
        limit = limits.dropped_share_limit_by_stage.get(stage, limits.dropped_share_limit)
        rows.append(
            {
                "where": f"{source}: {stage}",
                "source": source,
                "stage": stage,
                "documents_in": line["documents_in"],
                "documents_out": line["documents_out"],
                "dropped": dropped,
                "dropped_share": share,
                "dropped_share_limit": limit,
                "documents_between_stages": before["documents_out"] - line["documents_in"] if before else 0,
                **{f"dropped_{reason}": count for reason, count in sorted(line["documents_dropped"].items())},
            }
        )
        before = line
    return rows


def _kept(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return documents and tokens by source; a source without a ledger has none."""
    tokens = token_counts(report)
    return [
        {
            "where": source,
            "source": source,
            "documents": _documents(lines),
            "works_at_least": max(0, _documents(lines) - sum(line["documents_split"] for line in lines)),
            "tokens": sum(row["tokens"] for row in tokens if row["source"] == source),
        }
        for source, lines in report["funnel"].items()
    ]


def _sums(report: Mapping[str, Any], datasets: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """Compare the report with the ledgers of the documents, and its documents with those that the shards were made from."""
    rows: list[dict[str, Any]] = []
    for name, made in sorted(datasets.items()):
        kind, _, source = name.partition("/")
        if kind == "documents":
            counted = _counts(made.ledgers.get(source, Ledger()))
            reported = _reported(report, source, list(made.ledgers.get(source, Ledger()).lines))
            rows += [
                {"where": f"{source}: {what}", "reported": reported[what], "counted": counted[what]}
                for what in sorted({*counted, *reported})
            ]
        elif kind == "tokens":
            rows += [
                {
                    "where": f"{name}: {source}: documents",
                    "reported": _documents(lines),
                    "counted": _counts(made.ledgers.get(source, Ledger()))["read documents_in"],
                }
                for source, lines in report["funnel"].items()
            ]
    return rows


def _counts(ledger: Ledger) -> Counter[str]:
    """Return every count of a ledger by its name, e.g. "read documents_in" and "skipped redirect"."""
    lines = {stage: line.model_dump(mode="json") for stage, line in ledger.lines.items()}
    return _flat(lines, ledger.skipped, ledger.bytes_read, ledger.pages)


def _reported(report: Mapping[str, Any], source: str, stages: list[str]) -> Counter[str]:
    """Return the same counts of a source in the report, for these stages."""
    lines = {line["stage"]: line for line in report["funnel"].get(source, []) if line["stage"] in stages}
    pages = {name: count for name, count in report.get("web_pages", {}).get(source, {}).items() if name != "snapshot"}
    return _flat(lines, report["skipped"].get(source, {}), report["bytes_read"].get(source, 0), pages)


def _flat(
    lines: Mapping[str, Mapping[str, Any]], skipped: Mapping[str, int], bytes_read: int, pages: Mapping[str, int]
) -> Counter[str]:
    counts = Counter({"bytes_read": bytes_read, **{f"skipped {reason}": count for reason, count in skipped.items()}})
    counts.update({f"web pages: {name}": count for name, count in pages.items()})
    for stage, line in lines.items():
        for name, value in line.items():
            if isinstance(value, int):
                counts[f"{stage} {name}"] = value
            elif isinstance(value, Mapping):
                counts.update({f"{stage} {name} {reason}": count for reason, count in value.items()})
    return counts


def _documents(lines: list[Mapping[str, Any]]) -> int:
    return lines[-1]["documents_out"] if lines else 0


def _totals(report: Mapping[str, Any]) -> dict[str, Any]:
    kept, tokens = _kept(report), token_counts(report)
    by_split = {split: [row for row in tokens if row["split"] == split] for split in ("train", "validation")}
    expected = report.get("validation_share", 0.0) * sum(row["works_at_least"] for row in kept)
    validation_rows = sum(row["rows"] for row in by_split["validation"])
    return {
        "where": report["corpus"],
        "documents": sum(row["documents"] for row in kept),
        "train_tokens": sum(row["tokens"] for row in by_split["train"]),
        "validation_tokens": sum(row["tokens"] for row in by_split["validation"]),
        "validation_works_expected": expected,
        "validation_missing": int(expected >= _EXPECTED_VALIDATION_WORKS and validation_rows == 0),
    }


def token_counts(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return rows, tokens and utf8_bytes for every vocabulary, split, source and language."""
    return [
        {"vocabulary": name, "split": split, "source": source, "language": language, **counts}
        for name, facts in report["tokens"].items()
        for split, sources in facts["tokens"].items()
        for source, languages in sources.items()
        for language, counts in languages.items()
    ]
