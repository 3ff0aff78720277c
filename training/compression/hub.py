"""Export a model for Hugging Face: safetensors, config, tokenizer and a model card; of a fine-tuning with its head.

    classification    BERT, RoBERTa    ...ForSequenceClassification   pipeline("text-classification") gives the run's labels
    named_entities    BERT, RoBERTa    ...ForTokenClassification      of first pieces; the run's decoding is not exported
    question_answering                 ...ForQuestionAnswering        its windows and null score are the pipeline's

Other tasks have no head (T5; text to text of BART): they are exported as after pretraining. Heads that no class of Hugging Face
computes alike are refused: those of GPT (theirs has no bias), BART, DistilBERT, ModernBERT, and relations between entities.

`--push ORG/NAME` uploads the folder by huggingface_hub, in one commit; HF_TOKEN is the key, HF_ENDPOINT another hub. The library
repeats requests that fail for a moment. Pushed again, what is there already is not sent again.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import Checkpoint
from training.checkpoints.trained import TASK
from training.convert import huggingface
from training.convert.export import ExportError, ExportReport, WriteTokenizer
from training.convert.export import export as export_body
from training.convert.huggingface import TaskHead
from training.run.progress import REPORT
from training.tasks import tuned as tuning
from training.tasks.tuned import TunedModel

_TOKEN, _ENDPOINT = "HF_TOKEN", "HF_ENDPOINT"
_PIPELINES = {"bert": "fill-mask", "gpt": "text-generation", "bart": "text2text-generation", "t5": "text2text-generation"}
_TASK_PIPELINES = {
    "classification": "text-classification",
    "named_entities": "token-classification",
    "question_answering": "question-answering",
}


def export(path: str | Path, out: str | Path, write_tokenizer: WriteTokenizer) -> ExportReport:
    """Write a run's model, with the head of its task, into a new folder (training/convert/export.py).

    Raises ExportError for a head that Hugging Face has not, and what training.convert.export.export raises.
    """
    found = trained.find(here(path))
    tuned = tuning.load(path) if TASK in found.state else None
    head = None if tuned is None or tuned.model.head is None else head_of(tuned)
    return export_body(path, out, write_tokenizer, head=head, card=card(found, here(path), Path(out).name))


def head_of(tuned: TunedModel) -> TaskHead:
    """Return the head of a tuned BERT or RoBERTa in Hugging Face's names. Raises ExportError for another."""
    kind, model = tuned.section.kind, tuned.model
    theirs = huggingface.names_of(tuned.family, model.body.shape) if tuned.family == "bert" else None
    name = next((name for name, module in huggingface.BERTS.items() if module is theirs), tuned.family)
    make = None if tuned.body.tuning in ("prompt", "prefix") else _HEADS.get(kind)
    if name not in ("bert", "roberta") or make is None or model.head is None:
        raise ExportError(
            f"{tuned.where}: Hugging Face has no class for a {kind} by this {name}; export it --to onnx, or the body alone by "
            "exporting the run that model.base names"
        )
    return make("Bert" if name == "bert" else "Roberta", tuned, model.head)


def _classification(prefix: str, tuned: TunedModel, head: nn.Module) -> TaskHead:
    """A BERT without a pooler has the head's dense layer in its place; RoBERTa's class has it in the head."""
    names = {"output": "classifier"} if prefix == "Bert" else {"output": "classifier.out_proj"}
    if getattr(head, "dense", None) is not None:
        names["dense"] = "bert.pooler.dense" if prefix == "Bert" else "classifier.dense"
    labels = list(tuned.task.state()["labels"])
    config: dict[str, Any] = {**_labels(labels or ["value"]), "add_pooling_layer": True}
    config["problem_type"] = "single_label_classification" if labels else "regression"
    return TaskHead(f"{prefix}ForSequenceClassification", _named(head, names), config, ("cls.", "lm_head."))


def _named_entities(prefix: str, tuned: TunedModel, head: nn.Module) -> TaskHead:
    config = _labels(tuned.task.state()["labels"])
    return TaskHead(f"{prefix}ForTokenClassification", _named(head, {"output": "classifier"}), config, _WITHOUT_POOLER)


def _question_answering(prefix: str, tuned: TunedModel, head: nn.Module) -> TaskHead:
    return TaskHead(f"{prefix}ForQuestionAnswering", _named(head, {"output": "qa_outputs"}), {}, _WITHOUT_POOLER)


_WITHOUT_POOLER = ("cls.", "lm_head.", "bert.pooler.")
_HEADS: Mapping[str, Callable[[str, TunedModel, nn.Module], TaskHead]] = {
    "classification": _classification,
    "named_entities": _named_entities,
    "question_answering": _question_answering,
}


def _labels(labels: list[str] | tuple[str, ...]) -> dict[str, Any]:
    return {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}


def _named(head: nn.Module, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the weights of a head under their names of its layers; none may be left over."""
    state = head.state_dict()
    named = {f"{theirs}.{kind}": state.pop(f"{ours}.{kind}") for ours, theirs in names.items() for kind in ("weight", "bias")}
    assert not state, f"weights of a head without a name: {list(state)}"
    return named


def card(found: Checkpoint, run: Path, name: str) -> str:
    """Return a model card: its metadata as the hub reads it, what the model is, and its figures.

    The licence is left to the reader, as it depends on the texts.
    """
    task = found.state.get(TASK, {}).get("section", {})
    family = found.fact("model")["family"]
    pipeline = _TASK_PIPELINES.get(task.get("kind", ""), _PIPELINES.get(family, "feature-extraction"))
    shape = ", ".join(f"{key} {value}" for key, value in found.fact("model")["shape"].items() if value is not None)
    lines = ["---", "library_name: transformers", f"pipeline_tag: {pipeline}", "tags:", f"- {family}", "- corpusmill", "---"]
    lines += [f"# {name}", "", f"A {family} model trained by corpusmill ({found.path.name}): {shape}."]
    if task:
        lines += ["", f"Fine-tuned for {task.get('name') or task['kind']}."]
    if figures := _figures(run):
        lines += ["", "| records | figure | value |", "|---|---|---|"]
        lines += [
            f"| {split} | {figure} | {value:.4f} |" for split, values in figures.items() for figure, value in values.items()
        ]
    return "\n".join(lines) + "\n"


def _figures(run: Path) -> dict[str, dict[str, float]]:
    """Return the figures of a run's report by split; none without a report of a fine-tuning."""
    try:
        report = json.loads((run / REPORT).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    splits = {split: report.get(split) for split in ("validation", "test")}
    return {
        split: {name: value for name, value in values.items() if isinstance(value, int | float)}
        for split, values in splits.items()
        if isinstance(values, dict)
    }


def refuse_push(repo: str) -> None:
    """Raise ExportError unless a folder can be pushed to this name, as far as is known before."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    if not os.environ.get(_TOKEN):
        raise ExportError(f"--push {repo}: {_TOKEN} is not set; set it to a token of the hub with the right to write")
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ExportError(f"--push {repo}: is not a name on the hub, ORG/NAME ({error})") from error
    if repo.count("/") != 1:
        raise ExportError(f"--push {repo}: is not a name on the hub; give ORG/NAME")


def push(folder: str | Path, repo: str, *, private: bool = False) -> str:
    """Upload an exported folder to a repository of the hub, which is created if it is not there; return the commit's address.

    Raises ExportError if the hub refuses it or cannot be reached.
    """
    import httpx
    from huggingface_hub import HfApi

    refuse_push(repo)
    api = HfApi(endpoint=os.environ.get(_ENDPOINT) or None, token=os.environ[_TOKEN])
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Export of corpusmill").commit_url)
    except (OSError, RuntimeError, ValueError, httpx.HTTPError) as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise ExportError(
            f"{folder}: is written, but was not pushed to {repo} at {api.endpoint}: {reason}; push it with "
            f"`hf upload {repo} {folder}`"
        ) from error
