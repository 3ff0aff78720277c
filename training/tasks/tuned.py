"""A tuned model, its task and its tokenizer: made from a base for training, or loaded from a run for use."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.contract.tokenizers.families import Family
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.checkpoints.remote import here
from training.checkpoints.store import CheckpointError
from training.checkpoints.trained import TASK
from training.generation.answers import evaluated
from training.models import families
from training.models.families import Model
from training.models.tuned import Tuned
from training.run.device import Device
from training.tasks import features
from training.tasks.config import BodySection, DistillSection, FinetuneConfig, MixedConfig
from training.tasks.errors import TaskError
from training.tasks.input import formats, vocabulary
from training.tasks.input.reading import LONGEST, reader
from training.tasks.input.records import Records, lines, records
from training.tasks.input.rows import Numbers, Rows
from training.tasks.kinds import EXAMPLES, kind_of
from training.tasks.task import Files, Task
from training.tasks.tuning import adapters, distill, soft_prompts

_BATCH_TOKENS = 8192  # read at once by `outputs`, padding included


@dataclass(frozen=True, slots=True)
class TunedModel:
    """A model and its task, ready to train or to use."""

    model: Tuned
    task: Task
    family: str
    tokenizer: Tokenizer
    section: Any  # of the task
    body: BodySection
    where: str = ""  # the checkpoint's folder, for messages

    def read(self, path: Files, *, labelled: bool = True) -> Records:
        """Return the records of a file, or of one for each field. Raises TaskError, as `read`."""
        return read(self.task, self.section, path, labelled=labelled)

    def described(self) -> dict[str, Any]:
        """Return the description for a checkpoint's state."""
        return {
            **trained.described(self.model.body, self.family, self.tokenizer),
            TASK: {"section": self.section.model_dump(mode="json"), "learned": self.task.state(), "body": self.body.model_dump()},
        }


def read(task: type[Task] | Task, section: Any, path: Files, *, labelled: bool = True) -> Records:
    """Return the records of a file, or of one for each field, for a task; without `labelled` the labels may be missing.

    A .txt has a line for each record, with its first field.

    Raises TaskError, as `records` and `lines`, and if a field has no file.
    """
    fields = {name: section.fields.get(name, name) for name in task.FIELDS if labelled or name not in task.LABELS}
    if isinstance(path, str):
        table = formats.read(section.kind, path)
        if table is not None or ".txt" not in Path(path).suffixes[-2:]:
            return records(path, fields, task.OPTIONAL, table).first(section.limit)
        path = {task.FIELDS[0]: path}
    if wrong := {*path} - {*task.FIELDS}:
        raise TaskError(f"task.train: {section.kind} has no field {min(wrong)!r}, but {', '.join(map(repr, task.FIELDS))}")
    if missing := [name for name in fields if name not in path and name not in task.OPTIONAL]:
        raise TaskError(f"{next(iter(path.values()))}: no file of the field {missing[0]!r} is named beside it; name one")
    return lines({name: path[name] for name in fields if name in path}).first(section.limit)


def begin(config: FinetuneConfig, seed: int) -> tuple[TunedModel, Records]:
    """Return a model for a config, from its base or new, with a new head; and the training records.

    Raises CheckpointError for a base that cannot be read, TaskError for records that the task cannot use.
    """
    ((tuned, found),) = _begin((config.task,), config.model, seed)
    return (tuned if config.distill is None else _student(tuned, config.distill)), found


def begin_several(config: MixedConfig, seed: int) -> dict[str, tuple[TunedModel, Records]]:
    """Return what `begin` does for each task of a mixture, by name; they share one body.

    Raises TaskError, as `begin`, and for a model that is no T5.
    """
    return dict(zip(config.names, _begin(config.tasks, config.model, seed), strict=True))


def _begin(sections: Sequence[Any], settings: BodySection, seed: int) -> list[tuple[TunedModel, Records]]:
    """Return a model, with the same body, and the training records for each task."""
    for section in sections:
        if not section.train:
            place = f"tasks, {section.name or section.kind}" if len(sections) > 1 else "task.train"
            raise TaskError(f"{place}: is missing; name the file of the training records")
    base = None if settings.new else trained.load(str(settings.base))
    family, pieces = (base.family, families.pieces_of(base.model.shape)) if base else _families(settings)
    if len(sections) > 1 and pieces != "t5":
        raise TaskError(f"tasks: a mixture is for a T5, which reads and writes text in every task; {family} is none")
    kinds = [kind_of(section, pieces) for section in sections]
    found = [read(kind, section, section.train) for kind, section in zip(kinds, sections, strict=True)]
    if base:
        tokenizer, body = base.tokenizer, _body(base.model, settings, seed)
    else:
        assert settings.new is not None
        tokenizer = vocabulary.learn(found, settings.new.family, settings.new.vocabulary, settings.new.pieces)
        body = _new(settings, sections, tokenizer, seed)
    prompt = _prompt(body, settings)
    tasks = [
        kind.begin(section, reader(body, tokenizer, section.length, prompt), records)
        for kind, section, records in zip(kinds, sections, found, strict=True)
    ]
    first = _tuned(body, tasks[0], family, tokenizer, sections[0], settings, seed)
    return [(_sharing(first, task, section), records) for task, section, records in zip(tasks, sections, found, strict=True)]


def _families(settings: BodySection) -> tuple[Family, Family]:
    assert settings.new is not None
    return settings.new.family, settings.new.family


def _sharing(first: TunedModel, task: Task, section: Any) -> TunedModel:
    """Return the model of another task with the same body, which has no head."""
    if task is first.task:
        return first
    if task.head(first.model.body) is not None:
        raise TaskError(f"tasks: a {section.kind} of a {first.family} has a head of its own, and a mixture has none")
    return replace(first, model=Tuned(first.model.body, None, task.losses), task=task, section=section)


def _student(tuned: TunedModel, section: DistillSection) -> TunedModel:
    """Return a model that learns from a teacher as well."""
    teacher = load(section.teacher)
    if teacher.task.state() != tuned.task.state():
        raise TaskError(
            f"distill.teacher: {teacher.where} was tuned for another task, or for other labels; use its training records"
        )
    distill.refuse(section, tuned.section.kind, tuned.model, teacher.model, (tuned.tokenizer, teacher.tokenizer))
    distill.begin_as(tuned.model, teacher.model)
    losses = distill.losses(section, tuned.task.losses, tuned.task.counts, teacher.model)
    return replace(tuned, model=Tuned(tuned.model.body, tuned.model.head, losses))


def _new(settings: BodySection, sections: Sequence[Any], tokenizer: Tokenizer, seed: int) -> Model:
    """Return a new model with positions for the longest rows of the tasks."""
    assert settings.new is not None
    longest = max(max(section.length or LONGEST, getattr(section, "target_length", 0)) for section in sections)
    positions = settings.new.length or longest
    shape = settings.new.shape(tokenizer.size, positions)
    return families.make(shape if settings.dropout is None else replace(shape, dropout=settings.dropout), seed)


def _body(base: Model, settings: BodySection, seed: int) -> Model:
    base = base if settings.layers is None else distill.fewer_layers(base, settings.layers)
    shape = base.shape if settings.dropout is None else replace(base.shape, dropout=settings.dropout)
    body = families.make(shape, seed)
    if settings.weights == "pretrained":
        body.load_state_dict(base.state_dict())
    return body


def _prompt(body: Model, settings: BodySection) -> list[int]:
    """Return the ids that each row has before its text."""
    return soft_prompts.prompt_ids(body, settings.soft_tokens) if settings.tuning == "prompt" else []


def _tuned(
    body: Model, task: Task, family: str, tokenizer: Tokenizer, section: Any, settings: BodySection, seed: int
) -> TunedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if settings.tuning == "lora":
            adapters.adapt(body, settings.lora_layers, settings.lora_rank, settings.lora_alpha, settings.lora_dropout)
        elif settings.tuning in ("prompt", "prefix"):
            add = soft_prompts.add_prompt if settings.tuning == "prompt" else soft_prompts.add_prefix
            add(body, _pieces(tokenizer, settings.soft_tokens))
        elif settings.tuning == "head":
            for weight in body.parameters():
                weight.requires_grad_(False)
        head = task.head(body)
    if head is None and settings.tuning == "head":
        raise TaskError('model.tuning: this task has no head; use "full", "lora", "prompt" or "prefix"')
    return TunedModel(Tuned(body, head, task.losses), task, family, tokenizer, section, settings)


def _pieces(tokenizer: Tokenizer, count: int) -> list[int]:
    """Draw ids of the vocabulary, special pieces excepted, from torch's generator."""
    special = set(tokenizer.special_ids.values())
    ids = [number for number in range(tokenizer.size) if number not in special]
    return [ids[number] for number in torch.randint(len(ids), (count,)).tolist()]


def load(path: str | Path) -> TunedModel:
    """Load the model of a fine-tuning: the best checkpoint of a run, its newest without one, or a checkpoint's folder.

    Of a mixture, `RUN@TASK` is the model for one of its tasks. Raises CheckpointError if it is none of these or not fine-tuned.
    """
    run, at, name = str(path).rpartition("@")
    if not at or Path(path).exists():
        run, name = str(path), ""
    tasks = load_several(run)
    if name not in tasks and (name or len(tasks) > 1):
        raise CheckpointError(f"{run}: was tuned for {', '.join(tasks)}; name one, e.g. {run}@{next(iter(tasks))}")
    return tasks[name] if name else next(iter(tasks.values()))


def load_several(path: str | Path) -> dict[str, TunedModel]:
    """Load the model of a fine-tuning for each of its tasks, by name; they share one body. Raises CheckpointError, as `load`."""
    found = trained.find(here(path))
    if TASK not in found.state:
        raise CheckpointError(f"{found.path}: was not fine-tuned, so it has no task; name the run.out of `corpusmill finetune`")
    facts, described = found.fact(TASK), found.fact("model")
    listed = facts.get("tasks", [facts])
    sections = [FinetuneConfig.model_validate(_config(one["section"], facts["body"], path)).task for one in listed]
    settings = BodySection.model_validate(facts["body"])
    body = families.build(families.shape_of_dict(described["family"], described["shape"]))
    tokenizer, prompt = trained.tokenizer_of(found), _prompt(body, settings)
    tasks: list[Task] = []
    for section, one in zip(sections, listed, strict=True):
        words = reader(body, tokenizer, section.length, prompt)
        tasks.append(kind_of(section, words.family).restore(section, words, one["learned"]))
    tuned = _tuned(body, tasks[0], described["family"], tokenizer, sections[0], settings, 0)
    trained.prepare(tuned.model, found, found.load("model"))
    tuned.model.load_state_dict(trained.weights_for(tuned.model, found))
    out: dict[str, TunedModel] = {}
    for task, section in zip(tasks, sections, strict=True):
        out[section.name or section.kind] = replace(_sharing(tuned, task, section), where=str(found.path))
        out[section.name or section.kind].model.eval()
    return out


def _config(section: Any, body: Any, path: str | Path) -> dict[str, Any]:
    return {"task": {**section, "rate": None}, "model": body, "run": {"out": str(path)}}


def described_several(tasks: Sequence[TunedModel]) -> dict[str, Any]:
    """Return the description of a mixture's model for a checkpoint's state."""
    first = tasks[0]
    each = [{"section": one.section.model_dump(mode="json"), "learned": one.task.state()} for one in tasks]
    whole = trained.described(first.model.body, first.family, first.tokenizer)
    return {**whole, TASK: {"tasks": each, "body": first.body.model_dump()}}


def load_for(path: str | Path, kind: str, option: str) -> TunedModel:
    """Load the model of a fine-tuning for one kind of task, which `option` of a command names.

    Raises TaskError for another kind, CheckpointError as `load`.
    """
    tuned = load(path)
    if tuned.section.kind != kind:
        example = f"configs/finetune/{EXAMPLES[kind]}.toml" if kind in EXAMPLES else f"CONFIG, with task.kind = {kind!r}"
        raise TaskError(
            f"{tuned.where}: is a {tuned.section.kind} run; {option} needs a run of kind {kind}: corpusmill finetune {example}"
        )
    return tuned


def outputs(tuned: TunedModel, rows: Rows, device: Device, *, share: tuple[int, int] = (0, 1)) -> dict[int, Any]:
    """Return the output of each row by its number, in batches of rows of like length.

    With `share` (rank, size), only every size-th batch is computed.
    """
    rank, size = share
    model, found = tuned.model, dict[int, Any]()
    with evaluated(model), torch.inference_mode(), device.autocast():
        for numbers in list(batches(rows))[rank::size]:
            made = tuned.task.outputs(model, device.tensors(rows.batch(numbers)))
            found.update(zip(numbers.tolist(), made, strict=True))
    return found


def outputs_and_loss(
    tuned: TunedModel, rows: Rows, device: Device, *, share: tuple[int, int] = (0, 1)
) -> tuple[dict[int, Any], float, int]:
    """Return what `outputs` does, the sum of the loss over labelled rows, and by how many predictions it is divided.

    A head reads the body's states for both: they are computed once.
    """
    rank, size = share
    found, total, count = dict[int, Any](), 0.0, 0
    with evaluated(tuned.model), torch.inference_mode(), device.autocast():
        for numbers in list(batches(rows))[rank::size]:
            examples = rows.batch(numbers)
            tensors, counts = device.tensors(examples), tuned.task.counts(examples)
            with features.computed_once():
                made, sums = tuned.task.outputs(tuned.model, tensors), tuned.model.losses(tensors)
            found.update(zip(numbers.tolist(), made, strict=True))
            total += sum(float(sums[term]) for term in counts)
            count += sum(counts.values())
    return found, total, count


def batches(rows: Rows) -> Iterator[Numbers]:
    """Yield the numbers of all rows in batches of like length, the longest first (so that too little memory shows at once)."""
    order = np.argsort(-rows.lengths, kind="stable")
    at = 0
    while at < len(order):
        count = max(1, _BATCH_TOKENS // max(1, int(rows.lengths[order[at]])))
        yield order[at : at + count]
        at += count


def in_order(found: Mapping[int, Any]) -> Sequence[Any]:
    """Return the outputs by row."""
    return [found[number] for number in range(len(found))]
