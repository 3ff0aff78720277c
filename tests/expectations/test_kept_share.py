"""The gate of a crawl's documents: how much of what its pages show was kept, against limits and the snapshot before."""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from expectations import gate
from expectations.gate import GateError
from pipelines.contract.gate_settings import GateLimits
from pipelines.contract.manifest import Manifest

Crawl = Callable[..., str]
BEFORE = {
    "snapshot": "2025",
    "pages": 200,
    "visible_characters": 1000,
    "kept_characters": 520,
    "fallbacks": 3,
    "without_main_text": 1,
}


@pytest.fixture
def crawl(corpus: Callable[..., str], filtered: Callable[..., Any]) -> Crawl:
    """Write a documents dataset of two units whose pages show and kept this much, all together."""

    def write(kept: int = 400, pages: int = 100) -> str:
        batches = [
            replace(batch, ledger=batch.ledger.model_copy(update={"pages": Counter(counts)}))
            for batch, counts in (
                (filtered(["dropped", "a"]), {"pages": 1, "visible_characters": 1, "kept_characters": 1}),
                (
                    filtered(["dropped", "b"], "b"),
                    {"pages": pages - 1, "visible_characters": 999, "kept_characters": kept - 1, "fallbacks": 2},
                ),
            )
        ]

        def name_snapshot(made: Manifest) -> None:
            made.made_from["source"] = {"snapshot": "2026"}

        return corpus(*batches, name="documents/web", spoil=name_snapshot)

    return write


def failures(uri: str, out: Path, earlier: dict[str, Any] | None = None, **limits: Any) -> list[str]:
    """What the gate finds; another folder for every check, so that no pass is remembered."""
    try:
        gate.check(uri, str(out / str(len(list(out.iterdir())))), GateLimits(**limits), (), {"web": earlier} if earlier else None)
    except GateError as error:
        return [failure.split(" observed ")[1].split(" (about")[0].split(" (no ")[0] for failure in error.failures]
    return []


def test_the_kept_share_has_limits_for_all_sources_and_for_one(crawl: Crawl, tmp_path: Path) -> None:
    uri = crawl(kept=400)
    assert failures(uri, tmp_path) == []
    assert failures(uri, tmp_path, kept_share=(0.4, 0.4)) == []
    assert failures(uri, tmp_path, kept_share=(0.41, 1)) == ["kept_share 0.4, kept_share_least 0.41 at web (2026)"]
    assert failures(uri, tmp_path, kept_share=(0, 0.39)) == ["kept_share_most 0.39, kept_share 0.4 at web (2026)"]
    assert failures(uri, tmp_path, kept_share=(0.9, 1), kept_share_by_source={"web": (0.3, 0.5)}) == []
    assert len(failures(uri, tmp_path, kept_share_by_source={"web": (0.5, 0.6)})) == 1


def test_a_share_that_moves_from_one_snapshot_to_the_next_stops_the_build(crawl: Crawl, tmp_path: Path) -> None:
    uri = crawl(kept=400)
    moved = "kept_share_change_limit 0.1, kept_share_change 0.12 at web (2026; 0.52 in 2025)"
    assert failures(uri, tmp_path, BEFORE) == [moved]
    assert failures(uri, tmp_path, BEFORE | {"kept_characters": 280}) == [moved.replace("0.52", "0.28")]
    assert failures(uri, tmp_path, BEFORE | {"kept_characters": 500}) == []
    assert failures(uri, tmp_path, BEFORE, kept_share_change_limit=0.12) == []


def test_few_pages_are_not_compared(crawl: Crawl, tmp_path: Path) -> None:
    assert failures(crawl(kept=100), tmp_path, BEFORE | {"pages": 99}) == []
    assert failures(crawl(kept=100, pages=99), tmp_path, BEFORE) == []
    assert len(failures(crawl(kept=100, pages=100), tmp_path, BEFORE | {"pages": 100})) == 1


def test_the_overview_shows_the_counts(crawl: Crawl, tmp_path: Path) -> None:
    result = gate.check(crawl(), str(tmp_path))
    page = Path(result.docs).read_text()
    assert "<h2>Table web_pages</h2>" in page
    assert "<td>visible_characters</td>" not in page and "visible_characters" in page


@pytest.mark.parametrize("shares", [[0.5, 0.4], [-0.1, 1], [0, 1.1]])
def test_limits_that_are_no_shares_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="are no two shares, the least first"):
        GateLimits.model_validate({"kept_share": shares})
    with pytest.raises(ValueError, match="are no two shares, the least first"):
        GateLimits.model_validate({"kept_share_by_source": {"web": shares}})
