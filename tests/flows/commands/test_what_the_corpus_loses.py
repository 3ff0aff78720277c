"""Repeated text and benchmarks' texts in a whole build: what is cut and dropped is in the ledger, the drops and the report."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from places import FIXTURES

from flows import drive
from flows.pages import figures
from pipelines import config as corpus_config
from pipelines.contract import manifest
from pipelines.contract.verify import verify
from pipelines.lookup.explanation import explain
from pipelines.lookup.find import Build
from pipelines.release import published_folders
from pipelines.units.context import Context

TINY = FIXTURES / "tiny.toml"
# From tests/data/tiny/books/clock.txt, in other letters and without its comma.
QUESTION = "He took THE WORKS apart on a tablecloth; and named each wheel as he laid it down so that the children"


@pytest.fixture
def out(tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.out, tmp_path / "copy"))


def build(out: Path, language_model: str, *overrides: str) -> dict:
    settings = corpus_config.load(TINY, (f"language.model={json.dumps(language_model)}", *overrides))
    return drive.build(Context(settings, str(out)), gated=False).report


def line(report: dict, source: str, stage: str) -> dict:
    return next(entry for entry in report["funnel"][source] if entry["stage"] == stage)


def rows(out: Path, table: str) -> list[dict]:
    (corpus,) = [folder for name, folder in published_folders(str(out)).items() if name == "corpus"]
    return [row for path in sorted(Path(corpus).glob(f"{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_a_document_with_a_benchmarks_text_is_dropped_and_named(out: Path, language_model: str, tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text(json.dumps({"id": "q7", "question": QUESTION}) + "\n")
    before = json.loads((out / "release.json").read_text())
    report = build(out, language_model, f'decontaminate.paths=["{tmp_path}/*.jsonl"]')
    assert line(report, "novels", "decontaminate")["documents_dropped"] == {"contaminated": 1}
    assert line(report, "tinywiki", "decontaminate")["documents_dropped"] == {}
    (drop,) = [row for row in rows(out, "drops") if row["stage"] == "decontaminate"]
    assert drop["title"] == "THE CLOCK AT BELLMOUTH"
    assert drop["detail"].startswith(
        "questions.jsonl:1 question (id q7), 100%: “He took the works apart on a tablecloth and named"
    )
    assert report["benchmarks"] == {
        "questions.jsonl": {"items": 1, "met": 1, "documents": 1, "cut": 0, "examples": [drop["detail"]]}
    }
    assert figures.benchmarks(report)[0] == "questions.jsonl: 1 of 1 items met, in 1 dropped documents"
    after = json.loads((out / "release.json").read_text())
    assert after["clusters"] == before["clusters"]  # another benchmark touches nothing before the corpus
    assert after["corpus"] != before["corpus"]
    assert all(verify(folder).is_sound for folder in published_folders(str(out)).values())
    (index,) = [folder for name, folder in published_folders(str(out)).items() if name == "index"]
    assert manifest.read(index).rows("index") == len(rows(out, "documents"))  # what was dropped is not in the index


def test_its_words_are_cut_where_that_is_asked_for(out: Path, language_model: str, tmp_path: Path) -> None:
    (tmp_path / "questions.jsonl").write_text(json.dumps({"question": QUESTION}) + "\n")
    report = build(out, language_model, f'decontaminate.paths=["{tmp_path}/*.jsonl"]', 'decontaminate.action="cut"')
    of_novels = line(report, "novels", "decontaminate")
    assert of_novels["documents_dropped"] == {}
    (text,) = [row["text"] for row in rows(out, "documents") if row["title"] == "THE CLOCK AT BELLMOUTH"]
    assert "tablecloth" not in text
    assert "A man was sent for from the city. who watched him learned" in text
    removed = of_novels["characters_removed"]["contamination"]
    assert removed == of_novels["characters_in"] - of_novels["characters_out"]
    assert len(QUESTION) - 5 < removed < len(QUESTION) + 5
    (cut,) = rows(out, "cuts")
    assert (cut["stage"], cut["change"]) == ("decontaminate", "contamination")
    assert cut["text"].startswith("He took the works apart on a tablecloth") and cut["text"].rstrip().endswith("the children")
    assert cut["detail"] == "questions.jsonl:1 question, 100%"
    counts = report["benchmarks"]["questions.jsonl"]
    assert (counts["met"], counts["documents"], counts["cut"]) == (1, 0, 1)
    assert counts["examples"][0].startswith("questions.jsonl:1 question, 100%: “He took the works apart on a tablecloth")
    assert figures.benchmarks(report)[0] == "questions.jsonl: 1 of 1 items met, in 0 dropped documents, cut out of 1 others"
    (document,) = [row for row in rows(out, "documents") if row["id"] == cut["id"]]
    answer = explain(Build(str(out)), [document["id"].hex()])[0].explanations[0]
    assert [(one.stage, one.text, one.detail) for one in answer.removed] == [("decontaminate", cut["text"], cut["detail"])]


def test_repeated_lines_are_cut_and_counted(out: Path, language_model: str) -> None:
    """With deduplication off, the planted copies share their lines: of exact copies the best one stays, of near ones a part."""
    report = build(out, language_model, "deduplicate.enabled=false", "repeats.lines_limit=1")
    assert report["repeats"]["lines"]["repeated"] > 0
    crawl = line(report, "crawl", "repeats")
    assert crawl["characters_removed"]["repeated_lines"] > 0
    assert crawl["documents_dropped"] == {"empty": 2}
    assert {row["detail"] for row in rows(out, "drops") if row["stage"] == "repeats"} == {
        "all of it stands in other documents, too"
    }
    emptied = {row["id"]: row["text"] for row in rows(out, "drops") if row["stage"] == "repeats"}
    lost = {id_: [row["text"] for row in rows(out, "cuts") if row["id"] == id_] for id_ in emptied}
    assert {id_: " ".join(" ".join(texts).split()) for id_, texts in lost.items()} == {
        id_: " ".join(text.split()) for id_, text in emptied.items()
    }
    assert not (set(json.loads((out / "release.json").read_text())) & {"reference"})
