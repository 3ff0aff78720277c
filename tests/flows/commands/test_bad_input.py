"""Bad input: each mistake is one clear line on stderr (what, where, what to do), exit code 1, and nothing is published."""

import bz2
import gzip
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from places import FIXTURES

from expectations import gate
from flows.commands import main as cli
from pipelines.contract.errors import UserError
from pipelines.sources import listing
from pipelines.sources.kinds import KINDS as KINDS_OF_SOURCES

TINY = FIXTURES / "tiny"
WIKI, BOOK, CRAWL, WET = (
    (TINY / name).read_bytes()
    for name in ("wiki/tinywiki-articles1.xml", "books/orchard.txt", "crawl/pages.warc", "crawl/texts.warc.wet")
)
KINDS = {"wikipedia": ("a.xml", WIKI), "books": ("a.txt", BOOK), "common_crawl": ("a.wet", WET)}

Build = Callable[..., tuple[int, str]]


@pytest.fixture
def without_gates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the gate is not the matter, it is left out: it takes seconds."""
    monkeypatch.setattr(gate, "check", lambda uri, *_: gate.GateResult(uri, "", 0, "", cached=True))
    monkeypatch.setattr(gate, "check_report", lambda *_: gate.GateResult("report", "", 0, "", cached=True))


class Project:
    """A config of one source and its folder of input."""

    def __init__(self, folder: Path, language_model: str, capfd: pytest.CaptureFixture[str]) -> None:
        self.input, self.out, self.config = folder / "in", folder / "out", folder / "corpus.toml"
        self.input.mkdir()
        self._model, self._capfd = language_model, capfd

    def write(self, kind: str, more: str = "", of_source: str = "", **input_files: bytes) -> None:
        self.config.write_text(
            f'[corpus]\nname = "t"\n[[sources]]\nname = "s"\nkind = "{kind}"\nroot = "in"\nsnapshot = "1"\n{of_source}\n'
            f'[language]\nmodel = "{self._model}"\n{more}\n'
        )
        for name, data in input_files.items():
            (self.input / name).write_bytes(data)

    def build(self, *more: str) -> tuple[int, str]:
        """Exit code and stderr; whatever failed, nothing may be published."""
        code = cli.main(["build", str(self.config), "--out", str(self.out), "--workers", "1", *more])
        said = self._capfd.readouterr()
        assert (self.out / "release.json").exists() == (code == 0)
        assert "Traceback" not in said.out + said.err
        return code, said.err

    def refuses(self, *more: str) -> str:
        """The one line that says why."""
        code, stderr = self.build(*more)
        assert code == 1
        assert stderr.startswith("corpusmill: ") and stderr.count("\n") == 1, stderr
        return stderr.removeprefix("corpusmill: ").rstrip("\n")


@pytest.fixture
def project(tmp_path: Path, language_model: str, capfd: pytest.CaptureFixture[str], without_gates: None) -> Project:
    return Project(tmp_path, language_model, capfd)


# --- the config --------------------------------------------------------------------------------------------------------


def test_a_language_that_is_no_label_of_the_model_is_refused_before_anything_starts(project: Project) -> None:
    project.write("books", 'keep = ["en", "deu"]', **{"a.txt": BOOK})
    wanted = "language.keep: 'deu' is no label of the language model; did you mean 'de'?"
    assert (project.refuses(), project.refuses("--dry-run")) == (wanted, wanted)
    assert not project.out.exists()


# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_file_a_missing_one_and_a_missing_folder(project: Project, kind: str) -> None:
    name, good = KINDS[kind]
    project.write(kind, **{name: good, f"b-{name}": b""})
    assert project.refuses() == f"source s: {project.input}/b-{name} is empty; remove it or fetch it again"
    (project.input / name).unlink()
    (project.input / f"b-{name}").unlink()
    assert project.refuses() == (f"source s: no file below {project.input} matches '**/*'; correct sources.paths in the config")
    project.input.rmdir()
    assert project.refuses() == f"source s: {project.input} does not exist; correct sources.root in the config"
    project.input.mkdir()
    (project.input / name).write_bytes(good)
    assert project.build() == (0, "")


@pytest.mark.parametrize(
    ("kind", "name", "data", "place"),
    [
        (
            "wikipedia",
            "a.xml",
            WIKI[: len(WIKI) * 2 // 3],
            "a.xml: after page 13 (Talk:Harrow Bridge), by byte 2906 of the file: line 61: ",
        ),
        ("wikipedia", "a.xml.gz", gzip.compress(WIKI, mtime=0)[:-300], "a.xml.gz: after page "),
        ("wikipedia", "a.xml.bz2", bz2.compress(WIKI)[:-100], "a.xml.bz2: after the beginning, by byte "),
        ("books", "a.txt.gz", gzip.compress(BOOK, mtime=0)[:-300], "a.txt.gz: the gzip stream is cut off"),
        ("common_crawl", "a.wet", WET[:-300], "a.wet#"),
        ("common_crawl", "a.warc.gz", gzip.compress(CRAWL, mtime=0)[:-300], "a.warc.gz#"),
    ],
)
def test_a_file_that_breaks_off(project: Project, kind: str, name: str, data: bytes, place: str) -> None:
    project.write(kind, of_source="bad_share_limit = 1.0", **{name: data})
    line = project.refuses()
    assert line.startswith(f"source s: a file below {project.input} breaks off (1 in all): {place}")
    assert line.endswith('; fetch it again, or keep what precedes that place with sources.cut_off_files = "drop"')
    if kind != "books" and not name.endswith("bz2"):  # which have no document
        assert project.build("--set", "sources.0.cut_off_files=drop") == (0, "")


@pytest.mark.parametrize(
    ("kind", "name", "data", "line"),
    [
        ("wikipedia", "a.txt", WIKI, "source s: none of the 1 files below {input} that match sources.paths has a name that"),
        ("wikipedia", "a.xml", BOOK, "source s: {input}/a.xml is not a MediaWiki XML dump: line 1: "),
        (
            "wikipedia",
            "a.xml",
            b"<html><body/></html>",
            "source s: {input}/a.xml is not a MediaWiki XML dump: its root element is <html>",
        ),
        ("wikipedia", "a.xml.bz2", b"BZh9 no bzip2", "source s: {input}/a.xml.bz2 is not a MediaWiki XML dump: the co"),
        ("books", "a.mobi", BOOK, "source s: none of the 1 files below {input} that match sources.paths has a name that"),
        ("books", "a.txt", bytes(range(256)) * 40, "source s: 100.0% of 1 documents cannot be read (1 undecodable), more than"),
        ("books", "a.txt.gz", b"\x1f\x8b" + BOOK, "source s: 100.0% of 1 documents cannot be read (1 unreadable), more than"),
        ("common_crawl", "a.txt", CRAWL, "source s: none of the 1 files below {input} that match sources.paths has a name that"),
        (
            "common_crawl",
            "a.warc",
            BOOK,
            "{input}/a.warc: byte 0: not a WARC or ARC file (Invalid WARC header); remove it, fetch it",
        ),
        ("common_crawl", "a.warc.gz", gzip.compress(BOOK), "{input}/a.warc.gz: byte 0: not a WARC or ARC file ("),
    ],
)
def test_a_file_that_is_something_else(project: Project, kind: str, name: str, data: bytes, line: str) -> None:
    project.write(kind, **{name: data})
    assert project.refuses().startswith(line.format(input=project.input))


def test_files_that_nothing_reads_are_refused_shown_apart_or_counted(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    project.write("books", **{"a.txt": BOOK, "b.epub": b"PK", "c.txt~": BOOK, "._a.txt": b"x", "_DONE": b""})
    assert project.refuses() == (
        f"source s: 2 of the 3 files below {project.input} that match sources.paths have names that the kind 'books' does not"
        f" read (b.epub, c.txt~); it reads {KINDS_OF_SOURCES['books'].names.shown}: convert them, narrow sources.paths, or count"
        ' them as skipped with sources.unread_files = "skip"'
    )
    assert cli.main(["build", str(project.config), "--out", str(project.out), "--dry-run"]) == 0
    assert capfd.readouterr().out.split("not read:\n")[1].splitlines()[:4] == [
        "  s: b.epub (0.0 MB): books reads no file of this name; the build stops",
        "  s: c.txt~ (0.0 MB): books reads no file of this name; the build stops",
        "  s: _DONE: empty",
        "  s: ._a.txt: its name begins with a dot",
    ]
    arguments = [
        "build",
        str(project.config),
        "--out",
        str(project.out),
        "--workers",
        "1",
        "--set",
        "sources.0.unread_files=skip",
    ]
    assert cli.main(arguments) == 0
    said = capfd.readouterr().out
    assert f"warning: source s: 1 files below {project.input} whose names begin with a dot are not read, e.g. ._a.txt" in said
    report = json.loads((project.out / "report.json").read_text())
    assert report["skipped"] == {"s": {"empty_file": 1, "file_type": 2}}
    assert report["funnel"]["s"][0]["documents_in"] == 1
    assert cli.main(["verify", str(project.out)]) == 0


def test_too_many_broken_records_name_the_first_and_the_reason(project: Project) -> None:
    project.write("common_crawl", **{"a.warc": CRAWL})
    assert project.refuses() == (
        "source s: 6.7% of 15 documents cannot be read (1 unreadable), more than sources.bad_share_limit = 5.0%;"
        " the first: a.warc#14647: the record does not end where it says;"
        f" repair the input below {project.input} or raise the limit"
    )
    assert project.build("--set", "sources.0.bad_share_limit=0.1") == (0, "")


def test_a_repaired_input_carries_on_with_what_was_finished(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    other = '[[sources]]\nname = "books"\nkind = "books"\nroot = "books"\nsnapshot = "1"\n'
    shutil.copytree(TINY / "books", project.input.parent / "books", ignore=shutil.ignore_patterns("*.csv"))
    project.write("wikipedia", **{"a.xml": BOOK})
    config = project.config.read_text().replace("[[sources]]", other + "[[sources]]", 1)
    project.config.write_text(config)
    assert "is not a MediaWiki XML dump" in project.refuses()
    (project.input / "a.xml").write_bytes(WIKI)
    code = cli.main(["build", str(project.config), "--out", str(project.out), "--workers", "1"])
    assert code == 0
    assert "documents/books        found, not built again" in capfd.readouterr().out


# --- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "line"),
    [
        ("[langauge]", "{config}: langauge: unknown key; did you mean 'language'?"),
        ("[deduplicate]\nband = 3", "{config}: deduplicate.band: unknown key; did you mean 'bands'?"),
        ("[deduplicate]\nbands = 0", "{config}: deduplicate.bands: Input should be greater than or equal to 1 (given: 0)"),
        ("[quality]\nkeep_share = 1.5", "{config}: quality.keep_share: Input should be less than or equal to 1 (given: 1.5)"),
        (
            "[[vocabularies]]\nname = 'v'\nsize = 12",
            "{config}: vocabularies.0.size: Input should be greater than or equal to 300 ",
        ),
        ("[[vocabularies]]\nsize = 400", "{config}: vocabularies.0.name: is missing; add it"),
        ("[tokens", "{config}: not valid TOML: "),
    ],
)
def test_a_mistake_in_the_config(project: Project, more: str, line: str) -> None:
    project.write("books", more, **{"a.txt": BOOK})
    assert project.refuses().startswith(line.format(config=project.config))
    assert not project.out.exists()


def test_two_mistakes_are_two_lines_and_overrides_are_named(project: Project, tmp_path: Path) -> None:
    project.write("books", "[deduplicate]\nbands = 0\nrow = 1", **{"a.txt": BOOK})
    code, stderr = project.build()
    assert code == 1 and stderr.count("\n") == 2
    project.write("books")
    assert project.refuses("--set", "deduplicate") == "--set deduplicate: write it as section.key=value"
    assert project.refuses("--set", "sources.7.name=x") == "--set sources.7.name=x: the config has no such place; there are s"
    project.config.unlink()
    assert project.refuses() == f"{project.config}: no such file; the configs that come with corpusmill lie in configs/"


def test_a_language_model_that_is_not_there_or_is_none(project: Project) -> None:
    project.write("books", **{"a.txt": BOOK})
    assert project.refuses("--set", "language.model=no.ftz") == (
        f"{project.config.parent}/no.ftz: no such file; correct language.model in the config, or leave it out to fetch the model"
    )
    (project.config.parent / "some.ftz").write_bytes(BOOK)
    line = project.refuses("--set", "language.model=some.ftz")
    assert line.startswith(f"{project.config.parent}/some.ftz: is not lid.176.ftz (sha256 ")


def test_an_impossible_vocabulary_size(project: Project) -> None:
    project.write("books", "[[vocabularies]]\nname = 'v'\nsize = 300\nthreads = 1", **{"a.txt": BOOK})
    line = project.refuses()
    assert line.startswith("vocabularies.v.size is 300, but the characters, the bytes and the special pieces alone are ")
    assert project.build("--set", "vocabularies.0.size=400") == (0, "")


# --- the output folder ------------------------------------------------------------------------------------------------


def test_an_output_folder_with_something_else_stays_untouched(project: Project) -> None:
    project.write("books", **{"a.txt": BOOK})
    project.out.mkdir()
    (project.out / "thesis.txt").write_text("mine")
    assert project.refuses() == (
        f"{project.out}: holds files that are not of a build (there is no corpusmill.json); name a new or empty folder with --out"
    )
    assert [path.name for path in project.out.iterdir()] == ["thesis.txt"]
    assert cli.main(["gc", str(project.out)]) == 1


# --- the gate, with Great Expectations as it is -----------------------------------------------------------------------


def test_an_expectation_that_fails_stops_before_anything_is_published(tmp_path, language_model, capfd) -> None:
    project = Project(tmp_path, language_model, capfd)
    own = (
        '[[expectations.extra]]\ndataset = "documents"\ntable = "documents_sample"\ncolumn = "characters"\n'
        'expectation = "expect_column_min_to_be_between"\nkwargs = { min_value = 1_000_000 }\nwhy = "we want long books"\n'
    )
    project.write("books", own, **{"a.txt": BOOK})
    code, stderr = project.build()
    assert code == 1
    headline, failure, where = stderr.splitlines()
    assert headline.startswith("corpusmill: gate documents/s (") and headline.endswith("expectations failed:")
    assert "documents_sample.characters: expect_column_min_to_be_between(min_value=1000000) observed " in failure
    assert failure.endswith("(we want long books)")
    page = Path(where.strip().removeprefix("see "))
    assert page.is_file() and "we want long books" in page.read_text()

    project.write("books")
    assert project.build() == (0, "")


# --- in a process of its own ------------------------------------------------------------------------------------------


def test_what_a_shell_sees(command: Callable[..., "subprocess.CompletedProcess[str]"], project: Project) -> None:
    project.write("common_crawl", **{"a.warc": BOOK})
    done = command("build", str(project.config), "--out", str(project.out), "--workers", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"corpusmill: {project.input}/a.warc: byte 0: not a WARC or ARC file (Invalid WARC header);"
        " remove it, fetch it again, or correct sources.paths\n"
    )
    wrong = command("build", str(project.config))
    assert wrong.returncode == 2 and "the following arguments are required: --out" in wrong.stderr
    assert issubclass(listing.SourceError, UserError)  # a mistake in the input: Prefect does not retry it
