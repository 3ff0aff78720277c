"""The reference set: which texts of which files are items, what they are called, what is said of files that cannot be used."""

import bz2
import gzip
import json
import lzma
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
import zstandard

from pipelines import config as configs
from pipelines.config import CorpusConfig
from pipelines.contract.storage import stores
from pipelines.datasets import reference
from pipelines.datasets.reference import BenchmarkError
from pipelines.text.copies import item_grams
from pipelines.units.context import Context, Dataset

LONG = "the old ferry crosses the lake twice a day when there is no ice on it"  # 16 words
OTHER = "nobody who had seen the garden in winter could say what it was like in the month of june"
SHORT = "how many boats are there on this lake"


def prepared(folder: Path, *paths: str, **section: Any) -> Dataset:
    given = {"paths": [str(folder / path) for path in paths], **section}
    source = {"name": "s", "kind": "books", "root": ".", "snapshot": "1"}
    config = CorpusConfig.model_validate(
        {"corpus": {"name": "c"}, "sources": [source], "decontaminate": {"min_words": 8, **given}}
    )
    return reference.build(Context(config, str(folder / "out")))


def write(path: Path, *lines: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def items_in(made: Dataset, *texts: str) -> list[list[str]]:
    """The names of the items that each text shares n-grams with."""
    loaded = reference.load(made.uri)
    found = item_grams.hits(pa.array(texts), item_grams.index(loaded.items, ngram=loaded.ngram))
    owners: list[dict[int, None]] = [{} for _ in texts]
    for row, gram in zip(found.rows.tolist(), found.grams.tolist(), strict=True):
        owners[row] |= dict.fromkeys(loaded.items.owners_of(gram).tolist())
    return [[loaded.names[item].as_py() for item in items] for items in owners]


def test_without_fields_every_string_is_an_item(tmp_path: Path) -> None:
    write(
        tmp_path / "squad" / "dev.jsonl",
        {"id": "a1", "question": SHORT, "answers": {"text": ["yes", LONG], "n": [1]}, "score": 1.5, "none": None},
        {"id": 7, "more": {"deep": {"er": OTHER}}},
    )
    write(tmp_path / "trec.jsonl.gz", {"text": "one " * 12 + "two"})
    made = prepared(tmp_path, "**/*.jsonl", "*.gz")
    assert made.manifest.facts == {
        "files": 2,
        "items": 6,
        "too_short": 2,
        "options": 0,
        "ngrams": 12 + 15 + 4 + 2,
        "searched": {"squad/dev.jsonl": 3, "trec.jsonl.gz": 1},
    }
    assert items_in(made, LONG, OTHER.title(), SHORT + "?", "one, " * 12 + "two!", "yes") == [
        ["squad/dev.jsonl:1 answers.text[1] (id a1)"],
        ["squad/dev.jsonl:2 more.deep.er (id 7)"],
        ["squad/dev.jsonl:1 question (id a1)"],
        ["trec.jsonl.gz:1 text"],
        [],
    ]


def test_with_fields_only_these_are_items(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"question": LONG, "context": OTHER}, {"question": None, "choices": ["no", SHORT]})
    made = prepared(tmp_path, "*.jsonl", fields=["question", "choices"])
    assert made.manifest.facts == {
        "files": 1,
        "items": 3,
        "too_short": 1,
        "options": 0,
        "ngrams": 16,
        "searched": {"a.jsonl": 2},
    }
    assert items_in(made, LONG, OTHER, SHORT) == [["a.jsonl:1 question"], [], ["a.jsonl:2 choices[1]"]]


def test_a_short_string_of_a_list_is_an_option_unless_the_list_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"question": LONG, "choices": [SHORT, OTHER], "answer": SHORT + " now"})
    made = prepared(tmp_path, "a.jsonl")
    assert made.manifest.facts["options"] == 1
    assert items_in(made, OTHER, SHORT) == [["a.jsonl:1 choices[1]"], ["a.jsonl:1 answer"]]
    named = prepared(tmp_path, "a.jsonl", fields=["choices"])
    assert named.manifest.facts["options"] == 0
    assert items_in(named, SHORT, LONG) == [["a.jsonl:1 choices[0]"], []]


def test_the_other_strings_of_a_line_are_the_signs_of_an_item(tmp_path: Path) -> None:
    lines = [{"q": f"{LONG} {n}", "subject": "history", "right": f"answer {n}", "wrong": ["", f"no {n}"]} for n in range(20)]
    write(tmp_path / "a.jsonl", *lines)
    loaded = reference.load(prepared(tmp_path, "a.jsonl", fields=["q"]).uri)
    hashes, words = item_grams.run_hashes(pa.array(["Answer 3!", "no 3"]), 8)
    of_third = slice(*loaded.signs.starts[3:5].tolist())
    assert loaded.signs.hashes[of_third].tolist() == hashes.tolist()  # "history" is of too many lines, "" no sign
    assert loaded.signs.words[of_third].tolist() == words.tolist() == [2, 2]


def test_equal_texts_are_items_of_their_own(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"t": LONG}, {"t": LONG.upper()}, {"t": OTHER})
    made = prepared(tmp_path, "a.jsonl")
    assert items_in(made, LONG, OTHER) == [["a.jsonl:1 t", "a.jsonl:2 t"], ["a.jsonl:3 t"]]


def test_named_by_content_not_by_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "one" / "b" / "x.jsonl", {"t": LONG}, {"t": OTHER}, {"u": SHORT})
    write(tmp_path / "two" / "b" / "x.jsonl", {"t": LONG}, {"t": OTHER}, {"u": SHORT})
    first, second = prepared(tmp_path / "one", "b/*"), prepared(tmp_path / "two", "*/x.jsonl")
    assert first.manifest.model_dump(exclude={"config"}) == second.manifest.model_dump(exclude={"config"})
    monkeypatch.setattr(reference, "_CHARACTERS_PER_CHUNK", 1)  # it does not matter how much is read at once
    assert prepared(tmp_path, "one/b/*").manifest.parts == first.manifest.parts
    for change in ({"fields": ["t"]}, {"ngram": 4}, {"min_words": 9}, {"short_words": 9}):
        assert prepared(tmp_path / "one", "b/*", **change).manifest.fingerprint != first.manifest.fingerprint


def test_what_was_changed_since_is_not_used(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"t": LONG})
    made = prepared(tmp_path, "a.jsonl")
    (Path(made.uri) / "items.arrow").write_bytes(b"x")
    with pytest.raises(ValueError, match="has changed"):
        reference.load(made.uri)


def test_odd_lines_that_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"t": LONG}).encode() + b"\r\n\n" + b'{"t": "\\ud800 a\\u0000b ' + OTHER.encode() + b'"}'
    )
    assert items_in(prepared(tmp_path, "a.jsonl"), OTHER) == [["a.jsonl:3 t"]]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_benchmark_in_utf16(tmp_path: Path, name: str) -> None:
    data = "".join(json.dumps({"t": text}) + "\r\n" for text in (LONG, OTHER)).encode("utf-16")
    (tmp_path / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith("gz") else data)
    assert items_in(prepared(tmp_path, name), OTHER) == [[f"{name}:2 t"]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"t": "x"}\n{"t": ', "a.jsonl, line 2: is not JSON"),
        (b'["x"]\n', "a.jsonl, line 1: holds list where an object should be"),
        (b"\n\n" + b"[" * 200_000, "a.jsonl, line 3: is not JSON"),
        (b'{"t": "\xff"}\n', "a.jsonl, line 1: is neither UTF-8, UTF-16 nor UTF-32"),
        (b'{"t": ' + b"1" * 5_000 + b"}\n", "a.jsonl: no line has text in any field"),
        (b"", "a.jsonl: holds no line"),
        (b"\n \n", "a.jsonl: holds no line"),
        (b'{"n": 1}\n', "a.jsonl: no line has text in any field"),
        (b'{"t": "too short"}\n', "none of the 1 texts has 8 words"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(BenchmarkError, match=r"decontaminate|write one|convert|fetch it again") as error:
        prepared(tmp_path, "a.jsonl")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b no gzip", gzip.compress(b'{"t": "x"}\n' * 1000)[:-20], gzip.compress(b"{}\n")[:12] + b"\xff" * 20]
)
def test_a_broken_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(data)
    with pytest.raises(BenchmarkError, match=r"a\.jsonl\.gz: breaks off after line \d+ .*; fetch it again"):
        prepared(tmp_path, "*.gz")


def test_every_compression_is_read_whatever_the_name_says(tmp_path: Path) -> None:
    line = json.dumps({"t": LONG}).encode()
    packs = {
        "a.jsonl.gz": gzip.compress,
        "b.JSONL.bz2": bz2.compress,
        "c.jsonl.XZ": lzma.compress,
        "d.jsonl.zst": zstandard.compress,
    }
    for name, pack in packs.items():
        (tmp_path / name).write_bytes(pack(line))
    (tmp_path / "e.jsonl.gz").write_bytes(line)
    assert prepared(tmp_path, "*").manifest.facts["items"] == 5


def test_a_line_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "LINE_BYTES_LIMIT", 2**20)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b'{"t": "' + b"a" * 30_000_000, 1))
    tracemalloc.start()
    with pytest.raises(BenchmarkError, match="line 1: is longer than 1,048,576 bytes"):
        prepared(tmp_path, "*.gz")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 2**20


def test_a_text_of_one_word_a_million_times(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"t": "word " * 1_000_000})
    prepared(tmp_path, "a.jsonl")
    tracemalloc.start()
    made = prepared(tmp_path, "a.jsonl")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert made.manifest.facts == {
        "files": 1,
        "items": 1,
        "too_short": 0,
        "options": 0,
        "ngrams": 1,
        "searched": {"a.jsonl": 1},
    }
    assert peak < 120 * 2**20


def test_files_of_an_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "bench" / "b" / "x.jsonl.gz", {"t": LONG})
    write(tmp_path / "bench" / "y.jsonl", {"t": OTHER})
    write(tmp_path / "bench" / "b" / "z.txt", {})
    store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    monkeypatch.setattr(stores, "locate", lambda uri: (store, uri.removeprefix("gs://")))
    source = {"name": "s", "kind": "books", "root": ".", "snapshot": "1"}
    section = {"paths": ["gs://bench/**/*.jsonl.gz", "gs://bench/?.jsonl"]}
    config = CorpusConfig.model_validate({"corpus": {"name": "c"}, "sources": [source], "decontaminate": section})
    made = reference.build(Context(config, str(tmp_path / "out")))
    assert made is not None
    assert items_in(made, LONG, OTHER) == [["b/x.jsonl.gz:1 t"], ["y.jsonl:1 t"]]


def test_patterns_fields_and_names_that_fit_nothing(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", {"t": LONG})
    write(tmp_path / "b.jsonl", {"u": LONG})
    (tmp_path / "c.txt").write_text(LONG)
    with pytest.raises(BenchmarkError, match=r"decontaminate\.paths: no file matches .*nothing/\*\.jsonl; correct the pattern"):
        prepared(tmp_path, "a.jsonl", "nothing/*.jsonl")
    with pytest.raises(BenchmarkError, match=r"c\.txt: its name does not end in \.jsonl, or that and \.gz, "):
        prepared(tmp_path, "*")
    with pytest.raises(BenchmarkError, match=r"decontaminate\.fields: no line of any file has text in 'v'"):
        prepared(tmp_path, "a.jsonl", fields=["t", "v"])
    with pytest.raises(BenchmarkError, match=r"b\.jsonl: no line has text in t; correct decontaminate\.fields"):
        prepared(tmp_path, "*.jsonl", fields=["t"])
    assert prepared(tmp_path, "*.jsonl", fields=["t", "u"]).manifest.facts["items"] == 2


def test_paths_are_relative_to_the_config_and_in_no_manifest(tmp_path: Path) -> None:
    write(tmp_path / "bench" / "a.jsonl", {"t": LONG})
    source = '[[sources]]\nname = "s"\nkind = "books"\nroot = "."\nsnapshot = "1"\n'
    toml = f'[corpus]\nname = "c"\n{source}[decontaminate]\npaths = ["bench/*.jsonl"]\n'
    (tmp_path / "c.toml").write_text(toml)
    config = configs.load(tmp_path / "c.toml")
    made = reference.build(Context(config, str(tmp_path / "out")))
    assert made is not None and made.manifest.facts["items"] == 1
    assert "paths" not in config.recorded()["decontaminate"]


def test_linked_folders_of_benchmarks_are_read_and_links_to_nothing_refused(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.jsonl", {"t": LONG})
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "linked").symlink_to("../elsewhere")
    assert prepared(tmp_path, "bench/**/*.jsonl").manifest.facts["items"] == 1
    (tmp_path / "bench" / "b.jsonl").symlink_to("nothing")
    with pytest.raises(
        BenchmarkError, match=r"^decontaminate\.paths: .*bench/b\.jsonl: is a link to nothing, which does not exist"
    ):
        prepared(tmp_path, "bench/**/*.jsonl")
