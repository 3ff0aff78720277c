"""What an earlier build has finished is kept, and a kept unit has the bytes of one that is made anew."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from examples import fewest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import config, corpus, release
from pipelines.contract import files
from pipelines.contract.schema import document_id
from pipelines.units import kept
from pipelines.units.context import Context, Dataset

WORDS = [
    "mill brook miller wheel stone grain flour sack river weir",
    "king queen castle tower knight sword banner moat gate wall",
    "atom proton quark lepton photon boson field wave spin mass",
]
CONFIG = """
[corpus]
name = "kept"
validation_share = 0.2
[[sources]]
name = "notes"
kind = "records"
root = "in"
snapshot = "1"
id_field = "id"
url_field = "url"
[language]
enabled = false
[quality]
rules = []
classifier = false
[[vocabularies]]
name = "char"
kind = "char"
size = 400
refresh = "when_changed"
threads = 1
[tokens]
text_bytes_per_unit = 1024
"""
FILES = 5


def write(folder: Path, number: int, version: int) -> None:
    """Write a file of records; its last record has the key of the file before it, so the two share one."""
    rows = []
    for row in range(4):
        words = WORDS[(number + row + version) % 3].split()
        text = " ".join(words[(row * 3 + i * (number + 1)) % 10] for i in range(40)) + f" {number} {row} {version}."
        key = f"{number - 1}-0" if row == 3 else f"{number}-{row}"
        rows.append({"id": key, "url": f"https://h{row}.example/{number}", "text": text})
    (folder / f"f{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def project(folder: Path) -> Path:
    shutil.rmtree(folder / "in", ignore_errors=True)
    (folder / "in").mkdir(parents=True)
    for number in range(FILES):
        write(folder / "in", number, 0)
    (folder / "c.toml").write_text(CONFIG)
    return folder / "c.toml"


def build(path: Path, out: Path, changes: tuple[str, ...] = (), on_event=lambda _name, _facts: None) -> dict[str, Dataset]:
    """Build everything to the corpus; the rest as well, and publish it, if changes name vocabularies."""
    context = Context(config.load(path, changes), str(out), on_event=on_event)
    release.claim(str(out))
    is_whole = any(change.startswith("vocabularies") for change in changes)
    built: dict[str, Dataset] = {}
    for step in corpus.plan(context):
        if is_whole or not step.name.startswith(("index", "vocabulary", "tokens")):
            built[step.name] = step.run({name: built[name] for name in step.needs})
    if is_whole:
        release.publish(context, built)
    return built


def contents(built: dict[str, Dataset]) -> dict[str, bytes]:
    """Return the files that datasets consist of, sidecars included; the config in a manifest is of the build that made it."""
    found: dict[str, bytes] = {}
    for name, dataset in built.items():
        folder = Path(dataset.uri)
        for part in dataset.manifest.parts:
            found[f"{name}/{part.path}"] = (folder / part.path).read_bytes()
        found[f"{name}/manifest"] = dataset.manifest.model_dump_json(exclude={"config"}).encode()
        for sidecar in sorted((folder / "units").glob("*.json")):
            found[f"{name}/{sidecar.name}"] = sidecar.read_bytes()
    return found


class Counted:
    """Counts the units that were kept and made, by dataset."""

    def __init__(self) -> None:
        self.made: dict[str, int] = {}
        self.kept: dict[str, int] = {}
        self._dataset = ""

    def __call__(self, name: str, facts) -> None:
        if name == "dataset_started":
            self._dataset = facts["dataset"]
        if name == "units":
            self.made[self._dataset] = self.made.get(self._dataset, 0) + facts["total"] - facts["finished"]
            self.kept[self._dataset] = self.kept.get(self._dataset, 0) + facts["kept"]


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with a config and its build."""
    build(project(tmp_path), tmp_path / "out")
    return tmp_path


def again_and_anew(folder: Path, changes: tuple[str, ...], on_event=lambda _name, _facts: None) -> list[dict[str, bytes]]:
    """Build again, and from nothing; return the contents of both."""
    again = build(folder / "c.toml", folder / "out", changes, on_event)
    shutil.rmtree(folder / "anew", ignore_errors=True)
    return [contents(again), contents(build(folder / "c.toml", folder / "anew", changes))]


def rebuilt(folder: Path, *changes: str) -> Counted:
    """Build again, check that the result is that of a build from nothing, and return what was made."""
    counted = Counted()
    again, anew = again_and_anew(folder, changes, counted)
    assert again == anew
    return counted


def test_a_changed_file_is_the_only_one_that_is_read(built: Path) -> None:
    write(built / "in", 2, 1)
    counted = rebuilt(built)
    # The file after it leaves a record to it, and is kept; the changed one leaves one to the file before it: read twice.
    assert counted.made["documents/notes"] == 2
    assert counted.kept["documents/notes"] == FILES - 1


def test_a_new_file_is_the_only_one_that_is_read(built: Path) -> None:
    write(built / "in", FILES, 0)
    assert rebuilt(built).made["documents/notes"] == 2


def test_without_a_file_the_next_one_keeps_the_shared_record(built: Path) -> None:
    (built / "in" / "f2.jsonl").unlink()
    counted = rebuilt(built)
    assert counted.made["documents/notes"] == 1  # it does not leave its record any more


def test_a_takedown_reads_the_file_that_it_names(built: Path) -> None:
    assert rebuilt(built, 'exclude.urls=["https://h1.example/4"]').made["documents/notes"] == 2
    counted = rebuilt(built, 'exclude.urls=["https://h1.example/4", "https://nowhere.example/"]')
    assert counted.made["documents/notes"] == 0
    assert rebuilt(built).made.get("documents/notes", 0) == 0  # the first dataset is still there


def test_a_takedown_by_id_reads_the_file_that_it_names(built: Path) -> None:
    named = document_id("notes", "4-1").hex()
    assert rebuilt(built, f'exclude.ids=["{named}"]').made["documents/notes"] == 2
    assert rebuilt(built, f'exclude.ids=["{"0" * 32}"]').made["documents/notes"] == 0


@pytest.mark.parametrize(
    "change",
    ['sources.0.license="CC0-1.0"', "sources.0.priority=3", 'quality.keep="words > 5"'],
)
def test_what_acts_later_reads_nothing(built: Path, change: str) -> None:
    assert rebuilt(built, change).made.get("documents/notes", 0) == 0


def test_shards_whose_documents_have_not_changed_are_kept(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.datasets.corpus_units.SMALLEST_BYTES", 1)  # a unit of the corpus is a unit of documents
    never = 'vocabularies.0.refresh="never"'
    build(built / "c.toml", built / "apart", (never,))
    write(built / "in", 2, 1)
    counted = Counted()
    build(built / "c.toml", built / "apart", (never,), counted)
    assert counted.kept["corpus"] >= FILES - 2
    assert counted.kept["tokens/char"] >= 1


def test_a_published_vocabulary_stays_and_the_release_says_whose_it_is(built: Path) -> None:
    never = 'vocabularies.0.refresh="never"'
    build(built / "c.toml", built / "out", ('vocabularies.0.refresh="when_changed"',))
    first = json.loads((built / "out" / "release.json").read_text())
    write(built / "in", 2, 1)
    build(built / "c.toml", built / "out", (never,))
    second = json.loads((built / "out" / "release.json").read_text())
    assert second["corpus"] != first["corpus"]
    assert second["vocabulary"] == first["vocabulary"]
    assert second["vocabulary_corpus"] == first["vocabulary_corpus"]
    assert first["vocabulary_corpus"]["char"].startswith(first["corpus"].split("/")[-1])
    build(built / "c.toml", built / "out", (never, "vocabularies.0.size=350"))
    third = json.loads((built / "out" / "release.json").read_text())
    assert third["vocabulary"] != first["vocabulary"]
    assert third["vocabulary_corpus"]["char"].startswith(third["corpus"].split("/")[-1])


def test_a_damaged_unit_is_made_again(built: Path) -> None:
    for part in (built / "out" / "documents").rglob("*.parquet"):
        os.truncate(part, 10)
    write(built / "in", 2, 1)
    assert rebuilt(built).kept["documents/notes"] == 0


def test_units_are_copied_where_there_are_no_links(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_paths: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    write(built / "in", 2, 1)
    assert rebuilt(built).kept["documents/notes"] == FILES - 1


CHANGES: dict[str, Callable[[Path, int], None]] = {
    "write": lambda folder, number: write(folder / "in", number, 0),
    "rewrite": lambda folder, number: write(folder / "in", number, 1),
    "remove": lambda folder, number: (folder / "in" / f"f{number}.jsonl").unlink(missing_ok=True),
}


@fewest
@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(CHANGES)), st.integers(1, FILES + 1), st.sets(st.integers(0, FILES), max_size=2)),
        min_size=1,
        max_size=3,
    )
)
def test_any_sequence_of_changes_gives_the_bytes_of_a_build_from_nothing(tmp_path_factory, changes) -> None:
    folder = tmp_path_factory.mktemp("sequence")
    project(folder)
    build(folder / "c.toml", folder / "out")
    for change, number, excluded in changes:
        CHANGES[change](folder, number)
        urls = json.dumps([f"https://h{one % 4}.example/{one}" for one in sorted(excluded)])
        again, anew = again_and_anew(folder, (f"exclude.urls={urls}",))
        assert again == anew


def test_a_unit_is_not_looked_for_where_there_is_no_other_dataset(tmp_path: Path) -> None:
    assert kept.keep(files.join(str(tmp_path), "none", "f1"), []) == []
