"""The flow on a real Prefect server: two real builds, trainings in processes of their own, one story of a model.

One incremental build lives through all of it; where a retraining is not about the build, it gets that one's output.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from places import FIXTURES
from prefect.artifacts import Artifact
from prefect.client.schemas.objects import State

from flows.commands import main as cli
from flows.deployments import promotion
from flows.deployments.promotion import RetrainError
from flows.deployments.retrain import NOT_PROMOTED, as_markdown, as_toml, mixture, retrain, vocabulary_number
from flows.program import corpusmill
from pipelines.contract import manifest
from pipelines.contract.manifest import DatasetError
from pipelines.datasets import joined_tokens

BOOKS = FIXTURES / "tiny" / "books"
CONFIG = """
[corpus]
name = "second"
validation_share = 0.4  # of works, by a hash of each: here some of the new ones

[[sources]]
name = "novels"
kind = "books"
root = "books"
paths = ["*.txt"]
snapshot = "2"
curated = true

[[sources]]
name = "old"  # nothing of it is new
kind = "books"
root = "books"
paths = ["*.html"]
snapshot = "2"

[language]
keep = ["en"]
model = "{model}"

[[vocabularies]]
name = "tiny"
size = 500  # of another tokenizer: it is not made
threads = 1
"""
TOWNS = ("Cray", "Merrin", "Tolver", "Ashby", "Penhale", "Rook", "Varden", "Istle")
WORDS = ("lamp", "kiln", "ferry", "orchard", "bell", "ladder", "harbour", "thimble", "rope", "window", "bread", "lantern", "cart")


def story_of(number: int) -> str:
    """A few hundred words that no other number has in this order."""
    town = TOWNS[number % len(TOWNS)]
    pick = [WORDS[(number * 7 + at * (number + 3)) % len(WORDS)] for at in range(60)]
    lines = [f"In {town} the {a} stood behind the {b}, and nobody who came from {TOWNS[(number + at) % 8]} asked about the {c}."
             for at, (a, b, c) in enumerate(zip(pick[::3], pick[1::3], pick[2::3], strict=True))]  # fmt: skip
    return (
        f"THE {pick[0].upper()} OF {town.upper()}\n\n"
        + "\n\n".join(" ".join(lines[at : at + 4]) for at in range(0, 20, 4))
        + "\n"
    )


@pytest.fixture(scope="module")
def sources(language_model, tmp_path_factory) -> Path:
    """A folder with a config and a second snapshot of the novels: one that was published, and new ones."""
    folder = tmp_path_factory.mktemp("second")
    (folder / "books").mkdir()
    shutil.copy(BOOKS / "ferry.html", folder / "books")
    for number in range(8):
        (folder / "books" / f"story{number}.txt").write_text(story_of(number))
    (folder / "second.toml").write_text(CONFIG.format(model=language_model))
    return folder


@pytest.fixture(scope="module")
def start(tiny, tiny_run, tmp_path_factory) -> Path:
    """The model that is current at first: it has learnt a little of the tiny corpus, which it names from where it ran."""
    run = tmp_path_factory.mktemp("start") / "run"
    where = ["--set", f"data.tokens={tiny.out.name}", "--set", f"run.out={run}", "--set", "train.steps=3"]
    command = corpusmill("pretrain", str(tiny_run), *where)
    subprocess.run(command, check=True, capture_output=True, cwd=tiny.out.parent)
    return run


Retrain = Callable[..., "State"]


@pytest.fixture
def again(server, sources, start, tiny, tiny_run, monkeypatch) -> Retrain:
    """Run the flow where the first model was trained; parameters and overrides of the training to be changed."""
    monkeypatch.chdir(tiny.out.parent)

    def run(out: Path, when: str | None = "2026-11", *overrides: str, **parameters: object) -> State:
        asked = {
            "corpus_config": str(sources / "second.toml"),
            "pretrain_config": str(tiny_run),
            "start": str(start),
            "out": str(out),
            "when": when,
            "workers": 1,
            "held_out_rows": 16,
            "pretrain_overrides": ["train.steps=20", *overrides],
        }
        return retrain(**{**asked, **parameters}, return_state=True)

    return run


@pytest.fixture(scope="module")
def story() -> dict[str, Path]:
    """What the first test leaves to the others."""
    return {}


def built(folder: Path, when: str, build: Path) -> None:
    """Give a retraining a finished build."""
    shutil.copytree(build, folder / "retrains" / when / "build")


def verdict(out: Path, when: str) -> dict[str, object]:
    return json.loads((out / "retrains" / when / "verdict.json").read_text())


def test_a_failed_training_goes_on_where_it_stopped_and_a_better_model_is_promoted(again, start, tiny, tmp_path_factory, story):
    out = tmp_path_factory.mktemp("retrained") / "model"
    state = again(out, "2026-11", "data.batch_rows=100000")
    assert state.is_failed()
    assert "data.batch_rows" in state.message
    folder = out / "retrains" / "2026-11"
    assert not (out / "current").exists() and not (folder / "verdict.json").exists()
    release = (folder / "build" / "release.json").stat()
    story["build"] = folder / "build"

    state = again(out, None)  # nothing names it: it is not finished, and so the one to go on with
    assert (state.is_completed(), state.name) == (True, "Completed"), state.message
    assert (folder / "build" / "release.json").stat().st_ino == release.st_ino
    assert (out / "current").resolve() == folder
    found = verdict(out, "2026-11")
    assert found["promoted"] and found["reason"] == state.message
    assert found["candidate_loss"] <= found["current_loss"]
    assert found["candidate"] == "retrains/2026-11/run"
    config = json.loads((folder / "run" / "config.json").read_text())
    assert config["train"]["init_from"] == str(start)
    assert config["data"]["mixture"]["novels@2026-11"] == 0.5
    assert sum(config["data"]["mixture"].values()) == pytest.approx(1)
    first = json.loads((folder / "run" / "metrics.jsonl").read_text().splitlines()[0])
    assert found["current_loss"] == pytest.approx(first["validation_loss"], rel=1e-6)  # both began as the same weights
    assert "| novels@2026-11 |" in Artifact.get("retrain").data
    assert str(out.parent) not in (folder / "verdict.json").read_text() + (folder / "plan.json").read_text()
    story["model"] = out


def test_the_build_has_only_what_is_new_and_the_tokenizer_of_the_model(tiny, story):
    (old,) = tiny.out.glob("tokens/tiny/*")
    (new,) = story["build"].glob("tokens/tiny/*")
    (joined,) = (story["model"] / "retrains" / "2026-11" / "tokens" / "tiny").iterdir()
    facts = [manifest.read(str(folder)).facts for folder in (old, new, joined)]
    assert len({of["tokenizer"]["sha256"] for of in facts}) == 1
    assert sum(counts["rows"] for split in facts[1]["tokens"].values() for counts in split["novels"].values()) == 8
    merged = facts[2]["tokens"]
    assert {split: sorted(sources) for split, sources in merged.items()} == {
        "train": ["crawl", "novels", "novels@2026-11", "tinywiki"],
        "validation": ["novels", "novels@2026-11", "tinywiki"],
    }
    for split, sources in facts[1]["tokens"].items():
        assert merged[split]["novels@2026-11"] == sources["novels"]
    assert cli.main(["verify", str(joined)]) == 0


def test_another_tokenizer_and_a_label_that_is_there_are_refused(tiny, story, tmp_path):
    (new,) = story["build"].glob("tokens/tiny/*")
    (old,) = tiny.out.glob("tokens/tiny/*")
    joined = joined_tokens.join(str(tmp_path), str(old), str(new), "2")
    assert joined_tokens.join(str(tmp_path), str(old), str(new), "2") == joined
    with pytest.raises(DatasetError, match=r"has a source novels@2 already; take another label than '2'"):
        joined_tokens.join(str(tmp_path), joined, str(new), "2")
    other = shutil.copytree(new, tmp_path / "other")
    path = other / "manifest.json"
    path.write_text(path.read_text().replace(manifest.read(str(new)).facts["tokenizer"]["sha256"], "0" * 64))
    with pytest.raises(DatasetError, match=r"has another tokenizer \(000000000000\) than .*: ids mean other pieces"):
        joined_tokens.join(str(tmp_path), str(old), str(other), "3")


def test_a_worse_candidate_is_kept_aside_and_says_why(again, story, tmp_path):
    built(tmp_path / "model", "bad", story["build"])
    state = again(tmp_path / "model", "bad", "train.learning_rate=10", "train.clip=1000000")
    assert (state.is_completed(), state.name) == (True, NOT_PROMOTED)
    found = verdict(tmp_path / "model", "bad")
    assert not found["promoted"] and "is not within the current model's" in found["reason"]
    assert found["candidate_loss"] is None or found["candidate_loss"] > found["current_loss"]
    assert not (tmp_path / "model" / "current").exists()
    assert (tmp_path / "model" / "retrains" / "bad" / "run" / "checkpoints" / "LATEST").exists()
    # A finished one is not done again, and how bad it was does not hold for the next.
    assert again(tmp_path / "model", "bad").name == NOT_PROMOTED


def test_the_next_one_begins_from_the_promoted_model_and_where_nothing_is_new_nothing_is_trained(again, story):
    state = again(story["model"], None)
    (when,) = {path.name for path in (story["model"] / "retrains").iterdir()} - {"2026-11"}
    assert len(when) == len("2026-11-24T030000")
    assert (state.name, state.message) == (NOT_PROMOTED, "there is no new document")
    plan = json.loads((story["model"] / "retrains" / when / "plan.json").read_text())
    assert (plan["number"], plan["base"]) == (2, "retrains/2026-11/run")
    assert [Path(corpus).name for corpus in plan["corpora"]] == ["out", "build"]
    assert (story["model"] / "current").resolve().name == "2026-11"
    assert not (story["model"] / "retrains" / when / "run").exists()


def test_a_second_one_at_the_same_time_fails_at_once(again, tmp_path):
    program = (
        "import sys, time\nfrom flows.lock import locked\n"
        "with locked(sys.argv[1]):\n print('held', flush=True)\n time.sleep(100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        state = again(tmp_path)
        holder.kill()
    assert state.is_failed()
    assert f"LockedError: {tmp_path}: process {holder.pid} on " in state.message
    assert not (tmp_path / "retrains").exists()


def test_a_start_that_is_no_run_and_a_name_that_is_no_folder_are_errors(again, tmp_path):
    state = again(tmp_path / "model", start=str(tmp_path / "nothing"))
    assert state.is_failed() and "nothing: has no config.json; name the folder of a finished pretraining run" in state.message
    state = again(tmp_path / "model", "../up")
    assert state.is_failed() and "when: '../up' is not the name of a folder" in state.message


def test_a_vocabulary_of_another_name_is_an_error(sources):
    config = str(sources / "second.toml")
    assert vocabulary_number(config, [], "tiny") == 0
    with pytest.raises(RetrainError, match=r"the model needs 'other', and the config has \['tiny'\]; add or rename one"):
        vocabulary_number(config, [], "other")


@pytest.mark.parametrize(
    ("candidate", "current", "tolerance", "promoted"),
    [
        (2.0, 2.0, 0.0, True),
        (2.0, 2.1, 0.0, True),
        (2.1, 2.0, 0.0, False),
        (2.1, 2.0, 0.11, True),
        (None, 2.0, 9.0, False),
        (None, None, 0.0, False),
        (2.0, None, 0.0, True),
    ],
)
def test_only_a_loss_that_is_finite_and_not_worse_is_promoted(candidate, current, tolerance, promoted):
    losses = {"candidate": candidate, "current": current, "rows": 16}
    found = promotion.compare("2026-11", "base", losses, tolerance, 7)
    assert (found.promoted, found.rows, found.new_tokens) == (promoted, 16, 7)


@pytest.mark.parametrize(("allowed", "promoted"), [(None, True), (0.3, True), (0.2, False)])
def test_no_source_may_become_worse_where_that_is_asked_for(allowed, promoted):
    losses = {"candidate": 4.0, "current": 4.5, "rows": 9, "sources": {"old": [3.25, 3.0], "new": [4.2, 5.5]}}
    found = promotion.compare("1", "base", losses, 0.0, 7, allowed)
    assert found.promoted is promoted
    if not promoted:
        assert found.reason == "its loss on held-out rows of old, 3.2500, is not within the current model's, 3.0000 + 0.2"
    unknown = losses | {"sources": {"old": [None, 3.0]}}
    assert promotion.compare("1", "base", unknown, 0.0, 7, allowed).promoted is (allowed is None)


@pytest.mark.parametrize(("limit", "promoted"), [(None, True), (0.3, True), (0.2, False)])
def test_what_the_model_knew_may_be_forgotten_up_to_a_limit(limit, promoted):
    losses = {"candidate": 4.0, "current": 4.5, "rows": 9, "sources": {}, "forgetting": {"old": [3.25, 3.0], "new": [None, 5.5]}}
    found = promotion.compare("1", "base", losses | {"forgetting": {"old": [3.25, 3.0]}}, 0.0, 7, None, limit)
    assert (found.promoted, found.forgetting) == (promoted, {"old": 0.25})
    if not promoted:
        assert found.reason == "it has forgotten old: its loss, 3.2500, is not within the current model's, 3.0000 + 0.2"
    broken = promotion.compare("1", "base", losses, 0.0, 7, None, limit)
    assert (broken.promoted, broken.forgetting) == (limit is None, {"old": 0.25, "new": None})
    assert "| old | +0.2500 |\n| new | not finite |" in as_markdown(broken, {})
    nothing = promotion.compare("1", "base", losses | {"forgetting": {}, "notes": ["x: gone"]}, 0.0, 7, None, limit)
    assert nothing.promoted is (limit is None)
    assert limit is None or nothing.reason == "what it has forgotten could not be measured: x: gone"


def run_in(folder: Path) -> Path:
    """What promotion.py looks at of a run."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"data": {"tokens": "nowhere", "name": None}}))
    return folder


def test_the_link_changes_only_when_the_base_is_still_current(tmp_path):
    start = run_in(tmp_path / "start")
    out = tmp_path / "model"
    first = promotion.begin(out, str(start), ["a"], None, "1")
    assert (first.start.base, first.start.number) == ("../start", 1)
    second = promotion.begin(out, str(start), ["a"], "2", "x")
    good = {"candidate": 1.0, "current": 2.0, "rows": 1}
    run_in(second.run)
    second.decide(promotion.compare("2", second.start.base, good, 0, 1))
    assert (out / "current").readlink() == Path("retrains/2")
    with pytest.raises(RetrainError, match=r"retrains/1: started from \.\./start, which is no longer the current model"):
        promotion.begin(out, str(start), ["a"], "1", "x")
    run_in(first.run)
    first.decide(promotion.compare("1", first.start.base, good, 0, 1))  # a late one does not take the place of a newer one
    assert (out / "current").readlink() == Path("retrains/2")

    third = promotion.begin(out, str(start), None, None, "3")
    assert (third.when, third.base, third.start.number) == ("3", second.run, 3)
    assert third.corpora[-1] == str(second.build)
    assert promotion.begin(out, str(start), None, None, "4").when == "3"  # not finished
    shutil.move(out, tmp_path / "moved")
    assert promotion.begin(tmp_path / "moved", str(start), None, None, "4").base == tmp_path / "moved" / "retrains" / "2" / "run"


def test_a_verdict_that_was_stopped_before_its_link_is_carried_out(tmp_path):
    this = promotion.begin(tmp_path / "model", str(run_in(tmp_path / "start")), ["a"], None, "1")
    run_in(this.run)
    found = promotion.compare("1", this.start.base, {"candidate": 1.0, "current": 2.0, "rows": 1}, 0, 1)
    this.decide(found)
    (tmp_path / "model" / "current").unlink()
    again = promotion.begin(tmp_path / "model", "gone", None, "1", "x")
    assert again.verdict() == found
    again.finish(found)
    assert (tmp_path / "model" / "current").readlink() == Path("retrains/1")


def test_old_and_new_share_the_rows_and_each_its_part_by_tokens():
    weights = mixture({"wiki": 300, "books": 100}, {"wiki@2": 50, "books@2": 150}, 0.2)
    assert {name: round(weight, 12) for name, weight in weights.items()} == {
        "wiki": 0.6,
        "books": 0.2,
        "wiki@2": 0.05,
        "books@2": 0.15,
    }
    assert math.isclose(sum(weights.values()), 1)
    assert as_toml({"wiki@2": 0.5, 'a"b': 1e-05}) == '{"wiki@2" = 0.5, "a\\"b" = 1e-05}'
