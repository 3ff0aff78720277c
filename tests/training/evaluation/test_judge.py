"""Two models on the same held-out rows: equal weights have equal losses, and those of the run's own metrics."""

import json
from pathlib import Path

import pytest

from training.arguments import add_judge, parse
from training.checkpoints.store import CheckpointError
from training.evaluation import judge as judging
from training.evaluation.judge import JudgeError, Judgement, judge
from training.run.pretrain import pretrain
from training.run.progress import read_metrics


@pytest.fixture
def run(tiny_config: Path, tmp_path: Path) -> Path:
    """A finished run."""
    pretrain(tiny_config, ("sample.tokens=0",))
    return tmp_path / "run"


def test_a_run_beside_itself_and_beside_where_it_began(run: Path, tiny_config: Path, tmp_path: Path):
    lines = [line for line in read_metrics(run / "metrics.jsonl") if "validation_loss" in line]
    last = lines[-1]["validation_loss"]
    same = judge(run, run)
    assert (same.rows, same.candidate, same.current) == (16, last, last)
    assert same.sources == same.forgetting == {"books": (last, last)}  # the only source of the split

    further = (f'run.out="{tmp_path / "further"}"', f'train.init_from="{run}"', "sample.tokens=0")
    pretrain(tiny_config, further)
    found = judge(tmp_path / "further", run)
    began = read_metrics(tmp_path / "further" / "metrics.jsonl")[0]
    assert found.current == began["validation_loss"] == last
    assert found.candidate == read_metrics(tmp_path / "further" / "metrics.jsonl")[-1]["validation_loss"]
    assert judge(tmp_path / "further", run, rows=3).rows == 3
    assert judge(tmp_path / "further", run, rows=10**6).rows > 16


def test_the_command_line_writes_json_and_prints_a_table(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    judging.run(parse(add_judge, [str(run), str(run), "--rows", "8", "--out", str(tmp_path / "losses.json")]))
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert losses["rows"] == 8 and losses["candidate"] == losses["current"]
    lines = capsys.readouterr().out.splitlines()[-6:]
    assert [line.split()[:1] for line in lines] == [["held"], ["books"], ["all"], [], ["forgetting"], ["books"]]
    assert lines[1].split()[1:] == lines[2].split()[1:] == [f"{losses['candidate']:.4f}"] * 2
    assert lines[5].split()[1:] == [*lines[1].split()[1:], "+0.0000"]


def test_a_loss_that_is_not_finite_is_null():
    found = Judgement(3, float("nan"), float("inf"), {"books": (float("nan"), 1.0)})
    assert judging.as_json(found) == {
        "rows": 3,
        "candidate": None,
        "current": None,
        "sources": {"books": [None, 1.0]},
        "forgetting": {},
        "notes": [],
    }


def test_what_is_no_run_and_another_tokenizer_are_refused(run: Path, make_dataset, tiny_config: Path, tmp_path: Path):
    for rows in (0, -1):
        with pytest.raises(JudgeError, match=rf"rows: must be 1 or more, not {rows}; leave it out for the \d+ of the training"):
            judge(run, run, rows=rows)
    with pytest.raises(JudgeError, match=r"nothing: has no config\.json; the candidate has to be a pretraining run"):
        judge(tmp_path / "nothing", run)
    texts = [" ".join(f"word{n}" for n in range(30))] * 30
    other = make_dataset(tmp_path / "tokens", {("train", "a", "en"): [texts], ("validation", "a", "en"): [texts]})
    pretrain(tiny_config, (f'data.tokens="{other}"', f'run.out="{tmp_path / "other"}"', "sample.tokens=0"))
    with pytest.raises(JudgeError, match=r"step-00000012: is a gpt of \d+ pieces, which is not what .*run was trained as"):
        judge(run, tmp_path / "other")


def test_rows_longer_than_a_models_positions_name_both_numbers(run: Path, tiny_config: Path, tmp_path: Path):
    longer = ("rows.length=32", f'run.out="{tmp_path / "longer"}"', "sample.tokens=0")
    with pytest.raises(CheckpointError, match=r"has a table of 16 positions, this model one of 32 \(.*positions\.weight\); set"):
        pretrain(tiny_config, (*longer, f'train.init_from="{run}"'))
    pretrain(tiny_config, longer)
    with pytest.raises(JudgeError, match=r"step-00000012: has 16 positions, and the held-out rows of .*longer have 32 tokens"):
        judge(tmp_path / "longer", run)
