"""A run in an object store, seen from two machines: each has a cache folder of its own."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipelines.contract import files
from training.checkpoints import remote
from training.checkpoints import store as checkpoint
from training.checkpoints.store import CheckpointError, Content

Machine = Callable[[str], None]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Go to a machine by its name."""
    return lambda name: monkeypatch.setenv("CORPUSMILL_CACHE", str(tmp_path / name))


@pytest.fixture
def out(s3, machine: Machine, request: pytest.FixtureRequest) -> str:
    machine("one")
    return f"{s3.make('runs-' + str(abs(hash(request.node.name))))}/a run/100%"


def save(out: str, step: int, keep: int = 2, value: float = 0.0) -> None:
    """Do what a run does after a step."""
    folder = remote.folder_of(out)
    content = Content({"model": {"weight": torch.full((3,), step + value)}, "optimizer": {}}, {"config": {"value": value}})
    checkpoint.save(folder / "checkpoints", step, content, keep)
    files.write_text(str(folder / "metrics.jsonl"), f"up to {step}\n")
    remote.push(out)


def stored(out: str) -> list[str]:
    return [uri.removeprefix(f"{out}/") for uri in files.listing(out)]


def steps(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))


def weight(folder: Path) -> float:
    found = checkpoint.newest(folder / "checkpoints", pytest.fail)
    assert found is not None
    return float(found.load("model")["weight"][0])


def test_a_run_of_this_machine_stays_where_it_is(tmp_path: Path) -> None:
    assert remote.folder_of(tmp_path / "run") == remote.here(f"{tmp_path}/run/") == tmp_path / "run"
    remote.pull(str(tmp_path / "run"), pytest.fail)
    remote.push(str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_read_here_is_not_copied_up(out: str) -> None:
    save(out, 3)
    folder = remote.folder_of(out) / "checkpoints"
    (folder / "step-00000003" / "model.pt").write_bytes(b"")
    content = Content({"model": {"weight": torch.zeros(3)}, "optimizer": {}}, {"config": {}})
    checkpoint.save(folder, 3, content, 2)  # the broken one is kept as step-00000003.unread
    remote.push(out)
    save(out, 6)
    assert (folder / "step-00000003.unread" / "manifest.json").exists()
    assert [name for name in stored(out) if "unread" in name] == []
    assert remote.complete(out) == ["step-00000003", "step-00000006"]


def test_what_is_saved_is_in_the_store_and_what_is_removed_is_not(out: str) -> None:
    remote.pull(out, pytest.fail)
    for step in (1, 2, 3):
        save(out, step)
    names = ("manifest.json", "model.pt", "optimizer.pt", "state.json")
    kept = [f"checkpoints/step-0000000{step}/{name}" for step in (2, 3) for name in names]
    assert stored(out) == ["checkpoints/LATEST", *kept, "metrics.jsonl"]
    for name in stored(out):
        assert files.sha256(f"{out}/{name}") == files.sha256(str(remote.folder_of(out) / name))


def test_another_machine_goes_on_from_the_newest(out: str, machine: Machine) -> None:
    for step in (1, 2):
        save(out, step)
    machine("two")
    said: list[str] = []
    remote.pull(out, said.append)
    assert said == [f"copying {out}/checkpoints/step-00000002 to {remote.folder_of(out)}"]
    assert (steps(remote.folder_of(out)), weight(remote.folder_of(out))) == ([2], 2.0)
    assert (remote.folder_of(out) / "metrics.jsonl").read_text() == "up to 2\n"
    for step in (3, 4):
        save(out, step)
    machine("one")  # which has the steps 1 and 2
    remote.pull(out, said.append)
    assert weight(remote.folder_of(out)) == 4.0
    assert len(said) == 2
    remote.pull(out, pytest.fail)  # nothing is new


def test_a_machine_that_is_ahead_of_the_store_goes_on_from_its_own(s3, out: str) -> None:
    save(out, 1)
    s3.fail(1, 403)
    with pytest.raises(checkpoint.UserError, match="access is denied"):
        save(out, 2)
    remote.pull(out, pytest.fail)
    assert weight(remote.folder_of(out)) == 2.0
    save(out, 3, keep=3)
    assert [name for name in stored(out) if name.endswith("manifest.json")] == [
        f"checkpoints/step-0000000{step}/manifest.json" for step in (1, 2, 3)
    ]


def test_a_store_that_fails_does_not_end_a_run(s3, out: str) -> None:
    save(out, 1)
    said: list[str] = []
    s3.fail(1, 403)
    remote.push_later(out, said.append)
    assert len(said) == 1 and said[0].endswith(
        f"training goes on, and {remote.folder_of(out)} is copied with the next checkpoint"
    )


def test_two_machines_do_not_replace_each_others_steps(out: str, machine: Machine) -> None:
    save(out, 1)
    machine("two")
    remote.pull(out, str)
    save(out, 2, value=0.5)
    machine("one")
    with pytest.raises(CheckpointError, match=r"step-00000002 was saved by another machine, while .* trains on; end the other"):
        save(out, 2)
    with pytest.raises(CheckpointError, match=r"was saved by another machine, while .* has step-00000002; end the other"):
        remote.pull(out, pytest.fail)
    assert weight(remote.here(out)) == 2.5


def test_checkpoints_that_are_gone_from_the_store_are_missed(out: str) -> None:
    save(out, 1)
    files.remove(f"{out}/checkpoints")
    with pytest.raises(CheckpointError, match=r"has no complete checkpoint any more, but had step-00000001; put them back, or"):
        remote.pull(out, pytest.fail)


def test_a_checkpoint_without_its_manifest_or_with_a_changed_file_does_not_count(out: str, machine: Machine) -> None:
    for step in (1, 2, 3):
        save(out, step, keep=3)
    files.remove(f"{out}/checkpoints/step-00000003/manifest.json")  # as if its upload had broken off
    assert weight(remote.here(out)) == 2.0
    files.write_text(f"{out}/checkpoints/step-00000002/model.pt", "?")
    machine("two")
    assert weight(remote.here(out)) == 1.0
    with pytest.raises(CheckpointError, match=rf"^{out}/checkpoints/step-00000002/model.pt: has 1 bytes"):
        remote.pull(out, str)
    assert steps(remote.folder_of(out)) == []


def test_a_run_or_a_checkpoint_is_read_where_it_is_and_read_again_when_it_is_new(out: str, machine: Machine) -> None:
    save(out, 1)
    machine("reader")
    assert weight(remote.here(out)) == 1.0
    assert steps(remote.here(f"{out}/checkpoints/step-00000001").parent.parent) == []
    assert checkpoint.read(remote.here(f"{out}/checkpoints/step-00000001/")).step == 1
    machine("one")
    save(out, 2)
    machine("reader")
    assert (weight(remote.here(out)), steps(remote.here(out))) == (2.0, [2])
    machine("another")
    assert (steps(remote.here(out, weights=False)), (remote.here(out, weights=False) / "metrics.jsonl").exists()) == ([], True)


def test_the_best_checkpoint_is_copied_too(out: str, machine: Machine) -> None:
    for step in (1, 2, 3):
        content = Content({"model": {"weight": torch.zeros(3)}, "optimizer": {}}, {})
        checkpoint.save(remote.folder_of(out) / "checkpoints", step, content, 1, best_step=1)
        remote.push(out)
    machine("two")
    remote.pull(out, str)
    assert steps(remote.folder_of(out)) == steps(remote.here(out)) == [1, 3]
    assert json.loads((remote.folder_of(out) / ".stored.json").read_text()).keys() == {"step-00000001", "step-00000003"}
