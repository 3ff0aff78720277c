import errno
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from disk import Disk

from training.checkpoints import store as checkpoint
from training.checkpoints.store import CheckpointError, Content, FormatError

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
    assert len(said) == 1 and named in said[0] and said[0].endswith("; it is kept; taking an earlier one")


def test_a_broken_later_one_does_not_push_out_good_ones_and_stays(tmp_path: Path) -> None:
    save(tmp_path, 1)
    _truncate(save(tmp_path, 9) / "model.pt")
    save(tmp_path, 2, keep=1)
    assert names(tmp_path) == ["LATEST", "step-00000002", "step-00000009"]


def test_a_step_may_be_saved_again_and_a_broken_one_of_it_steps_aside(tmp_path: Path) -> None:
    for _ in range(2):
        _truncate(save(tmp_path, 4) / "model.pt")
    save(tmp_path, 4)
    save(tmp_path, 4)  # the one before was whole: it is replaced
    assert names(tmp_path) == ["LATEST", "step-00000004", "step-00000004.unread", "step-00000004.unread2"]
    assert checkpoint.read(tmp_path / "step-00000004").step == 4
    assert len(list((tmp_path / "step-00000004.unread2").iterdir())) == 5


def test_only_what_was_read_whole_is_removed(tmp_path: Path) -> None:
    """Two damaged ones, one of another format, one whose disk is not mounted: none counts as kept, none goes."""
    for step in range(1, 8):
        save(tmp_path, step)
    _truncate(tmp_path / "step-00000002" / "model.pt")
    _flip(tmp_path / "step-00000006" / "optimizer.pt")
    manifest = tmp_path / "step-00000003" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 3', '"format": 2'))
    (tmp_path / "step-00000004").rename(tmp_path / "elsewhere")
    (tmp_path / "step-00000004").symlink_to(tmp_path / "not mounted")
    said: list[str] = []
    seen = checkpoint.Seen(said.append)
    for step in (8, 9):
        checkpoint.save(tmp_path, step, Content(TENSORS, {}), keep=3, seen=seen)
    left = [2, 3, 4, 6, 7, 8, 9]  # of those that are whole the newest three
    assert names(tmp_path) == ["LATEST", "elsewhere", *(f"step-{step:08}" for step in left)]
    assert len(said) == 4 and all(line.endswith("; it is kept, and does not count among train.keep") for line in said)


def test_if_none_can_be_read_each_is_named_with_its_reason(tmp_path: Path) -> None:
    _truncate(save(tmp_path, 1) / "model.pt")
    (save(tmp_path, 2) / "manifest.json").unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        checkpoint.newest(tmp_path, pytest.fail)
    size = (tmp_path / "step-00000001" / "model.pt").stat().st_size
    assert str(caught.value) == (
        f"{tmp_path}: none of the 2 checkpoints can be read ({tmp_path}/step-00000002/manifest.json: is missing, so this "
        f"checkpoint is not complete; {tmp_path}/step-00000001/model.pt: has {size:,} bytes, its manifest says {size + 1:,}; it "
        "is truncated); nothing was changed: restore one, name another run.out, or move them elsewhere yourself to begin at step "
        "0"
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_checkpoints_that_are_gone_are_no_beginning(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    save(folder, 3).rename(tmp_path / "away")
    with pytest.raises(CheckpointError, match=r"checkpoints: has LATEST, but no checkpoint any more; put the checkpoints back"):
        checkpoint.newest(folder, pytest.fail)
    (folder / "step-00000003").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"none of the 1 checkpoints can be read \(.*manifest\.json: is missing"):
        checkpoint.newest(folder, pytest.fail)
    (tmp_path / "linked").symlink_to(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"linked: is a link to nothing; put the checkpoints back, or remove it"):
        checkpoint.newest(tmp_path / "linked", pytest.fail)


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


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name_and_the_name_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    path = save(tmp_path, 3)
    for file in ("model.pt", "optimizer.pt", "tokenizer.model", "state.json", "manifest.json"):
        assert [name for name, _ in disk.of(path / file)] == ["fsync", "rename"], file
    assert [name for name, _ in disk.of(path)] == ["fsync", "rename"]
    assert disk.is_flushed_after(tmp_path, disk.last_rename(path.name))


def test_the_best_is_named_and_stays(tmp_path: Path) -> None:
    assert checkpoint.best(tmp_path) is None
    content = Content(TENSORS, {})
    for step, best_step in ((1, None), (2, 2), (3, 2), (4, 2), (5, 2)):
        checkpoint.save(tmp_path, step, content, keep=2, best_step=best_step)
        assert (tmp_path / "BEST").exists() == (step > 1)
    assert names(tmp_path) == ["BEST", "LATEST", "step-00000002", "step-00000004", "step-00000005"]
    assert (tmp_path / "BEST").read_text() == "step-00000002\n"
    found = checkpoint.best(tmp_path)
    assert found is not None and found.step == 2
    checkpoint.save(tmp_path, 6, content, keep=1, best_step=6)
    assert names(tmp_path) == ["BEST", "LATEST", "step-00000006"]
    checkpoint.name_best(tmp_path, None)
    assert (tmp_path / "BEST").read_text() == "step-00000006\n"
    (tmp_path / "BEST").write_text("../step-00000006")
    assert checkpoint.best(tmp_path) is None


def test_only_folders_with_the_name_of_a_step_are_checkpoints_and_the_highest_step_is_the_newest(tmp_path: Path) -> None:
    for step in (2, 99_999_999, 100_000_000):
        save(tmp_path, step)
    (tmp_path / "step-00000007").mkdir()  # without a manifest
    (tmp_path / "step-1").mkdir()
    (tmp_path / "step-00000008.old").mkdir()
    (tmp_path / "step-200000000").write_text("a file")
    said: list[str] = []
    found = checkpoint.newest(tmp_path, said.append)
    assert found is not None and (found.step, found.path.name, said) == (100_000_000, "step-100000000", [])
    (found.path / "manifest.json").unlink()
    found = checkpoint.newest(tmp_path, said.append)
    assert found is not None and found.step == 99_999_999
    assert said == [
        f"{tmp_path}/step-100000000/manifest.json: is missing, so this checkpoint is not complete; it is kept; taking an earlier "
        "one"
    ]


def test_what_is_old_or_left_over_goes_when_the_next_one_is_saved(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        save(tmp_path, step)
    (tmp_path / ".step-00000003.77.0badcafe.tmp").mkdir()
    (tmp_path / "notes").mkdir()
    save(tmp_path, 3, keep=2)  # 3 and 2 are the newest two; 4 is later and is not judged
    assert names(tmp_path) == ["LATEST", "notes", "step-00000002", "step-00000003", "step-00000004"]
    assert (tmp_path / "LATEST").read_text() == "step-00000003\n"


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_file_of_another_size_is_named_with_both_sizes(tmp_path: Path, difference: int) -> None:
    path = save(tmp_path, 1)
    (path / "tokenizer.model").write_bytes(b"p" * (6 + difference))
    message = rf"tokenizer\.model: has {6 + difference} bytes, its manifest says 6; it is truncated$"
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read(path)
    (path / "tokenizer.model").write_bytes(b"piecez")
    with pytest.raises(CheckpointError, match=r"tokenizer\.model: its sha256 is not the manifest's; the file is damaged$"):
        checkpoint.read(path)


@pytest.mark.parametrize("change", [-1, 2])
def test_another_format_is_refused_with_the_release_that_wrote_it(tmp_path: Path, change: int) -> None:
    save(tmp_path, 1)
    path = checkpoint.save(tmp_path, 2, Content(TENSORS, {"circumstances": {"code": "0.0.7 (0123456789ab)"}}), 9)
    content = json.loads((path / "manifest.json").read_text())
    assert list(content) == ["format", "release", "files"] and content["release"] == checkpoint.release()
    assert content["format"] == 3 and list(content["files"]) == ["model.pt", "optimizer.pt", "state.json"]
    advice = (
        rf"; this release \({re.escape(checkpoint.release())}\) reads format 3 and 4: use that release, or name another run\.out$"
    )
    whole = dict(content, format=3 + change, release="0.9.1")
    without = {name: value for name, value in whole.items() if name != "release"}  # releases before this one did not write it
    for manifest, writer in ((whole, r"0\.9\.1"), (without, r"0\.0\.7")):
        (path / "manifest.json").write_text(json.dumps(manifest))
        message = rf"step-00000002: has format {3 + change}, written by corpusmill {writer}{advice}"
        with pytest.raises(FormatError, match=message):
            checkpoint.read(path)
        with pytest.raises(FormatError, match=message):  # an earlier one is whole, but to go back to it is not for us to decide
            checkpoint.newest(tmp_path, pytest.fail)
    (path / "state.json").unlink()
    with pytest.raises(FormatError, match="written by a release that it does not name; this release"):
        checkpoint.read(path)
    save(tmp_path, 3)
    found = checkpoint.newest(tmp_path, pytest.fail)  # an older one of another format is in nobody's way
    assert found is not None and found.step == 3


@pytest.mark.parametrize(
    "content", ["", "{", "3", "[]", "{}", '{"format": 3}', '{"format": 3, "files": []}', '{"format": 3, "files": {}}', "\udcff"]
)
def test_a_manifest_of_nonsense_is_refused(tmp_path: Path, content: str) -> None:
    path = save(tmp_path, 1)
    (path / "manifest.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    if content.endswith("{}}"):
        (path / "state.json").write_text("{}")  # nothing is compared, but there is no step
    with pytest.raises(CheckpointError, match=r"manifest\.json: is not the manifest of a checkpoint \("):
        checkpoint.read(path)


def test_a_file_beside_the_tensors_is_read_and_a_missing_one_is_named(tmp_path: Path) -> None:
    found = checkpoint.read(save(tmp_path, 1))
    assert found.content("tokenizer.model") == b"pieces"
    with pytest.raises(CheckpointError, match=r"step-00000001/nothing: is missing, so this checkpoint is not complete$"):
        found.content("nothing")
    with pytest.raises(CheckpointError, match=r"step-00000001/nothing\.pt: cannot be read as tensors: "):
        found.load("nothing")


def test_the_text_of_the_state_and_of_the_manifest_is_this_text(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, 12, Content({}, {"prompt": "é"}), keep=1)
    state = '{\n "step": 12,\n "prompt": "é"\n}\n'.encode()
    assert (path / "state.json").read_bytes() == state
    listed = f'{{\n   "bytes": {len(state)},\n   "sha256": "{hashlib.sha256(state).hexdigest()}"\n  }}'
    start = f'{{\n "format": 3,\n "release": "{checkpoint.release()}",\n "files": {{\n  "state.json": '
    assert (path / "manifest.json").read_text() == f"{start}{listed}\n }}\n}}\n"


def test_what_cannot_be_removed_is_left_and_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / ".step-00000001.77.0badcafe.tmp").write_text("a file where a folder is expected")
    save(tmp_path, 1)
    assert ".step-00000001.77.0badcafe.tmp" in names(tmp_path)
