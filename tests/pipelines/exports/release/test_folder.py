import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from objects import S3
from reviewed import corpus, document

from pipelines.contract import files, manifest, new_folder
from pipelines.exports.release import folder
from pipelines.exports.release.card import card
from pipelines.exports.release.counts import count
from pipelines.exports.release.croissant import croissant
from pipelines.exports.release.facts import Facts
from pipelines.units.context import Dataset

OFF = {"on": False}
ROWS = [
    *(document(n, f"Text {n} of the house. " * 9, "web", license="CC-BY-4.0") for n in range(5)),
    *(document(n, f"Haus {n} ist alt. " * 9, "wiki", language="de", license="CC-BY-SA-4.0") for n in range(3)),
    document(8, "1 2 3", "wiki", language="zxx"),
    document(9, "A dropped text.", "web", stage="quality", reason="poor_signs"),
]


def written(out: Path, made: Dataset, classifier: dict[str, Any] | None = None, limit: int | None = None) -> Path:
    return Path(folder.write(str(out), made.uri, made.manifest, classifier or OFF, limit))


def content(release: Path) -> dict[str, bytes]:
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}


def facts(made: Dataset, **changes: Any) -> Facts:
    return Facts(
        **{"corpus": made.manifest, "counts": count(made.uri, made.manifest), "classifier": OFF, "limit": None, **changes}
    )


def test_the_folder_holds_the_parts_as_links_and_says_what_it_has(tmp_path: Path) -> None:
    made = corpus(tmp_path / "corpus", ROWS)
    release = written(tmp_path, made)
    assert sorted(content(release)) == ["README.md", "corpusmill.json", "croissant.json", "documents/u.parquet"]
    assert (release / "documents" / "u.parquet").samefile(tmp_path / "corpus" / "documents" / "u.parquet")
    mark = json.loads((release / "corpusmill.json").read_text())
    assert mark["corpus"] == made.manifest.fingerprint
    assert {one["path"]: one["sha256"] for one in mark["files"]} == {
        name: files.sha256(str(release / name)) for name in ("README.md", "croissant.json", "documents/u.parquet")
    }


def test_equal_corpora_have_equal_folders_and_one_that_is_there_is_left_alone(tmp_path: Path) -> None:
    one, other = (written(tmp_path / name, corpus(tmp_path / name / "corpus", ROWS)) for name in ("one", "other"))
    assert content(one) == content(other)
    before = (one / "README.md").stat().st_mtime_ns, one.stat().st_ino
    written(tmp_path / "one", Dataset(str(tmp_path / "one" / "corpus"), manifest.read(str(tmp_path / "one" / "corpus"))))
    assert ((one / "README.md").stat().st_mtime_ns, one.stat().st_ino) == before


@pytest.mark.parametrize("swaps", [True, False])
def test_another_build_replaces_all_of_it_and_a_reader_keeps_what_it_has(tmp_path: Path, monkeypatch, swaps: bool) -> None:
    if not swaps:
        monkeypatch.setattr(new_folder, "_swap", lambda _one, _other: False)
    first, second = corpus(tmp_path / "first", ROWS), corpus(tmp_path / "second", ROWS[:2])
    release = written(tmp_path, first)
    (release / "mine.txt").write_text("of a user")
    with (release / "documents" / "u.parquet").open("rb") as opened:
        written(tmp_path, second)
        assert pq.ParquetFile(opened).metadata.num_rows == 9
    assert sorted(content(release)) == ["README.md", "corpusmill.json", "croissant.json", "documents/u.parquet"]
    assert pq.read_metadata(release / "documents" / "u.parquet").num_rows == 2
    assert "2 documents" in (release / "README.md").read_text()
    assert not list(tmp_path.glob(".*")) and pq.read_metadata(tmp_path / "first" / "documents" / "u.parquet").num_rows == 9


def test_a_folder_that_cannot_be_finished_leaves_the_one_before(tmp_path: Path) -> None:
    release = written(tmp_path, corpus(tmp_path / "first", ROWS))
    before = content(release)
    broken = corpus(tmp_path / "second", ROWS[:2])
    shutil.rmtree(tmp_path / "second" / "drops", ignore_errors=True)
    pieces = {"parts": (*broken.manifest.parts, broken.manifest.parts[0].model_copy(update={"path": "documents/gone.parquet"}))}
    with pytest.raises(FileNotFoundError):
        written(tmp_path, Dataset(broken.uri, broken.manifest.model_copy(update=pieces)))
    assert content(release) == before and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("damage", ["", "{}", "[]", '{"files": 3}'])
def test_a_folder_that_is_damaged_is_made_again(tmp_path: Path, damage: str) -> None:
    made = corpus(tmp_path / "corpus", ROWS)
    release = written(tmp_path, made)
    before = content(release)
    (release / "corpusmill.json").write_text(damage)
    (release / "README.md").unlink()
    written(tmp_path, made)
    assert content(release) == before


def test_in_a_store_old_parts_go_and_the_mark_is_written_last(tmp_path: Path, s3: S3, monkeypatch) -> None:
    out = s3.make("corpora") + "/mine"
    first, second = corpus(tmp_path / "first", ROWS), corpus(tmp_path / "second", ROWS[:2])
    written_to = lambda made: folder.write(out, made.uri, made.manifest, OFF)  # noqa: E731
    written_to(first)
    files.write_text(f"{out}/release/documents/old.parquet", "of an earlier corpus")
    calls: list[str] = []
    for name in ("write_text", "link", "remove"):
        original = getattr(files, name)
        monkeypatch.setattr(
            files, name, lambda *a, _o=original, _n=name: (calls.append(f"{_n} {a[-1 if _n == 'link' else 0]}"), _o(*a))[1]
        )
    written_to(second)
    assert [call.replace(f"{out}/release/", "") for call in calls] == [
        "remove corpusmill.json",
        "link documents/u.parquet",
        "write_text README.md",
        "write_text croissant.json",
        "remove documents/old.parquet",
        "write_text corpusmill.json",
    ]
    assert [uri.removeprefix(f"{out}/release/") for uri in files.listing(f"{out}/release")] == [
        "README.md",
        "corpusmill.json",
        "croissant.json",
        "documents/u.parquet",
    ]


def test_the_card_says_what_is_in_it(tmp_path: Path) -> None:
    made = corpus(tmp_path / "corpus", ROWS)
    text = card(facts(made, limit=100, classifier={"on": True, "threshold": 0.25}))
    front, body = text.removeprefix("---\n").split("---\n", 1)
    assert front.splitlines()[:9] == [
        'pretty_name: "made"',
        "license:",
        '- "cc-by-4.0"',
        '- "cc-by-sa-4.0"',
        '- "unknown"',
        "language:",
        '- "en"',
        '- "de"',
        "size_categories:",
    ]
    assert 'path: "documents/*.parquet"' in front and '- "n<1K"' in front
    characters = sum(len(row["text"]) for row in ROWS[:9])
    assert f"9 documents, {characters:,} characters" in body and "at most 100 documents were read" in body
    for line in (
        "| web | records | 1 | not stated | 6 | 5 |",
        "| zxx (code, tables, numbers) | 1 |",
        "| CC-BY-SA-4.0 | 3 |",
        "| quality | poor\\_signs | 1 |",
        "removed from a similarity of 0.7",
        "min\\_words 50",
        "kept from a score of 0.2500",
        "None: benchmarks may be in these texts.",
        "Masked: email",
    ):
        assert line in body, line


def test_names_cannot_break_the_card_or_the_metadata(tmp_path: Path) -> None:
    rows = [document(1, "Text.", "web", license='x | y\n---\n<script>"')]
    config = {"corpus": {"name": "a"}, "exclude": {"urls": ["https://secret.example/person"]}}
    made = corpus(tmp_path / "corpus", rows, config)
    renamed = {**made.manifest.config, "corpus": {**made.manifest.config["corpus"], "name": 'b"\n---\n# </details> ```'}}
    made = Dataset(made.uri, made.manifest.model_copy(update={"config": renamed}))
    text = card(facts(made))
    front, body = text.removeprefix("---\n").split("\n---\n")  # and no other line of dashes
    assert json.loads(front.splitlines()[0].removeprefix("pretty_name: ")) == renamed["corpus"]["name"]
    assert "<script>" not in body and "secret.example" not in text
    outside = body.replace(body[body.index("```json") : body.index("\n```\n") + 5], "")
    assert outside.count("</details>") == 1 and "```" not in outside.replace("\\`", "")
    assert json.loads(croissant(facts(made)))["license"] == ['x | y\n---\n<script>"']


def test_an_empty_corpus_has_a_card(tmp_path: Path) -> None:
    made = corpus(tmp_path / "corpus", [document(9, "A dropped text.", "web", stage="quality", reason="poor_signs")])
    release = written(tmp_path, made)
    assert "0 documents, 0 characters" in (release / "README.md").read_text() and (release / "documents").is_dir()


def test_the_metadata_name_each_part_with_its_sha256(tmp_path: Path) -> None:
    made = corpus(tmp_path / "corpus", ROWS)
    value = json.loads(croissant(facts(made)))
    part, parts = value["distribution"]
    assert (part["@type"], part["contentUrl"], part["sha256"]) == (
        "cr:FileObject",
        "documents/u.parquet",
        files.sha256(str(tmp_path / "corpus" / "documents" / "u.parquet")),
    )
    assert (parts["@type"], parts["includes"]) == ("cr:FileSet", "documents/*.parquet")
    assert value["conformsTo"][0] == "http://mlcommons.org/croissant/1.0"
    assert value["license"] == [
        "https://spdx.org/licenses/CC-BY-4.0.html",
        "https://spdx.org/licenses/CC-BY-SA-4.0.html",
        "unknown",
    ]
    columns = {field["source"]["extract"]["column"] for field in value["recordSet"][0]["field"]}
    assert {"id", "text", "language", "quality_score"} <= columns and "measures" not in columns


def test_datasets_reads_the_folder_by_its_front_matter(tmp_path: Path, monkeypatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    release = written(tmp_path, corpus(tmp_path / "corpus", ROWS))
    loaded = datasets.load_dataset(str(release), split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(loaded["text"]) == sorted(row["text"] for row in ROWS[:9])
