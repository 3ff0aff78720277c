"""Block lists in UT1's form: folders of domains, addresses and expressions."""

import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.config import ExcludeSection, load
from pipelines.contract import files
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages.base import Model
from pipelines.stages.exclusion import blocklists
from pipelines.stages.exclusion.name_lists import TakedownError


def batch(urls: list[str | None]) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(urls))]
    same = {"source": ["s"] * len(urls), "snapshot": ["1"] * len(urls), "origin": ["f"] * len(urls)}
    return born("read", documents_from({"id": ids, "work": ids, "url": urls, "text": ["x"] * len(urls), **same}))


def category(folder: Path, name: str, **lists: str) -> str:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for kind, lines in lists.items():
        (folder / name / kind).write_text(lines)
    return str(folder / name)


def blocked(result: Batch) -> dict[str, str]:
    assert {reason for drops in result.drops for reason in drops["reason"].to_pylist()} <= {"blocked"}
    return {row["url"]: row["detail"] for drops in result.drops for row in drops.to_pylist()}


def test_a_domain_blocks_its_subdomains_and_an_address_what_begins_with_it(tmp_path: Path) -> None:
    adult = category(
        tmp_path, "adult", domains="bad.example\n1.2.3.4\n", urls="site.example/~mill\nwww.site.example/a/b.php?id=5\n"
    )
    gone = {
        "https://BAD.example/x": "adult: host bad.example",
        "http://shop.de.bad.example:8080/": "adult: host bad.example",
        "http://1.2.3.4/x": "adult: host 1.2.3.4",
        "https://www.site.example/~mill": "adult: url site.example/~mill",
        "http://site.example/%7Emill/wheel?page=2#top": "adult: url site.example/~mill",
        "site.example/~mill?x": "adult: url site.example/~mill",
        "http://site.example/a/b.php?id=5&page=2": "adult: url site.example/a/b.php?id=5",
    }
    stay: list[str | None] = ["https://notbad.example/", "https://site.example/~miller", "https://site.example/a/b.php?id=55"]
    stay += ["https://a.site.example/~mill", "https://example/bad.example", "http://site.example/x/~mill", None, ""]
    result = blocklists.stage(ExcludeSection(block_lists=(adult,)))(batch([*gone, *stay]))
    assert blocked(result) == gone
    assert result.documents["url"].to_pylist() == stay
    assert dict(result.ledger.lines["blocklists"].documents_dropped) == {"blocked": 7}


def test_expressions_are_searched_in_the_address_without_case(tmp_path: Path) -> None:
    folder = category(tmp_path, "games", expressions="(^|[-/.])(casino|poker)[0-9]*([-/.]|$)\n\n# a comment\n")
    urls: list[str | None] = ["https://example.org/Play-POKER/", "https://casino7.example/", "https://example.org/pokerface"]
    assert blocked(blocklists.stage(ExcludeSection(block_lists=(folder,)))(batch(urls))) == {
        "https://example.org/Play-POKER/": "games: expression (^|[-/.])(casino|poker)[0-9]*([-/.]|$)",
        "https://casino7.example/": "games: expression (^|[-/.])(casino|poker)[0-9]*([-/.]|$)",
    }


def test_the_first_category_and_the_host_are_named(tmp_path: Path) -> None:
    one = category(tmp_path, "one", domains="a.example\n", urls="b.example/x\nb.example/x/y\n")
    two = category(tmp_path, "two", domains="a.example\nb.example\nc.b.example\n", expressions="example\n")
    urls: list[str | None] = ["http://a.example/", "http://b.example/x/y/z", "http://c.b.example/x", "http://d.example/"]
    one_two = blocklists.stage(ExcludeSection(block_lists=(one, two)))(batch(urls))
    assert list(blocked(one_two).values()) == [
        "one: host a.example",
        "two: host b.example",
        "two: host c.b.example",
        "two: expression example",
    ]
    assert (
        blocked(blocklists.stage(ExcludeSection(block_lists=(two, one)))(batch(urls)))["http://a.example/"]
        == "two: host a.example"
    )
    longest = blocklists.stage(ExcludeSection(block_lists=(one,)))(batch(urls))
    assert blocked(longest)["http://b.example/x/y/z"] == "one: url b.example/x/y"


def test_stored_lists_are_the_lists(tmp_path: Path) -> None:
    folder = category(tmp_path, "x", urls="a.example/u\n", expressions="poker\n")
    (tmp_path / "x" / "domains.gz").write_bytes(gzip.compress(b"b.example\n# a comment\n\nB.example\n", mtime=0))
    section = ExcludeSection(block_lists=(folder,))
    uri = blocklists.store(section, str(tmp_path / "models"))
    assert blocklists.store(section, str(tmp_path / "models")) == uri
    urls: list[str | None] = ["http://a.example/u/1", "http://b.example", "http://c.example/poker", "http://c.example"]
    stored = blocklists.stage(section, Model(uri, files.sha256(uri)))(batch(urls))
    assert blocked(stored) == blocked(blocklists.stage(section)(batch(urls))) and stored.documents.num_rows == 1
    before = blocklists.settings(section)
    category(tmp_path, "x", urls="a.example/v\n")
    assert blocklists.settings(section) != before


def test_a_few_odd_lines_are_passed_over(tmp_path: Path) -> None:
    lines = b"".join(b"n%d.example\n" % n for n in range(60)) + b"http://odd line/\nb\xfccher.example\n"
    folder = category(tmp_path, "x", urls="")
    (tmp_path / "x" / "domains").write_bytes(lines)
    lists = blocklists.collect(ExcludeSection(block_lists=(folder,)))
    assert len(lists.domains.names.hashes) == 61
    assert lists.find(pa.array(["http://n59.example/", "http://odd/"])) == {0: "x: host n59.example"}


def test_what_cannot_be_a_list_is_named(tmp_path: Path) -> None:
    category(tmp_path / "lists", "x", domains="<html>\n<h1>Not found</h1>\na.example\n")
    category(tmp_path / "lists", "y", expressions="fine\n(\n")
    category(tmp_path / "lists", "z", domains="", urls="")
    (tmp_path / "lists" / "z" / "urls.gz").write_bytes(b"")
    cases = {
        "x": r"exclude.block_lists: .*/x/domains:1: '<html>' and 1 other lines of 3 are not host names; remove the file or fetch",
        "y": r"exclude.block_lists: .*/y/expressions:2: '\(' is no regular expression",
        "z": r"exclude.block_lists: .*/z/urls and .*/z/urls.gz hold the same list; remove one",
        "nowhere": r"exclude.block_lists: .*/nowhere: No such folder; correct the path in the config",
        ".": r"exclude.block_lists: .*: has no file domains, urls or expressions; name the folder of a category, such as",
    }
    for name, message in cases.items():
        with pytest.raises(TakedownError, match=message):
            blocklists.collect(ExcludeSection(block_lists=(str(tmp_path / "lists" / name),)))


def test_an_address_of_many_parts_costs_a_bounded_number_of_searches(tmp_path: Path) -> None:
    folder = category(tmp_path, "x", urls="a.example/" + "b/" * 62 + "b\n")
    lists = blocklists.collect(ExcludeSection(block_lists=(folder,)))
    assert list(lists.find(pa.array(["http://a.example/" + "b/" * 100_000, "http://a.example/" + "b/" * 62]))) == [0]


def test_folders_are_relative_to_the_config_and_no_manifest_has_them(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    source = '[[sources]]\nname="a"\nkind="books"\nroot="."\nsnapshot="1"\n'
    config.write_text(f'[corpus]\nname="c"\n{source}[exclude]\nblock_lists=["blacklists/adult"]\n')
    read = load(config)
    assert read.exclude.block_lists == (str(tmp_path / "blacklists" / "adult"),)
    assert "block_lists" not in read.recorded()["exclude"]
