"""The peer of benchmarks/tasks.py: transformers' own Trainer on the same records, from the same weights.

Epochs, batch, rate, warm-up, schedule, decay, seeds, evaluations and the choice of the best checkpoint are those of our config;
what the config does not say is the Trainer's default: a batch is padded to its longest row, and its rows are drawn whatever their
length. Heads are transformers' own: the pooled vector for a text and for a relation (whose entities stand between the config's
markers), the first piece of a word, and first and last token of an answer, of which the best pair of at most `answer_length`
tokens is taken.

Seconds begin when the records have been read, and end with the best model in memory, as ours do.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from training.tasks.config import FinetuneConfig
from training.tasks.encoders import question_answering as qa
from training.tasks.encoders.named_entities import labels_of, span_scores, words_of
from training.tasks.encoders.relations import marked_text, relation_scores
from training.tasks.input.records import Records
from training.tasks.labels.classification import scores

IGNORED = -100  # by the loss of transformers' models, and where it pads logits
Rows = list[dict[str, Any]]
Figures = dict[str, float]


class Encoded(NamedTuple):
    """Records as a model of transformers reads them, and what its logits are worth."""

    rows: Rows
    figures: Callable[[Any], Figures]  # of the logits of all rows, in their order


def texts(tokenizer: Any, section: Any, records: Records, labels: Sequence[str]) -> Encoded:
    """A label for a text, or for a pair."""
    second = records.texts("second") if records.has("second") else None
    read = tokenizer(records.texts("text"), second, truncation=True, max_length=section.length)
    wanted = np.array([labels.index(label) for label in records.texts("label")])
    return Encoded(_rows(read, wanted.tolist()), lambda logits: scores(logits.argmax(1), wanted, len(labels)))


def relations(tokenizer: Any, section: Any, records: Records, labels: Sequence[str]) -> Encoded:
    """A label for a text with markers around its two entities."""
    marked = [marked_text(text, records.place(row)) for row, text in enumerate(records.texts("text"))]
    written: list[str] = []
    for one in marked:
        first, second = section.markers[::-1] if one.swapped else section.markers
        before, a, between, b, after = one.parts
        written.append(f"{before} {first} {a} {first} {between} {second} {b} {second} {after}".strip())
    read = tokenizer(written, truncation=True, max_length=section.length)
    wanted = records.texts("label")

    def figures(logits: NDArray[np.float32]) -> Figures:
        return relation_scores(wanted, [labels[int(n)] for n in logits.argmax(1)], section.no_relation)

    return Encoded(_rows(read, [labels.index(label) for label in wanted]), figures)


def entities(tokenizer: Any, section: Any, records: Records, labels: Sequence[str]) -> Encoded:
    """A label for the first piece of each word; words that a row has no room for are O."""
    words = words_of(records)
    wanted = labels_of(records, [len(one) for one in words])
    read = tokenizer(words, is_split_into_words=True, truncation=True, max_length=section.length)
    firsts: list[list[int]] = []
    targets: list[list[int]] = []
    for row, given in enumerate(wanted):
        of_word = read.word_ids(row)
        firsts.append([at for at, word in enumerate(of_word) if word is not None and word != of_word[at - 1]])
        target = [IGNORED] * len(of_word)
        for at in firsts[-1]:
            target[at] = labels.index(given[of_word[at]])
        targets.append(target)

    def figures(logits: NDArray[np.float32]) -> Figures:
        best = logits.argmax(2)
        predicted = [[labels[int(best[row, at])] for at in places] for row, places in enumerate(firsts)]
        return span_scores(wanted, [p + ["O"] * (len(w) - len(p)) for p, w in zip(predicted, wanted, strict=True)])

    return Encoded(_rows(read, targets), figures)


def answers(tokenizer: Any, section: Any, records: Records, labels: Sequence[str]) -> Encoded:
    """The first and the last token of an answer; a long context in windows."""
    contexts = records.texts("context")
    overlap = section.length - section.question_length - section.stride  # theirs is what two windows share
    read = tokenizer(
        records.texts("question"),
        contexts,
        truncation="only_second",
        max_length=section.length,
        stride=max(0, min(overlap, section.length // 2)),
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    of_record = read["overflow_to_sample_mapping"]
    places = [qa.place_of(text, given) for text, given in zip(contexts, qa.answers_of(records), strict=True)]
    offsets = [
        [pair if part == 1 else None for pair, part in zip(pairs, read.sequence_ids(row), strict=True)]
        for row, pairs in enumerate(read["offset_mapping"])
    ]
    rows: Rows = []
    for row, record in enumerate(of_record):
        first, last = _tokens(offsets[row], places[record])
        names = [name for name in ("input_ids", "token_type_ids", "attention_mask") if name in read]
        rows.append({**{name: read[name][row] for name in names}, "start_positions": first, "end_positions": last})
    given = [[text for text, _ in one] for one in qa.answers_of(records)]

    def figures(logits: tuple[NDArray[np.float32], NDArray[np.float32]]) -> Figures:
        first, last = (torch.from_numpy(part.copy()) for part in logits)
        context = torch.zeros(first.shape, dtype=torch.bool)
        for row, pairs in enumerate(offsets):
            context[row, : len(pairs)] = torch.tensor([pair is not None for pair in pairs])
        score, begin, end = (found.tolist() for found in qa.best_spans(first, last, context, section.answer_length))
        best: dict[int, tuple[float, str]] = {}
        for row, record in enumerate(of_record):
            text = contexts[record][offsets[row][begin[row]][0] : offsets[row][end[row]][1]]
            best[record] = max(best.get(record, (-np.inf, "")), (score[row], text))
        return qa.answer_scores([best[record][1] for record in range(len(records))], given)

    return Encoded(rows, figures)


def _tokens(offsets: Sequence[tuple[int, int] | None], place: tuple[int, int] | None) -> tuple[int, int]:
    """Return the first and the last token of an answer; (0, 0) if it is not wholly in the row."""
    if place is None:
        return 0, 0
    inside = [(at, *pair) for at, pair in enumerate(offsets) if pair and pair[1] > place[0] and pair[0] < place[1]]
    if not inside or inside[0][1] > place[0] or inside[-1][2] < place[1]:
        return 0, 0
    return inside[0][0], inside[-1][0]


def _rows(read: Any, labels: Sequence[Any]) -> Rows:
    """Return one dictionary a row."""
    return [{**{name: read[name][row] for name in read}, "labels": label} for row, label in enumerate(labels)]


class Kind(NamedTuple):
    """How transformers reads and learns a kind of task."""

    encode: Callable[[Any, Any, Records, Sequence[str]], Encoded]
    model: Any
    collator: Any
    metric: str
    label_names: tuple[str, ...] = ("labels",)


KINDS: Mapping[str, Kind] = {
    "classification": Kind(texts, AutoModelForSequenceClassification, DataCollatorWithPadding, "accuracy"),
    "relations": Kind(relations, AutoModelForSequenceClassification, DataCollatorWithPadding, "macro_f1"),
    "named_entities": Kind(entities, AutoModelForTokenClassification, DataCollatorForTokenClassification, "f1"),
    "question_answering": Kind(
        answers, AutoModelForQuestionAnswering, DataCollatorWithPadding, "f1", ("start_positions", "end_positions")
    ),
}


class Splits(NamedTuple):
    """Records of a task, and its labels in order."""

    train: Records
    validation: Records
    test: Records
    labels: Sequence[str]


def finetune(base: Path, config: FinetuneConfig, splits: Splits, seed: int, out: Path) -> tuple[Figures, float]:
    """Fine-tune `base`, a folder of transformers; returns the figures of the test records, and seconds."""
    kind, section = KINDS[config.task.kind], config.task
    torch.set_num_threads(config.train.threads or torch.get_num_threads())
    began = time.monotonic()
    tokenizer: Any = AutoTokenizer.from_pretrained(base)
    train, validation = (kind.encode(tokenizer, section, one, splits.labels) for one in (splits.train, splits.validation))
    settings = config.train.planned(len(train.rows))
    model = kind.model.from_pretrained(base, **({"num_labels": len(splits.labels)} if splits.labels else {}))
    arguments = TrainingArguments(
        output_dir=str(out),
        max_steps=settings.steps,
        per_device_train_batch_size=settings.batch_rows,
        per_device_eval_batch_size=settings.batch_rows,
        learning_rate=settings.learning_rate,
        warmup_steps=settings.warmup_steps,
        lr_scheduler_type=settings.schedule,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.clip or 0.0,
        eval_strategy="steps",
        eval_steps=settings.eval_every,
        save_strategy="steps",
        save_steps=settings.eval_every or 1,
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model=kind.metric,
        greater_is_better=True,
        label_names=list(kind.label_names),
        seed=seed,
        use_cpu=True,
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        data_collator=kind.collator(tokenizer),
        train_dataset=train.rows,  # pyright: ignore[reportArgumentType]
        eval_dataset=validation.rows,  # pyright: ignore[reportArgumentType]
        compute_metrics=lambda found: validation.figures(found.predictions),
    )
    trainer.train()
    seconds = time.monotonic() - began
    test = kind.encode(tokenizer, section, splits.test, splits.labels)
    trainer.compute_metrics = None
    return test.figures(trainer.predict(test.rows).predictions), seconds  # pyright: ignore[reportArgumentType]
