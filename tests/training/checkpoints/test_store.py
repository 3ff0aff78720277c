import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from training.checkpoints import store as checkpoint
from training.checkpoints.store import CheckpointError, Content

TENSORS = {"model": {"weight": torch.arange(12.0)}, "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}}}


def save(folder: Path, step: int, keep: int = 9) -> Path:
    return checkpoint.save(folder, step, Content(TENSORS, {"config": {"step": step}}, {"tokenizer.model": b"pieces"}), keep)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    save(tmp_path, 3)
    found = checkpoint.newest(tmp_path, pytest.fail)
    assert found is not None and found.step == 3 and found.state == {"step": 3, "config": {"step": 3}}
    assert torch.equal(found.load("model")["weight"], torch.arange(12.0))
    assert found.load("optimizer")["state"][0]["step"] == 3
    assert (tmp_path / "LATEST").read_text() == "step-00000003\n"


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere", pytest.fail) is None
    assert checkpoint.newest(tmp_path, pytest.fail) is None


def test_only_the_newest_stay(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        save(tmp_path, step, keep=2)
    assert names(tmp_path) == ["LATEST", "step-00000003", "step-00000010"]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("file", ["model.pt", "optimizer.pt", "tokenizer.model", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", [_truncate, _flip, Path.unlink])
def test_a_broken_one_is_passed_over_with_a_message(tmp_path: Path, file: str, damage: Callable[[Path], None]) -> None:
    save(tmp_path, 1)
    broken = save(tmp_path, 2)
    damage(broken / file)
    said: list[str] = []
    found = checkpoint.newest(tmp_path, said.append)
    if file == "manifest.json" and damage is not Path.unlink and found is not None and found.step == 2:
        return  # a newline less at its end: all that it says is still true
    assert found is not None and found.step == 1
    named = "step-00000002" if file == "manifest.json" else file  # whose flipped byte may lie in what it says of another file
    assert len(said) == 1 and named in said[0] and "taking an earlier one" in said[0]


def test_a_broken_later_one_does_not_push_out_good_ones(tmp_path: Path) -> None:
    save(tmp_path, 1)
    _truncate(save(tmp_path, 9) / "model.pt")
    save(tmp_path, 2, keep=1)
    assert names(tmp_path) == ["LATEST", "step-00000002"]


def test_a_step_may_be_saved_again(tmp_path: Path) -> None:
    _truncate(save(tmp_path, 4) / "model.pt")
    save(tmp_path, 4)
    assert names(tmp_path) == ["LATEST", "step-00000004"]
    assert checkpoint.read(tmp_path / "step-00000004").step == 4


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("PytorchStreamWriter failed")])
def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    save(tmp_path, 1)

    def full(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(torch, "save", full)
        with pytest.raises(CheckpointError, match=r"step-00000002: cannot write the checkpoint .* earlier ones are untouched"):
            save(tmp_path, 2, keep=1)
    assert names(tmp_path) == ["LATEST", "step-00000001"]


class _Evil:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (Path("/").joinpath, ("evil",))


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 1, Content({"model": {"weight": _Evil()}}, {}), 1)
    found = checkpoint.newest(tmp_path, pytest.fail)
    assert found is not None
    with pytest.raises(CheckpointError, match=r"model\.pt: cannot be read as tensors"):
        found.load("model")
