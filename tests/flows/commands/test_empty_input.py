"""Sources without documents, in every combination: a build ends with counts that add up, or with one line on what is wrong."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from expectations import gate
from flows.commands import main as cli
from pipelines.contract.verify import verify
from pipelines.release import published_folders

Make = Callable[[str], bytes]
PROSE = "The harbour was quiet in the morning, and the boats lay side by side until the wind came up from the south."


def dump(name: str, number: int, text: str, namespace: int = 0) -> bytes:
    return (
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11">'
        f"<siteinfo><dbname>{name}</dbname></siteinfo><page><title>T {number}</title><ns>{namespace}</ns><id>{number}</id>"
        f"<revision><id>{number}</id><timestamp>2024-01-01T00:00:00Z</timestamp><model>wikitext</model>"
        f"<format>text/x-wiki</format><text>{text}</text></revision></page></mediawiki>"
    ).encode()


def response(name: str, status: str, body: str) -> bytes:
    payload = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/{name}\r\n"
        f"WARC-Date: 2024-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{name}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload + b"\r\n\r\n"


def html(text: str) -> str:
    return f"<html><head><title>t</title></head><body><article><p>{text}</p></article></body></html>"


def parquet(texts: list[str]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": pa.array(texts, pa.string())}), sink)
    return sink.getvalue().to_pybytes()


# By kind of source and what a unit yields: the content of its file, made from the unit's name.
UNITS: dict[str, dict[str, Make]] = {
    "wikipedia": {
        "document": lambda name: dump(name, 1, f"{name}: {PROSE}"),
        "drop": lambda name: dump(name, 2, "{{Main}}"),
        "skip": lambda name: dump(name, 3, PROSE, namespace=4),
        "nothing": lambda name: dump(name, 4, PROSE).split(b"<page>")[0] + b"</mediawiki>",
    },
    "books": {"document": lambda name: f"{name}. {PROSE}\n".encode(), "drop": lambda _: b" \n\n"},
    "common_crawl": {
        "document": lambda name: response(name, "200 OK", html(f"{name}. {PROSE} {PROSE}")),
        "drop": lambda name: response(name, "200 OK", html("")),
        "skip": lambda name: response(name, "404 Not Found", html(PROSE)),
    },
    "records": {
        "document": lambda name: json.dumps({"text": f"{name}. {PROSE}"}).encode(),
        "drop": lambda _: json.dumps({"text": ""}).encode(),
        "nothing": lambda _: b"\n\n",
    },
    "parquet": {
        "document": lambda name: parquet([f"{name}. {PROSE}"]),
        "drop": lambda _: parquet([""]),
        "nothing": lambda _: parquet([]),
    },
}
ENDINGS = {"wikipedia": ".xml", "books": ".txt", "common_crawl": ".warc", "records": ".jsonl", "parquet": ".parquet"}
MAY_BE_EMPTY = "[expectations]\nmin_documents_per_source = 0\nmin_tokens_per_source = 0\ndropped_share_limit = 1.0\n"


def write(folder: Path, sources: dict[str, list[str]], more: str = "") -> Path:
    """Write the units of each source ("kind" or "kind-something") in the order of their names, and a config of them all."""
    path = folder / "c.toml"
    sections = ""
    for source, contents in sources.items():
        kind = source.split("-")[0]
        (folder / source).mkdir(parents=True)
        for letter, content in zip("abcde", contents, strict=False):
            (folder / source / f"{letter}{ENDINGS[kind]}").write_bytes(UNITS[kind][content](f"{letter}{source}"))
        declared = "records" if kind == "parquet" else kind
        sections += f'[[sources]]\nname = "{source}"\nkind = "{declared}"\nroot = "{source}"\nsnapshot = "1"\n'
    path.write_text(
        f'[corpus]\nname = "t"\nvalidation_share = 0.0\n{sections}[deduplicate]\nexact = false\nthreshold = 1.0\n'
        f"[language]\nenabled = false\n[quality]\nrules = []\nclassifier = false\n{more}"
    )
    return path


@pytest.fixture
def without_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take seconds; one test below runs them all."""
    monkeypatch.setattr(gate, "check", lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True))
    monkeypatch.setattr(gate, "check_report", lambda *_: gate.GateResult("report", "", 0, "", cached=True))


def build(config: Path) -> int:
    return cli.main(["build", str(config), "--out", str(config.parent / "out"), "--workers", "1"])


def counts(out: Path, source: str) -> dict[str, int]:
    """What the report says about a source: documents found, dropped and kept, records skipped."""
    report = json.loads((out / "report.json").read_text())
    lines = report["funnel"][source]
    return {
        "found": lines[0]["documents_in"],
        "dropped": sum(sum(line["documents_dropped"].values()) for line in lines),
        "kept": lines[-1]["documents_out"],
        "skipped": sum(report["skipped"][source].values()),
        "bytes": report["bytes_read"][source],
    }


def expected(folder: Path, source: str, contents: list[str]) -> dict[str, int]:
    return {
        "found": contents.count("document") + contents.count("drop"),
        "dropped": contents.count("drop"),
        "kept": contents.count("document"),
        "skipped": contents.count("skip"),
        "bytes": sum(path.stat().st_size for path in (folder / source).iterdir()),
    }


def test_units_without_documents_count_wherever_they_lie(tmp_path: Path, without_gates: None) -> None:
    """First and last in every kind of source, and in sources that have nothing else."""
    sources = {
        **{kind: [*(content for content in units if content != "document"), "document", "drop"] for kind, units in UNITS.items()},
        "books-dropped": ["drop", "drop"],
        "common_crawl-skipped": ["skip", "skip", "skip"],
        "parquet-nothing": ["nothing"],
    }
    config = write(tmp_path, sources, MAY_BE_EMPTY)
    assert build(config) == 0
    out = tmp_path / "out"
    assert {name: counts(out, name) for name in sources} == {
        name: expected(tmp_path, name, contents) for name, contents in sources.items()
    }
    assert all(verify(folder).is_sound for folder in published_folders(str(out)).values())


def test_a_source_of_files_that_are_not_read_may_be_empty(tmp_path: Path, without_gates: None) -> None:
    config = write(tmp_path, {"records": ["document"], "books": []}, MAY_BE_EMPTY)
    (tmp_path / "books" / "a.epub").write_bytes(b"PK")
    config.write_text(config.read_text().replace('root = "books"', 'root = "books"\nunread_files = "skip"'))
    assert build(config) == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["skipped"] == {"books": {"file_type": 1}, "records": {}}


def test_the_gates_pass_what_is_empty_and_may_be(tmp_path: Path) -> None:
    own = (
        '[[expectations.extra]]\ndataset = "documents"\ntable = "drops_sample"\ncolumn = "characters"\n'
        'expectation = "expect_column_max_to_be_between"\nkwargs = { max_value = 10 }\n'
    )
    sources = {"records": ["nothing", "document"], "common_crawl": ["skip"]}
    assert build(write(tmp_path, sources, MAY_BE_EMPTY + own)) == 0
    assert counts(tmp_path / "out", "common_crawl") == expected(tmp_path, "common_crawl", ["skip"])
    assert json.loads((tmp_path / "out" / "report.json").read_text())["skipped"] == {
        "common_crawl": {"http_status": 1},
        "records": {},
    }


@pytest.mark.parametrize(
    ("sources", "more", "line"),
    [
        (
            {"records": ["document"], "common_crawl": ["skip", "drop", "skip"]},
            "",
            "source common_crawl: none of its 3 units below {folder}/common_crawl has a document: 1 dropped (no_main_text),"
            " 2 skipped (http_status); correct its files or settings, leave the source out, or let it be empty: [expectations]"
            " min_documents_per_source = 0, min_tokens_per_source = 0, dropped_share_limit = 1",
        ),
        (
            {"parquet": ["nothing"]},
            "",
            "source parquet: none of its 1 units below {folder}/parquet has a document: they hold no record; correct its files or"
            " settings, leave the source out, or let it be empty: [expectations] min_documents_per_source = 0,"
            " min_tokens_per_source = 0",
        ),
        (
            {"common_crawl": ["skip"], "books": ["drop"]},
            MAY_BE_EMPTY + "[repeats]\nlines_limit = 2\nsubstring_words = 20\n[[vocabularies]]\nname = 'v'\nsize = 400\n",
            "vocabularies.v: there is no text for a vocabulary, the corpus' train split holds no document",
        ),
    ],
)
def test_a_build_on_nothing_says_so_in_one_line(
    tmp_path: Path, without_gates: None, capfd: pytest.CaptureFixture[str], sources: dict, more: str, line: str
) -> None:
    assert build(write(tmp_path, sources, more)) == 1
    assert capfd.readouterr().err == f"corpusmill: {line.format(folder=tmp_path)}\n"
    assert not (tmp_path / "out" / "release.json").exists()
