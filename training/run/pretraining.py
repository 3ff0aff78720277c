"""Pretraining as a job of the trainer: rows of a tokens dataset, held-out rows of it, and the text that the model writes."""

from dataclasses import dataclass
from typing import Any

from pipelines.contract.tokenizers.loading import Tokenizer
from training.checkpoints import trained
from training.generation.answers import complete
from training.models.families import Model
from training.models.tuned import Tuned
from training.run import validation as evaluate
from training.run.config import PretrainConfig
from training.run.device import Device
from training.run.distributed.processes import Learner, World
from training.run.phases import Course
from training.run.state import Job
from training.run.validation import Validation


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretraining(Job):
    """Everything that defines a pretraining run."""

    config: PretrainConfig
    course: Course
    validation: Validation

    @property
    def tokenizer(self) -> Tokenizer:
        """The tokenizer of the dataset."""
        return self.course.last.dataset.tokenizer

    def described(self, model: Model | Tuned) -> dict[str, Any]:
        """See Job."""
        assert not isinstance(model, Tuned)
        return trained.described(model, self.config.model.family, self.tokenizer)

    def measure(self, learner: Learner, device: Device, world: World) -> dict[str, float]:
        """See Job; the names are those of training/run/validation.py."""
        return evaluate.measure(learner, self.validation, device, world)

    def sample(self, learner: Learner, world: World) -> tuple[str, str] | None:
        """Return the config's prompt and the model's completion of it; the first process gets the text."""
        settings = self.config.sample
        model = learner.whole()
        assert not isinstance(model, Tuned)
        if world.rank:
            return settings.prompt, ""
        model.eval()
        text = complete(
            model,
            self.tokenizer,
            settings.prompt,
            settings.tokens,
            temperature=settings.temperature,
            top_k=settings.top_k,
            seed=self.config.train.seed,
        )
        model.train()
        return settings.prompt, text
