"""The table `web_pages` of a documents dataset: how much of its pages' visible text was kept, now and in the release before."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipelines.contract.gate_settings import GateLimits
from pipelines.contract.manifest import Manifest
from pipelines.contract.reasons import PageCount

COMPARED_PAGES = 100  # with fewer pages, here or before, a share moves by chance
_DIGITS = 4


def tables(made: Manifest, limits: GateLimits, earlier: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the table by name; nothing for a dataset without web pages, or of another kind than documents.

    `earlier` has snapshot and counts by source, as the report of the release before has them.
    """
    if not made.dataset.startswith("documents/"):
        return {}
    rows = [
        _row(source, made, counts, limits, earlier.get(source))
        for source, counts in sorted((source, ledger.pages) for source, ledger in made.ledgers.items())
        if counts[PageCount.PAGES]
    ]
    return {"web_pages": pd.DataFrame(rows)} if rows else {}


def kept_share(counts: Mapping[str, int]) -> float:
    """Return the share of the visible characters that was kept; 0 if none is visible."""
    return round(counts[PageCount.KEPT_CHARACTERS] / max(1, counts[PageCount.VISIBLE_CHARACTERS]), _DIGITS)


def _row(
    source: str, made: Manifest, counts: Mapping[str, int], limits: GateLimits, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    share, snapshot = kept_share(counts), made.made_from.get("source", {}).get("snapshot", "")
    least, most = limits.kept_share_by_source.get(source, limits.kept_share)
    if before is not None and min(before[PageCount.PAGES], counts[PageCount.PAGES]) < COMPARED_PAGES:
        before = None
    share_before = share if before is None else kept_share(before)
    compared = "" if before is None else f"; {share_before:.2f} in {before['snapshot']}"
    return {
        "where": f"{source} ({snapshot}{compared})",
        "source": source,
        **{count.value: counts[count] for count in PageCount},
        "kept_share": share,
        "kept_share_least": least,
        "kept_share_most": most,
        "kept_share_before": share_before,
        "kept_share_change": round(abs(share - share_before), _DIGITS),
        "kept_share_change_limit": limits.kept_share_change_limit,
    }
