"""The configuration of a pretraining run: a TOML file, typed.

Paths are taken from the folder in which the command runs, not from the config file's: `data.tokens` is what a build
wrote with `--out`, and `run.out` lies beside it.
"""

from pathlib import Path
from typing import Self

from pydantic import model_validator

from pipelines.contract.settings import ConfigError as ConfigError  # also of this module, for its callers
from pipelines.contract.settings import read, validated
from training.data.config import FeedConfig
from training.run.sections import ModelSection, RunSection, SampleSection, TrainSection

OBJECTIVES = {"gpt": "causal_lm", "bert": "masked_lm", "bart": "text_infilling", "t5": "span_corruption", "composed": "causal_lm"}
"""What a family learns by."""


class PretrainConfig(FeedConfig):
    """A whole run: the feed's sections, and these."""

    model: ModelSection
    train: TrainSection
    run: RunSection
    sample: SampleSection = SampleSection()

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        if self.model.length is not None and self.model.length < self._longest:
            raise ValueError(f"model.length ({self.model.length}) must be at least that of all rows ({self._longest})")
        if self.train.accumulate > self.data.batch_rows:
            raise ValueError(
                f"train.accumulate ({self.train.accumulate}) must be at most data.batch_rows ({self.data.batch_rows}): "
                "a micro-batch has a row"
            )
        if self.objective.name != OBJECTIVES[self.model.family]:
            raise ValueError(
                f"objective.name is {self.objective.name!r}, but {self.model.family} learns by {OBJECTIVES[self.model.family]!r}"
            )
        return self

    @property
    def positions(self) -> int:
        """Positions that the model knows."""
        return self.model.length or self._longest

    @property
    def _longest(self) -> int:
        return max(self.rows.length, *(phase.length for phase in self.train.phases), 0)


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> PretrainConfig:
    """Read a config; `overrides` are `section.key=value` with a TOML value.

    Raises ConfigError with the file, the field and the fix.
    """
    return validated(PretrainConfig, read(path, overrides), str(path))
