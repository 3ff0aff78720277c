"""Tasks whose answer is text: the rows of each family, what is learned, what is refused, and the metrics."""

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tuning import SHAPES, WORDS, write_config, write_records

from pipelines.contract.settings import ConfigError
from pipelines.contract.tokenizers.families import FAMILIES, Family
from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.data.rows.batch import IGNORE
from training.models.families import make
from training.run.device import Device
from training.tasks import tuned
from training.tasks.config import load
from training.tasks.errors import TaskError
from training.tasks.finetune import finetune
from training.tasks.input import vocabulary
from training.tasks.input.reading import Reader, reader
from training.tasks.input.records import Records, lines, records
from training.tasks.input.rows import Ragged, Rows
from training.tasks.predict import predict
from training.tasks.texts import figures
from training.tasks.texts.dialogue import Dialogue, DialogueSection
from training.tasks.texts.summarization import Summarization, SummarizationSection
from training.tasks.texts.text_to_text import TextToText, TextToTextSection
from training.tasks.texts.translation import Translation

CPU = Device("cpu", "float32")
WRITERS: tuple[Family, ...] = ("gpt", "bart", "t5")


def translated(count: int, seed: int = 0) -> list[dict[str, str]]:
    """A word, and the two words that follow it."""
    drawn = np.random.default_rng(seed).integers(0, 8, count).tolist()
    return [{"inputs": WORDS[n], "targets": f"{WORDS[n + 1]} {WORDS[n + 2]}"} for n in drawn]


def read_by(family: Family, tokenizer: Tokenizer, length: int = 32) -> Reader:
    return reader(make(SHAPES[family](tokenizer.size), 1), tokenizer, length)


def read_rows(folder: Path, rows: Sequence[Mapping[str, Any]], *fields: str) -> Records:
    return records(write_records(folder / "rows.jsonl", rows), {name: name for name in fields})


def column(rows: Rows, name: str, number: int = 0) -> list[int]:
    found = rows.columns[name]
    assert isinstance(found, Ragged)
    return found.row(number).tolist()


def test_a_pair_of_texts_as_each_family_reads_and_writes_it(tokenizer: Tokenizer, tmp_path: Path) -> None:
    pair = read_rows(tmp_path, [{"inputs": "old", "targets": "town"}], "inputs", "targets")
    ids, old, town = tokenizer.special_ids, tokenizer.encode("old"), tokenizer.encode("town")
    section = TextToTextSection(target_length=16, separator="\n", prefix="")
    made = {family: TextToText.begin(section, read_by(family, tokenizer), pair).rows(pair) for family in WRITERS}

    end = ids["</s>"]
    assert column(made["t5"], "inputs") == [*old, end]
    assert column(made["t5"], "decoder_inputs") == [ids["<pad>"], *town]
    assert column(made["t5"], "targets") == [*town, end]
    begin = ids["<s>"]
    assert column(made["bart"], "inputs") == [begin, *old, end]
    assert column(made["bart"], "decoder_inputs") == [end, begin, *town]
    assert column(made["bart"], "targets") == [begin, *town, end]
    read = [*old, *tokenizer.encode("\n")]
    assert column(made["gpt"], "inputs") == [*read, *town]
    assert column(made["gpt"], "targets") == [IGNORE] * (len(read) - 1) + [*town, ids["<|endoftext|>"]]
    prompts = made["gpt"].columns["prompts"]
    assert isinstance(prompts, np.ndarray) and prompts.tolist() == [len(read)]


def test_the_pieces_of_a_line_do_not_depend_on_the_line_before_it(tokenizer: Tokenizer) -> None:
    """So the separator, which ends in a line end, may be encoded apart from what comes before and after."""
    parts = ["the old house", "\nTL;DR:\n", "stood near"]
    assert [i for part in parts for i in tokenizer.encode(part)] == tokenizer.encode("".join(parts))


@pytest.mark.parametrize("family", WRITERS)
def test_rows_that_are_too_long_lose_tokens_and_are_counted(family: Family, tokenizer: Tokenizer, tmp_path: Path) -> None:
    long = " ".join(WORDS * 9)
    rows = [{"inputs": long, "targets": "town"}, {"inputs": "old", "targets": long}, {"inputs": "old", "targets": "town"}]
    read = read_rows(tmp_path, rows, "inputs", "targets")
    made = TextToText.begin(TextToTextSection(target_length=12), read_by(family, tokenizer), read).rows(read)
    assert made.cropped == 2
    assert made.lengths.max() <= 32
    written = [sum(i != IGNORE for i in column(made, "targets", number)) for number in range(3)]
    assert written[1] == 12 > written[0] == written[2]
    assert column(made, "targets", 1)[-1] == tokenizer.special_ids[FAMILIES[family].end]


def test_an_encoder_cannot_write_and_a_row_must_have_room(tokenizer: Tokenizer, tmp_path: Path) -> None:
    read = read_rows(tmp_path, translated(1), "inputs", "targets")
    with pytest.raises(TaskError, match="a BERT does not write, and text_to_text needs a GPT, BART or T5"):
        TextToText.begin(TextToTextSection(), read_by("bert", tokenizer), read)
    with pytest.raises(TaskError, match="of the 32 tokens of a row only 3 are left for the input"):
        TextToText.begin(TextToTextSection(target_length=28), read_by("gpt", tokenizer), read)
    with pytest.raises(TaskError, match="40 tokens are more than the model's 32 positions"):
        TextToText.begin(TextToTextSection(target_length=40), read_by("bart", tokenizer), read)


@pytest.mark.parametrize("family", WRITERS)
def test_each_family_learns_to_write_two_words_for_another(family: Family, tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", translated(128))
    words = vocabulary.learn([records(train, {"inputs": "inputs", "targets": "targets"})], family, 460, "bpe")
    base = tmp_path / "base"
    trained.save(base, make(SHAPES[family](words.size), 1), family, words, {})
    write_records(tmp_path / "test.jsonl", translated(32, seed=1))
    more = f'test = "{tmp_path}/test.jsonl"\ntarget_length = 16\nprefix = ""\nbeams = 2\n'
    report = finetune(
        write_config(tmp_path, base, "text_to_text", train, more),
        ("train.epochs=16", "train.eval_every=400", "train.learning_rate=8e-3", "task.label_smoothing=0.05"),
    )
    assert report["test"]["exact_match"] > 0.9 and report["test"]["perplexity"] == pytest.approx(np.exp(report["test"]["loss"]))
    model = tuned.load(tmp_path / "run")
    found = predict(model, model.read(str(tmp_path / "test.jsonl"), labelled=False), CPU)
    assert found == [json.loads(line) for line in (tmp_path / "run/test.answers.jsonl").read_text().splitlines()]
    (tmp_path / "test.txt").write_text("".join(row["inputs"] + "\n" for row in translated(32, seed=1)))
    assert predict(model, model.read(str(tmp_path / "test.txt"), labelled=False), CPU) == found
    right = [one["answer"] == row["targets"] for one, row in zip(found, translated(32, seed=1), strict=True)]
    assert np.mean(right) == pytest.approx(report["test"]["exact_match"])


NEW = """
[task]
kind = "translation"
train = {{ source = "{folder}/train.en.gz", target = "{folder}/train.de" }}
target_length = 16
length = 32
{more}
[model.new]
family = "{family}"
width = 32
heads = 2
vocabulary = 460
[train]
steps = 3
batch_rows = 8
threads = 1
tensorboard = false
[run]
out = "{folder}/run"
"""


def parallel(folder: Path, family: Family, more: str = "", targets: int = 64) -> Path:
    pairs = translated(64)
    (folder / "train.en.gz").write_bytes(gzip.compress("".join(f"{one['inputs']}\n" for one in pairs).encode()))
    (folder / "train.de").write_text("".join(f"{one['targets']}\r\n" for one in pairs[:targets]))
    path = folder / "new.toml"
    path.write_text(NEW.format(folder=folder, family=family, more=more))
    return path


@pytest.mark.parametrize("family", WRITERS)
def test_a_model_from_scratch_has_the_vocabulary_of_its_task(family: Family, tmp_path: Path) -> None:
    report = finetune(parallel(tmp_path, family))
    assert report["base"] == f"a new {family}" and set(report["signatures"]) == {"bleu", "chrf"}
    assert "tok:13a" in report["signatures"]["bleu"] and set(report["test" if "test" in report else "validation"]) >= {
        "bleu",
        "chrf",
    }
    saved = trained.load(tmp_path / "run")
    known = saved.tokenizer
    pieces = FAMILIES[family]
    assert set(known.special_ids) >= {*pieces.pieces, *pieces.last} and saved.model.shape.vocabulary == known.size <= 460
    for text in ("every town", "a  b\n\nÄ 漢 </s> <|endoftext|>"):
        assert known.decode(known.encode(text)) == text and not set(known.encode(text)) & set(known.special_ids.values())
    read = lines({"source": str(tmp_path / "train.en.gz"), "target": str(tmp_path / "train.de")})
    assert vocabulary.learn([read], family, 460, "bpe").sha256 == known.sha256, "a run that is resumed learns the same pieces"


def test_texts_of_a_field_each(tmp_path: Path) -> None:
    parallel(tmp_path, "t5")
    read = lines({"source": str(tmp_path / "train.en.gz"), "target": str(tmp_path / "train.de")})
    assert [read.texts(name)[3] for name in ("source", "target")] == [translated(4)[3][name] for name in ("inputs", "targets")]
    assert read.place(3).endswith("train.en.gz, line 4")
    with pytest.raises(TaskError, match=r"train.de: has 63 lines, and .*train.en.gz has 64; line n"):
        finetune(parallel(tmp_path, "t5", targets=63))
    path = tmp_path / "new.toml"
    for names, message in (
        ("source = 'a'", "a: no file of the field 'target' is named beside it"),
        ("source = 'a', goal = 'b'", "translation has no field 'goal', but 'source', 'target'"),
        ("source = 'a', target = 'b'", "a: no such file"),
    ):
        with pytest.raises(TaskError, match=message):
            finetune(path, (f"task.train={{ {names} }}",))
    (tmp_path / "train.de").write_bytes(b"\xff\n")
    with pytest.raises(TaskError, match="is not UTF-8 at byte 0"):
        finetune(path)


def test_an_empty_target_and_a_missing_field_are_named_with_their_place(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", [{"inputs": "a", "targets": "b"}, {"inputs": "a", "targets": " "}] * 20)
    with pytest.raises(TaskError, match=r"train.jsonl, line \d+: the field 'targets' is empty"):
        finetune(write_config(tmp_path, bases["t5"], "text_to_text", train, "target_length = 16"))
    train = write_records(tmp_path / "train.jsonl", [{"inputs": "a"}] * 40)
    with pytest.raises(TaskError, match="has no field 'targets'"):
        finetune(write_config(tmp_path, bases["t5"], "text_to_text", train, "target_length = 16"))


def test_a_model_has_one_beginning(tmp_path: Path) -> None:
    path = parallel(tmp_path, "t5")
    for change, message in (
        ("model.base=x", "give either base"),
        ("model.tuning=lora", 'tuning must be "full" for a new model'),
        ("model.new.widht=8", "widht"),
        ("model.new.vocabulary=20", "vocabulary"),
    ):
        with pytest.raises(ConfigError, match=message):
            load(path, (change,))
    with pytest.raises(TaskError, match="cannot learn 310 pieces"):
        finetune(path, ("model.new.vocabulary=310",))


def test_the_rows_of_a_dialogue(tokenizer: Tokenizer, tmp_path: Path) -> None:
    turns = ["the old house", "stood near", "every evening"]
    rows = [{"turns": " __eou__ ".join(turns) + " __eou__"}, {"turns": turns[0]}]
    read = read_rows(tmp_path, rows, "turns")
    one, two, three = map(tokenizer.encode, turns)
    for family in WRITERS:
        task = Dialogue.begin(DialogueSection(target_length=12), read_by(family, tokenizer), read)
        end = tokenizer.special_ids[FAMILIES[family].end]
        begin = [tokenizer.special_ids["<s>"]] if family == "bart" else []
        histories = [[*begin, *one, end], [*begin, *one, end, *two, end]]
        made, ask = task.rows(read), task.rows(read, labelled=False)
        assert made.records.tolist() == [0, 0] and ask.records.tolist() == [0, 1]
        if family == "gpt":
            histories[1] = histories[1][-20:] if len(histories[1]) <= 20 else [*two, end]
            assert column(made, "inputs", 0) == [*histories[0], *two]
            assert column(made, "targets", 0) == [IGNORE] * (len(histories[0]) - 1) + [*two, end]
        else:
            assert column(made, "inputs", 0) == histories[0]
            assert column(made, "targets", 1) == [*begin, *three, end][:11] + [end] * (len(three) > 10)
        assert column(ask, "inputs", 1) == histories[0]
        assert task.answers(["x", "y"], made, read) == [{"answers": ["x", "y"]}, {"answers": []}]
        assert task.answers(["x", "y"], ask, read) == [{"answer": "x"}, {"answer": "y"}]
        assert task.figures(["stood near", "The evening!"], made, read)["f1"] == pytest.approx((1 + 2 / 3) / 2)
    for bad, message in ((["a", " "], "line 1: turn 2 is empty"), ([], "line 1: has no turns"), (None, "line 1: has no turns")):
        with pytest.raises(TaskError, match=message):
            task.rows(read_rows(tmp_path, [{"turns": bad}, {"turns": ["a"]}], "turns"))


def test_a_dialogue_is_learned_from_a_text(bases: Mapping[str, Path], tmp_path: Path) -> None:
    text = "".join(f"{one['inputs']} __eou__ {one['targets']} __eou__\n" for one in translated(60))
    (tmp_path / "dialogues.txt").write_text(text)
    path = write_config(tmp_path, bases["gpt"], "dialogue", tmp_path / "dialogues.txt", "target_length = 12")
    train = f'task.train={{ turns = "{tmp_path}/dialogues.txt" }}'
    report = finetune(path, (train, "train.epochs=4"))
    assert report["validation"].keys() == {"loss", "perplexity", "log_likelihood", "f1", "distinct_1", "distinct_2"}
    assert report["validation"]["loss"] < report["first"]["loss"] and report["metric"] == "log_likelihood"


def test_label_smoothing_is_that_of_torch() -> None:
    from training.models.loss import cross_entropy

    torch.manual_seed(1)
    hidden, weight = torch.randn(2, 5, 8, requires_grad=True), torch.randn(11, 8, requires_grad=True)
    targets = torch.tensor([[1, 2, IGNORE, 0, 10], [3, IGNORE, IGNORE, 4, 5]])
    for bias in (None, torch.randn(11, requires_grad=True)):
        logits = torch.nn.functional.linear(hidden, weight, bias)
        wanted = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum", label_smoothing=0.1
        )
        ours = cross_entropy(hidden, weight, targets, bias, label_smoothing=0.1)
        torch.testing.assert_close(ours, wanted)
        inputs = [hidden, weight, *([] if bias is None else [bias])]
        for one, two in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(wanted, inputs), strict=True):
            torch.testing.assert_close(one, two)


def test_summaries_stand_beside_the_first_three_sentences(tokenizer: Tokenizer, tmp_path: Path) -> None:
    article = 'A headline\n\nOne is here. Two said "no." Three, too! Four is not.'
    read = read_rows(tmp_path, [{"article": article, "summary": "Three, too! Two."}], "article", "summary")
    task = Summarization.begin(SummarizationSection(target_length=16), read_by("t5", tokenizer), read)
    assert figures.lead(article) == 'One is here. Two said "no." Three, too!'
    found = task.figures(["two three"], task.rows(read), read)
    assert found["rouge1"] == pytest.approx(2 * 2 / (2 + 3)) and found["rouge2"] == 0.0
    assert found["rougeL"] == pytest.approx(2 * 1 / (2 + 3)), "the longest common subsequence is one word"
    assert found["lead3_rouge1"] == pytest.approx(2 * 3 / (8 + 3))
    assert "rouge-score" in task.signatures()["rouge"]


def test_translations_are_measured_by_sacrebleu() -> None:
    import sacrebleu

    written, wanted = ["the old house stood near", "many stories"], ["the old house stood far away", "many stories"]
    found, signatures = figures.bleu_and_chrf(written, wanted, "13a")
    assert found["bleu"] == sacrebleu.corpus_bleu(written, [wanted]).score
    assert found["chrf"] == sacrebleu.corpus_chrf(written, [wanted]).score
    assert f"version:{sacrebleu.__version__}" in signatures["chrf"] and Translation.LABELS == ("target",)


def test_words_are_compared_without_articles_and_punctuation() -> None:
    assert figures.word_f1(["A cat, a cat!"], ["the cat sat"]) == pytest.approx(2 * 1 / (2 + 2))
    assert figures.word_f1(["", "x"], ["a", "x"]) == 0.5
    assert figures.exact_match([" a", "b"], ["a", "c"]) == 0.5
