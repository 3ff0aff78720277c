"""The lists of [exclude]: what names a document, whether a list is in the config or in a file."""

import bz2
import gzip
import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from examples import few
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import ExcludeSection
from pipelines.contract.batch import Batch, born, documents_from
from pipelines.contract.schema import document_id
from pipelines.stages import split
from pipelines.stages.base import Model
from pipelines.stages.exclusion import exclude, name_lists, takedown
from pipelines.stages.exclusion.name_lists import Names, TakedownError


def batch(urls: list[str | None], texts: list[str] | None = None) -> Batch:
    ids = [document_id("s", str(i)) for i in range(len(urls))]
    same = {"source": ["s"] * len(urls), "snapshot": ["1"] * len(urls), "origin": ["f"] * len(urls)}
    return born("read", documents_from({"id": ids, "work": ids, "url": urls, "text": texts or ["x"] * len(urls), **same}))


def details(result: Batch) -> list[str]:
    return [detail for drops in result.drops for detail in drops["detail"].to_pylist()]


def kept(section: ExcludeSection, urls: list[str | None]) -> list[str | None]:
    return exclude.stage(section)(batch(urls)).documents["url"].to_pylist()


SAME_PAGE = [
    "http://site.example/b",
    "https://SITE.example/b",
    "https://site.example/b/",
    "https://site.example/b#top",
    "https://www.site.example:443/%62?utm_source=x",
    "//site.example/b",
    "site.example/b",
    "http://someone:secret@site.example/b",
    "https://site.example/b?",
    "https://site.example/b?#top",
]


@pytest.mark.parametrize("listed", SAME_PAGE)
def test_every_spelling_of_an_address_takes_the_page_down(listed: str) -> None:
    others: list[str | None] = ["https://site.example/B", "https://site.example/b?id=1", "https://a.site.example/b", None]
    others += ["https://other.example/@site.example/b", "https://site.example/b?x?y"]
    assert kept(ExcludeSection(urls=(listed,)), [*SAME_PAGE, *others]) == others


def test_a_host_takes_its_subdomains_down_in_any_script() -> None:
    section = ExcludeSection(hosts=("*.Bücher.example.", "b.a.org", "xn--wgv71a.jp", "[::1]", ".c.net"))
    gone = [
        "https://bücher.example/x",
        "http://user@shop.xn--bcher-kva.EXAMPLE.:8080",
        "https://z.y.b.a.org",
        "https://日本.jp",
        "http://[::1]:80/",
        "c.net/x",
    ]
    stay: list[str | None] = ["https://a.org/b.a.org", "https://xb.a.org", "https://example", "bücher", None, ""]
    assert kept(section, [*gone, *stay]) == stay


def test_a_drop_names_the_id_before_the_address_before_the_nearest_host() -> None:
    ids = (document_id("s", "0").hex(), document_id("s", "0").hex().upper())
    section = ExcludeSection(ids=ids, urls=("https://a.org/1",), hosts=("org", "a.org"))
    result = exclude.stage(section)(batch([f"https://a.org/{i}" for i in range(3)]))
    assert details(result) == [f"id {ids[0]}", "url a.org/1", "host a.org"]
    assert takedown.matched(takedown.collect(section), [pa.record_batch(result.drops[0])]) == {
        "ids": {"names": 1, "matched": 1, "unmatched": []},
        "urls": {"names": 1, "matched": 1, "unmatched": []},
        "hosts": {"names": 2, "matched": 2, "unmatched": []},
    }


def test_a_piece_of_a_long_text_is_taken_down_by_its_own_id() -> None:
    given = batch(["https://a.org"], ["word " * 100])
    work = document_id("s", "0")
    section = ExcludeSection(ids=(split.piece_id(work, 1).hex(),))
    pieces = split.stage(200)(exclude.stage(section)(given))
    result = exclude.pieces(section)(pieces)
    assert (pieces.documents.num_rows, result.documents.num_rows) == (3, 2)
    assert details(result) == [f"id {split.piece_id(work, 1).hex()}"]
    result.ledger.check()
    by_host = exclude.pieces(ExcludeSection(hosts=("a.org",)))(pieces)  # it has no line less, so units can be kept
    assert by_host.documents.num_rows == 3
    assert by_host.ledger.lines.keys() == result.ledger.lines.keys()


# --- files --------------------------------------------------------------------------------------------------------------


def listed(tmp_path: Path, data: bytes, name: str = "hosts.txt") -> ExcludeSection:
    (tmp_path / name).write_bytes(data)
    return ExcludeSection(hosts_files=(str(tmp_path / name),))


LIST = "\ufeff# our list\r\n\r\n  A.org  # since May\r\n\tb.org\r\n#c.org\r\nd.org".encode()


@pytest.mark.parametrize(
    "data", [LIST, gzip.compress(LIST[:30], mtime=0) + gzip.compress(LIST[30:], mtime=0), bz2.compress(LIST)]
)
def test_a_file_has_a_name_a_line_and_comments(tmp_path: Path, data: bytes) -> None:
    assert sorted(takedown.collect(listed(tmp_path, data)).by_kind["hosts"].names.to_pylist()) == ["a.org", "b.org", "d.org"]


def test_a_fragment_is_no_comment(tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("http://a.org/#!/x # ours\n# http://b.org\n")
    lists = takedown.collect(ExcludeSection(urls_files=(str(tmp_path / "urls"),)))
    assert lists.by_kind["urls"].names.to_pylist() == ["a.org/#!/x"]


def test_an_empty_file_names_nothing(tmp_path: Path) -> None:
    assert kept(listed(tmp_path, b""), ["https://a.org"]) == ["https://a.org"]


def test_a_stored_list_is_the_list(tmp_path: Path) -> None:
    section = listed(tmp_path, b"".join(b"host%d.org\n" % i for i in range(5000)))
    uri = takedown.store(section, str(tmp_path / "models"))
    model = Model(uri, hashlib.sha256(Path(uri).read_bytes()).hexdigest())
    urls: list[str | None] = [f"https://www.host{i}.org/" for i in range(4990, 5010)]
    result = exclude.stage(section, model)(batch(urls))
    assert result.documents["url"].to_pylist() == urls[10:]
    assert details(result) == [f"host host{i}.org" for i in range(4990, 5000)]
    written = Path(uri).stat().st_mtime_ns
    assert takedown.store(section, str(tmp_path / "models")) == uri and Path(uri).stat().st_mtime_ns == written
    counts = takedown.matched(takedown.load(uri), result.drops)["hosts"]
    assert (counts["names"], counts["matched"], len(counts["unmatched"])) == (5000, 10, 1000)
    assert counts["unmatched"][:3] == ["host0.org", "host1.org", "host10.org"]


def test_the_content_of_a_file_determines_the_result_and_its_path_does_not(tmp_path: Path) -> None:
    one, other = listed(tmp_path, b"a.org\n"), listed(tmp_path, b"a.org\n", "copy.txt")
    assert exclude.stage(one).settings == exclude.stage(other).settings
    before = exclude.stage(one).settings
    listed(tmp_path, b"a.org\nb.org\n")
    assert exclude.stage(one).settings != before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"a.org\n\nhttps://b.org/x\n",
            r"hosts\.txt:3: 'https://b\.org/x' is not a host name; write it without scheme, port and",
        ),
        (b"a.org\nb.org:80", r"hosts\.txt:2: 'b\.org:80' is not a host name"),
        (b"0.0.0.0 b.org", r"hosts\.txt:1: '0\.0\.0\.0 b\.org' is not a host name"),
        (b"||b.org^", r"hosts\.txt:1: '\|\|b\.org\^' is not a host name"),
        (b'a.org\n"b.org"', r"hosts\.txt:2: '\"b\.org\"' is not a host name"),
        (b"b.org;c.org", r"hosts\.txt:1: 'b\.org;c\.org' is not a host name"),
        (b"b.org\0", r"hosts\.txt:1: 'b\.org\\x00' is not a host name"),
        (b"*", r"hosts\.txt:1: '\*' is not a host name"),
        (b"a..org", r"hosts\.txt:1: 'a\.\.org' is not a host name"),
        (b"a.org\nb\xfccher.org\n", r"hosts\.txt:2: the line is not UTF-8; save the list as UTF-8"),
        (gzip.compress(b"a.org", mtime=0)[:-4], r"hosts\.txt: breaks off or is damaged"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(TakedownError, match=message):
        takedown.collect(listed(tmp_path, data))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (ExcludeSection(urls=("http://",)), "exclude.urls: 'http://' is not an address"),
        (ExcludeSection(urls=("the page on mills",)), "exclude.urls: 'the page on mills' is not an address; write one a line"),
        (ExcludeSection(urls=("http://a.org/x http://b.org",)), "exclude.urls: 'http://a.org/x http://b.org' is not an address"),
        (ExcludeSection(hosts=("a.org", "a b")), "exclude.hosts: 'a b' is not a host name; write it without scheme"),
        (ExcludeSection(ids_files=("/nowhere/x",)), "exclude.ids_files: /nowhere/x: No such file or directory; correct the path"),
    ],
)
def test_a_bad_name_or_file_is_named(section: ExcludeSection, message: str) -> None:
    with pytest.raises(TakedownError) as caught:
        takedown.collect(section)
    assert str(caught.value).startswith(message)


# --- search -------------------------------------------------------------------------------------------------------------


@few
@given(
    st.sets(st.sampled_from("abcdefgh"), max_size=8), st.lists(st.none() | st.sampled_from("abcdefghxyz"), max_size=9), st.data()
)
def test_names_are_found_though_their_hashes_are_equal(names: set[str], wanted: list[str | None], data: st.DataObject) -> None:
    """Every name gets one of two hashes, so that runs of equal hashes are long."""
    hashed = {name: data.draw(st.integers(1, 2)) for name in "abcdefghxyz"}
    order = sorted(names, key=lambda name: hashed[name])
    listed = Names(np.array([hashed[name] for name in order], np.uint64), pa.array(order, pa.large_string()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(name_lists, "hashes", lambda array: np.array([hashed.get(n, 0) for n in array.to_pylist()], np.uint64))
        places = listed.find(pa.array(wanted, pa.string())).tolist()
    assert places == [order.index(name) if name in names else -1 for name in wanted]
