"""Families beside each other: the same bytes for each, a table, the same gap for each, and the same command goes on."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from places import ROOT

from training.arguments import add_compare, parse
from training.checkpoints import trained
from training.data.shards import TokenDataset, open_dataset
from training.evaluation.compare import COMPARISON, Compared, CompareError, Gap, answers, compare, gaps, shown, table
from training.evaluation.compare import run as compare_command
from training.models import families
from training.run.config import load
from training.run.pretrain import Report

FAMILIES = {"gpt": "causal_lm", "bert": "masked_lm", "bart": "text_infilling", "t5": "span_corruption"}
STACKS = {name: "encoder_layers = 1\ndecoder_layers = 1" if name in ("bart", "t5") else "layers = 2" for name in FAMILIES}
CONFIG = """
[data]
tokens = "{tokens}"
batch_rows = 4
[rows]
length = 32
copies = 2
[objective]
name = "{objective}"
[model]
family = "{family}"
{stacks}
heads = 2
width = 16
{more}
[train]
bytes = 3000
learning_rate = 1e-2
eval_every = 100
eval_rows = 8
save_every = 2
threads = 1
device = "cpu"
tensorboard = false
[run]
out = "not/used"
[sample]
prompt = "the old house"
tokens = 5
"""
REPORT = Report("runs/gpt", 1200, 9, 1_000_000, 8.25, 5.5, 5.25, 6.75, None, None, 0, "a sample")


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory, make_dataset: Callable[..., Path]) -> Path:
    tale = "the old house stood near the river and the people of the town told many stories about it every evening"
    words = tale.split(" ")
    texts = [" ".join((words[n % 20 :] + words) * 3) for n in range(30)]
    wanted = {("train", "books", "en"): [texts[:24]], ("validation", "books", "en"): [texts[24:]]}
    return make_dataset(tmp_path_factory.mktemp("tokens"), wanted, vocabulary=340, families=tuple(FAMILIES), sentence_tokens=12)


@pytest.fixture
def configs(tmp_path: Path, tokens: Path) -> list[Path]:
    paths: list[Path] = []
    for family, objective in FAMILIES.items():
        more = "head_width = 8\ninner = 32" if family == "t5" else ""
        text = CONFIG.format(tokens=tokens, objective=objective, family=family, stacks=STACKS[family], more=more)
        paths.append(tmp_path / f"{family}_small.toml")
        paths[-1].write_text(text)
    return paths


def test_each_family_sees_the_same_bytes_and_the_same_command_goes_on(
    configs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "models"
    runs = compare(configs, out)
    assert [(of.name, of.family) for of in runs] == [(name, name) for name in FAMILIES]
    assert all(3000 <= of.report.bytes < 3000 + 4 * 32 * 6 for of in runs), "rounded up to whole steps"
    assert all(of.parameters > 5000 and of.seconds > 0 for of in runs)
    written = json.loads((out / COMPARISON).read_text())
    assert [of["report"]["last_validation_loss"] for of in written] == [of.report.last_validation_loss for of in runs]

    capsys.readouterr()
    compare_command(parse(add_compare, [*map(str, configs), "--out", str(out)]))
    said = capsys.readouterr().out.splitlines()
    assert not [line for line in said if line.startswith("step ")]
    heading = next(n for n, line in enumerate(said) if line.startswith("family"))
    assert said[heading : heading + 5] == table(runs)
    shown = "\n".join(said[heading + 5 :])
    for name in FAMILIES:
        assert f"{name}: the old house\n" in shown
        assert f"\n    {name:<6}" in shown
    assert "\nbooks: " in shown


def test_a_budget_stands_for_steps_and_bytes(configs: list[Path], tmp_path: Path) -> None:
    text = configs[0].read_text().replace("bytes = 3000", "steps = 900")
    configs[0].write_text(text)
    [run] = compare(configs[:1], tmp_path / "models", budget=1000)
    assert 1000 <= run.report.bytes < 2000


def test_runs_that_are_not_alike_are_refused_before_the_first_one(configs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "models"

    def changed(path: Path, was: str, value: str) -> list[Path]:
        other = path.with_name("other.toml")
        other.write_text(path.read_text().replace(was, value))
        return [configs[0], other]

    with pytest.raises(
        CompareError, match=r"other\.toml: train\.bytes: is 4000 here and 3000 in .*gpt_small\.toml; set it alike"
    ):
        compare(changed(configs[1], "bytes = 3000", "bytes = 4000"), out)
    with pytest.raises(CompareError, match=r"other\.toml: train\.bytes: is missing; .* give --bytes"):
        compare(changed(configs[1], "bytes = 3000", "steps = 10"), out)
    with pytest.raises(CompareError, match=r"other\.toml: data\.tokens: is 'elsewhere' here"):
        tokens = json.loads(configs[1].read_text().split("tokens = ")[1].split("\n")[0])
        compare(changed(configs[1], tokens, "elsewhere"), out)
    with pytest.raises(CompareError, match=r"two configs are called gpt_small\.toml"):
        compare([configs[0], configs[0]], out)
    assert not out.exists()


def test_two_of_a_family_are_named_by_their_configs(configs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "wide.toml"
    other.write_text(configs[0].read_text().replace("width = 16", "width = 32"))
    runs = compare([configs[0], other], tmp_path / "models", budget=1000)
    assert [(of.name, of.family) for of in runs] == [("gpt_small", "gpt"), ("wide", "gpt")]


def test_the_terms_of_a_bert_have_columns() -> None:
    terms = {"tokens_loss": 5.5, "pairs_loss": 0.7, "tokens_accuracy": 0.125, "pairs_accuracy": 0.5}
    bert = dataclasses.replace(REPORT, terms=terms)
    heading, gpt_line, bert_line = table([Compared("gpt", "gpt", 9, 1, REPORT), Compared("bert", "bert", 9, 1, bert)])
    assert heading.endswith("  below  loss of next sentences  accuracy of masked tokens  accuracy of next sentences")
    assert gpt_line.split() == table([Compared("gpt", "gpt", 9, 1, REPORT)])[1].split()
    assert bert_line.split()[-3:] == ["0.700", "0.125", "0.500"]


def test_the_table_has_a_line_a_run() -> None:
    runs = [
        Compared("gpt", "gpt", 1_333_760, 51.4, REPORT),
        Compared("bert", "bert", 1_400_000, 75, dataclasses.replace(REPORT, steps=10, last_validation_loss=7.0)),
    ]
    assert table(runs) == [
        "family    parameters  steps      bytes   time  validation loss  unigram   below",
        "gpt        1,333,760  1,200  1,000,000    51s   8.250 -> 5.500    6.750   1.250",
        "bert       1,400,000     10  1,000,000  1m15s   8.250 -> 7.000    6.750  -0.250",
    ]


@pytest.fixture(scope="module")
def dataset(tokens: Path) -> TokenDataset:
    return open_dataset(str(tokens))


def test_a_gap_is_one_piece_in_the_middle_of_a_held_out_sentence(dataset: TokenDataset) -> None:
    found = gaps(dataset, of_each=3)
    assert len(found) == 3
    for gap in found:
        words = gap.with_mask(gap.word).split(" ")
        assert 8 <= len(words) <= 18
        assert len(words) // 3 <= len(gap.before.split(" ")) < len(words) - 1
        assert len(dataset.tokenizer.encode(gap.word)) == 1
        assert len(gap.word) >= 3
    assert gaps(dataset, of_each=3) == found


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_asked_for_the_gap_in_its_own_way(dataset: TokenDataset, family: str) -> None:
    numbers = {"vocabulary": dataset.tokenizer.size, "heads": 2, "width": 16}
    numbers |= {"encoder_layers": 1, "decoder_layers": 1} if family in ("bart", "t5") else {"layers": 1}
    model = families.make(families.shape(family, "demo", numbers), 1)
    [answer] = answers(model, dataset.tokenizer, [Gap("books", "the old house", "stood", "near the river")])
    if family == "bert":
        text, _, guesses = answer.partition("   (")
        assert text.startswith("the old house ")
        assert text.endswith("near the river")
        assert len(guesses.split(", ")) >= 3
    elif family == "gpt":
        assert answer.startswith("the old house")
        assert "near the river" not in answer
    elif family == "t5":
        assert answer.startswith("the old house")
        assert answer.endswith("near the river")
    else:
        assert isinstance(answer, str)


def test_a_sentence_longer_than_a_model_reads_leaves_the_others(dataset: TokenDataset, tmp_path: Path) -> None:
    numbers = {"vocabulary": dataset.tokenizer.size, "heads": 2, "width": 16, "layers": 1, "length": 12}
    model = families.make(families.shape("bert", "demo", numbers), 1)
    checkpoint = trained.save(tmp_path / "run", model, "bert", dataset.tokenizer, {})
    report = dataclasses.replace(REPORT, out=str(tmp_path / "run"), sample="")
    given = [Gap("books", "a", "b", "c"), Gap("books", "the old house " * 20, "stood", "near the river")]
    found = shown([Compared("bert", "bert", 1, 1.0, report)], {"bert": load(ROOT / "configs/pretrain/bert_demo.toml")}, given)
    assert checkpoint.exists() and found[4].startswith("    bert  a")
    assert re.fullmatch(r"    bert  \(the prompt has \d+ tokens, and the model 12 positions; give a shorter one\)", found[7])


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"gone\.toml: no such file"):
        compare([tmp_path / "gone.toml"], tmp_path / "models")
    with pytest.raises(CompareError, match="there is nothing to compare"):
        compare([], tmp_path / "models")
