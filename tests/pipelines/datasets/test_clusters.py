"""The clusters dataset end to end: documents in, removals out."""

from pathlib import Path

import numpy as np
import pytest
from broken_rules import broken_rules
from places import SHARED

from pipelines.beam import runners
from pipelines.clustering import candidates, in_memory
from pipelines.clustering import signatures as stored
from pipelines.config import CorpusConfig
from pipelines.contract import manifest
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.schema import CLUSTERS, document_id
from pipelines.datasets import clusters
from pipelines.stages import deduplicate, signatures
from pipelines.units.context import Context, Dataset, RunnerOptions
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

SHARED = SHARED


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
                "measures": broken_rules([rule for _, _, rule in rows]),
            }
        )
        batch = signatures.stage(settings.deduplicate)(born("read", documents))
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


@pytest.mark.parametrize(("exact", "grain"), [("bytes", "near"), ("letters", "exact")])
def test_copies_in_letters_differ_in_case_and_punctuation_only(tmp_path, exact, grain):
    text = sentence_text(1)
    rows = [("a", text, None), ("b", text.upper() + " !!!", None)]
    found = removals(build(tmp_path, config(exact=exact), {"web": {"u": rows}}))
    (row,) = found.values()
    assert (row["id"], row["survivor"]) == (document_id("web", "a"), document_id("web", "b"))  # the longer one stays
    assert row["grain"] == grain
    assert row["similarity"] == 1.0


def test_exact_copies_are_equal_in_every_character(tmp_path):
    texts = ["2 + 2 = 4", "2 - 2 = -4", "Résumé the work.", "Resume the work.", "Résumé the work.", "a\tb", "a b"]
    rows = [(str(i), text, None) for i, text in enumerate(texts)]
    found = removals(build(tmp_path / "bytes", config(near=False), {"web": {"u": rows}}))
    assert {row["grain"] for row in found.values()} == {"exact"}
    (gone,) = found
    assert gone == max(document_id("web", "2"), document_id("web", "4"))
    found = removals(build(tmp_path / "letters", config(near=False, exact="letters"), {"web": {"u": rows}}))
    assert len(found) == 4
    assert removals(build(tmp_path / "off", config(near=False, exact=False), {"web": {"u": rows}})) == {}


@pytest.mark.parametrize("fields", [{}, {"verify": "jaccard"}, {"verify": "edit"}, {"exact": False}])
def test_files_of_code_that_differ_in_operators_are_no_copies(tmp_path, fields):
    def code(*signs: str) -> str:
        return "\n".join(f"def f{n}(a, b):\n    return a {signs[n % 3]} b {signs[n % 2]} {n}" for n in range(40))

    texts = [code("+", "-", "*"), code("-", "+", "/"), code("<", ">", "="), code("&", "|", "^"), "2 + 2 = 4", "2 - 2 = -4"]
    rows = [(str(i), text, None) for i, text in enumerate(texts)]
    assert removals(build(tmp_path / "a", config(**fields), {"web": {"u": rows}})) == {}
    rows[1] = ("1", texts[0].replace("return", "  return"), None)
    (row,) = removals(build(tmp_path / "b", config(**fields), {"web": {"u": rows}})).values()
    assert (row["grain"], row["similarity"]) == ("near", 1.0)
    letters = removals(build(tmp_path / "c", config(**(fields | {"exact": "letters"})), {"web": {"u": rows}}))
    assert len(letters) == 4  # of four files, and of two formulas
    assert {(row["grain"], row["similarity"]) for row in letters.values()} == {("exact", 1.0)}


def test_short_texts_are_copies_only_when_their_words_are_equal(tmp_path):
    rows = [("a", "Hi.", None), ("b", "hi", None), ("c", "hi there", None), ("d", "!", None), ("e", "?", None)]
    found = removals(build(tmp_path, config(), {"web": {"u": rows}}))
    assert {(row["id"], row["grain"]) for row in found.values()} == {(document_id("web", "b"), "near")}


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
    assert facts["largest_clusters"] == [
        {
            "cluster": min(document_id("web", k) for k in "abcdefg").hex(),
            "members": 7,
            "removed": 6,
            "similarity": {"least": 1.0, "median": 1.0, "greatest": 1.0},
            "grains": {"exact": 0, "near": 6, "url": 0},
            "survivor": document_id("web", "g").hex(),
            "survivors": 1,
            "excerpt": {"source": "web", "title": None, "url": None, "text": text[:200] + "…"},
        }
    ]
    assert facts["sizes"][-1] == {"least": 5, "most": 8, "clusters": 1, "documents": 7}
    assert [entry["removed"] for entry in facts["similarities"]] == [0, 0, 0, 0, 0, 0, 0, 6]


def test_removals_make_drops(tmp_path):
    text = sentence_text(6)
    other = changed(text, [60, 200])[:-20]
    dataset = build(tmp_path, config(), {"web": {"u": [("a", text, None), ("b", other, None)]}})
    ids = [document_id("web", key) for key in "ab"]
    documents = documents_from({"id": ids, "work": ids, "source": ["web"] * 2, "snapshot": ["1"] * 2, "origin": ["o"] * 2,
                                "text": [text, other]})  # fmt: skip
    out = deduplicate.dropping(clusters.removals_for(dataset, "documents/web", "u"))(Batch(documents, Ledger()))
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
    with pytest.raises(ValueError, match=r"150 documents form one cluster .*cluster_limit = 149"):
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


def page_of_a_template(seed: int, own_words: int) -> str:
    """300 words that all pages of a site share, and words of its own."""
    return sentence_text(1000) + " " + sentence_text(seed, own_words)


def test_a_template_as_the_centre_hides_no_pair(tmp_path):
    """80 pages are .49 similar to a bare template, .33 to each other, .95 to their twins.

    The template ranks first (its source has priority); with bands of 4 rows it is the centre of most buckets.
    """
    pages = [page_of_a_template(seed, 300) for seed in range(80)]
    twins = [changed(page, [310, 350, 390]) for page in pages[:30]]
    rows = [(f"page-{i}", page, None) for i, page in enumerate(pages)]
    rows += [(f"twin-{i}", twin, None) for i, twin in enumerate(twins)]
    sources = {"web": {"u": rows}, "site": {"t": [("template", sentence_text(1000), None)]}}
    dataset = build(tmp_path, config({"web": 0, "site": 9}, bands=28, rows=4), sources)
    found = removals(dataset)
    name = {document_id("web", key): key for key, _, _ in rows}
    assert {frozenset((name[row["id"]], name[row["survivor"]])) for row in found.values()} == {
        frozenset((f"page-{i}", f"twin-{i}")) for i in range(30)
    }
    facts = dataset.manifest.facts
    assert facts["largest_cluster"] == 2  # the template binds nothing together
    assert facts["edges_failed"] > 0
    assert facts["restar_rounds"] > 1
    assert facts["restar_unresolved"] == 0


def test_very_short_and_very_long_texts_do_not_cling(tmp_path):
    """A short text is one shingle; a long text that holds it has a similarity near 0."""
    short = [(f"short-{i}", f"Page {i} of 9", None) for i in range(10)]
    book = sentence_text(7, 20_000)
    long = [("book", book, None), ("chapter", " ".join(book.split()[:2_000]), None), ("holds", book + " Page 1 of 9", None)]
    found = removals(build(tmp_path, config(), {"web": {"u": short + long}}))
    assert {(row["id"], row["survivor"]) for row in found.values()} == {(document_id("web", "book"), document_id("web", "holds"))}


def test_a_chain_keeps_both_of_its_ends(tmp_path):
    """a~b~c at .78, a and c at .6: with a the best, b goes and c stays, and the three are one cluster."""
    a = sentence_text(8, 400)
    b = changed(a, [*range(20, 56), 100, 150])
    c = changed(b, [*range(200, 236), 300, 350])
    rows = [("a", a + " " + 2000 * "x", None), ("b", b + " " + 1000 * "x", None), ("c", c, None)]
    dataset = build(tmp_path, config(), {"web": {"u": rows}})
    (row,) = removals(dataset).values()
    assert (row["id"], row["survivor"]) == (document_id("web", "b"), document_id("web", "a"))
    assert dataset.manifest.facts["largest_cluster"] == 3


def test_of_equals_in_everything_the_least_id_stays_wherever_it_stands(tmp_path):
    text = sentence_text(9)
    keys = [f"k{i}" for i in range(6)]
    best = min(document_id("web", key) for key in keys)
    for turn in range(3):
        units = {f"u{i}": [(keys[(i + turn) % 6], text, None)] for i in range(6)}
        dataset = build(tmp_path / str(turn), config(), {"web": units})
        rows = [row for i in range(6) for row in removals(dataset, unit=f"u{i}").values()]
        assert {row["survivor"] for row in rows} == {best}
        assert len(rows) == 5


def test_each_grain_has_its_switch(tmp_path):
    text = sentence_text(10)
    rows = [("a", text + " and its end", None), ("copy", text + " and its end", None),
            ("near", changed(text, [50, 120]), None)]  # fmt: skip

    def grains(**fields):
        found = removals(build(tmp_path / str(len(list(tmp_path.iterdir()))), config(**fields), {"web": {"u": rows}}))
        return sorted((row["grain"], row["similarity"] == 1) for row in found.values())

    tmp_path.joinpath("0").mkdir()
    assert grains() == [("exact", True), ("near", False)]
    assert grains(near=False) == [("exact", True)]
    assert grains(exact=False) == [("exact", True), ("near", False)]  # equal texts are similar too
    assert grains(exact=False, near=False) == []
    assert grains(target={"threshold": 0.7, "permutations": 128}) == [("exact", True), ("near", False)]


@pytest.mark.parametrize("edges_fit", [True, False])
def test_more_than_fits_the_budget_goes_through_files_with_the_same_result(tmp_path, monkeypatch, edges_fit):
    units = {f"u{i}": mixture()[i::4] for i in range(4)}
    one = build(tmp_path / "a", config(), {"web": units})
    asked = []

    def fits(documents, section, edges=None):
        asked.append(edges)
        return edges is None and not edges_fit  # all at once, or when the pairs are counted

    monkeypatch.setattr(clusters, "fits", fits)
    monkeypatch.setattr(in_memory, "fits", fits)
    other = build(tmp_path / "b", config(), {"web": units})
    assert other.manifest.model_dump() == one.manifest.model_dump()
    assert len(asked) == (1 if edges_fit else 2)
