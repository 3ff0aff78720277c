"""Merging, and the files of a graph."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import networkx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.graph import files
from training.graph.triples import Graph, Source, key_of

NAMES = "{http://graphml.graphdrawing.org/xmlns}"


def source(text: str, document: str = "0a") -> Source:
    return Source(text, None, "https://a.org/?a=1&b=<2>", document)


@pytest.fixture
def graph() -> Graph:
    made = Graph(kept=2)
    mary, ulm, other = key_of("Mary", "person"), key_of("Ulm", "place"), key_of("ＭＡＲＹ", "ship")
    for form, key, document in [("Mary", mary, "01"), ("MARY", mary, "02"), ("Mary", mary, "02"), ("Ulm", ulm, "02")]:
        made.mention(key, form, 0.9, document)
    made.mention(other, "Mary & <Co>\x0b", 0.5, "03")
    for confidence, text in [(0.6, "a"), (0.8, "b"), (0.6, "c"), (0.7, "d")]:
        made.say((mary, "born-in", ulm), confidence, source(text))
    made.say((other, "built-in", ulm), 0.8, source("e \x00\ufffe\r]]> <x>&amp;"))
    made.say((ulm, "of", mary), 0.8, source("f"))
    return made


def test_mentions_are_one_entity_by_name_and_type(graph: Graph) -> None:
    rows = list(graph.entity_rows())
    assert [(row["name"], row["type"], row["count"], row["documents"]) for row in rows] == [
        ("Mary", "person", 3, 2),
        ("Mary & <Co>", "ship", 1, 1),
        ("Ulm", "place", 1, 1),
    ]
    assert rows[0]["forms"] == ["Mary", "MARY"] and rows[0]["confidence"] == 0.9


def test_a_triple_counts_all_sentences_and_keeps_the_surest(graph: Graph) -> None:
    rows = list(graph.triple_rows())
    assert [(row["subject"], row["relation"], row["object"], row["confidence"], row["count"]) for row in rows] == [
        ("Mary", "born-in", "Ulm", 0.8, 4),
        ("Mary & <Co>", "built-in", "Ulm", 0.8, 1),
        ("Ulm", "of", "Mary", 0.8, 1),
    ]
    assert [(one["sentence"], one["confidence"]) for one in rows[0]["sentences"]] == [("b", 0.8), ("d", 0.7)]


def test_graphml_is_read_by_others(graph: Graph, tmp_path: Path) -> None:
    files.write(tmp_path, graph, {"entities": 3})
    found = networkx.read_graphml(tmp_path / "graph.graphml", force_multigraph=True)
    assert found.is_directed() and (len(found), found.number_of_edges()) == (3, 3)
    assert found.nodes["n0"] == {"name": "Mary", "type": "person", "count": 3, "documents": 2, "confidence": 0.9}
    [edge] = [data for one, _, data in found.edges(data=True) if found.nodes[one]["type"] == "ship"]
    assert edge == {
        "relation": "built-in",
        "confidence": 0.8,
        "count": 1,
        "sentence": "e \\x00\\ufffe\\x0d]]> <x>&amp;",
        "url": "https://a.org/?a=1&b=<2>",
        "document": "0a",
    }
    assert next(json.loads(line)["name"] for line in (tmp_path / "entities.jsonl").read_text().splitlines()) == "Mary"


@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_sentence_makes_xml(text: str) -> None:
    graph = Graph(kept=1)
    one, two = key_of("a", "x"), key_of("b", "x")
    graph.mention(one, "a", 1.0, "01")
    graph.mention(two, "b", 1.0, "01")
    graph.say((one, "r", two), 1.0, source(text))

    def sentences() -> Iterator[str | None]:
        for data in ElementTree.fromstring("".join(files.graphml(graph)).encode()).iter(f"{NAMES}data"):
            if data.get("key") == "edge-sentence":
                yield data.text or ""

    [read] = sentences()
    if text.isprintable():
        assert read == text
