from pathlib import Path

import pytest
import torch

from training import generate
from training.checkpoint import CheckpointError
from training.generate import continue_ids
from training.models.families import make
from training.models.gpt import GPT, GPTShape
from training.pretrain import pretrain


def model() -> GPT:
    made = make(GPTShape(vocabulary=20, length=8, layers=2, heads=2, width=16), 1)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    return made


def test_greedy_takes_the_likeliest_each_time_and_forgets_what_does_not_fit() -> None:
    made = model().eval()
    ids = [3]
    for _ in range(12):  # longer than the row of 8
        with torch.no_grad():
            ids.append(int(made(torch.tensor([ids[-8:]]))[0, -1].argmax()))
    assert continue_ids(made, [3], 12, temperature=0) == ids[1:]
    assert continue_ids(made, [3], 12, temperature=1.0, top_k=1) == ids[1:]


def test_the_seed_decides_a_sample() -> None:
    made = model()
    assert continue_ids(made, [3], 20, seed=1) == continue_ids(made, [3], 20, seed=1)
    assert continue_ids(made, [3], 20, seed=1) != continue_ids(made, [3], 20, seed=2)
    assert made.training


def test_the_end_stops_and_is_not_returned() -> None:
    made = model()
    whole = continue_ids(made, [3], 12, temperature=0)
    end = whole[4]
    assert continue_ids(made, [3], 12, temperature=0, end=end) == whole[: whole.index(end)]


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(ValueError, match="the prompt is empty"):
        continue_ids(model(), [], 1)


def test_a_run_is_continued_from_the_command_line(tiny_config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain(tiny_config, ("train.steps=3", "sample.tokens=0"))
    capsys.readouterr()
    generate.main([str(tmp_path / "run"), "--prompt", "the old", "--tokens", "3"])
    assert capsys.readouterr().out.startswith("the old")
    with pytest.raises(CheckpointError, match="there is no complete checkpoint"):
        generate.main([str(tmp_path / "nowhere")])
