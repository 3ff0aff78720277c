"""The configuration of `corpusmill prompt`: a TOML file, typed. Paths are relative to the folder in which the command runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.contract.settings import Section, read, validated

Words = Annotated[str, Field(pattern=r"\S")]


class RecordsSection(Section):
    """The records that are classified."""

    test: str
    """File of the records: JSON Lines, CSV, TSV or Parquet, plain or compressed. With labels, accuracy is measured."""
    train: str | None = None
    """File from which shots are drawn."""
    fields: Mapping[str, str] = {}
    """The file's names of text, second and label, where they differ, e.g. { text = "sentence" }."""
    limit: int | None = Field(default=None, ge=1)
    """Only the first records of the test file."""
    length: int | None = Field(default=None, ge=16, le=2**20)
    """Most tokens of a row; by default the model's positions, 512 for T5, which has none."""


class PromptedSection(Section):
    """The model, which is not trained."""

    base: str
    """A run of ours, an import or a checkpoint; a BERT, GPT, BART or T5."""


class PromptSection(Section):
    """How records become prompts, and the model's likelihoods become labels."""

    patterns: tuple[str, ...] = Field(min_length=1)
    """Texts with {text}, {second} and {label}. For BART and T5, {label} may be missing: the label is then the whole answer."""
    verbalizer: Mapping[str, Words] = {}
    """The words for each label; by default the labels themselves."""
    score: Literal["sum", "mean"] = "sum"
    """How the log-probabilities of a label's tokens are joined. mean: per token, so that long labels are at no disadvantage."""
    shots: int = Field(default=0, ge=0, le=1000)
    """Solved records of the training file before each question."""
    balanced: bool = True
    """Take shots of each label in turn."""
    draws: int = Field(default=1, ge=1, le=100)
    """Sets of shots; figures are means over them. Answers are those of the first set."""
    seed: int = 1
    """Decides which records are drawn."""
    separator: str = "\n\n"
    """The text between two shots."""
    calibration: Literal["none", "content_free"] = "none"
    """content_free: divide by the probabilities of labels for texts without content (Zhao et al. 2021, arXiv 2102.09690)."""

    @model_validator(mode="after")
    def _draws_have_shots(self) -> Self:
        if self.draws > 1 and not self.shots:
            raise ValueError("draws: without shots there is one result; set shots, or draws = 1")
        return self


class AnswersSection(Section):
    """The output."""

    out: str
    """Folder for answers.jsonl and report.json."""
    device: Literal["cpu", "cuda", "auto"] = "auto"
    threads: int | None = Field(default=None, ge=1)


class PromptConfig(Section):
    """A whole config."""

    task: RecordsSection
    model: PromptedSection
    prompt: PromptSection
    run: AnswersSection

    @model_validator(mode="after")
    def _shots_have_a_source(self) -> Self:
        if self.prompt.shots and not self.task.train:
            raise ValueError("prompt.shots: are drawn from task.train; name that file")
        return self


def load(path: str | Path, overrides: tuple[str, ...] = ()) -> PromptConfig:
    """Read a config; `overrides` are `section.key=value`. Raises ConfigError with the file, the field and the fix."""
    return validated(PromptConfig, read(path, overrides, "prompt"), str(path))
