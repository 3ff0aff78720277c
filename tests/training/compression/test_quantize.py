"""Compressed checkpoints: the codes' bounds, the same answers wherever they are loaded, and refusals."""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional
from tuning import labelled, write_config, write_records

from training.arguments import add_compress, parse
from training.checkpoints import store, trained
from training.checkpoints.store import CheckpointError
from training.compression import quantize
from training.compression.measured import beside, table
from training.compression.quantize import COMPRESSION, WAYS, compress
from training.compression.small import CompressionError
from training.models import quantized
from training.models.quantized import Int8Linear, StoredEmbedding, StoredLinear
from training.run.device import Device
from training.tasks import tuned
from training.tasks.finetune import finetune

CPU = Device("cpu", "float32")


@pytest.mark.parametrize("bits", [8, 4])
def test_a_code_is_the_nearest_to_its_weight(bits: int) -> None:
    weight = torch.randn(6, 64) * torch.logspace(-3, 1, 6)[:, None]
    weight[3] = 0
    codes, scale = quantized.quantize(weight, bits)
    found = quantized.dequantize(codes, scale)
    if bits == 8:
        assert codes.shape == (6, 64) and codes.dtype == torch.int8
        steps = weight.abs().amax(1, keepdim=True) / 127
    else:
        assert codes.shape == (6, 32) and codes.dtype == torch.uint8 and scale.shape == (6, 2)
        steps = (weight.unflatten(1, (2, 32)).abs().amax(-1) / 7).repeat_interleave(32, 1)
    assert ((found - weight).abs() <= steps * 0.51 + 1e-7).all()
    assert (found[3] == 0).all()


def test_whole_numbers_multiply_without_overflow_where_sums_are_largest() -> None:
    """Two products of the largest codes fill 16 bits if inputs have 8 bits; with 7 the result is exact."""
    weight, inputs = torch.full((4, 64), 0.5), torch.full((3, 64), 2.0)
    inputs[:, ::7] = 0
    codes, scale = quantized.quantize(weight, 8)
    layer = Int8Linear(codes, scale, None)
    torch.testing.assert_close(layer(inputs), functional.linear(inputs, weight), rtol=0.01, atol=0)


def test_a_row_is_quantized_by_itself() -> None:
    """Neither an outlier nor a row of zeros beside it changes a row; its error is within half a step of inputs and weights."""
    linear, inputs = nn.Linear(64, 8), torch.randn(3, 5, 64)
    inputs[0, 0], inputs[1, 2] = 1e4 * inputs[0, 0], 0
    codes, scale = quantized.quantize(linear.weight.detach(), 8)
    layer = Int8Linear(codes, scale, linear.bias.detach())
    together, alone = layer(inputs), torch.stack([layer(row[None])[0] for row in inputs.flatten(0, 1)])
    torch.testing.assert_close(together.flatten(0, 1), alone, rtol=1e-6, atol=1e-6)
    assert torch.equal(together[1, 2], linear.bias)
    weight = quantized.dequantize(codes, scale)
    most = inputs.abs().amax(-1, keepdim=True) / 126 * weight.abs().sum(1)
    assert ((together - functional.linear(inputs, weight, linear.bias)).abs() <= most * 1.01 + 1e-6).all()
    assert layer(inputs.to(torch.bfloat16)).dtype == torch.bfloat16


def test_layers_compute_with_what_is_stored() -> None:
    linear, embedding = nn.Linear(32, 8), nn.Embedding(10, 32)
    x, ids = torch.randn(5, 3, 32), torch.tensor([[1, 9], [0, 1]])
    codes, scale = quantized.quantize(linear.weight.detach(), 4)
    stored = StoredLinear(codes, scale, linear.bias.detach())
    torch.testing.assert_close(stored(x), functional.linear(x, quantized.dequantize(codes, scale), linear.bias))
    dynamic = Int8Linear(*quantized.quantize(linear.weight.detach(), 8), linear.bias.detach())
    assert (dynamic(x) - linear(x)).abs().max() < 0.05
    table = StoredEmbedding(*quantized.quantize(embedding.weight.detach(), 8))
    assert torch.equal(table(ids), table.weight[ids])


@pytest.mark.parametrize("to", list(WAYS))
@pytest.mark.parametrize("family", ["bert", "gpt", "bart", "t5"])
def test_a_compressed_model_computes_nearly_what_the_original_does(
    family: str, to: str, bases: Mapping[str, Path], tmp_path: Path
) -> None:
    path = compress(bases[family], to, tmp_path / "small")
    original, small, floats = trained.load(bases[family]), trained.load(path, compressed=True), trained.load(path)
    assert {name: tensor.shape for name, tensor in floats.model.state_dict().items()} == {
        name: tensor.shape for name, tensor in original.model.state_dict().items()
    }
    ids = torch.arange(5, 25).view(2, 10)
    arguments = (ids,) if family in ("bert", "gpt") else (ids, ids)
    with torch.inference_mode():
        wanted, stored, plain = (model.model(*arguments) for model in (original, small, floats))
    if family == "bert":
        wanted, stored, plain = wanted[0], stored[0], plain[0]
    spread = wanted.std()
    assert (stored - wanted).std() < spread * (0.25 if "4" in to else 0.05)
    assert (stored - plain).abs().max() < (spread * 0.1 if to == "int8" else 1e-4)
    assert not torch.equal(wanted, plain)


def test_a_tuned_model_keeps_its_answers(tuned_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command writes a folder that loads as the run does, and a table with both."""
    words = [str(tuned_run), "--to", "int8", "--out", str(tmp_path / "small"), "--device", "cpu", "--threads", "1"]
    assert quantize.run(parse(add_compress, words)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["accuracy", "loss", "macro_f1", "f1", "matthews", "bytes", "rows/s"]
    facts = json.loads((tmp_path / "small" / COMPRESSION).read_text())
    report = json.loads((tuned_run / "report.json").read_text())
    assert facts["original"]["accuracy"] == report["test"]["accuracy"] > 0.85
    assert abs(facts["int8"]["accuracy"] - facts["original"]["accuracy"]) <= 0.05
    assert facts["int8"]["bytes"] == (trained.find(tmp_path / "small").path / "model.pt").stat().st_size
    small = tuned.load(tmp_path / "small")
    assert isinstance(small.model.body.get_submodule("layers.0.attention.output"), Int8Linear)
    assert isinstance(small.model.head, nn.Module) and not quantized.is_compressed(small.model.head.state_dict())


def test_adapters_are_added_before_weights_are_compressed(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    more = ("model.tuning=lora", "train.epochs=1", "train.learning_rate=5e-2")
    finetune(write_config(tmp_path, bases["bert"], "classification", train), more)
    small = tuned.load(compress(tmp_path / "run", "int8-weights", tmp_path / "small")).model
    merged, base = (trained.load(path).model.state_dict() for path in (tmp_path / "run", bases["bert"]))
    name = "layers.0.attention.query_key_value"
    step = merged[f"{name}.weight"].abs().amax(1, keepdim=True) / 127
    found = small.body.get_submodule(name).weight
    assert isinstance(found, torch.Tensor) and ((found - merged[f"{name}.weight"]).abs() <= step * 0.51).all()
    assert ((found - base[f"{name}.weight"]).abs() > step).any()
    assert not any("adapter" in name for name in small.state_dict())


def test_a_file_of_codes_has_the_bytes_that_its_weights_need(tmp_path: Path, bases: Mapping[str, Path]) -> None:
    model = trained.load(bases["bert"]).model
    weights = {name: tensor for name, tensor in model.state_dict().items()}
    sizes = {bits: sum(t.nbytes for t in quantized.compressed(model, weights, bits).values()) for bits in (8, 4)}
    stored = {f"{name}.weight" for name in quantized.stored(model)}
    rows = sum(len(weights[name]) for name in stored)
    kept = sum(tensor.nbytes for name, tensor in weights.items() if name not in stored)
    whole = sum(weights[name].numel() for name in stored)
    assert sizes[8] == kept + whole + 4 * rows
    tokens = weights["embeddings.tokens.weight"]
    halves = whole - tokens.numel()
    assert sizes[4] == kept + tokens.numel() + 4 * len(tokens) + halves // 2 + 2 * halves // 32


def test_what_cannot_be_compressed_or_read_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    path = compress(bases["gpt"], "int8", tmp_path / "small")
    with pytest.raises(CompressionError, match=r"small: is not an empty folder"):
        compress(bases["gpt"], "int8", tmp_path / "small")
    with pytest.raises(CompressionError, match=r"is compressed already \(int8\)"):
        compress(path, "int4-weights", tmp_path / "smaller")
    manifest, state = path / store.MANIFEST, path / "state.json"
    assert json.loads(manifest.read_text())["format"] == 4  # releases that read format 3 name the release that reads it
    changed = json.loads(state.read_text().replace('"dynamic"', '"optical"'))
    content = store.Content({"model": store.read(path).load("model")}, changed, {"tokenizer.model": b""}, store.COMPRESSED)
    other = store.save(tmp_path / "other", 0, content, 1)
    listed = json.loads((other / store.MANIFEST).read_text())
    assert listed["format"] == 4
    with pytest.raises(CheckpointError, match=r"does not describe how it was compressed.*optical.*compress the run again"):
        trained.load(other, compressed=True)


def test_an_import_is_compared_by_bytes_and_speed(bases: Mapping[str, Path], tmp_path: Path) -> None:
    compress(bases["t5"], "int8-weights", tmp_path / "small")
    lines = beside({"original": bases["t5"], "small": tmp_path / "small"}, None, 8, CPU)
    assert not lines["small"].figures and 0 < lines["small"].bytes < lines["original"].bytes
    assert math.isfinite(lines["small"].rows_per_second) and len(table(lines).splitlines()) == 3
