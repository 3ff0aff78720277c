"""ONNX files compute what the models do, for other batches and lengths than they were traced with."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from training.checkpoints import trained
from training.compression import onnx
from training.convert.export import ExportError
from training.models.gpt import GPT
from training.models.t5 import T5
from training.run.device import Device
from training.tasks import tuned as tuning

onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (the extra export)")
pytest.importorskip("onnxscript", reason="onnxscript is not installed (the extra export)")


def test_a_tuned_bert_answers_in_onnxruntime_as_in_predict(tuned_run: Path, tmp_path: Path) -> None:
    assert set(onnx.export(tuned_run, tmp_path / "onnx")) == {"model.onnx", "labels.json"}
    tuned = tuning.load(tuned_run)
    rows = tuned.task.rows(tuned.read(str(tuned_run.parent / "test.jsonl")))
    wanted = np.stack(tuning.in_order(tuning.outputs(tuned, rows, Device("cpu", "float32"))))
    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx")
    for numbers in (np.arange(1), np.arange(100)):
        batch = rows.batch(numbers)
        mask = (np.arange(batch["inputs"].shape[1]) < batch["lengths"][:, None]).astype(np.int64)
        (logits,) = session.run(None, {"ids": batch["inputs"], "mask": mask, "segments": batch["segments"]})
        assert np.abs(logits - wanted[numbers]).max() < 1e-4
    assert json.loads((tmp_path / "onnx/labels.json").read_text()) == ["river", "town"]


def test_a_gpt_continues_token_by_token_with_its_cache(bases: Mapping[str, Path], tmp_path: Path) -> None:
    onnx.export(bases["gpt"], tmp_path / "onnx")
    model = trained.load(bases["gpt"]).model
    assert isinstance(model, GPT)
    ids = torch.randint(0, model.shape.vocabulary, (4, 9))
    with torch.no_grad():
        wanted = model(ids).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx")
    names = [one.name for one in session.get_inputs()][1:]
    assert names == ["key_0", "value_0", "key_1", "value_1"]
    past = [np.zeros((4, 2, 0, 16), np.float32) for _ in names]
    for first, last in ((0, 6), (6, 7), (7, 8), (8, 9)):
        logits, *past = session.run(None, {"ids": ids[:, first:last].numpy(), **dict(zip(names, past, strict=True))})
        assert np.abs(logits - wanted[:, first:last]).max() < 1e-4


@pytest.mark.parametrize("family", ["bart", "t5"])
def test_both_stacks_restore_texts(family: str, bases: Mapping[str, Path], tmp_path: Path) -> None:
    assert set(onnx.export(bases[family], tmp_path / "onnx")) == {"encoder.onnx", "decoder.onnx"}
    model = trained.load(bases[family]).model
    ids, mask = torch.randint(0, 300, (5, 21)), torch.ones(5, 21, dtype=torch.int64)
    mask[2, 4:] = 0
    with torch.no_grad():
        wanted = model(ids, ids[:, :13], real=mask.bool()).numpy()
    encoder, decoder = (onnxruntime.InferenceSession(tmp_path / f"onnx/{name}.onnx") for name in ("encoder", "decoder"))
    (memory,) = encoder.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})
    (logits,) = decoder.run(None, {"ids": ids[:, :13].numpy(), "memory": memory, "mask": mask.numpy()})
    assert np.abs(logits - wanted).max() < 1e-4
    assert not isinstance(model, T5) or type(model.encoder.relative_bias).__name__ == "RelativeBias"


def test_a_taken_folder_is_refused(bases: Mapping[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="is not an empty folder"):
        onnx.export(bases["gpt"], tmp_path)
