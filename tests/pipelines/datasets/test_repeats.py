"""The repeats dataset end to end: documents in, what to cut out, the same whatever the workers, the units and the memory."""

from pathlib import Path

import numpy as np
import pytest
from broken_rules import broken_rules

from pipelines.beam import runners
from pipelines.config import CorpusConfig
from pipelines.contract import files, manifest
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.ledger import Ledger
from pipelines.contract.schema import document_id
from pipelines.contract.tables import read_batches
from pipelines.datasets import clusters, repeat_rows, repeats
from pipelines.stages import signatures
from pipelines.stages.repeats import cutting
from pipelines.units.context import Context, Dataset, RunnerOptions
from pipelines.units.descriptor import Unit
from pipelines.units.parts import write_unit

Rows = list[tuple[str, str]]  # key, text


def config(priorities: dict[str, int] | None = None, deduplicate: dict | None = None, **repeats_fields) -> CorpusConfig:
    sources = [
        {"name": name, "kind": "books", "root": "/nowhere", "snapshot": "1", "priority": priority}
        for name, priority in (priorities or {"web": 0}).items()
    ]
    return CorpusConfig.model_validate(
        {
            "corpus": {"name": "test"},
            "sources": sources,
            "deduplicate": deduplicate or {"enabled": False},
            "language": {"enabled": False},
            "repeats": repeats_fields,
        }
    )


def write_documents(out: str, settings: CorpusConfig, source: str, units: dict[str, Rows]) -> Dataset:
    """A documents dataset; a key that begins with "bad" has a rule that it breaks."""
    name = f"documents/{source}"
    made_from = {"units": {unit: [list(row) for row in rows] for unit, rows in units.items()}, "source": source}
    uri = manifest.folder(out, name, manifest.fingerprint(made_from))
    sidecars = []
    for unit, rows in units.items():
        batches = [batch_of(settings, source, rows[start : start + 10]) for start in range(0, len(rows), 10)]
        sidecars.append(write_unit(uri, Unit(name=unit, source=source, uri=unit, root="/", bytes=1, identity=unit), batches))
    made = manifest.assemble(name, made_from, sidecars)
    manifest.write(uri, made)
    return Dataset(uri, made)


def batch_of(settings: CorpusConfig, source: str, rows: Rows) -> Batch:
    ids = [document_id(source, key) for key, _ in rows]
    known = {"id": ids, "work": ids, "origin": [key for key, _ in rows], "text": [text for _, text in rows]}
    same = {"source": [source] * len(rows), "snapshot": ["1"] * len(rows)}
    measures = broken_rules(key.startswith("bad") for key, _ in rows)
    batch = born("read", documents_from({**known, **same, "measures": measures}))
    return signatures.stage(settings.deduplicate)(batch) if settings.deduplicate.enabled else batch


def build(out: Path, settings: CorpusConfig, sources: dict[str, dict[str, Rows]], workers: int = 1) -> Dataset:
    documents = [write_documents(str(out), settings, source, units) for source, units in sources.items()]
    context = Context(settings, str(out), RunnerOptions(workers=workers))
    return repeats.build(context, documents, clusters.build(context, documents))


def texts_after(dataset: Dataset, out: Path, source: str = "web") -> dict[str, str]:
    """What the stage leaves of the documents of a source, by key."""
    found = repeats.Repeats.load(dataset)
    assert found is not None
    left: dict[str, str] = {}
    for uri in files.listing(str(out / "documents" / source), ".parquet"):
        run = cutting(found.in_unit(source, Path(uri).stem))
        for rows in read_batches(uri):
            after = run(Batch(rows, Ledger())).documents
            left |= dict(zip(after["origin"].to_pylist(), after["text"].to_pylist(), strict=True))
    return left


def counts(dataset: Dataset, table: str) -> list[dict]:
    batches = [batch for part in dataset.manifest.of(table) for batch in read_batches(f"{dataset.uri}/{part.path}")]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["hash"] for row in rows] == sorted(row["hash"] for row in rows)
    assert len(rows) == dataset.manifest.rows(table)
    return rows


def page(number: int) -> str:
    return f"Home | News | Imprint\nStory number {number} is told here.\n\nAll rights reserved.\n\nshort line"


def sentence_text(seed: int, words: int = 120) -> str:
    return " ".join(f"w{n}" for n in np.random.default_rng(seed).integers(0, 50_000, words))


def everything(dataset: Dataset) -> dict[str, bytes]:
    return {str(p.relative_to(dataset.uri)): p.read_bytes() for p in sorted(Path(dataset.uri).rglob("*")) if p.is_file()}


def test_lines_in_more_documents_than_the_limit_are_cut_everywhere_if_none_keeps_them(tmp_path):
    rows = [(str(i), page(i)) for i in range(6)] + [("twice", "A rare line here.\nA rare line here.\nHOME | NEWS | imprint!")]
    dataset = build(tmp_path, config(lines_limit=6, keep="none"), {"web": {"u": rows}})
    assert [row["documents"] for row in counts(dataset, "lines")] == [7]  # "All rights reserved" stands in six
    most = [{"documents": 7, "text": "Home | News | Imprint"}]
    assert dataset.manifest.facts == {"enabled": True, "lines": {"found": 6 + 3, "repeated": 1, "most": most}}
    left = texts_after(dataset, tmp_path)
    assert left["3"] == "Story number 3 is told here.\n\nAll rights reserved.\n\nshort line"
    assert left["twice"] == "A rare line here.\nA rare line here."


def test_paragraphs_have_a_limit_of_their_own(tmp_path):
    rows = [(str(i), page(i)) for i in range(6)]
    dataset = build(tmp_path, config(paragraphs_limit=5, lines_limit=6, keep="none"), {"web": {"u": rows}})
    assert counts(dataset, "lines") == []
    assert [row["documents"] for row in counts(dataset, "paragraphs")] == [6]
    assert dataset.manifest.facts["paragraphs"]["most"] == [{"documents": 6, "text": "All rights reserved."}]
    assert texts_after(dataset, tmp_path)["0"] == "Home | News | Imprint\nStory number 0 is told here.\n\nshort line"


def owner_of(key: str, source: str = "web") -> int:
    return int.from_bytes(document_id(source, key)[:8], "big")


def test_the_best_document_keeps_what_others_lose(tmp_path):
    rows = [(key, f"Home | News | Imprint\nStory {key} is told.\nHome | News | Imprint") for key in "abcdef"]
    best = min("abcdef", key=lambda key: document_id("web", key))
    units = {"u": rows[:3], "v": rows[3:]}
    dataset = build(tmp_path, config(lines_limit=5), {"web": units})
    assert [(row["documents"], row["owner"]) for row in counts(dataset, "lines")] == [(6, owner_of(best))]
    assert texts_after(dataset, tmp_path) == {k: text if k == best else f"Story {k} is told." for k, text in rows}
    prior = config({"web": 0, "books": 1}, lines_limit=5)
    dataset = build(tmp_path / "2", prior, {"web": units, "books": {"x": [("bad", rows[0][1]), ("z", rows[0][1])]}})
    owners = {row["documents"]: row["owner"] for row in counts(dataset, "lines")}
    assert owners == {7: owner_of("z", "books")}  # the document "bad" breaks a rule and so takes no part
    assert texts_after(dataset, tmp_path / "2") == {k: f"Story {k} is told." for k, _ in rows}


@pytest.mark.parametrize(("keep", "whole"), [("first", 1), ("none", 0)])
def test_of_two_editions_of_a_novel_one_stays_whole(tmp_path, keep, whole):
    novel = [f"{sentence_text(n, 9)}." for n in range(200)]
    editions = {str(n): "\n".join([f"The preface of edition {n}.", *novel, f"Printed in the year {n}."]) for n in (1, 2)}
    for asked in ({"lines_limit": 1}, {"paragraphs_limit": 1}, {"lines_limit": 1, "paragraphs_limit": 1}):
        out = tmp_path / "-".join(asked)
        texts = {key: text.replace("\n", "\n\n") if "paragraphs_limit" in asked else text for key, text in editions.items()}
        left = texts_after(build(out, config(keep=keep, **asked), {"web": {"u": list(texts.items())}}), out)
        assert sum(left[key] == text for key, text in texts.items()) == whole
        assert min(len(text.split()) for text in left.values()) == 10  # its own lines


def test_every_line_is_left_somewhere(tmp_path):
    """Lines and paragraphs are cut together; whatever is cut has a copy in a better document."""
    random = np.random.default_rng(3)
    lines = [f"The line number {n}" for n in range(30)]
    rows = [(str(i), "".join(f"{lines[n]}\n{chr(10) * int(n % 3 == 0)}" for n in random.integers(0, 30, 25))) for i in range(20)]
    dataset = build(tmp_path, config(lines_limit=2, paragraphs_limit=1), {"web": {"u": rows[:11], "v": rows[11:]}})
    before = {line for _, text in rows for line in text.split("\n")} - {""}
    after = [line for text in texts_after(dataset, tmp_path).values() for line in text.split("\n") if line]
    assert set(after) == before
    assert len(after) < sum(len(text.split("\n")) for _, text in rows) / 3


def test_lines_and_runs_that_differ_in_their_signs_are_not_the_same(tmp_path):
    files = {sign: "\n".join(f"return a{n} {sign} b{n}" for n in range(20)) for sign in "+-*"}
    files["more"] = f"import c\n{files['+']}"
    for asked in ({"lines_limit": 1}, {"paragraphs_limit": 1}, {"substring_words": 30}):
        out = tmp_path / "-".join(asked)
        left = texts_after(build(out, config(**asked), {"web": {"u": list(files.items())}}), out)
        assert (left["-"], left["*"]) == (files["-"], files["*"])
        is_cut = left.get("+") != files["+"] or left["more"] != files["more"]
        assert is_cut == ("paragraphs_limit" not in asked)  # these two have the same lines in another paragraph


def test_documents_that_are_dropped_for_another_reason_do_not_count(tmp_path):
    text = sentence_text(1)
    line = "A line of words."
    rows = [("a", f"{line}\n{text}"), ("b", f"{line}\n{text} more"), ("c", line), ("bad", line)]
    for deduplicate, documents in (({"enabled": False}, 3), ({"enabled": True}, 2)):
        dataset = build(tmp_path / str(documents), config(deduplicate=deduplicate, lines_limit=1), {"web": {"u": rows}})
        assert dataset.manifest.facts["lines"]["most"][0] == {"documents": documents, "text": "A line of words."}


def test_a_run_of_words_stays_in_the_document_of_the_source_with_priority(tmp_path):
    run, other = sentence_text(1, 30), sentence_text(2, 30)
    web = [
        ("a", f"{sentence_text(3)}. {run}! And so on."),
        ("b", f"Before. {other} Behind it."),
        ("short", run[: run.rindex(" ")]),
    ]
    books = [("c", f"A book: {run}"), ("bad", other)]
    settings = config({"web": 0, "books": 1}, substring_words=30)
    dataset = build(tmp_path, settings, {"web": {"u": web}, "books": {"v": books}})
    assert texts_after(dataset, tmp_path, "books") == dict(books)
    assert texts_after(dataset, tmp_path) == {**dict(web), "a": f"{sentence_text(3)}. And so on."}
    assert dataset.manifest.facts["substrings"] == {"documents": 1, "runs": 1, "words": 30}
    assert dataset.manifest.facts["windows"]["repeated"] == 1
    assert [part.path for part in dataset.manifest.parts] == ["substrings/documents/web/u.parquet"]


def test_among_equals_the_least_id_keeps_a_run(tmp_path):
    run = sentence_text(1, 30)
    rows = [(key, f"{key} {run}") for key in "abcdef"]
    left = texts_after(build(tmp_path, config(substring_words=30), {"web": {"u": rows[:3], "v": rows[3:]}}), tmp_path)
    best = min("abcdef", key=lambda key: document_id("web", key))
    assert left == {key: f"{key} {run}" if key == best else key for key in "abcdef"}


def test_it_is_the_same_whatever_the_workers_the_memory_and_the_units(tmp_path, monkeypatch):
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 0)
    runs = [sentence_text(seed, 60) for seed in range(5)]
    rows = [(str(i), f"{page(i)}\n{sentence_text(100 + i)} {runs[i % 5]}\n{sentence_text(200 + i)}") for i in range(40)]
    asked = {"lines_limit": 3, "paragraphs_limit": 3, "substring_words": 20}
    units = {"u1": rows[:7], "u2": rows[7:25], "u3": rows[25:]}
    one = build(tmp_path / "1", config(**asked), {"web": units})
    assert one.manifest.facts["substrings"]["runs"] == 35
    again = build(tmp_path / "2", config(**asked), {"web": units}, workers=2)
    assert everything(again) == everything(one)
    # Several groups, each with several files of rows; several ranges, each in several passes.
    monkeypatch.setattr(repeat_rows, "CHARACTERS_PER_ROW", {"lines": 1000, "paragraphs": 1000, "windows": 50})
    monkeypatch.setattr(repeat_rows, "BYTES_PER_ROW", 64 * 2**20 // 1000)
    monkeypatch.setattr(repeat_rows, "BYTES_PER_GROUP", 1)
    little = build(tmp_path / "3", config(deduplicate={"enabled": False, "memory_mib": 64}, **asked), {"web": units})
    assert everything(little) == everything(one)
    split = build(tmp_path / "4", config(**asked), {"web": {"v1": rows[::2], "v2": rows[1::2]}})
    assert counts(split, "lines") == counts(one, "lines")
    assert texts_after(split, tmp_path / "4") == texts_after(one, tmp_path / "1")


def test_batches_of_what_repeats_are_looked_up_as_one(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "ROWS_PER_BATCH", 3)
    rows = [(key, "\n".join(f"The line number {i}" for i in range(10))) for key in "ab"]
    dataset = build(tmp_path, config(lines_limit=1, keep="none"), {"web": {"u": rows}})
    assert [b.num_rows for b in read_batches(f"{dataset.uri}/lines/repeated.arrow")] == [3, 3, 3, 1]
    assert texts_after(dataset, tmp_path) == {}


def test_without_documents_there_is_nothing_to_cut(tmp_path):
    asked = {"lines_limit": 1, "paragraphs_limit": 1, "substring_words": 10}
    dataset = build(tmp_path, config(**asked), {"web": {}})
    assert dataset.manifest.facts["lines"] == {"found": 0, "repeated": 0, "most": []}
    assert dataset.manifest.facts["substrings"] == {"documents": 0, "runs": 0, "words": 0}
    dataset = build(tmp_path / "2", config(**asked), {"web": {"u": [("bad", page(1)), ("bad2", page(1))]}})
    assert dataset.manifest.facts["lines"]["found"] == 0


def test_off_it_is_empty_and_there_is_no_stage(tmp_path):
    dataset = build(tmp_path, config(), {"web": {"u": [("a", page(1)), ("b", page(1))]}})
    assert dataset.manifest.facts == {"enabled": False}
    assert dataset.manifest.parts == ()
    assert repeats.Repeats.load(dataset) is None


@pytest.mark.parametrize(
    ("changed", "same"),
    [({"min_words": 4}, False), ({"lines_limit": 9}, False), ({"deduplicate": {"enabled": False, "memory_mib": 64}}, True)],
)
def test_the_folder_is_named_by_what_makes_it(tmp_path, changed, same):
    rows = {"web": {"u": [("a", page(1))]}}
    one = build(tmp_path, config(lines_limit=8), rows)
    other = build(tmp_path, config(**{"lines_limit": 8, **changed}), rows)
    assert (one.uri == other.uri) is same
