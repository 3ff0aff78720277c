"""Classification by a cloze: what a row is, what is learnt from few records, what is refused."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from tuning import SHAPES, labelled, write_config, write_records

from pipelines.contract.tokenizers.loading import Tokenizer
from training.models.families import make
from training.models.tuned import Tuned
from training.tasks import tuned
from training.tasks.config import load
from training.tasks.encoders.cloze import Cloze, ClozeSection
from training.tasks.errors import PromptError, TaskError
from training.tasks.finetune import finetune
from training.tasks.input.reading import reader
from training.tasks.input.records import records
from training.tasks.input.rows import Ragged

PATTERN = 'pattern = "{text} it {label} of"\nverbalizer = { river = "near", town = "the" }\n'


def cloze(tokenizer: Tokenizer, path: Path, **settings: object) -> tuple[Cloze, object]:
    section = ClozeSection.model_validate(
        {"pattern": "{text} it {label} of", "verbalizer": {"river": "near", "town": "the"}, **settings}
    )
    read = records(write_records(path, labelled(8)), {"text": "text", "label": "label"})
    return Cloze.begin(section, reader(make(SHAPES["bert"](tokenizer.size), 1), tokenizer, 24), read), read


def test_a_row_is_the_pattern_with_a_mask_and_the_logits_are_those_of_the_words(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task, read = cloze(tokenizer, tmp_path / "a.jsonl")
    rows = task.rows(read)  # pyright: ignore[reportArgumentType]
    ids = rows.columns["inputs"]
    assert isinstance(ids, Ragged)
    special, text = tokenizer.special_ids, labelled(8)[0]["text"]
    whole = tokenizer.encode(f"{text} it near of")
    at = len(tokenizer.encode(f"{text} it"))
    wanted = [special["[CLS]"], *whole[:at], special["[MASK]"], *whole[at + 1 :], special["[SEP]"]]
    assert ids.row(0).tolist() == wanted and rows.columns["masks"][0].tolist() == [at + 1]  # pyright: ignore
    assert task.pieces == [whole[at], tokenizer.encode("it the")[-1]]

    body = make(SHAPES["bert"](tokenizer.size), 1).eval()
    examples = {name: torch.from_numpy(values) for name, values in rows.batch(np.array([0])).items()}
    with torch.no_grad():
        (made,) = task.outputs(Tuned(body, None, task.losses), examples)
        logits, _ = body(torch.tensor([wanted]))
    np.testing.assert_allclose(made, logits[0, at + 1, task.pieces].numpy(), rtol=1e-4, atol=1e-5)


def test_a_long_text_is_cropped_and_the_mask_stays(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task, _ = cloze(tokenizer, tmp_path / "a.jsonl")
    long = records(write_records(tmp_path / "b.jsonl", [{"text": "the old house " * 30}]), {"text": "text"})
    rows = task.rows(long, labelled=False)
    ids = rows.columns["inputs"]
    assert isinstance(ids, Ragged) and rows.cropped == 1 and len(ids.row(0)) <= 24
    (place,) = rows.columns["masks"][0]  # pyright: ignore
    assert ids.row(0)[place] == tokenizer.special_ids["[MASK]"]


def test_words_are_learnt_from_few_records(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(400))
    write_records(tmp_path / "test.jsonl", labelled(40, seed=1))
    more = f'{PATTERN}test = "{tmp_path}/test.jsonl"\nshots = 60\n'
    path = write_config(tmp_path, bases["bert"], "cloze", train, more)
    report = finetune(path, ("train.epochs=12",))
    assert report["training_rows"] == 120 and report["test"]["accuracy"] > 0.9
    model = tuned.load(tmp_path / "run")
    assert isinstance(model.task, Cloze) and model.model.head is None


def test_shots_depend_on_the_seed(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(60))
    path = write_config(tmp_path, bases["bert"], "classification", train, "shots = 2\n")
    first, again, other = (
        finetune(path, ("train.epochs=1", f"train.seed={seed}", f"run.out={tmp_path}/{name}"))
        for seed, name in ((1, "a"), (1, "b"), (2, "c"))
    )
    assert first["training_rows"] == 4 and first["validation"] == again["validation"] != other["validation"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pattern": "{text} near it"}, r"task.pattern: .* has no {label}"),
        ({"pattern": "{label} near it"}, r"task.pattern: .* has neither {text} nor {second}"),
        ({"verbalizer": {"river": "evening stories"}}, "'evening stories' for 'river' is .* pieces of this vocabulary"),
        ({"verbalizer": {"river": "near", "town": "near"}}, "two labels have the same piece"),
        ({"verbalizer": {"river": "near", "town": "the", "lake": "old"}}, "'lake' is no label of .*; there are river, town"),
        ({"regression": True}, "a cloze answers in words"),
    ],
)
def test_what_cannot_be_filled_is_refused(
    settings: Mapping[str, object], message: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises((TaskError, PromptError), match=message):
        cloze(tokenizer, tmp_path / "a.jsonl", **settings)


def test_the_config_that_is_shipped_is_read() -> None:
    assert load(Path(__file__).parents[4] / "configs/finetune/sst2_cloze_bert.toml").task.kind == "cloze"
