"""The command line from end to end over the tiny corpus: what it builds, finds again, verifies, clears away, and survives."""

import json
import re
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from places import ROOT

from expectations import gate
from flows.commands import main as cli
from pipelines.beam import runners

REPOSITORY = ROOT

STAGES = ["read", "exclude", "normalize", "split", "exclude_pieces", "deduplicate", "language", "quality", "private"]
FUNNEL = {  # by source: skipped at the reader; documents found; dropped by stage and reason; documents published
    "crawl": (
        {"content_type": 1, "http_status": 1, "record_type": 3, "revisit": 1},
        18,
        {
            "read": {"no_main_text": 1, "unreadable": 1},
            "exclude": {"excluded": 1},
            "deduplicate": {"exact_duplicate": 2, "near_duplicate": 1},
            "language": {"language_unwanted": 2},
            "quality": {"c4_curly_bracket": 1, "c4_few_sentences": 1, "c4_lorem_ipsum": 1, "gopher_duplicate_lines": 1},
        },
        6,
    ),
    "novels": ({"file_type": 1}, 3, {}, 3),
    "tinywiki": ({"namespace": 1, "redirect": 1}, 6, {"read": {"boilerplate_only": 1}}, 5),
}
PUBLISHED = [
    *("documents/crawl", "documents/novels", "documents/tinywiki", "clusters", "repeats", "classifier", "corpus", "index"),
    *("vocabulary/tiny", "tokens/tiny"),
]
IN_ORDER = [
    *("documents/tinywiki", "documents/novels", "documents/crawl", "clusters", "repeats", "classifier", "corpus", "index"),
    *("vocabulary/tiny", "tokens/tiny"),
]


@pytest.fixture
def without_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Great Expectations takes 20 s a build; where the gate is not the matter, it is left out."""
    monkeypatch.setattr(gate, "check", lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True))
    monkeypatch.setattr(gate, "check_report", lambda *_: gate.GateResult("report", "", 0, "", cached=True))


@pytest.fixture
def copied(tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.out, tmp_path / "copy"))


def report_of(out: Path) -> dict:
    return json.loads((out / "report.json").read_text())


def rows(out: Path, table: str) -> list[dict]:
    return [row for path in sorted(out.glob(f"corpus/*/{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def found_and_built(stdout: str) -> tuple[list[str], list[str]]:
    """The datasets that a build says it found, and those that it says it made."""
    lines = re.findall(r"^(\S+) +(found, not built again|\d+\.\d s)[: ]", stdout, re.MULTILINE)
    return [name for name, how in lines if how[0] == "f"], [name for name, how in lines if how[0] != "f"]


# --- build ------------------------------------------------------------------------------------------------------------


def test_the_release_folder_holds_the_published_corpus(tiny) -> None:
    corpus = tiny.out / json.loads((tiny.out / "release.json").read_text())["corpus"]
    parts = sorted((corpus / "documents").iterdir())
    links = sorted((tiny.out / "release" / "documents").iterdir())
    assert [path.name for path in links] == [path.name for path in parts] != []
    assert all(link.samefile(part) for link, part in zip(links, parts, strict=True))
    card = (tiny.out / "release" / "README.md").read_text()
    assert "| tinywiki | wikipedia |" in card


def test_the_funnel_is_exactly_what_was_planted(tiny) -> None:
    report = report_of(tiny.out)
    found = {
        source: (
            report["skipped"][source],
            lines[0]["documents_in"],
            {line["stage"]: line["documents_dropped"] for line in lines if line["documents_dropped"]},
            lines[-1]["documents_out"],
        )
        for source, lines in report["funnel"].items()
    }
    assert {
        source: [line["stage"] for line in lines if line["stage"] != "lines"] for source, lines in report["funnel"].items()
    } == (dict.fromkeys(FUNNEL, STAGES))
    assert [source for source, lines in report["funnel"].items() if "lines" in {line["stage"] for line in lines}] == ["crawl"]
    assert found == FUNNEL
    assert report["exclude"] == {"hosts": {"names": 1, "matched": 1, "unmatched": []}}
    assert "\ntakedown: 1 of 1 hosts matched a document\n" in tiny.stdout
    assert json.loads((tiny.out / "release.json").read_text()).keys() == {
        *("format", "corpus_name", "retain", "documents", "clusters", "repeats", "classifier", "corpus", "index"),
        *("vocabulary", "vocabulary_corpus", "tokens"),
    }


def test_every_drop_is_the_document_that_was_planted(tiny) -> None:
    dropped = {(row["url"] or row["origin"]): row["reason"] for row in rows(tiny.out, "drops")}
    assert dropped == {
        "pages.warc#14647": "unreadable",
        "https://www.private.example/garden": "excluded",
        "https://coast.example/lamp": "exact_duplicate",
        "https://bread.example/rye": "near_duplicate",
        "https://mirror.example/lantern-fair": "exact_duplicate",  # of the article: the source of higher priority survives
        "https://laden.example/": "language_unwanted",
        "https://he.example/": "language_unwanted",
        "https://code.example/circle": "c4_curly_bracket",
        "https://links.example/map": "no_main_text",  # a list of links
        "https://allotment.example/none": "c4_few_sentences",
        "https://soon.example/": "c4_lorem_ipsum",
        "https://rowing.example/guests": "gopher_duplicate_lines",
        "https://tiny.example.org/wiki/Senn_(disambiguation)": "boilerplate_only",
    }
    kept = {row["title"] for row in rows(tiny.out, "documents")}
    assert kept == {
        *("Harrow Bridge", "Marsh wren", "Tide mill", "Ada Fenwick", "Lantern Fair"),
        *("The Orchard Wall", "The Night Ferry", "THE CLOCK AT BELLMOUTH"),
        *("The last keeper of Skerry Point", "Rye bread for patient people", "How to look at a rock pool"),
        *("When to change a chain", "In praise of moss", None),  # text of a WET file has no title
    }
    texts = " ".join(row["text"] for row in rows(tiny.out, "documents"))
    for stranger in ("Gutenberg", "Copyright 2026", "[[", "{{", "<ref", "&lt;", "\r"):
        assert stranger not in texts
    assert "café" in texts  # from a file in Latin-1


def test_what_is_shown_is_the_funnel_and_nothing_of_the_libraries(tiny) -> None:
    assert tiny.stderr == ""
    found, made = found_and_built(tiny.stdout)
    assert (found, made) == ([], IN_ORDER)
    lines = [re.split(r" {2,}", line.strip()) for line in tiny.stdout.splitlines()]
    assert ["stage", "reason", "crawl", "novels", "tinywiki", "all"] in lines
    assert ["deduplicate", "- exact_duplicate", "2", "·", "·", "2"] in lines
    assert ["corpus", "documents", "6", "3", "5", "14"] in lines
    assert f"published  {tiny.out}/release.json" in tiny.stdout.splitlines()
    assert "quality classifier: off (" in tiny.stdout


def test_training_sees_the_train_split_only_as_tokens_by_source(tiny) -> None:
    tokens = report_of(tiny.out)["tokens"]["tiny"]["tokens"]
    rows_by_split = {split: {s: n["en"]["rows"] for s, n in sources.items()} for split, sources in tokens.items()}
    assert rows_by_split == {"train": {"crawl": 6, "novels": 2, "tinywiki": 4}, "validation": {"novels": 1, "tinywiki": 1}}


def test_a_second_build_finds_everything_and_changes_nothing(tiny, copied, digests, capfd) -> None:
    assert cli.main([*tiny.arguments, "--out", str(copied)]) == 0
    said = capfd.readouterr()
    assert found_and_built(said.out) == (IN_ORDER, [])
    assert "nothing had to be built" in said.out
    assert digests(copied) == tiny.digests()


def test_two_worker_processes_write_the_same_bytes(tiny, tmp_path, digests, monkeypatch, without_gates) -> None:
    for name in ("pipelines", "training"):  # a user's own folders, which the workers must not take for ours
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runners, "IN_PROCESS_BYTES", 1)
    started: list[int] = []
    in_child = runners._run_in_child
    monkeypatch.setattr(
        runners, "_run_in_child", lambda options, *rest: (started.append(options.workers), in_child(options, *rest))
    )
    assert cli.main([*tiny.arguments, "--workers", "2", "--out", str(tmp_path / "out")]) == 0
    # The wiki, the crawl, the tokens; one book unit needs no other, and what is done in columns takes threads.
    assert started == [2, 2, 2]
    assert digests(tmp_path / "out") == tiny.digests()


def test_a_sample_of_each_source(tiny_arguments, tmp_path, without_gates) -> None:
    out = tmp_path / "out"
    assert cli.main([*tiny_arguments, "--out", str(out), "--limit", "3", "--set", "vocabularies=[]"]) == 0
    report = report_of(out)
    assert report["limit"] == 3
    # 3 over two units is 2 of each, dropped ones included; the books are one unit
    found = {source: lines[0]["documents_in"] for source, lines in report["funnel"].items()}
    assert found == {"crawl": 4, "novels": 3, "tinywiki": 4}
    assert report["tokens"] == {}


def test_a_dry_run_says_what_it_would_do_and_does_nothing(tiny_arguments, tmp_path, capfd) -> None:
    assert cli.main([*tiny_arguments, "--out", str(tmp_path / "out"), "--dry-run"]) == 0
    said = capfd.readouterr().out
    assert not (tmp_path / "out").exists()
    lines = [re.split(r" {2,}", line.strip()) for line in said.splitlines()]
    assert [[*line[:3], line[-1]] for line in lines if len(line) == 6] == [
        ["source", "kind", "units", "not read"],
        ["tinywiki", "wikipedia", "2", "0"],
        ["novels", "books", "1", "1"],
        ["crawl", "common_crawl", "2", "0"],
    ]
    assert "\nnot read:\n  novels: catalogue.csv (0.0 MB): books reads no file of this name; skipped\n" in said
    assert " → ".join(IN_ORDER) in said
    assert "nothing was done" in said


def test_set_changes_a_value_and_only_what_depends_on_it(tiny, copied, without_gates, capfd) -> None:
    changed = ["--set", "corpus.name=other", "--set", "tokens.text_bytes_per_unit=1024"]
    assert cli.main([*tiny.arguments, *changed, "--out", str(copied)]) == 0
    made = ["index", "tokens/tiny"]  # the index names its corpus
    assert found_and_built(capfd.readouterr().out) == ([name for name in IN_ORDER if name not in made], made)
    assert json.loads((copied / "release.json").read_text())["corpus_name"] == "other"


def test_help_and_a_wrong_command_line(capfd) -> None:
    for arguments in ([], ["bild"], ["build", "x.toml"], ["build", "x.toml", "--out", "o", "--workers", "0"]):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
    assert "usage: corpusmill" in capfd.readouterr().err


# --- verify and gc ----------------------------------------------------------------------------------------------------


def test_verify_reads_everything_that_is_published(tiny, capfd) -> None:
    assert cli.main(["verify", str(tiny.out)]) == 0
    said = capfd.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == PUBLISHED
    assert all(line.endswith("sound") and "NOT" not in line for line in said.out.splitlines())
    assert said.err == ""


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("corpus/*/documents/*", "its sha256 is not the manifest's: a byte has changed"),
        ("tokens/*/*/tokens/train/*/en/*", "its sha256 is not the manifest's: a byte has changed"),
        ("documents/crawl/*/signatures/*", "its sha256 is not the manifest's: a byte has changed"),
        ("vocabulary/*/*/tokenizer.model", "its sha256 is not the manifest's: a byte has changed"),
        ("corpus/*/units/*", "the units' ledgers do not add up to the manifest's"),
    ],
)
def test_verify_names_the_file_with_one_changed_byte(copied, pattern, said, capfd) -> None:
    changed = sorted(copied.glob(pattern))[0]
    data = bytearray(changed.read_bytes())
    place = data.index(b'"documents_in":') + 15 if changed.suffix == ".json" else len(data) // 2
    data[place] ^= 1
    changed.write_bytes(data)
    assert cli.main(["verify", str(copied)]) == 1
    told = capfd.readouterr()
    (line,) = told.err.splitlines()
    assert said in line
    assert str(changed if changed.suffix != ".json" else changed.parents[1]) in line
    assert told.out.count("NOT SOUND") == 1 and len(told.out.splitlines()) == len(PUBLISHED)


def test_verify_names_a_part_that_is_gone_and_a_folder_that_is_no_build(copied, tmp_path, capfd) -> None:
    gone = next(copied.glob("corpus/*/drops/*"))
    gone.unlink()
    assert cli.main(["verify", str(gone.parents[1])]) == 1
    assert f"{gone}: is missing" in capfd.readouterr().err
    assert cli.main(["verify", str(tmp_path / "no")]) == 1
    assert capfd.readouterr().err == (
        f"corpusmill: {tmp_path / 'no'}: nothing is published there (no release.json); build it first, or name another folder\n"
    )


def test_gc_removes_what_an_earlier_config_left_and_keeps_the_release_whole(tiny, copied, digests, without_gates, capfd) -> None:
    changed = ["--set", "language.keep=['en','de']", "--set", "vocabularies=[]"]
    assert cli.main([*tiny.arguments, *changed, "--out", str(copied)]) == 0
    released = json.loads((copied / "release.json").read_text())
    assert "tokens" not in released
    before = digests(copied)
    capfd.readouterr()

    assert cli.main(["gc", str(copied), "--dry-run"]) == 0
    would = re.findall(r"^would remove (.*)$", capfd.readouterr().out, re.MULTILINE)
    assert digests(copied) == before
    assert cli.main(["gc", str(copied)]) == 0
    assert re.findall(r"^removed (.*)$", capfd.readouterr().out, re.MULTILINE) == would
    old = json.loads((tiny.out / "release.json").read_text())
    # the classifier's and the clusters' fingerprints hold the languages too or not: only what is not released is gone
    gone = {old["vocabulary"]["tiny"], old["tokens"]["tiny"], *old["documents"].values()}
    gone |= {old[kind] for kind in ("clusters", "repeats", "classifier", "corpus", "index")}
    gone -= {*released["documents"].values(), released["clusters"], released["repeats"], released["classifier"]}
    assert {Path(path).relative_to(copied).as_posix() for path in would} == gone
    assert cli.main(["verify", str(copied)]) == 0

    assert cli.main([*tiny.arguments, "--out", str(copied)]) == 0, "the first config again"
    assert cli.main(["gc", str(copied)]) == 0
    assert digests(copied) == tiny.digests()
