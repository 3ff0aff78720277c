"""Heads that are taken out: the same answers as with these heads at zero, the least important ones, and who opens the run."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning import SHAPES, labelled, write_config, write_records

from pipelines.contract.errors import UserError
from pipelines.exports.tokenizer import export_huggingface
from training.arguments import add_compress, parse
from training.checkpoints import trained
from training.compression import hub, onnx, quantize
from training.compression.measured import beside
from training.compression.prune import PRUNED, importance, most_important, prune, scaled
from training.compression.quantize import COMPRESSION, compress
from training.compression.small import CompressionError
from training.convert import huggingface
from training.models import heads
from training.models.bert import BERT, BERTShape
from training.models.families import build, make
from training.models.gpt import GPT
from training.models.rows import RowMemory, RowsCache
from training.run.device import Device
from training.run.pretrain import pretrain
from training.run.resources.flops import bert as operations
from training.tasks import tuned
from training.tasks.finetune import finetune
from training.tasks.tuning import distill

CPU = Device("cpu", "float32")
KEPT = [[0, 3], [2]]
SOME = {"bert": replace(SHAPES["bert"](50), heads=4), "gpt": replace(SHAPES["gpt"](50), heads=4)}


def by_mask(kept: list[list[int]], most: int) -> list[torch.Tensor]:
    factors = torch.zeros(len(kept), 1, most)
    for layer, line in enumerate(kept):
        factors[layer, 0, line] = 1
    return list(factors)


@pytest.mark.parametrize("family", ["bert", "gpt"])
def test_a_model_without_heads_is_the_whole_model_with_these_heads_at_zero(family: str) -> None:
    model, ids = make(SOME[family], 1).eval(), torch.arange(24).view(2, 12)
    for weight in model.parameters():  # biases are not zero in trained models
        weight.data += 0.1 * torch.randn_like(weight)
    smaller = heads.without_heads(model, KEPT)
    assert smaller.shape.layer_heads == (2, 1)
    assert smaller.get_submodule("layers.1.attention.query_key_value").weight.shape == (3 * 8, 32)
    with torch.inference_mode():
        with scaled(model, by_mask(KEPT, 4)):
            wanted = model.hidden(ids)
        assert (wanted - model.hidden(ids)).abs().max() > 0.01
        for one in (
            smaller,
            heads.with_all_heads(smaller),
            heads.without_heads(heads.without_heads(model, [[0, 2, 3], [1, 2]]), [[0, 2], [1]]),
        ):
            torch.testing.assert_close(one.hidden(ids), wanted, rtol=0, atol=1e-6)
    assert heads.with_all_heads(smaller).shape == model.shape and heads.with_all_heads(model) is model


def test_importance_is_the_slope_of_each_row_s_loss() -> None:
    """The mean over rows of the magnitude, by finite differences; batches do not matter."""
    model = make(SOME["bert"], 1).double()
    ids, goal = torch.arange(40).view(4, 10), torch.randn(4, 32, dtype=torch.float64)

    def losses(examples: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sum": (model.hidden(examples["ids"])[:, 0] - examples["goal"]).square().sum(), "sum_right": torch.tensor(99.0)}

    rows = {"ids": ids, "goal": goal}
    found = importance(model, model, losses, [rows])
    halves = [{name: values[part] for name, values in rows.items()} for part in (slice(0, 1), slice(1, 4))]
    torch.testing.assert_close(importance(model, model, losses, halves), found)
    slopes = torch.zeros(2, 4, dtype=torch.float64)
    for layer, head, row in np.ndindex(2, 4, 4):
        one = {name: values[row : row + 1] for name, values in rows.items()}
        values: list[float] = []
        for step in (1e-4, -1e-4):
            factors = torch.ones(2, 1, 4, dtype=torch.float64)
            factors[layer, 0, head] += step
            with scaled(model, list(factors)):
                values.append(losses(one)["sum"].item())
        slopes[layer, head] += abs(values[0] - values[1]) / 2e-4
    torch.testing.assert_close(found, slopes / slopes.norm(dim=1, keepdim=True), rtol=1e-5, atol=1e-8)


def test_the_least_important_heads_of_all_layers_go_but_for_the_last_of_a_layer() -> None:
    scores = torch.tensor([[0.1, 0.9, 0.2, 0.5], [0.01, 0.02, 0.03, -1.0]])
    assert most_important(scores, 0.3, "run") == [[0, 1, 2, 3], [2]]
    assert most_important(scores, 0.6, "run") == [[1, 3], [2]]
    with pytest.raises(CompressionError, match=r"run: --prune-heads 0.9 are 6 of its 7 heads; from 1 to 5 can go"):
        most_important(scores, 0.9, "run")


def test_a_tuned_model_without_a_useless_head_keeps_its_answers(
    tuned_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Predict, fine-tune, distill and compress again open it."""
    out = tmp_path / "small"
    words = [str(tuned_run), "--prune-heads", "0.25", "--out", str(out), "--device", "cpu", "--threads", "1"]
    assert quantize.run(parse(add_compress, words)) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith(PRUNED)
    facts = json.loads((out / COMPRESSION).read_text())
    assert facts[PRUNED]["bytes"] < facts["original"]["bytes"]
    assert facts[PRUNED]["accuracy"] > 0.6
    small, whole = tuned.load(out), tuned.load(tuned_run)
    state = trained.find(out).state[PRUNED]
    assert sum(map(len, state["kept"])) == 3 and small.model.body.shape.layer_heads == tuple(map(len, state["kept"]))
    rows = small.task.rows(small.read(str(small.section.test)))
    with scaled(whole.model.body, by_mask(state["kept"], 2)):
        wanted = tuned.outputs(whole, rows, CPU)
    found = tuned.outputs(small, rows, CPU)
    np.testing.assert_allclose([found[n] for n in range(len(rows))], [wanted[n] for n in range(len(rows))], atol=1e-5)
    assert tuned.load(compress(out, "int8-weights", tmp_path / "smaller")).model.body.shape == small.model.body.shape
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    finetune(write_config(tmp_path, out, "classification", train), ("train.epochs=1", "model.layers=1"))
    assert tuned.load(tmp_path / "run").model.body.shape.layer_heads == small.model.body.shape.layer_heads[:1]


def test_heads_of_adapted_layers_go_with_their_adapters(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    more = ("model.tuning=lora", "train.epochs=1", "train.learning_rate=5e-2")
    finetune(write_config(tmp_path, bases["gpt"], "classification", train), more)
    small = tuned.load(prune(tmp_path / "run", 0.5, tmp_path / "small", str(train), 8, CPU))
    assert small.model.body.shape.layer_heads == (1, 1) and small.body.tuning == "full"
    assert not any("adapter" in name for name in small.model.state_dict())


def test_a_gpt_with_fewer_heads_reads_rows_together_as_alone() -> None:
    """Layers with other numbers of heads in one memory (serving), and steps with the cache."""
    model = heads.without_heads(make(SOME["gpt"], 1).eval(), KEPT)
    assert isinstance(model, GPT)
    rows = [torch.arange(5, 9), torch.arange(20, 27)]
    with torch.inference_mode():
        memories: list[RowMemory] = []
        for row in rows:
            cache = model.empty_cache()
            model.hidden(row[None, :-1], cache=cache)
            memories.append(RowMemory(cache, 10))
        cache = RowsCache(memories)
        positions = torch.tensor([[memory.length] for memory in memories])
        together = model.hidden(torch.stack([row[-1:] for row in rows]), positions=positions, cache=cache)
        for row, found in zip(rows, together, strict=True):
            torch.testing.assert_close(found[0], model.hidden(row[None])[0, -1], rtol=0, atol=1e-6)


def test_a_pretraining_is_judged_on_its_training_rows(tiny_config: Path, tmp_path: Path) -> None:
    pretrain(tiny_config, ("sample.tokens=0", "train.steps=4", "model.heads=4"))
    prune(tmp_path / "run", 0.5, tmp_path / "small", None, 8, CPU)
    model = trained.load(tmp_path / "small").model
    assert isinstance(model, GPT) and sum(model.shape.heads_by_layer) == 4
    lines = beside({"original": tmp_path / "run", "pruned": tmp_path / "small"}, None, 4, CPU)
    assert lines["pruned"].figures["validation_loss"] > 0
    with pytest.raises(CompressionError, match=r"run: has no task, so its heads are judged on the text.*leave out --data"):
        prune(tmp_path / "run", 0.5, tmp_path / "other", "x.jsonl", 8, CPU)


@pytest.mark.parametrize("family", ["bert", "gpt"])
def test_exports_compute_the_same(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    """Hugging Face's model has the heads again, of zeros; ONNX has what is left: its export compares the two."""
    base = trained.load(bases[family])
    small = heads.without_heads(base.model, [[1], [0, 1]])
    trained.save(tmp_path / "small", small, family, base.tokenizer, {})
    hub.export(tmp_path / "small", tmp_path / "theirs", export_huggingface)
    _, shape, weights = huggingface.read(tmp_path / "theirs")
    theirs, ids = build(shape).eval(), torch.arange(5, 25).view(2, 10)
    theirs.load_state_dict(weights)
    assert isinstance(theirs, BERT | GPT) and theirs.shape.layer_heads is None
    with torch.inference_mode():
        wanted = trained.load(tmp_path / "small").model.hidden(ids)
        torch.testing.assert_close(theirs.hidden(ids), wanted, rtol=0, atol=1e-6)
    if family == "gpt":
        onnx.export(tmp_path / "small", tmp_path / "onnx")


def test_what_cannot_lose_heads_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    with pytest.raises(CompressionError, match="is a t5; heads can be taken out of BERT and GPT"):
        prune(bases["t5"], 0.5, tmp_path / "small", None, 8, CPU)
    with pytest.raises(CompressionError, match="has no task and no text to judge heads on; fine-tune it first"):
        prune(bases["bert"], 0.5, tmp_path / "small", None, 8, CPU)
    with pytest.raises(UserError, match=r"layer_heads must be 2 numbers from 1 to 4, one for each layer, not \[2\]"):
        replace(SOME["bert"], layer_heads=(2,))
    with pytest.raises(UserError, match="this is a T5"):
        heads.without_heads(build(SHAPES["t5"](50)), [])


def test_fewer_heads_are_fewer_operations_and_students_take_their_layers_heads() -> None:
    whole = BERTShape(layers=3, heads=4, width=64, vocabulary=50)
    pruned = replace(whole, layer_heads=(4, 1, 2))
    saved = 5 * 16 * (4 * 64 * 6 * 10 + 12 * 10 * 10)  # five heads' matrices, and their attention
    assert operations(whole, 10, 2) - operations(pruned, 10, 2) == saved
    assert distill.fewer_layers(make(pruned, 1), 2).shape.layer_heads == (4, 2)
