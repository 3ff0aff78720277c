"""The audit of a real build: bands, exact similarities, intervals, and removals that are false."""

import json
from pathlib import Path

import pytest

from flows import drive
from pipelines import config as configs
from pipelines.contract.errors import UserError
from pipelines.lookup.audit import sampled, wilson
from pipelines.units.context import Context

WORDS = [f"word{n}" for n in range(400)]


def built(folder: Path, texts: list[str], **deduplicate: object) -> str:
    (folder / "in").mkdir()
    (folder / "in" / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    settings = configs.CorpusConfig.model_validate(
        {
            "corpus": {"name": "audited"},
            "sources": [{"name": "web", "kind": "records", "root": str(folder / "in"), "snapshot": "1"}],
            "deduplicate": deduplicate,
            "language": {"enabled": False},
            "quality": {"classifier": False, "rules": []},
        }
    )
    out = str(folder / "out")
    drive.build(Context(settings, out), gated=False)
    return out


def with_changes(count: int, name: str) -> str:
    step = len(WORDS) // count
    return " ".join(f"{name}{n}" if n % step == 0 else word for n, word in enumerate(WORDS))


def test_pairs_are_compared_exactly_by_band(tmp_path: Path) -> None:
    whole = " ".join(WORDS)
    out = built(tmp_path, [whole, whole, with_changes(4, "a"), with_changes(8, "b"), "A text of its own."])
    audit = sampled(out)
    assert (audit.threshold, audit.ngram, audit.earlier, audit.false_share) == (0.7, 5, 0, 0.0)
    assert sum(band.removed for band in audit.bands) == 3
    exact, *near = audit.bands
    assert (exact.name, exact.removed, exact.mean, exact.false) == ("exact", 1, 1.0, 0)
    similarities = sorted(round(pair.jaccard, 3) for band in near for pair in band.pairs)
    assert len(similarities) == 2
    assert 0.8 < similarities[0] < similarities[1] < 1  # 8 and 4 changed words, each in five n-grams
    assert json.loads(json.dumps(audit.as_json()))["bands"][0]["band"] == "exact"


def test_a_removal_below_the_threshold_is_false(tmp_path: Path) -> None:
    """A build that verifies nothing closely: the threshold of its manifest is raised afterwards."""
    out = built(tmp_path, [" ".join(WORDS), with_changes(8, "a")])
    (corpus,) = Path(out).glob("corpus/*/manifest.json")
    assert sampled(out).bands[0].false == 0
    made = json.loads(corpus.read_text())
    made["config"]["deduplicate"]["threshold"] = 0.9
    corpus.write_text(json.dumps(made))
    (band,) = sampled(out).bands
    assert (band.false, len(band.pairs), sampled(out).false_share) == (1, 1, 1.0)
    assert band.worst(5)[0].jaccard < 0.9


def test_of_a_large_band_a_sample_is_drawn_the_same_each_time(tmp_path: Path) -> None:
    out = built(tmp_path, [" ".join(WORDS)] * 30)
    (band,) = sampled(out, per_band=5).bands
    assert (band.removed, len(band.pairs), band.missing) == (29, 5, 0)
    assert [pair.removed.id for pair in band.pairs] == [pair.removed.id for pair in sampled(out, per_band=5).bands[0].pairs]


def test_a_build_without_clusters(tmp_path: Path) -> None:
    out = built(tmp_path, ["a text"], enabled=False)
    with pytest.raises(UserError, match=r"has no clusters: build with deduplicate.enabled = true"):
        sampled(out)


@pytest.mark.parametrize(
    ("hits", "of", "low", "high"), [(0, 100, 0.0, 0.03699), (5, 100, 0.02154, 0.11175), (100, 100, 0.96301, 1.0), (0, 0, 0, 1)]
)
def test_wilsons_interval(hits: int, of: int, low: float, high: float) -> None:
    assert wilson(hits, of) == pytest.approx((low, high), abs=1e-4)


def test_the_command(tiny, command) -> None:
    shown = command("audit", str(tiny.out))
    assert shown.returncode == 0, shown.stderr
    assert "exact" in shown.stdout and "of all removals: 0.00%" in " ".join(shown.stdout.split())
    figures = json.loads(command("audit", str(tiny.out), "--json").stdout)
    assert [band["false"] for band in figures["bands"]] == [0] * len(figures["bands"])


def test_of_a_build_without_copies_the_command_says_so(tmp_path: Path, command) -> None:
    shown = command("audit", built(tmp_path, ["a text", "and another one of other words"]))
    assert (shown.returncode, shown.stdout) == (0, "deduplication removed no document: there is nothing to compare\n")
