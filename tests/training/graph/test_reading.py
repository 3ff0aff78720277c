"""Entities and relations of a corpus, found by trained models, and the graph of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pytest
from published import SCHEMA, documents, publish_corpus

from flows.commands.main import main
from training.graph import reading
from training.graph.reading import Counts, GraphError, Readers, read
from training.graph.triples import Graph, Key
from training.run.device import Device
from training.tasks import tuned

TEXTS = [
    "people near the river. many stories .\nold People of The  river.",
    "stood people near the river every . people and the river .",
    "the river near people",
]
PEOPLE, RIVER = Key("people", "group"), Key("the river", "place")


def batches(texts: list[str]) -> Iterator[pa.RecordBatch]:
    for row in documents(texts):
        yield pa.RecordBatch.from_pylist([row], SCHEMA)


@pytest.fixture(scope="module")
def readers(graph_runs: Mapping[str, Path]) -> Readers:
    entities, relations = (tuned.load(graph_runs[name]) for name in ("entities", "relations"))
    return Readers(entities, relations, Device("cpu", "float32"), 0.5)


def last(found: Iterator[tuple[Graph, Counts]]) -> tuple[Graph, Counts]:
    return list(found)[-1]


def test_what_sentences_say_is_found_and_merged(readers: Readers) -> None:
    graph, counts = last(read(batches(TEXTS), readers, kept=1))
    assert set(graph.entities) == {PEOPLE, RIVER}
    assert graph.entities[PEOPLE].forms == {"people": 4, "People": 1}
    assert graph.entities[RIVER].forms == {"the river": 4, "The river": 1}, "spaces in a form are one"
    assert graph.entities[RIVER].documents == 3
    assert {triple: found.count for triple, found in graph.triples.items()} == {
        (PEOPLE, "Near", RIVER): 2,
        (RIVER, "Holds", PEOPLE): 1,  # Holds(e2,e1): the second entity is the subject
        (RIVER, "Near", PEOPLE): 1,
    }
    [(confidence, source)] = graph.triples[PEOPLE, "Near", RIVER].backing
    assert source.document in ("00" * 16, "01" * 16) and "near the river" in source.sentence and 0.5 <= confidence <= 1
    assert (counts.documents, counts.sentences, counts.pairs, counts.unrelated_pairs) == (3, 6, 5, 1)


def test_what_is_not_sure_is_left_out_and_counted(readers: Readers) -> None:
    graph, sure = last(read(batches(TEXTS), readers, kept=3))
    least = graph.triples[PEOPLE, "Near", RIVER].backing[-1][0]  # no relation and no mention is less sure in its sentence
    stricter, counts = last(read(batches(TEXTS), replace(readers, least=least + 1e-4), kept=3))
    assert sum(one.count for one in stricter.triples.values()) < sum(one.count for one in graph.triples.values())
    assert counts.improbable_relations + counts.improbable_mentions > sure.improbable_relations + sure.improbable_mentions
    assert counts.mentions + counts.improbable_mentions == sure.mentions + sure.improbable_mentions


def test_the_first_documents_are_a_limit(readers: Readers) -> None:
    _, counts = last(read(batches(TEXTS), readers, kept=3, limit=2))
    assert (counts.documents, counts.sentences) == (2, 5)


def test_long_sentences_are_read_and_counted(readers: Readers) -> None:
    long = "people near the river " + "many old stories about every " * 12
    graph, counts = last(read(batches([long, f"people {'old ' * 40} the river", "many stories"]), readers, kept=3))
    assert PEOPLE in graph.entities and graph.triples[PEOPLE, "Near", RIVER].count >= 1
    assert counts.sentences_in_windows == 2 and counts.cropped_pairs >= 2


def test_marks_in_a_text_are_text(readers: Readers) -> None:
    graph, counts = last(read(batches(["<e1>people</e1> near the river </e2> <<e1>>"]), readers, kept=3))
    assert counts.pairs >= 1 and PEOPLE in graph.entities


def test_entities_that_are_far_apart_make_no_pair(readers: Readers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "REACH", 1)
    _, counts = last(read(batches(["people near the river and people"]), readers, kept=3))
    assert (counts.mentions, counts.pairs, counts.distant_pairs) == (3, 2, 1)


def test_a_relation_without_direction_is_asked_in_both_orders(readers: Readers) -> None:
    task = replace(readers.relations.task, labels=("Holds", "Near", "Other"))  # pyright: ignore
    undirected = replace(readers, relations=replace(readers.relations, task=task))
    graph, counts = last(read(batches(TEXTS[:1]), undirected, kept=3))
    verdicts = counts.unrelated_pairs + counts.improbable_relations + sum(one.count for one in graph.triples.values())
    assert (counts.pairs, verdicts) == (2, 4)
    assert {(PEOPLE, "Near", RIVER), (PEOPLE, "Holds", RIVER)} <= set(graph.triples)


def graph_of(build: Path, runs: Mapping[str, Path], out: Path, *more: str) -> int:
    words = ["graph", str(build), "--entities", str(runs["entities"]), "--relations", str(runs["relations"]), "--out", str(out)]
    return main([*words, "--device", "cpu", "--threads", "1", *more])


def test_the_command_writes_the_same_graph_again(
    graph_runs: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_corpus(tmp_path / "build", documents(TEXTS))
    assert [graph_of(tmp_path / "build", graph_runs, tmp_path / name) for name in "ab"] == [0, 0]
    assert "2 entities, 3 triples from 6 sentences of 3 documents\n  1 pairs without a relation" in capsys.readouterr().out
    names = ["entities.jsonl", "graph.graphml", "summary.json", "triples.jsonl"]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == names
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)
    rows = [json.loads(line) for line in (tmp_path / "a" / "triples.jsonl").read_text().splitlines()]
    assert [row["confidence"] for row in rows] == sorted((row["confidence"] for row in rows), reverse=True)
    [row] = [row for row in rows if row["count"] == 2]
    assert (row["subject"], row["subject_type"], row["relation"]) == ("people", "group", "Near")
    assert (row["object"], row["object_type"]) == ("the river", "place")
    assert {(one["title"], one["url"], one["document"]) for one in row["sentences"]} == {
        ("T0", "https://a.org/0", "00" * 16),
        ("T1", None, "01" * 16),
    }
    assert len(ElementTree.parse(tmp_path / "a" / "graph.graphml").findall(".//{*}edge")) == 3
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["unrelated_pairs"] == 1
    assert graph_of(tmp_path / "build", graph_runs, tmp_path / "a") == 1
    assert "is not empty; name a new folder with --out" in capsys.readouterr().err


def test_what_cannot_be_used_is_refused(
    graph_runs: Mapping[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build, empty, out = tmp_path / "build", tmp_path / "empty", tmp_path / "graph"
    publish_corpus(build, documents(["many stories ."]))
    empty.mkdir()

    def refused(folder: Path, runs: Mapping[str, Path], *more: str) -> str:
        assert graph_of(folder, runs, out, *more) == 1
        return capsys.readouterr().err

    swapped = {"entities": graph_runs["relations"], "relations": graph_runs["entities"]}
    wanted = "is a relations run; --entities needs a run of kind named_entities: corpusmill finetune configs/finetune/wnut17_bert"
    assert wanted in refused(build, swapped)
    assert "nothing is published there" in refused(empty, graph_runs)
    none = refused(build, graph_runs, "--least-confidence", "1")
    assert "no entities were found in 1 sentences; lower --least-confidence" in none
    release = build / "release.json"
    release.write_text(json.dumps({key: value for key, value in json.loads(release.read_text()).items() if key != "corpus"}))
    assert "its release has no corpus" in refused(build, graph_runs)
    assert not out.exists()


def test_labels_of_words_that_are_no_spans_are_refused(readers: Readers) -> None:
    task = replace(readers.entities.task, labels=("NOUN", "VERB"))  # pyright: ignore
    with pytest.raises(GraphError, match="labels words, not spans; --entities needs a run whose labels have B- and I-"):
        replace(readers, entities=replace(readers.entities, task=task))
