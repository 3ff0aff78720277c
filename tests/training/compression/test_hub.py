"""Tuned models in Hugging Face's classes: the same labels and probabilities, by transformers' own pipelines."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tuning import labelled

from pipelines.exports.tokenizer import export_huggingface
from training.compression.hub import export, head_of
from training.convert.export import ExportError
from training.run.device import Device
from training.tasks import features, tuned
from training.tasks.predict import predict

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers


def test_the_pipeline_gives_the_labels_of_the_run(tuned_run: Path, tmp_path: Path) -> None:
    import transformers

    report = export(tuned_run, tmp_path / "hf", export_huggingface)
    assert report.architecture == "BertForSequenceClassification"
    classify = transformers.pipeline("text-classification", model=str(tmp_path / "hf"), device="cpu")
    texts = [one["text"] for one in labelled(100, seed=1)][:40]
    model = tuned.load(tuned_run)
    records = model.read(str(tuned_run.parent / "test.jsonl")).first(40)
    answers = predict(model, records, Device("cpu", "float32"))
    for theirs, ours in zip(classify(texts), answers, strict=True):
        assert theirs["label"] == ours["label"]
        assert theirs["score"] == pytest.approx(ours["probability"], abs=2e-4)
    card = (tmp_path / "hf/README.md").read_text()
    accuracy = json.loads((tuned_run / "report.json").read_text())["test"]["accuracy"]
    assert "pipeline_tag: text-classification" in card and f"| test | accuracy | {accuracy:.4f} |" in card
    transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "hf")


def test_a_model_without_a_task_has_a_card(bases: Mapping[str, Path], tmp_path: Path) -> None:
    export(bases["gpt"], tmp_path / "hf", export_huggingface)
    assert (tmp_path / "hf/README.md").read_text().startswith("---\nlibrary_name: transformers\npipeline_tag: text-generation\n")


def test_heads_that_hugging_face_lacks_are_refused(tuned_run: Path) -> None:
    model = tuned.load(tuned_run)
    for other in (replace(model, family="gpt"), replace(model, section=replace_kind(model.section, "relations"))):
        with pytest.raises(ExportError, match=r"has no class for a .* by this .*; export it --to onnx"):
            head_of(other)


def replace_kind(section: object, kind: str) -> object:
    return section.model_copy(update={"kind": kind})  # type: ignore[attr-defined]


def test_a_roberta_has_its_dense_layer_in_the_head(tuned_run: Path, bases: Mapping[str, Path]) -> None:
    """Its class names the two layers of a head without a pooler."""
    model = tuned.load(tuned_run)
    body = model.model.body
    shape = replace(body.shape, segments=1, first_position=1, pooled=False)  # type: ignore[call-arg]
    other = type(body)(shape)  # type: ignore[arg-type]
    roberta = replace(model, model=type(model.model)(other, features.head(other, 2), model.task.losses))
    head = head_of(roberta)
    assert head.architecture == "RobertaForSequenceClassification"
    assert {name: tuple(tensor.shape) for name, tensor in head.weights.items()} == {
        "classifier.dense.weight": (32, 32),
        "classifier.dense.bias": (32,),
        "classifier.out_proj.weight": (2, 32),
        "classifier.out_proj.bias": (2,),
    }
    assert all(torch.isfinite(tensor).all() for tensor in head.weights.values())
