"""OpenAI's GPT-2 against what TensorFlow computed of the same checkpoint (tests/data/tensor_bundle/make.py)."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from places import FIXTURES
from torch import Tensor

from pipelines.contract.tokenizers.loading import TokenizerError
from pipelines.contract.tokenizers.published import load_existing
from training.checkpoints import trained
from training.convert import openai_gpt2
from training.convert.formats.tensor_bundle import Bundle, open_bundle
from training.convert.importing import import_model
from training.convert.rules import WeightsError
from training.models.gpt import GPT, GPTShape

DATA = FIXTURES / "tensor_bundle" / "gpt2"
Weights = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def expected() -> Mapping[str, NDArray[Any]]:
    return dict(np.load(DATA / "logits.npz"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "124M"))


def edit(folder: Path, **numbers: Any) -> None:
    file = folder / "hparams.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **numbers}))


def far(shape: GPTShape, weights: Mapping[str, Tensor], expected: Mapping[str, NDArray[Any]]) -> float:
    model = GPT(shape).eval()
    model.load_state_dict(weights)
    with torch.no_grad():
        found = model(torch.from_numpy(expected["ids"]).long()).numpy()
    return float(np.abs(found - expected["logits"]).max())


@pytest.mark.parametrize("path", [DATA, DATA / "model.ckpt"])
def test_logits_are_tensorflows(path: Path, expected: Mapping[str, NDArray[Any]]) -> None:
    shape, weights, _ = openai_gpt2.load(str(path))
    assert shape == GPTShape(layers=2, heads=2, width=8, vocabulary=265, length=12)
    assert far(shape, weights, expected) < 5e-6  # of logits up to 2.2


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {**w, "layers.0.attention.output.weight": w["layers.0.attention.output.weight"].t()},
        lambda w: {**w, "layers.1.attention.query_key_value.weight": w["layers.1.attention.query_key_value.weight"].roll(8, 0)},
        lambda w: {**w, "layers.1.attention_norm.weight": w["layers.1.feed_forward_norm.weight"]},
        lambda w: {**w, "embeddings.positions.weight": w["embeddings.positions.weight"].roll(1, 0)},
        lambda w: {**w, "norm.bias": torch.zeros(8)},
    ],
)
def test_a_wrong_weight_is_seen(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], expected: Mapping[str, NDArray[Any]]
) -> None:
    shape, weights, _ = openai_gpt2.load(str(DATA))
    assert far(shape, change(weights), expected) > 1e-3


def test_the_tokenizer_is_gpt2s_under_openais_names(tmp_path: Path) -> None:
    _, _, tokenizer = openai_gpt2.load(str(DATA))
    assert tokenizer.special_ids == {"<|endoftext|>": 264}
    assert tokenizer.encode("the river") == [83, 257, 263]
    assert tokenizer.decode(tokenizer.encode("Die größte 水 <|endoftext|>")) == "Die größte 水 <|endoftext|>"
    shutil.copy(DATA / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(DATA / "vocab.bpe", tmp_path / "merges.txt")
    assert load_existing(str(tmp_path)).sha256 == load_existing(str(DATA)).sha256 == tokenizer.sha256
    assert load_existing(str(DATA / "vocab.bpe")).sha256 == tokenizer.sha256
    with pytest.raises(TokenizerError, match=r"vocab\.bpe: there is no such file"):
        load_existing(str(shutil.copy(DATA / "encoder.json", tmp_path / "encoder.json")))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_layer": 0}, "n_layer is 0; it must be a whole number"),
        ({"n_head": True}, "n_head is True"),
        ({"n_ctx": None}, "n_ctx is None"),
        ({"n_layer": 10**6}, r"n_layer is 1000000, but .*model\.ckpt\.index has fewer weights"),
        ({"n_head": 3}, "heads must divide width, and 3 does not divide 8"),
    ],
)
def test_numbers_that_make_no_gpt_are_refused(change: dict[str, Any], told: str, folder: Path) -> None:
    edit(folder, **change)
    with pytest.raises(WeightsError, match=rf"hparams\.json: .*{told}"):
        openai_gpt2.load(str(folder))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"n_layer": 3}, r"has no weight model/h2/\S+.* \(and "),
        ({"n_layer": 1}, "has weights that the model lacks: model/h1/attn/c_attn/b"),
        ({"n_vocab": 300}, r"model/wte has the shape \(265, 8\), by the numbers of the config it is \(300, 8\)"),
        ({"n_ctx": 1024}, r"model/wpe has the shape \(12, 8\), by the numbers of the config it is \(1024, 8\)"),
    ],
)
def test_weights_of_another_model_are_named(change: dict[str, Any], told: str, folder: Path) -> None:
    edit(folder, **change)
    with pytest.raises(WeightsError, match=rf"model\.ckpt\.index: .*{told}"):
        openai_gpt2.load(str(folder))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("model/h0/mlp/c_fc/w"), "has no weight model/h0/mlp/c_fc/w"),
        (lambda w: w.update({"model/h0/mlp/more": np.zeros(3, np.float32)}), "that the model lacks: model/h0/mlp/more"),
        (
            lambda w: w.update({"model/h0/mlp/c_fc/w": np.zeros((8, 32), np.float32)}),
            r"model/h0/mlp/c_fc/w has the shape \(8, 32\), OpenAI's is \(1, in, out\)",
        ),
        (
            lambda w: w.update({"model/h0/mlp/c_fc/w": np.zeros((1, 32, 8), np.float32)}),
            r"model/h0/mlp/c_fc/w has the shape \(32, 8\), by the numbers of the config it is \(8, 32\)",
        ),
    ],
)
def test_missing_extra_and_wrong_weights_are_named(
    change: Callable[[Weights], object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = open_bundle(str(DATA / "model.ckpt")).weights()
    change(weights)
    monkeypatch.setattr(Bundle, "weights", lambda _: weights)
    with pytest.raises(WeightsError, match=rf"model\.ckpt\.index: .*{told}"):
        openai_gpt2.load(str(DATA))


def test_a_vocabulary_of_another_model_is_refused(folder: Path) -> None:
    pieces = json.loads((folder / "encoder.json").read_text())
    (folder / "encoder.json").write_text(json.dumps({**pieces, "more": 265}))
    with pytest.raises(TokenizerError, match=r"encoder\.json: has 266 pieces, .* n_vocab 265"):
        openai_gpt2.load(str(folder))
    (folder / "hparams.json").unlink()
    with pytest.raises(WeightsError, match=r"hparams\.json: is missing"):
        openai_gpt2.load(str(folder))


def test_an_import_becomes_a_checkpoint_with_the_same_logits(tmp_path: Path, expected: Mapping[str, NDArray[Any]]) -> None:
    assert import_model(DATA, tmp_path / "out").family == "gpt"
    found = trained.load(tmp_path / "out")
    assert isinstance(found.model.shape, GPTShape)
    assert far(found.model.shape, found.model.state_dict(), expected) < 5e-6
