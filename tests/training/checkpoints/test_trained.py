from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import store as checkpoint
from training.checkpoints import trained
from training.checkpoints.store import CheckpointError, Content
from training.data.shards import open_dataset
from training.models.families import make
from training.models.gpt import GPTShape
from training.run.pretrain import pretrain

SHAPE = GPTShape(layers=1, heads=2, width=8, vocabulary=304, length=16, dropout=0.5)


@pytest.fixture
def tokenizer(dataset_folder: Path) -> Tokenizer:
    return open_dataset(str(dataset_folder), None).tokenizer


def test_a_run_is_loaded_without_its_dataset(tiny_config: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    pretrain(tiny_config, ("train.steps=4", "train.save_every=3", "sample.tokens=0", "model.vocabulary_multiple=64"))
    found = trained.load(tmp_path / "run")
    assert found.family == "gpt" and not found.model.training
    assert found.where.endswith("step-00000004")
    assert asdict(found.model.shape) == asdict(GPTShape(2, 2, 16, vocabulary=320, length=16, dropout=0.1))
    assert found.tokenizer.model == tokenizer.model and found.tokenizer.encode("the old") == tokenizer.encode("the old")
    earlier = trained.load(tmp_path / "run" / "checkpoints" / "step-00000003")
    assert not torch.equal(earlier.model.state_dict()["norm.weight"], found.model.state_dict()["norm.weight"])


def test_an_import_comes_back(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = make(SHAPE, 1)
    trained.save(tmp_path, model, "gpt", tokenizer, {"source": "somewhere"})
    found = trained.load(tmp_path)
    assert found.model.shape == SHAPE
    assert all(torch.equal(a, b) for a, b in zip(found.model.parameters(), model.parameters(), strict=True))
    assert checkpoint.read(Path(found.where)).state["origin"] == {"source": "somewhere"}


def test_weights_of_another_model_are_named(tmp_path: Path, tokenizer: Tokenizer) -> None:
    model = make(SHAPE, 1)
    weights = model.state_dict()
    state = trained.described(model, "gpt", tokenizer)

    def loaded(changed: dict[str, torch.Tensor]) -> None:
        path = checkpoint.save(tmp_path, 0, Content({"model": changed}, state, trained.tokenizer_files(tokenizer)), keep=1)
        trained.load(path)

    loaded(weights)
    with pytest.raises(CheckpointError, match=r"step-00000000: has no weight norm\.bias"):
        loaded({name: tensor for name, tensor in weights.items() if name != "norm.bias"})
    with pytest.raises(CheckpointError, match=r"the weight norm\.bias has the shape \(9,\), this model's \(8,\)"):
        loaded(weights | {"norm.bias": torch.zeros(9)})
    with pytest.raises(CheckpointError, match=r"has a weight norm\.gain that the model lacks"):
        loaded(weights | {"norm.gain": torch.zeros(8)})


@pytest.mark.parametrize("facts", [{}, {"family": "rnn", "shape": {}}, {"family": "gpt", "shape": {"layers": 1}}, None])
def test_a_checkpoint_that_does_not_say_its_model_is_refused(tmp_path: Path, tokenizer: Tokenizer, facts: object) -> None:
    path = checkpoint.save(tmp_path, 0, Content({"model": {}}, {"model": facts}), keep=1)
    with pytest.raises(CheckpointError, match=r"step-00000000: does not describe its model"):
        trained.load(path)


def test_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"there is no complete checkpoint; name the run\.out"):
        trained.load(tmp_path)


def test_the_newest_checkpoint_of_a_run_or_a_named_one_is_found(
    tmp_path: Path, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    model = make(SHAPE, 1)
    content = Content(
        {"model": model.state_dict()}, trained.described(model, "gpt", tokenizer), trained.tokenizer_files(tokenizer)
    )
    paths = [checkpoint.save(tmp_path / "checkpoints", step, content, keep=9) for step in (1, 2, 3)]
    assert [trained.find(path).step for path in (tmp_path, *paths)] == [3, 1, 2, 3]
    (paths[2] / "model.pt").write_bytes(b"")
    assert trained.find(tmp_path).step == 2
    assert "step-00000003/model.pt: has 0 bytes" in capsys.readouterr().err
    with pytest.raises(CheckpointError, match=r"model\.pt: has 0 bytes"):
        trained.find(paths[2])


def test_the_first_weights_are_those_of_a_checkpoint_with_the_same_tokenizer(tmp_path: Path, tokenizer: Tokenizer) -> None:
    theirs, ours = make(SHAPE, 1), make(SHAPE, 2)
    path = trained.save(tmp_path, theirs, "gpt", tokenizer, {})
    for named in (tmp_path, path):
        weights = trained.first_weights(named, ours, tokenizer)
        assert list(weights) == list(theirs.state_dict())
        assert all(torch.equal(weights[name], tensor) for name, tensor in theirs.state_dict().items())
    with pytest.raises(CheckpointError, match=r"there is no complete checkpoint"):
        trained.first_weights(tmp_path / "nowhere", ours, tokenizer)


def test_a_checkpoint_with_another_tokenizer_gives_no_first_weights(
    tmp_path: Path, tokenizer: Tokenizer, make_dataset: Callable[..., Path]
) -> None:
    other = open_dataset(str(make_dataset(tmp_path / "d", {("train", "a", "en"): [["the river and the house"]]}, vocabulary=290)))
    trained.save(tmp_path, make(SHAPE, 1), "gpt", other.tokenizer, {})
    message = r"step-00000000: was trained with another tokenizer \(290 pieces\) than the data's \(300\); tokenize"
    with pytest.raises(CheckpointError, match=message):
        trained.first_weights(tmp_path, make(SHAPE, 2), tokenizer)


def test_an_import_replaces_the_one_before(tmp_path: Path, tokenizer: Tokenizer) -> None:
    for seed in (1, 2):
        path = trained.save(tmp_path, make(SHAPE, seed), "gpt", tokenizer, {"seed": seed})
    assert path == tmp_path / "checkpoints" / "step-00000000"
    assert trained.find(tmp_path).state == {
        "step": 0,
        "model": {"family": "gpt", "shape": asdict(SHAPE)},
        "tokenizer": {"kind": "bpe", "library": "sentencepiece"},
        "origin": {"seed": 2},
    }
