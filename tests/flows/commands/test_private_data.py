"""Private data in a whole build: masked in what is published, counted in the report, found again by explain."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows import drive
from pipelines import config as corpus_config
from pipelines.contract.errors import UserError
from pipelines.contract.verify import verify
from pipelines.release import published_folders
from pipelines.units.context import Context

SENTENCE = "The mill stood below the weir, and its wheel turned by night when the river was high enough. "
TEXTS = {
    "a": f"{SENTENCE * 3}Write to jane@mail.org, or call +49 30 901820.",
    "b": f"{SENTENCE * 3}Nobody lives here.",
    "c": " ".join(f"guest{number}@inn.org" for number in range(12)),
}
CONFIG = """
[corpus]
name = "inn"
[[sources]]
name = "records"
kind = "records"
root = "in"
snapshot = "1"
id_field = "id"
[deduplicate]
near = false
[language]
enabled = false
[quality]
rules = []
classifier = false
[private]
email = "drop"
[expectations]
dropped_share_limit = 1
"""


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Build the inn's corpus with overrides; its report and its folder."""
    folder = tmp_path_factory.mktemp("private")
    (folder / "in").mkdir()
    (folder / "in" / "a.jsonl").write_text("".join(json.dumps({"id": key, "text": text}) + "\n" for key, text in TEXTS.items()))
    (folder / "inn.toml").write_text(CONFIG)

    def run(name: str, *overrides: str) -> tuple[dict[str, Any], Path]:
        settings = corpus_config.load(folder / "inn.toml", overrides)
        return drive.build(Context(settings, str(folder / name)), gated=False).report, folder / name

    return run


def rows(out: Path, dataset: str, table: str) -> list[dict[str, Any]]:
    folder = published_folders(str(out))[dataset]
    return [row for path in sorted(Path(folder).glob(f"{table}/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_what_is_published_has_masks_and_the_tables_know_them(build) -> None:
    report, out = build("masked")
    published = {row["text"] for row in rows(out, "corpus", "documents")}
    assert published == {f"{SENTENCE * 3}Write to <EMAIL>, or call <PHONE>.", TEXTS["b"]}
    assert [(row["type"], row["kind"]) for row in rows(out, "corpus", "masks")] == [
        ("email", "email"),
        ("phone", "international"),
    ]
    assert report["private"] == {"und": {"email": 1, "phone": 1}}
    (drop,) = [row for row in rows(out, "corpus", "drops") if row["stage"] == "private"]
    assert (drop["reason"], drop["detail"], drop["text"]) == ("private_data", "12 email", TEXTS["c"])
    assert all(verify(folder).is_sound for folder in published_folders(str(out)).values())


def test_the_report_shows_nothing_that_is_masked(build) -> None:
    _, out = build("masked")
    report = (out / "report.json").read_text() + (out / "report.html").read_text()
    assert "jane@mail.org" not in report and "901820" not in report


def test_other_actions_change_the_corpus_and_nothing_before_it(build) -> None:
    _, masked = build("masked")
    before = json.loads((masked / "release.json").read_text())
    report, out = build("masked", 'private.phone="off"', 'private.email="mask"')
    after = json.loads((out / "release.json").read_text())
    assert before["corpus"] != after["corpus"]
    assert {name: before[name] for name in ("documents", "clusters", "repeats")} == {
        name: after[name] for name in ("documents", "clusters", "repeats")
    }
    assert report["private"] == {"und": {"email": 13}}
    texts = {row["text"] for row in rows(out, "corpus", "documents")}
    assert f"{SENTENCE * 3}Write to <EMAIL>, or call +49 30 901820." in texts
    assert " ".join(["<EMAIL>"] * 12) in texts


def test_names_are_masked_by_a_model_of_ours(build, judge: Callable[[str], str], tmp_path: Path) -> None:
    texts = ("old people told many stories", "the river stood near", "jane@mail.org told people")
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"id": text, "text": text}) + "\n" for text in texts))
    names = (f'private.names="{judge("persons")}"', 'private.name_labels=["group"]', f'sources.0.root="{tmp_path}"')
    report, out = build("names", *names)
    published = {row["text"] for row in rows(out, "corpus", "documents")}
    assert published == {"old <PERSON> told many stories", "the river stood near", "<EMAIL> told <PERSON>"}
    assert report["private"] == {"und": {"email": 1, "person": 2}}
    kinds = {(row["type"], row["kind"], row["start"], row["characters"]) for row in rows(out, "corpus", "masks")}
    assert kinds == {("person", "group", 4, 6), ("email", "email", 0, 13), ("person", "group", 13, 6)}
    assert all(verify(folder).is_sound for folder in published_folders(str(out)).values())


def test_a_model_of_names_that_cannot_be_used_stops_the_build_at_once(build, judge: Callable[[str], str]) -> None:
    for run, said in ((judge("persons"), "has no label 'person'"), (judge("waters"), "is a classification")):
        with pytest.raises(UserError, match=f"private.names: .*: {said}"):
            build("refused", f'private.names="{run}"')
    build("off", f'private.names="{judge("waters")}"', "private.person=off")
