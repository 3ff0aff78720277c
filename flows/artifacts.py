"""What a flow leaves for a person to read in Prefect's pages: markdown."""

import re
from collections.abc import Mapping
from typing import Any


def key(corpus: str) -> str:
    """The name under which Prefect keeps all funnels of a corpus: lower case letters, digits and dashes."""
    return "funnel-" + re.sub(r"[^a-z0-9-]+", "-", corpus.lower())


def funnel(report: Mapping[str, Any], uri: str) -> str:
    """The closing report (pipelines.release.closing_report) in markdown: the funnel, then the tokens by source."""
    lines = [f"# {report['corpus']}", "", f"Published: `{uri}`", "", "## Funnel", "", *_funnel(report["funnel"])]
    for name, facts in report["tokens"].items():
        lines += ["", f"## Tokens of the vocabulary {name}", "", *_tokens(facts["tokens"])]
    return "\n".join(lines) + "\n"


def _funnel(funnel: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    lines = ["| source | stage | documents in | dropped | documents out | dropped by reason |", "|---|---|---:|---:|---:|---|"]
    for source, stages in funnel.items():
        for line in stages:
            dropped = line["documents_dropped"]
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(dropped.items(), key=lambda r: (-r[1], r[0])))
            taken = line["documents_in"] + line["documents_split"]
            lines.append(
                f"| {source} | {line['stage']} | {taken:,} | {sum(dropped.values()):,} | {line['documents_out']:,} | {reasons} |"
            )
    return lines


def _tokens(splits: Mapping[str, Mapping[str, Mapping[str, Mapping[str, int]]]]) -> list[str]:
    lines = ["| split | source | language | documents | tokens | bytes a token |", "|---|---|---|---:|---:|---:|"]
    for split, sources in splits.items():
        for source, languages in sources.items():
            for language, counts in languages.items():
                rate = counts["utf8_bytes"] / counts["tokens"] if counts["tokens"] else 0.0
                lines.append(f"| {split} | {source} | {language} | {counts['rows']:,} | {counts['tokens']:,} | {rate:.2f} |")
    return lines
