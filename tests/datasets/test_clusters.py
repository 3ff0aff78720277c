"""The clusters dataset end to end: documents in, removals out."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines.beam import runners
from pipelines.build import Context, Dataset, RunnerOptions
from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.schema import CLUSTERS, document_id
from pipelines.datasets import candidates, clusters
from pipelines.datasets import signatures as stored
from pipelines.parts import write_unit
from pipelines.stages import deduplicate, signatures
from pipelines.unit import Unit

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def config(priorities=None, **deduplicate_fields) -> CorpusConfig:
    priorities = priorities or {"web": 0}
    sources = [
        {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "priority": priority}
        for name, priority in priorities.items()
    ]
    return CorpusConfig.model_validate(
        {
            "corpus": {"name": "test"},
            "sources": sources,
            "deduplicate": deduplicate_fields,
            "language": {"enabled": False},
        }
    )


def write_documents(
    out: str, settings: CorpusConfig, source: str, units: dict[str, list[tuple[str, str, str | None]]]
) -> Dataset:
    """A documents dataset; a document is (key, text, rule)."""
    name = f"documents/{source}"
    made_from = {"texts": {unit: [list(document) for document in rows] for unit, rows in units.items()}, "source": source}
    uri = manifest.folder(out, name, manifest.fingerprint(made_from))
    sidecars = []
    for unit, rows in units.items():
        documents = documents_from(
            {
                "id": [document_id(source, key) for key, _, _ in rows],
                "work": [document_id(source, key) for key, _, _ in rows],
                "source": [source] * len(rows),
                "snapshot": ["1"] * len(rows),
                "origin": [key for key, _, _ in rows],
                "text": [text for _, text, _ in rows],
                "rule": pa.array([rule for _, _, rule in rows], pa.string()),
            }
        )
        batch = signatures.stage(settings.deduplicate, settings.language)(born("read", documents))
        description = Unit(name=unit, source=source, uri=unit, root="/", bytes=1, identity=unit)
        sidecars.append(write_unit(uri, description, [batch]))
    made = manifest.assemble(name, made_from, sidecars)
    manifest.write(uri, made)
    return Dataset(uri, made)


def build(tmp_path, settings: CorpusConfig, sources: dict[str, dict[str, list]], workers: int = 1) -> Dataset:
    out = str(tmp_path)
    documents = [write_documents(out, settings, source, units) for source, units in sources.items()]
    return clusters.build(Context(settings, out, RunnerOptions(workers=workers)), documents)


def removals(dataset: Dataset, source: str = "web", unit: str = "u") -> dict[bytes, dict]:
    table = clusters.removals_for(dataset, f"documents/{source}", unit)
    return {row["id"]: row for row in table.to_pylist()}


def sentence_text(seed: int, words: int = 300) -> str:
    generator = np.random.default_rng(seed)
    return " ".join(f"w{n}" for n in generator.integers(0, 50_000, words))


def changed(text: str, places: list[int]) -> str:
    words = text.split()
    for place in places:
        words[place] = f"changed{place}"
    return " ".join(words)


def test_planted_near_duplicates_are_removed_and_nothing_else(tmp_path):
    texts = [sentence_text(seed) for seed in range(200)]
    rows = [(f"original-{i}", text, None) for i, text in enumerate(texts)]
    # Three changed words break at most 15 of 296 shingles: Jaccard at least 281 / 311 = 0.90. A shorter copy ranks lower.
    rows += [(f"copy-{i}", changed(texts[i], [50, 120, 250]).rsplit(" ", 1)[0], None) for i in range(0, 200, 10)]
    found = removals(build(tmp_path, config(), {"web": {"u": rows}}))
    longer = {i: max((len(t), k) for k, t, _ in rows if k.endswith(f"-{i}"))[1] for i in range(0, 200, 10)}
    expected = {document_id("web", ({"original", "copy"} - {kept.split("-")[0]}).pop() + f"-{i}") for i, kept in longer.items()}
    assert set(found) == expected
    for row in found.values():
        assert (row["grain"], row["corpus"]) == ("near", None)
        assert 0.7 <= row["similarity"] < 1
        assert row["cluster"] == min(row["id"], row["survivor"])


def test_exact_copies_differ_in_case_and_punctuation_only(tmp_path):
    text = sentence_text(1)
    found = removals(build(tmp_path, config(), {"web": {"u": [("a", text, None), ("b", text.upper() + " !!!", None)]}}))
    (row,) = found.values()
    assert (row["id"], row["survivor"]) == (document_id("web", "a"), document_id("web", "b"))  # the longer one stays
    assert row["grain"] == "exact"
    assert row["similarity"] == 1.0


def test_short_texts_are_copies_only_when_they_are_equal(tmp_path):
    rows = [("a", "Hi.", None), ("b", "hi", None), ("c", "hi there", None), ("d", "!", None), ("e", "?", None)]
    found = removals(build(tmp_path, config(), {"web": {"u": rows}}))
    assert {(row["id"], row["grain"]) for row in found.values()} == {(document_id("web", "b"), "exact")}


def test_the_survivor_passes_then_has_priority_then_length_then_the_least_id(tmp_path):
    text = sentence_text(2)
    sources = {
        "web": {"u": [("long", text + " and more", None), ("x", text, None), ("y", text, None)]},
        "books": {"u": [("rejected", text + " and much more", "gopher_symbols"), ("kept", text, None)]},
    }
    dataset = build(tmp_path, config({"web": 0, "books": 5}), sources)
    kept = document_id("books", "kept")
    assert {row["survivor"] for source in sources for row in removals(dataset, source).values()} == {kept}
    assert set(removals(dataset)) == {document_id("web", key) for key in ("long", "x", "y")}
    equal = build(tmp_path, config(), {"web": {"u": sources["web"]["u"][1:]}})
    assert {row["survivor"] for row in removals(equal).values()} == {min(document_id("web", key) for key in "xy")}


def mixture() -> list[tuple[str, str, str | None]]:
    texts = [sentence_text(seed, 120) for seed in range(60)]
    rows = [(f"{i}", text, None) for i, text in enumerate(texts)]
    rows += [(f"{i}-{k}", changed(text, [10 * k, 70]), None) for i, text in enumerate(texts[:20]) for k in range(1, 1 + i % 4)]
    return [*rows, ("exact", texts[30], None)]


def test_order_and_parts_change_nothing(tmp_path):
    rows = mixture()
    shuffled = [rows[i] for i in np.random.default_rng(3).permutation(len(rows))]
    one = build(tmp_path, config(), {"web": {"u": rows}})
    other = build(tmp_path, config(), {"web": {f"u{i}": shuffled[i::7] for i in range(7)}})
    merged = {key: row for i in range(7) for key, row in removals(other, unit=f"u{i}").items()}
    assert merged == removals(one)
    assert len(merged) > 20
    assert one.manifest.facts == other.manifest.facts
    assert other.uri != one.uri


def test_many_ranges_and_inputs_are_one(tmp_path, monkeypatch):
    units = {f"u{i}": mixture()[i::4] for i in range(4)}
    one = build(tmp_path / "a", config(), {"web": units})
    monkeypatch.setattr(candidates, "BYTES_PER_RANGE", 2_000)
    monkeypatch.setattr(candidates, "DOCUMENTS_PER_INPUT", 30)
    monkeypatch.setattr(stored, "PAIRS_AT_ONCE", 3)
    many = build(tmp_path / "b", config(), {"web": units})
    assert many.manifest.model_dump() == one.manifest.model_dump()


def test_two_worker_processes_write_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(candidates, "DOCUMENTS_PER_INPUT", 30)
    monkeypatch.setattr(candidates, "BYTES_PER_RANGE", 10_000)
    units = {f"u{i}": mixture()[i::4] for i in range(4)}
    one = build(tmp_path / "a", config(), {"web": units})
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    two = build(tmp_path / "b", config(), {"web": units}, workers=2)
    assert two.manifest.model_dump() == one.manifest.model_dump()


def test_a_removal_lies_in_the_part_of_its_unit_sorted_by_id(tmp_path):
    text = sentence_text(5)
    units = {"u": [(key, text, None) for key in "abcdef"], "v": [("g", text + " more", None)], "w": [("h", "else", None)]}
    dataset = build(tmp_path, config(), {"web": units})
    assert [(part.unit, part.rows) for part in dataset.manifest.of("clusters")] == [("documents/web/u", 6)]
    table = clusters.removals_for(dataset, "documents/web", "u")
    assert table.schema == CLUSTERS
    assert table["id"].to_pylist() == sorted(document_id("web", key) for key in "abcdef")
    assert clusters.removals_for(dataset, "documents/web", "w").num_rows == 0
    assert not (Path(dataset.uri) / "spill").exists()
    facts = dataset.manifest.facts
    assert facts["sources"] == {"web": {"documents": 8, "exact": 0, "near": 6, "url": 0}}
    assert facts["largest_clusters"] == [{"cluster": min(document_id("web", k) for k in "abcdefg").hex(), "members": 7}]


def test_removals_make_drops(tmp_path):
    text = sentence_text(6)
    other = changed(text, [60, 200])[:-20]
    dataset = build(tmp_path, config(), {"web": {"u": [("a", text, None), ("b", other, None)]}})
    ids = [document_id("web", key) for key in "ab"]
    documents = documents_from({"id": ids, "work": ids, "source": ["web"] * 2, "snapshot": ["1"] * 2, "origin": ["o"] * 2,
                                "text": [text, other]})  # fmt: skip
    out = deduplicate.stage(clusters.removals_for(dataset, "documents/web", "u"))(Batch(documents, Ledger()))
    assert out.documents["id"].to_pylist() == ids[:1]
    assert out.drops[0]["detail"][0].as_py().startswith(f"of {ids[0].hex()}, similarity 0.87")


def test_wide_signatures_find_the_same(tmp_path):
    narrow = build(tmp_path / "a", config(), {"web": {"u": mixture()}})
    wide = build(tmp_path / "b", config(scheme="affine64"), {"web": {"u": mixture()}})
    assert set(removals(wide)) == set(removals(narrow))


def test_no_documents(tmp_path):
    dataset = build(tmp_path, config(), {"web": {}})
    assert dataset.manifest.parts == ()
    assert dataset.manifest.facts["documents"] == 0


def test_switched_off_it_is_an_empty_dataset(tmp_path):
    text = sentence_text(1)
    dataset = build(tmp_path, config(enabled=False), {"web": {"u": [("a", text, None), ("b", text, None)]}})
    assert dataset.manifest.parts == ()
    assert clusters.removals_for(dataset, "documents/web", "u") is None


def test_an_alarm_leaves_no_dataset(tmp_path):
    text = sentence_text(1)
    many = [(str(i), text, None) for i in range(150)]
    with pytest.raises(ValueError, match=r"source web: 99\.3% of 150 documents .*removed_share_limit = 90\.0%"):
        build(tmp_path, config(), {"web": {"u": many}})
    with pytest.raises(ValueError, match=r"150 documents hang together .*cluster_limit = 149"):
        build(tmp_path, config(cluster_limit=149), {"web": {"u": many}})
    assert not list(tmp_path.glob("clusters/*/manifest.json"))
    assert not list(tmp_path.glob("clusters/*/spill"))
    assert build(tmp_path, config(), {"web": {"u": many[:99]}}).manifest.facts["largest_cluster"] == 99  # too few to judge


def test_one_id_for_two_documents_of_a_unit_is_an_error(tmp_path):
    text = sentence_text(1)
    with pytest.raises(ValueError, match="unit u: two documents have the id"):
        build(tmp_path, config(), {"web": {"u": [("a", text, None), ("a", text + " x", None)]}})
    across = build(tmp_path, config(), {"web": {"u": [("a", text, None)], "v": [("a", text + " x", None)]}})
    assert set(removals(across, unit="u")) == {document_id("web", "a")}
    assert not removals(across, unit="v")


def test_documents_without_signatures_are_an_error(tmp_path):
    settings = config()
    documents = write_documents(str(tmp_path), settings, "web", {"u": [("a", "text", None)]})
    parts = tuple(part for part in documents.manifest.parts if part.table != "signatures")
    broken = Dataset(documents.uri, documents.manifest.model_copy(update={"parts": parts}))
    with pytest.raises(ValueError, match="1 documents, but 0 signatures"):
        clusters.build(Context(settings, str(tmp_path)), [broken])


@pytest.mark.skipif(not (SHARED / "dedup").exists(), reason="the labelled news articles are not on this machine")
def test_news_with_planted_pairs(tmp_path):
    lines = (SHARED / "dedup" / "articles_1000.train").read_text().splitlines()
    rows = [(line.split(" ", 1)[0], line.split(" ", 1)[1], None) for line in lines]
    truth = {frozenset(line.split()) for line in (SHARED / "dedup" / "articles_1000.truth").read_text().splitlines()}
    names = {document_id("web", key): key for key, _, _ in rows}
    found = removals(build(tmp_path, config(), {"web": {"u": rows}}))
    assert {frozenset({names[row["id"]], names[row["survivor"]]}) for row in found.values()} == truth
