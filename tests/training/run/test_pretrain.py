"""What a run prepares before its first step."""

from pathlib import Path

import pytest

from training.run.config import ConfigError, load
from training.run.device import Device
from training.run.distributed.processes import World
from training.run.pretrain import prepare_job, pretrain


class Several(World):
    """As one of several processes, without the others."""

    def barrier(self) -> None:
        """Do not wait."""


@pytest.mark.parametrize(("accumulate", "processes", "most"), [(1, 1, 16), (2, 1, 4), (3, 1, 3), (2, 2, 2), (4, 2, 1)])
def test_evaluation_takes_no_more_rows_at_a_time_than_training(
    tiny_config: Path, accumulate: int, processes: int, most: int
) -> None:
    """A step has 8 rows, and evaluation 16; if steps are not cut, evaluation has up to 32 rows at a time."""
    config = load(tiny_config, (f"train.accumulate={accumulate}",))
    job = prepare_job(config, Device("cpu", "float32"), Several(size=processes))
    rows = [len(batch.examples["inputs"]) for batch in job.validation.batches]
    assert max(rows) == most and sum(rows) == 16


def test_a_prompt_that_the_finished_model_could_not_read_is_refused_before_training(tiny_config: Path, tmp_path: Path) -> None:
    prompt = "bridge " * 600
    message = r"sample\.prompt: has [\d,]+ tokens, and the model 128 positions"
    with pytest.raises(ConfigError, match=message):
        pretrain(tiny_config, (f"sample.prompt={prompt!r}", "model.length=128", f"run.out={str(tmp_path / 'run')!r}"))
    assert not list(tmp_path.rglob("*.ckpt")) and not (tmp_path / "run" / "metrics.jsonl").exists()
    pretrain(tiny_config, (f"sample.prompt={prompt!r}", "model.length=128", "sample.tokens=0"), dry_run=True)
