"""Google's BERT against what TensorFlow computed of the same checkpoint (tests/data/tensor_bundle/make.py)."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from places import FIXTURES
from torch import Tensor

from pipelines.contract.tokenizers.loading import TokenizerError
from training.checkpoints import trained
from training.convert import google_bert
from training.convert.formats.tensor_bundle import Bundle, open_bundle
from training.convert.importing import import_model
from training.convert.rules import WeightsError
from training.models.bert import BERT, BERTShape

DATA = FIXTURES / "tensor_bundle" / "bert"
Weights = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def expected() -> Mapping[str, NDArray[Any]]:
    return dict(np.load(DATA / "logits.npz"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA, tmp_path / "archive"))


def edit(folder: Path, **numbers: Any) -> None:
    file = folder / "bert_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **numbers}))


def run(
    shape: BERTShape, weights: Mapping[str, Tensor], rows: Mapping[str, NDArray[Any]], *, masked: bool = True
) -> list[Tensor]:
    model = BERT(shape).eval()
    model.load_state_dict(weights)
    real = torch.from_numpy(rows["real"]) if masked else None
    with torch.no_grad():
        return list(model(torch.from_numpy(rows["ids"]).long(), torch.from_numpy(rows["segments"]).long(), real))


def far(found: list[Tensor], expected: Mapping[str, NDArray[Any]]) -> float:
    return max(
        float(np.abs(found[0].numpy() - expected["logits"]).max()), float(np.abs(found[1].numpy() - expected["pair"]).max())
    )


@pytest.mark.parametrize("path", [DATA, DATA / "bert_model.ckpt", DATA / "bert_model.ckpt.index"])
def test_logits_are_tensorflows(path: Path, expected: Mapping[str, NDArray[Any]]) -> None:
    shape, weights, _ = google_bert.load(str(path))
    assert shape == BERTShape(layers=2, heads=2, width=8, vocabulary=20, length=12, dropout=0.1, activation="gelu_tanh")
    logits, pair = run(shape, weights, expected)
    np.testing.assert_allclose(logits.numpy(), expected["logits"], rtol=1e-5, atol=5e-6)
    np.testing.assert_allclose(pair.numpy(), expected["pair"], rtol=1e-5, atol=1e-6)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def _swapped(weights: dict[str, Tensor], one: str, other: str) -> dict[str, Tensor]:
    return {**weights, one: weights[other], other: weights[one]}


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {**w, "layers.1.attention.query_key_value.weight": w["layers.1.attention.query_key_value.weight"].roll(8, 0)},
        lambda w: {**w, "layers.0.attention.output.weight": w["layers.0.attention.output.weight"].t()},
        lambda w: _swapped(w, "layers.0.attention_norm.bias", "layers.0.feed_forward_norm.bias"),
        lambda w: {**w, "token_head.bias": torch.zeros(20)},
        lambda w: {**w, "pair_head.weight": w["pair_head.weight"].flip(0)},
        lambda w: {**w, "embeddings.segments.weight": w["embeddings.segments.weight"].flip(0)},
    ],
)
def test_a_wrong_weight_is_seen(
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]], expected: Mapping[str, NDArray[Any]]
) -> None:
    shape, weights, _ = google_bert.load(str(DATA))
    assert far(run(shape, weights, expected), expected) < 5e-6
    assert far(run(shape, change(weights), expected), expected) > 1e-3


def test_a_wrong_gelu_and_a_missing_mask_are_seen(expected: Mapping[str, NDArray[Any]]) -> None:
    shape, weights, _ = google_bert.load(str(DATA))
    assert far(run(replace(shape, activation="gelu"), weights, expected), expected) > 3e-5
    assert far(run(shape, weights, expected, masked=False), expected) > 1e-2


def test_the_tokenizer_is_the_vocabulary(folder: Path) -> None:
    _, _, tokenizer = google_bert.load(str(folder))
    assert tokenizer.special_ids == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    assert tokenizer.encode("The Miller turned wheels by 水.") == [5, 8, 10, 12, 9, 11, 15, 18, 17]


def test_the_name_of_the_archive_says_whether_it_is_cased(tmp_path: Path) -> None:
    for name, lower in (
        ("uncased_L-12_H-768_A-12", True),
        ("wwm_uncased_L-24_H-1024_A-16", True),
        ("multilingual_L-12_H-768_A-12", True),
        ("chinese_L-12_H-768_A-12", True),
        ("cased_L-24_H-1024_A-16", False),
        ("wwm_cased_L-24_H-1024_A-16", False),
        ("multi_cased_L-12_H-768_A-12", False),
        ("my_cased_bert", None),
    ):
        assert google_bert.lower_case(name) is lower
    for name, the in (("cased_L-2_H-8_A-2", 1), ("uncased_L-2_H-8_A-2", 5), ("bert", 5)):
        _, _, tokenizer = google_bert.load(str(shutil.copytree(DATA, tmp_path / name)))
        assert tokenizer.encode("The") == [the]


def test_names_in_angle_brackets_make_no_vocabulary_cased(folder: Path) -> None:
    """Google's Chinese vocabulary is lower-cased, and has <S> and <T>."""
    file = folder / "vocab.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("old", "<S>"), encoding="utf-8")
    _, _, tokenizer = google_bert.load(str(folder))
    assert tokenizer.encode("The") == [5]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers is 0; it must be a whole number"),
        ({"num_attention_heads": "2"}, "num_attention_heads is '2'"),
        ({"vocab_size": None}, "vocab_size is None"),
        ({"num_hidden_layers": 10**6}, r"num_hidden_layers is 1000000, but .*bert_model\.ckpt\.index has fewer weights"),
        ({"num_attention_heads": 3}, "heads must divide width, and 3 does not divide 8"),
    ],
)
def test_a_config_that_is_no_bert_is_refused(change: dict[str, Any], told: str, folder: Path) -> None:
    edit(folder, **change)
    with pytest.raises(WeightsError, match=rf"bert_config\.json: .*{told}"):
        google_bert.load(str(folder))


def test_other_widths_and_segments_are_read(folder: Path) -> None:
    before = google_bert.read_shape(folder / "bert_config.json")
    edit(folder, intermediate_size=30, type_vocab_size=16)
    assert google_bert.read_shape(folder / "bert_config.json") == replace(before, inner=30, segments=16)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"num_hidden_layers": 3}, r"has no weight bert/encoder/layer_2/\S+.* \(and "),
        ({"num_hidden_layers": 1}, "has weights that the model lacks: bert/encoder/layer_1/attention/output/LayerNorm/beta"),
        (
            {"vocab_size": 21},
            r"bert/embeddings/word_embeddings has the shape \(20, 8\), by the numbers of the config it is \(21, 8\)",
        ),
        ({"max_position_embeddings": 16}, r"position_embeddings has the shape \(12, 8\)"),
    ],
)
def test_weights_of_another_model_are_named(change: dict[str, Any], told: str, folder: Path) -> None:
    edit(folder, **change)
    with pytest.raises(WeightsError, match=rf"bert_model\.ckpt\.index: .*{told}"):
        google_bert.load(str(folder))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop("bert/pooler/dense/bias"), "has no weight bert/pooler/dense/bias"),
        (
            lambda w: w.pop("bert/encoder/layer_0/attention/self/key/kernel"),
            "has no weight bert/encoder/layer_0/attention/self/key",
        ),
        (lambda w: w.update({"output_bias": np.zeros(3, np.float32)}), "has weights that the model lacks: output_bias"),
        (
            lambda w: w.update({"bert/encoder/layer_0/output/dense/kernel": np.zeros((8, 32), np.float32)}),
            r"bert/encoder/layer_0/output/dense/kernel has the shape \(8, 32\), by the numbers of the config it is \(32, 8\)",
        ),
        (lambda w: w.update({"bert/pooler/dense/bias": np.zeros(8, np.int64)}), "bert/pooler/dense/bias holds torch.int64"),
    ],
)
def test_missing_extra_and_wrong_weights_are_named(
    change: Callable[[Weights], object], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = open_bundle(str(DATA / "bert_model.ckpt")).weights()
    change(weights)
    monkeypatch.setattr(Bundle, "weights", lambda _: weights)
    with pytest.raises(WeightsError, match=rf"bert_model\.ckpt\.index: .*{told}"):
        google_bert.load(str(DATA))


def test_half_precision_becomes_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {name: array.astype(np.float16) for name, array in open_bundle(str(DATA / "bert_model.ckpt")).weights().items()}
    monkeypatch.setattr(Bundle, "weights", lambda _: weights)
    _, found, _ = google_bert.load(str(DATA))
    assert {tensor.dtype for tensor in found.values()} == {torch.float32}


def test_a_vocabulary_of_another_model_is_refused(folder: Path) -> None:
    with (folder / "vocab.txt").open("a", encoding="utf-8") as stream:
        stream.write("more\n")
    with pytest.raises(TokenizerError, match=r"vocab\.txt: has 21 pieces, .* vocab_size 20"):
        google_bert.load(str(folder))
    (folder / "vocab.txt").unlink()
    with pytest.raises(TokenizerError, match=r"vocab\.txt: there is no such file"):
        google_bert.load(str(folder))
    (folder / "bert_config.json").unlink()
    with pytest.raises(WeightsError, match=r"bert_config\.json: is missing"):
        google_bert.load(str(folder))


def test_damage_is_named(folder: Path) -> None:
    file = folder / "bert_model.ckpt.data-00000-of-00001"
    content = bytearray(file.read_bytes())
    bundle = open_bundle(str(folder / "bert_model.ckpt"))
    content[bundle.entries[b"bert/pooler/dense/kernel"].offset] ^= 4
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="data-00000-of-00001: the bytes of bert/pooler/dense/kernel are not those"):
        google_bert.load(str(folder))


def test_an_import_becomes_a_checkpoint_with_the_same_logits(tmp_path: Path, expected: Mapping[str, NDArray[Any]]) -> None:
    report = import_model(DATA, tmp_path / "out")
    assert (report.family, report.vocabulary) == ("bert", 20)
    found = trained.load(tmp_path / "out")
    assert isinstance(found.model.shape, BERTShape)
    assert far(run(found.model.shape, found.model.state_dict(), expected), expected) < 5e-6
    assert found.tokenizer.special_ids["[MASK]"] == 4
