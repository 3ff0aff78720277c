"""Two builds by the command line, one after the other: the second takes nothing that the first has published."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from places import FIXTURES

from flows.commands import main as cli
from pipelines.contract.schema import document_id

DATA = FIXTURES / "tiny"
NEW_BOOK = """THE KILN ON THE HILL

The potter had let the fire go out on a Tuesday, which she never did, and the whole of Upper Cray knew of it by noon.
Nobody asked her why. They brought wood instead, a barrow at a time, and stacked it under the lean-to where the rain
could not reach, and went home again without a word about it.

By evening there was enough to burn for three days. She stood before the heap with her sleeves rolled up and counted
the barrows, and then the neighbours, and found that the two numbers were the same. So she lit the kiln, and she put
into it forty small cups, one for every house, and sat down on the chopping block to wait for the morning.
"""
CONFIG = """
[corpus]
name = "second"

[[sources]]
name = "novels"
kind = "books"
root = "books"
snapshot = "2"
curated = true

[[sources]]
name = "recrawl"
kind = "common_crawl"
root = "crawl"
paths = ["*.warc", "*.wet"]
snapshot = "2026-44"
bad_share_limit = 0.1

[exclude]
hosts = ["private.example"]

[deduplicate]
against = ["first"]

[language]
keep = ["en"]
model = "{model}"

[quality]
rules = ["c4", "gopher", "gopher_repetition"]

[expectations]  # of the recrawl nothing is new
min_documents_per_source = 0
dropped_share_limit = 1
"""


@pytest.fixture(scope="module")
def second(tiny, language_model, tmp_path_factory) -> Path:
    """A folder with a config, its input, and the first build beside it."""
    folder = tmp_path_factory.mktemp("second")
    shutil.copytree(tiny.out, folder / "first")
    shutil.copytree(DATA / "crawl", folder / "crawl")
    (folder / "books").mkdir()
    shutil.copy(DATA / "books" / "ferry.html", folder / "books")  # the same source and path: the same id
    (folder / "books" / "kiln.txt").write_text(NEW_BOOK)
    (folder / "second.toml").write_text(CONFIG.format(model=language_model))
    assert cli.main(["build", str(folder / "second.toml"), "--out", str(folder / "out"), "--workers", "1"]) == 0
    return folder


def rows(out: Path, table: str) -> list[dict]:
    return [row for path in sorted(out.glob(f"corpus/*/{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_what_the_first_has_published_is_dropped_and_named(tiny, second):
    first = {row["id"]: row for row in rows(tiny.out, "documents")}
    drops = [row for row in rows(second / "out", "drops") if row["reason"] == "already_published"]
    survivors = {row["id"]: bytes.fromhex(row["detail"].split()[1]) for row in drops}
    assert all(row["detail"].split(", ")[0].endswith(" in corpus tiny") for row in drops)
    assert set(survivors.values()) <= set(first)
    ferry = document_id("novels", "ferry.html")
    assert survivors.pop(ferry) == ferry
    by_url = {row["url"]: row["title"] for row in first.values() if row["source"] == "crawl" and row["title"]}
    titles = {row["url"]: first[survivors[row["id"]]]["title"] for row in drops if row["id"] in survivors}
    assert titles.items() >= by_url.items()  # every page that was published, and the copies of them besides
    assert titles["https://bread.example/rye"] == "Rye bread for patient people"
    assert titles["https://mirror.example/lantern-fair"] == "Lantern Fair"  # of the wiki
    assert [row["origin"] for row in rows(second / "out", "documents")] == ["kiln.txt#0"]


def test_the_second_has_an_index_of_its_own_and_all_is_sound(second, capfd):
    out = second / "out"
    index = out / json.loads((out / "release.json").read_text())["index"]
    facts = json.loads((index / "manifest.json").read_text())["facts"]
    assert (facts["corpus"], facts["documents"]) == ("second", 1)
    assert cli.main(["verify", str(out)]) == 0
    assert "index" in capfd.readouterr().out
    assert str(second) not in "".join(path.read_text() for path in out.glob("*/*/manifest.json"))


def test_where_the_first_lies_changes_nothing(second, capfd):
    (second / "elsewhere").mkdir()
    shutil.move(second / "first", second / "elsewhere" / "first")
    config = str(second / "second.toml")
    try:
        moved = ["--set", 'deduplicate.against=["elsewhere/first"]']
        assert cli.main(["build", config, "--out", str(second / "out"), "--workers", "1", *moved]) == 0
        assert "nothing had to be built" in capfd.readouterr().out
        assert cli.main(["build", config, "--out", str(second / "other"), "--workers", "1"]) == 1
        said = capfd.readouterr().err
        assert said.startswith(f"corpusmill: deduplicate.against: {second / 'first'}: nothing is published there")
        assert not list((second / "other").glob("documents"))  # it is said before anything is read
    finally:
        shutil.move(second / "elsewhere" / "first", second / "first")


def test_another_scheme_is_refused_before_anything_is_read(second, capfd):
    arguments = ["build", str(second / "second.toml"), "--out", str(second / "other"), "--workers", "1"]
    assert cli.main([*arguments, "--set", "deduplicate.ngram=3"]) == 1
    assert "its signatures have deduplicate.ngram 5, this build's 3; set deduplicate.ngram = 5 here" in capfd.readouterr().err
    assert not list((second / "other").glob("documents"))


def test_gc_of_the_first_keeps_what_the_second_joined(second, capfd):
    first = second / "first"
    release = json.loads((first / "release.json").read_text())
    release["retain"] = {"documents": False, "clusters": False}
    (first / "release.json").write_text(json.dumps(release))
    assert cli.main(["gc", str(first)]) == 0
    assert not list((first / "documents").rglob("*.parquet"))
    arguments = ["build", str(second / "second.toml"), "--out", str(second / "out"), "--workers", "1"]
    assert cli.main(arguments) == 0
    assert "nothing had to be built" in capfd.readouterr().out
