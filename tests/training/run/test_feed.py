import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import ROOT

from pipelines.contract import manifest
from pipelines.contract.manifest import DatasetError
from pipelines.contract.tokenizers.families import SpecialsError
from training.data.ahead import in_order
from training.data.config import FeedConfig
from training.data.order.mixture import MixtureError, quotas
from training.data.order.sampler import MAX_SLOT
from training.data.rows.batch import Examples
from training.data.tasks import task_mixture
from training.objectives.configured import ObjectiveError
from training.run.feed import Feed, FeedError, digest, open_feed, shares

STEPS = 6
BATCH_ROWS = 11  # a prime: no world but 1 divides it

TASKS = [{"inputs": f"what comes after {n} of {n * n}", "targets": f"the number {n + 1}"} for n in range(40)]

OBJECTIVES: dict[str, dict[str, Any]] = {
    "causal_lm": {"objective": {"name": "causal_lm"}},
    "causal_lm of documents": {"objective": {"name": "causal_lm"}, "rows": {"document_boundaries": True}},
    "masked_lm": {"objective": {"name": "masked_lm"}},
    "masked_lm of whole words": {"objective": {"name": "masked_lm", "whole_words": True, "next_sentence": False}},
    "text_infilling": {"objective": {"name": "text_infilling", "random_share": 0.1}},
    "span_corruption": {"objective": {"name": "span_corruption"}},
    "ul2": {"objective": {"name": "ul2"}},
    "stages": {
        "objective": {"name": "causal_lm"},
        "data": {"stages": [{"until_step": 2, "mixture": {"books": 1}}, {"mixture": {"books": 1, "wiki": 2}}]},
    },
    "tasks": {
        "objective": {"name": "span_corruption", "tasks": [{"name": "next", "path": "tasks.jsonl"}], "task_limit": 50},
        "data": {"temperature": 2.0, "max_epochs": 3.0},
    },
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path], documents: Any) -> Path:
    """A folder with a tokens dataset of all four families' pieces, and a task."""
    folder = tmp_path_factory.mktemp("feed")
    make_dataset(folder / "tokens", documents, families=("bert", "gpt", "bart", "t5"), sentence_tokens=8)
    (folder / "tasks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in TASKS))
    return folder


def config(place: Path, name: str = "causal_lm", **data: Any) -> FeedConfig:
    found = json.loads(json.dumps(OBJECTIVES[name]).replace("tasks.jsonl", str(place / "tasks.jsonl")))
    sections = {"data": {"tokens": str(place / "tokens"), "batch_rows": BATCH_ROWS}, "rows": {"length": 24}}
    for section in sections:
        sections[section] |= found.get(section, {})
    sections["data"] |= data
    return FeedConfig.model_validate(sections | {"objective": found["objective"]})


def feed(place: Path, name: str = "causal_lm", **data: Any) -> Feed:
    return open_feed(config(place, name, **data), folder=place / "rows", steps=STEPS)


def joined(pieces: list[Examples]) -> Examples:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}


def digests(feed: Feed, first_step: int, world: int, workers: int) -> list[str]:
    """Of every global batch, put together again from the micro-batches of all ranks."""
    micro_batches = 1 + (world + workers) % 2 if world < 5 else 1
    ranks = [
        feed.batches(first_step, rank=rank, world=world, workers=workers, micro_batches=micro_batches) for rank in range(world)
    ]
    out: list[str] = []
    for number, of_ranks in enumerate(zip(*ranks, strict=True)):
        assert {step for step, _ in of_ranks} == {first_step + number}
        assert all(len(pieces) == micro_batches for _, pieces in of_ranks)
        out.append(digest(joined([piece for _, pieces in of_ranks for piece in pieces])))
    return out


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_global_batch_is_the_same_for_every_world_every_number_of_workers_and_every_first_step(
    place: Path, name: str
) -> None:
    expected = [digest(feed(place, name).batch(step)) for step in range(STEPS)]
    assert len(set(expected)) == STEPS
    opened = feed(place, name)  # anew, from the index that is there
    for world in (1, 2, 3, 4, 8):
        for workers in (0, 1, 4):
            first = (world + workers) % STEPS
            assert digests(opened, first, world, workers) == expected[first:], (world, workers)
    for first in range(STEPS + 1):
        assert digests(opened, first, 3, 0) == expected[first:]


def test_an_example_depends_on_its_place_and_on_nothing_beside_it(place: Path) -> None:
    opened = feed(place, "text_infilling")
    whole = opened.batch(3)
    for first, count in ((0, 1), (4, 3), (10, 1), (2, 9)):
        for name, values in opened.batch(3, first, count).items():
            assert np.array_equal(values, whole[name][first : first + count])
    assert digest(feed(place, "text_infilling", seed=2).batch(3)) != digest(whole)


CONSUMER = """
import json, signal, sys, time
from training.data.config import FeedConfig
from training.run.feed import digest, open_feed
import numpy as np

config, folder, first, world, workers, mode = sys.argv[1:]
if mode == "term":
    def stop(*_):
        raise SystemExit(143)
    signal.signal(signal.SIGTERM, stop)
feed = open_feed(FeedConfig.model_validate_json(config), folder=folder)
ranks = [feed.batches(int(first), rank=rank, world=int(world), workers=int(workers)) for rank in range(int(world))]
while True:
    of_ranks = [next(rank) for rank in ranks]
    pieces = [piece for _, pieces in of_ranks for piece in pieces]
    whole = {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]}
    print(of_ranks[0][0], digest(whole), flush=True)
    time.sleep(0.002)
"""


def consumer(place: Path, name: str, first: int, world: int, workers: int, mode: str = "run") -> subprocess.Popen[str]:
    arguments = [config(place, name, max_epochs=None).model_dump_json(), str(place / "rows"), first, world, workers, mode]
    return subprocess.Popen(
        [sys.executable, "-c", CONSUMER, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )


def lines(process: subprocess.Popen[str], count: int) -> Iterator[tuple[int, str]]:
    assert process.stdout
    for _ in range(count):
        step, made = process.stdout.readline().split()
        yield int(step), made


def test_a_killed_run_goes_on_with_the_same_batches_in_another_world(place: Path) -> None:
    first = consumer(place, "tasks", 0, world=3, workers=4)
    second: subprocess.Popen[str] | None = None
    try:
        seen = dict(lines(first, 7))
        first.send_signal(signal.SIGKILL)
        assert first.wait() == -signal.SIGKILL
        assert first.stdout
        seen |= {int(line.split()[0]): line.split()[1] for line in first.stdout.read().splitlines() if len(line.split()) == 2}
        second = consumer(place, "tasks", len(seen), world=2, workers=1)
        seen |= dict(lines(second, 5))
    finally:
        for process in (first, second):
            if process:
                process.kill()
                process.communicate()
    whole = open_feed(config(place, "tasks", max_epochs=None), folder=place / "rows")
    assert seen == {step: digest(whole.batch(step)) for step in range(len(seen))}


def test_a_process_that_is_asked_to_stop_ends_with_its_threads(place: Path) -> None:
    processes = {mode: consumer(place, "causal_lm", 0, world=2, workers=4, mode=mode) for mode in ("term", "run")}
    try:
        for process in processes.values():
            assert len(list(lines(process, 3))) == 3
            process.send_signal(signal.SIGTERM)
        assert processes["term"].wait(timeout=300) == 143
        assert processes["run"].wait(timeout=300) == -signal.SIGTERM
    finally:
        for process in processes.values():
            process.kill()
            process.communicate()


def feed_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("feed")]


def test_closing_the_batches_ends_the_threads(place: Path) -> None:
    batches = open_feed(config(place), folder=place / "rows").batches(workers=3, ahead=4)
    assert [next(batches)[0] for _ in range(3)] == [0, 1, 2]
    assert feed_threads()
    batches.close()  # type: ignore[attr-defined]
    assert not feed_threads()


def test_an_error_in_a_thread_is_raised_at_its_turn_with_its_message() -> None:
    def make(item: int) -> int:
        time.sleep(0.01 if item % 2 else 0)
        if item == 5:
            raise ValueError("shard 5 is broken")
        return item * item

    made = in_order(make, range(100), workers=4, ahead=3)
    assert [next(made) for _ in range(5)] == [(n, n * n) for n in range(5)]
    with pytest.raises(ValueError, match="shard 5 is broken"):
        next(made)
    assert not feed_threads()
    assert list(made) == []


def test_no_more_is_made_ahead_than_was_asked_for() -> None:
    made: list[int] = []
    items = in_order(made.append, range(100), workers=2, ahead=3)
    next(items)
    deadline = time.monotonic() + 300
    while len(made) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)  # in which a fifth would be made
    assert len(made) == 4
    items.close()  # type: ignore[attr-defined]


def test_slices_of_a_batch_follow_each_other_and_differ_by_one_row_at_most() -> None:
    for rows in range(1, 40):
        for parts in range(1, rows + 1):
            sizes = np.diff(shares(rows, parts))
            assert sizes.sum() == rows and sizes.max() - sizes.min() <= 1 and sizes.min() >= 1


def test_a_stage_of_the_mixture_begins_at_its_step(place: Path) -> None:
    opened = feed(place, "stages")
    books = opened.index.streams[0]
    assert books.source == "books" and books.first == 0
    of_books = [(opened.rows(step) < books.rows).mean() for step in range(STEPS)]
    assert of_books[:2] == [1, 1]
    assert all(share < 1 for share in of_books[2:])


def test_tasks_stand_among_the_rows_of_text_with_their_own_examples(place: Path) -> None:
    opened = feed(place, "tasks")
    numbers = np.concatenate([opened.rows(step) for step in range(STEPS)])
    is_task = numbers >= len(opened.index)
    assert 10 < is_task.sum() < 50  # rates 50 : 40 of text and task
    assert opened.tasks is not None
    step = int(np.flatnonzero(is_task)[0]) // BATCH_ROWS
    at = int(np.flatnonzero(is_task)[0]) % BATCH_ROWS
    task = TASKS[int(opened.rows(step)[at]) - len(opened.index)]
    row = opened.batch(step, at, 1)
    ids = row["inputs"][0, : row["lengths"][0] - 1]
    assert task["inputs"].startswith(opened.dataset.tokenizer.decode(ids)) and len(ids) > 5


def test_figures_say_what_each_source_gives_and_what_packing_costs(place: Path) -> None:
    opened = feed(place, "tasks")
    found = {figures.source: figures for figures in opened.figures()}
    assert list(found) == ["books", "wiki", "task:next"]
    assert sum(figures.draws or 0 for figures in found.values()) == STEPS * BATCH_ROWS
    for name, stream in zip(("books", "wiki"), opened.index.streams, strict=True):
        assert found[name].rows == stream.rows
        assert found[name].cropped_share == 0
        assert 0 <= (found[name].padding_share or 0) < 0.05
        assert found[name].epochs == (found[name].draws or 0) / stream.rows
    assert found["task:next"].rows == 40
    assert all((figures.epochs or 0) <= 3 for figures in found.values())


@pytest.mark.parametrize(("name", "specials"), [("masked_lm", 3), ("masked_lm of whole words", 2)])
def test_figures_count_the_text_that_rows_read(place: Path, name: str, specials: int) -> None:
    """Of pairs, which are cut ten times and stand beside other documents, too: all that is read is counted."""
    opened = feed(place, name)
    numbers = np.arange(len(opened.index))
    read = opened.examples(numbers, numbers.astype(np.uint64))["lengths"] - specials
    of_streams = [int(read[stream.first : stream.first + stream.rows].sum()) for stream in opened.index.streams]
    assert [opened.text_tokens(of) for of in opened.index.figures()] == [*of_streams, sum(of_streams)]
    for figures, stream, tokens in zip(opened.figures(), opened.index.streams, of_streams, strict=True):
        share = (figures.draws or 0) / stream.rows
        assert figures.tokens == round(share * tokens)
        assert figures.epochs == pytest.approx(share * (tokens / stream.tokens if name == "masked_lm" else 1), rel=0.01)


def test_without_planned_steps_nothing_is_drawn(place: Path) -> None:
    assert open_feed(config(place), folder=place / "rows").figures()[0].draws is None


def test_the_identity_changes_with_all_that_changes_batches_and_with_nothing_else(place: Path) -> None:
    one = feed(place)
    assert json.loads(json.dumps(one.identity())) == one.identity()
    assert one.fingerprint == feed(place).fingerprint == feed(place, verify="always").fingerprint
    others = [feed(place, name) for name in OBJECTIVES if name != "causal_lm"]
    others += [
        feed(place, seed=7),
        feed(place, batch_rows=12),
        feed(place, mixture={"books": 1}),
        feed(place, mixture={"wiki": 1}),
    ]
    others += [feed(place, temperature=2), feed(place, temperature=3), feed(place, max_epochs=2)]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 1 + len(others)


def test_another_split_is_gone_through_in_one_order_without_a_mixture(place: Path) -> None:
    settings = config(place, "stages", batch_rows=1000)
    opened = open_feed(settings, folder=place / "rows", split="validation")
    count = len(opened.index)
    assert sorted(opened.rows(0, 0, count).tolist()) == list(range(count))
    assert len(opened.batch(0, 0, count)["inputs"]) == count


def test_what_is_wrong_is_said_before_the_first_step(place: Path, dataset_folder: Path) -> None:
    rows = place / "rows"
    with pytest.raises(DatasetError, match=r"the split 'test' is empty; the dataset has \['train', 'validation'\]"):
        open_feed(config(place), folder=rows, split="test")
    with pytest.raises(
        MixtureError, match=r"data\.mixture: there is no source 'web'; the sources with rows are \['books', 'wiki'\]"
    ):
        feed(place, mixture={"web": 1, "books": 1})
    with pytest.raises(MixtureError, match=r"data\.stages\.1\.mixture: there is no source 'web'"):
        feed(place, "stages", stages=[{"until_step": 2, "mixture": {"books": 1}}, {"mixture": {"web": 1}}])
    with pytest.raises(SpecialsError, match=r"has no piece \[PAD\], \[CLS\], \[SEP\] \(and 1 more\), which bert needs"):
        feed(place, "masked_lm", tokens=str(dataset_folder))
    with pytest.raises(
        FeedError, match=r"the train split has \d+ rows of 24 tokens, fewer than one batch of 5,000; lower data.batch"
    ):
        feed(place, batch_rows=5000)
    with pytest.raises(MixtureError, match=r"train\.steps: the training draws 66,000 rows, more than data\.max_epochs = 2"):
        open_feed(config(place, max_epochs=2), folder=rows, steps=6000)
    with pytest.raises(MixtureError, match=r"data\.max_epochs: needs the planned number of steps"):
        open_feed(config(place, max_epochs=2), folder=rows)
    with pytest.raises(FeedError, match="11 rows are too few for 4 processes with 3 micro-batches each"):
        feed(place).batches(world=4, micro_batches=3)


@pytest.mark.parametrize(
    ("objective", "rows", "message"),
    [
        (
            {"name": "span_corruption"},
            {"length": 2048},
            "makes 114 spans, but the vocabulary has 100 sentinels; lower rows.length",
        ),
        ({"name": "masked_lm"}, {"packing": "document"}, "rows.packing: 'document' does not go with masked_lm and next_sentence"),
        ({"name": "masked_lm", "next_sentence": False}, {"packing": "pairs"}, "'pairs' does not go with masked_lm; pairs are"),
        ({"name": "span_corruption"}, {"document_boundaries": True}, "rows.document_boundaries: belongs to causal_lm"),
        ({"name": "causal_lm"}, {"packing": "sentences"}, "rows.packing: 'sentences' has no end of text, which causal_lm learns"),
    ],
)
def test_sections_that_do_not_go_together_are_refused(
    place: Path, objective: dict[str, Any], rows: dict[str, Any], message: str
) -> None:
    data = {"tokens": str(place / "tokens"), "batch_rows": 4}
    settings = FeedConfig.model_validate({"data": data, "rows": {"length": 24} | rows, "objective": objective})
    with pytest.raises((ObjectiveError, ValueError), match=message):
        open_feed(settings, folder=place / "rows")


def test_places_of_a_batch_are_inside_it(place: Path) -> None:
    opened = feed(place)
    whole = opened.rows(2)
    assert whole.tolist() == opened.sampler.rows(2 * BATCH_ROWS, BATCH_ROWS).tolist()
    assert opened.rows(2, 4).tolist() == whole[4:].tolist()
    assert opened.rows(2, 4, 7).tolist() == whole[4:].tolist()
    assert opened.rows(2, 4, 0).tolist() == opened.rows(2, BATCH_ROWS).tolist() == []
    for first, count in ((4, 8), (-1, 3), (4, -1), (12, 0)):
        with pytest.raises(AssertionError):
            opened.rows(2, first, count)


def test_batches_are_by_default_all_of_one_process_in_one_piece(place: Path) -> None:
    opened = feed(place)
    made = list(opened.batches())
    assert [step for step, _ in made] == list(range(STEPS))
    assert [digest(piece) for _, (piece,) in made] == [digest(opened.batch(step)) for step in range(STEPS)]
    endless = open_feed(config(place), folder=place / "rows").batches(STEPS + 3)
    assert next(endless)[0] == STEPS + 3
    assert len(list(opened.batches(world=BATCH_ROWS, rank=BATCH_ROWS - 1))) == STEPS
    assert [len(piece["inputs"]) for piece in next(opened.batches(micro_batches=BATCH_ROWS))[1]] == [1] * BATCH_ROWS
    with pytest.raises(FeedError, match=r"data\.batch_rows: 11 rows are too few for 12 processes with 1 micro-batches"):
        opened.batches(world=12)
    for wrong in ({"rank": 1}, {"rank": -1}, {"first_step": -1}, {"workers": -1}, {"ahead": 0}):
        with pytest.raises(AssertionError):
            opened.batches(**wrong)


def test_steps_are_prepared_ahead_of_their_use(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = Feed.batch
    monkeypatch.setattr(Feed, "batch", lambda self, step, *places: made.append(step) or original(self, step, *places))
    batches = feed(place).batches(workers=1)
    next(batches)
    deadline = time.monotonic() + 300
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    batches.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2]  # two ahead, by default


@pytest.mark.parametrize("name", ["causal_lm", "masked_lm", "tasks"])
def test_tokens_are_those_that_a_model_reads(place: Path, name: str) -> None:
    opened = feed(place, name)
    batch = opened.batch(1)
    if name == "causal_lm":
        assert opened.tokens(batch) == int((batch["targets"] >= 0).sum()) == opened.counts(batch)["tokens"]
    else:
        assert opened.tokens(batch) == int(batch["lengths"].sum()) > opened.counts(batch)["tokens"]


def test_examples_of_tasks_alone_of_text_alone_and_of_both(place: Path) -> None:
    opened = feed(place, "tasks")
    rows = len(opened.index)
    keys = np.arange(1, 5, dtype=np.uint64)
    both = opened.examples(np.array([rows, 0, rows + 39, rows - 1]), keys)
    tasks = opened.examples(np.array([rows, rows + 39]), keys[[0, 2]])
    text = opened.examples(np.array([0, rows - 1]), keys[[1, 3]])
    for name, values in both.items():
        assert values.dtype == tasks[name].dtype == text[name].dtype
        assert np.array_equal(values[[0, 2]], tasks[name]) and np.array_equal(values[[1, 3]], text[name])
    assert opened.tasks is not None
    assert np.array_equal(tasks["inputs"], opened.tasks.objective(opened.tasks.index.gather(np.array([0, 39])))["inputs"])


def test_a_source_that_is_not_drawn_has_no_draws(place: Path) -> None:
    found = {figures.source: figures for figures in feed(place, mixture={"books": 1}).figures()}
    assert (found["wiki"].draws, found["wiki"].epochs, found["wiki"].tokens) == (0, 0.0, 0)
    assert found["books"].draws == STEPS * BATCH_ROWS
    opened = open_feed(config(place), folder=place / "rows")
    assert [(f.draws, f.epochs, f.tokens) for f in opened.figures()] == [(None, None, None)] * 2


def test_figures_of_a_task_are_its_examples(place: Path) -> None:
    opened = feed(place, "tasks")
    figures = opened.figures()[-1]
    assert opened.tasks is not None
    assert (figures.source, figures.rows, figures.padding_share) == ("task:next", 40, None)
    assert figures.cropped_share == opened.tasks.objective.cropped(opened.tasks.index)["task:next"] / 40
    assert figures.draws == opened.sampler.draws(STEPS * BATCH_ROWS)[1] and figures.epochs == figures.draws / 40
    assert figures.tokens == round(figures.draws * opened.tasks.index.streams[0].tokens / 40)


def test_tasks_follow_the_rows_and_are_mixed_by_their_examples(place: Path) -> None:
    opened = feed(place, "tasks", temperature=None, max_epochs=None)
    assert opened.tasks is not None
    rows = len(opened.index)
    assert [(s.source, s.first) for s in opened.sampler.streams] == [
        ("books", 0),
        ("task:next", rows),
        ("wiki", opened.index.streams[0].rows),
    ]
    weights = task_mixture(
        {stream.source: float(stream.rows) for stream in opened.index.streams}, rows, opened.tasks.index.streams, 50, 1.0
    )
    (segment,) = opened.sampler.segments
    names = sorted(weights)
    assert segment.quotas.slots == tuple(quotas([weights[name] for name in names]).tolist())


def test_the_identity_of_a_feed_is_this(place: Path) -> None:
    opened = feed(place, "tasks")
    assert opened.tasks is not None
    (segment,) = opened.sampler.segments
    quota = {"slots": list(segment.quotas.slots), "every": list(segment.quotas.every), "heir": segment.quotas.heir}
    assert opened.identity() == {
        "tokens dataset": opened.dataset.fingerprint,
        "tokenizer": opened.dataset.tokenizer.sha256,
        "row index": opened.index.fingerprint,
        "task index": opened.tasks.index.fingerprint,
        "sampler version": 1,
        "sources": ["books", "task:next", "wiki"],
        "mixture": manifest.fingerprint({"segments": [{"first_slot": 0, **quota}]})[:12],
        "planned steps": STEPS,
        "seed": opened.config.data.seed,
        "batch_rows": BATCH_ROWS,
        "objective version": 1,
        "text to text version": 1,
        "objective": opened.config.objective.model_dump(mode="json", exclude={"tasks"}),
        "document_boundaries": False,
    }
    plain = feed(place).identity()
    assert [plain[name] for name in ("task index", "mixture", "planned steps", "text to text version")] == [None] * 4
    assert opened.fingerprint == manifest.fingerprint(opened.identity())


def test_the_digest_is_of_names_types_shapes_and_values() -> None:
    one = {"b": np.arange(6, dtype=np.int64).reshape(2, 3), "a": np.ones(2, np.int32)}
    wanted = hashlib.blake2b(digest_size=16)
    wanted.update(b"a <i4 (2,)\n" + one["a"].tobytes() + b"b <i8 (2, 3)\n" + one["b"].tobytes())
    assert digest(one) == wanted.hexdigest() == digest({"a": one["a"], "b": np.asfortranarray(one["b"])})


def test_a_batch_may_be_as_large_as_the_split(place: Path) -> None:
    rows = len(feed(place).index)
    assert len(feed(place, batch_rows=rows).batch(0)["inputs"]) == rows
    with pytest.raises(
        FeedError, match=rf"the train split has {rows} rows of 24 tokens, fewer than one batch of {rows + 1}; lower"
    ):
        feed(place, batch_rows=rows + 1)
    many = open_feed(config(place, batch_rows=5000), folder=place / "rows", split="validation")
    assert len(many.index) < 5000 and many.tasks is None


def test_a_bound_on_epochs_is_of_the_train_split_and_its_planned_steps(place: Path) -> None:
    opened = open_feed(config(place, max_epochs=2), folder=place / "rows", steps=3)
    assert opened.sampler.end == 3 * BATCH_ROWS and opened.identity()["planned steps"] == 3
    other = open_feed(config(place, max_epochs=2), folder=place / "rows", split="validation")
    assert other.sampler.end == MAX_SLOT
