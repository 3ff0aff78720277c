"""Rows of an older dataset among those of a new one: exact shares, the same rows, and a resume that is bit-equal."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.contract.manifest import DatasetError
from pipelines.contract.settings import ConfigError
from training.checkpoints import store as checkpoint
from training.checkpoints.store import CheckpointError
from training.data.config import FeedConfig
from training.data.order.mixture import MixtureError, Stage, quotas, replaying
from training.data.shards import open_dataset, open_runs
from training.run.feed import Feed, digest, open_feed
from training.run.phases import bytes_per_row
from training.run.pretrain import pretrain
from training.run.progress import read_metrics

ROWS = 8


def numbered(first: int) -> list[str]:
    return [" ".join(str((n * n + number) % 89) for n in range(40)) for number in range(first, first + 12)]


@pytest.fixture(scope="module")
def new(dataset_folder: Path, make_dataset: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset with the tokenizer of the older one, a source of its own and one that has a name of the older one's."""
    documents = {
        ("train", "books", "en"): [numbered(0)],
        ("train", "letters", "en"): [numbered(40)],
        ("validation", "books", "en"): [numbered(80)],
    }
    return make_dataset(tmp_path_factory.mktemp("new") / "tokens", documents, tokenizer=dataset_folder)


def feed(new: Path, folder: Path, steps: int = 256, split: str = "train", **data: Any) -> Feed:
    sections = {"data": {"tokens": str(new), "batch_rows": ROWS, **data}, "rows": {"length": 16}}
    return open_feed(FeedConfig.model_validate(sections), folder=folder, steps=steps, split=split)


def test_sources_of_both_have_exact_shares_in_proportion_to_their_rows(new: Path, dataset_folder: Path, tmp_path: Path) -> None:
    found = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.25)  # 256 steps of 8 rows: two blocks
    rows = {figures.source: figures.rows for figures in found.figures()}
    assert list(rows) == ["books", "letters", "books@replay", "wiki@replay"]
    draws = {figures.source: figures.draws for figures in found.figures()}
    groups = (("books", "letters", 0.75), ("books@replay", "wiki@replay", 0.25))
    shares = [share * rows[name] / (rows[a] + rows[b]) for a, b, share in groups for name in (a, b)]
    assert draws == dict(zip(rows, (2 * quotas(shares)).tolist(), strict=True))
    assert draws["books@replay"] + draws["wiki@replay"] == 2 * 1024 // 4
    drawn = np.concatenate([found.rows(step) for step in range(256)])
    ends = np.cumsum(list(rows.values()))
    assert np.bincount(np.searchsorted(ends, drawn, side="right")).tolist() == list(draws.values())


def test_the_rows_are_those_of_each_dataset_alone(new: Path, dataset_folder: Path, tmp_path: Path) -> None:
    both = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.25).index
    first = 0
    for alone in (feed(new, tmp_path).index, feed(dataset_folder, tmp_path).index):
        numbers = np.arange(len(alone))
        assert np.array_equal(both.gather(first + numbers).ids, alone.gather(numbers).ids)
        first += len(alone)
    assert first == len(both)
    ((place, *_),) = both.places(np.array([first - 1]))
    assert place.source == "wiki@replay" and place.path.startswith(str(dataset_folder))


def test_totals_and_held_out_rows_are_of_both(new: Path, dataset_folder: Path, tmp_path: Path) -> None:
    found = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.25)
    alone = [open_dataset(str(folder)).totals("train") for folder in (new, dataset_folder)]
    assert found.dataset.totals("train") == {name: alone[0][name] + alone[1][name] for name in alone[0]}
    assert found.dataset.splits() == ["train", "validation"]
    assert bytes_per_row(found) > 0
    held_out = feed(new, tmp_path, split="validation", replay=str(dataset_folder), replay_share=0.25)
    assert [stream.source for stream in held_out.index.streams] == ["books", "books@replay"]
    assert len(open_runs(open_dataset(str(new)), "validation", "books")) > 0


def test_a_batch_is_a_function_of_its_step_and_changes_with_the_share(new: Path, dataset_folder: Path, tmp_path: Path) -> None:
    found = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.25)
    expected = [digest(found.batch(step)) for step in range(4)]
    again = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.25)
    later = again.batches(2, rank=0, world=1, workers=1)
    assert [digest(next(later)[1][0]) for _ in range(2)] == expected[2:]
    other = feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.5)
    assert found.fingerprint == again.fingerprint != other.fingerprint
    assert len({found.identity()["tokens dataset"], feed(new, tmp_path).identity()["tokens dataset"]}) == 2


def test_the_mixture_of_the_new_sources_keeps_its_proportions() -> None:
    stages = (Stage("data.stages.0.mixture", 9, {"a": 3.0}), Stage("data.stages.1.mixture", None, {"a": 3.0, "b": 1.0}))
    first, second = replaying(stages, {"a": 1, "b": 1, "c": 5}, {"a@replay": 3, "z@replay": 0}, 0.2)
    assert (first.field, first.until_slot, second.until_slot) == ("data.stages.0.mixture", 9, None)
    assert first.weights == pytest.approx({"a": 0.8, "a@replay": 0.2})
    assert second.weights == pytest.approx({"a": 0.6, "b": 0.2, "a@replay": 0.2})
    with pytest.raises(MixtureError, match=r"data\.replay: has no rows of this length"):
        replaying((), {"a": 1}, {"z@replay": 0}, 0.2)


def test_what_cannot_be_replayed_is_refused(
    new: Path, dataset_folder: Path, make_dataset: Callable[..., Path], tiny_config: Path, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="is the dataset that is trained on, not an older one"):
        feed(new, tmp_path, replay=str(new), replay_share=0.1)
    other = make_dataset(tmp_path / "other", {("train", "a", "en"): [numbered(7)]}, vocabulary=270)
    with pytest.raises(DatasetError, match=r"other: has another tokenizer \(\w{12}\) than .*tokens \(\w{12}\), so its ids mean"):
        feed(new, tmp_path, replay=str(other), replay_share=0.1)
    for alone in ("data.replay_share=0.1", f'data.replay="{new}"', 'data.replay_name="x"'):
        with pytest.raises(ConfigError, match="replay_share go together; give both or neither"):
            pretrain(tiny_config, (alone,))
    with pytest.raises(MixtureError, match=r"there is no source 'wiki@replay'; the sources with rows are \['books', 'letters'\]"):
        feed(new, tmp_path, replay=str(dataset_folder), replay_share=0.1, mixture={"wiki@replay": 1})


def test_a_resumed_run_is_bit_equal_and_its_held_out_rows_show_both(
    new: Path, dataset_folder: Path, tiny_config: Path, tmp_path: Path
) -> None:
    whole, half = tmp_path / "whole", tmp_path / "half"
    changed = (f'data.tokens="{new}"', f'data.replay="{dataset_folder}"', "data.replay_share=0.3", "sample.tokens=0")
    pretrain(tiny_config, (*changed, f'run.out="{whole}"', "train.keep=9"))
    shutil.copytree(whole, half)
    (half / "report.json").unlink()
    for path in (half / "checkpoints").glob("step-*"):
        if int(path.name[5:]) > 6:
            shutil.rmtree(path)
    with pytest.raises(CheckpointError, match=r"data\.replay_share was 0\.3, and is 0\.2 here"):
        pretrain(tiny_config, (*changed, f'run.out="{half}"', "data.replay_share=0.2"))
    pretrain(tiny_config, (*changed, f'run.out="{half}"', "train.keep=9"))
    names = ("step", "loss", "gradient_norm", "validation_loss", "validation_loss/books", "validation_loss/books@replay")
    lines = [[{name: line.get(name) for name in names} for line in read_metrics(run / "metrics.jsonl")] for run in (whole, half)]
    assert lines[0] == lines[1] and lines[0][-1]["validation_loss/books@replay"] is not None
    ends = [checkpoint.newest(run / "checkpoints", pytest.fail) for run in (whole, half)]
    first, second = (found.load("model") for found in ends if found)
    assert all(torch.equal(first[name], second[name]) for name in first)
    identity = json.loads((whole / "checkpoints" / "step-00000012" / "state.json").read_text())["identity"]
    assert identity["sources"] == ["books", "books@replay", "letters", "wiki@replay"]
