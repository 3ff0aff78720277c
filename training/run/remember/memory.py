"""What a run remembers of an older model, as the trainer meets it (`[remember]`).

    Elastic    elastic weight consolidation: a pull on each weight, added to the gradients once a step
    Teacher    distillation: a term of the loss, added to each micro-batch

The loss of a step and the evaluations stay those of the run's text alone; what is added is `remember_loss` in metrics.jsonl.
"""

from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.models.families import Model
from training.models.loss import recorded
from training.run.remember.distillation import distillation

REMEMBER = "remember"  # the added term among the sums of a model's losses


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory(ABC):
    """A memory that holds nothing; a method of remembering replaces one of these."""

    fingerprint: str  # of the older model and the rows that were read: everything that decides the memory
    strength: float

    def losses(self, model: nn.Module, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the sums of the model's loss by term, maybe with REMEMBER, which is divided by the number of tokens' targets."""
        return model.losses(examples)  # pyright: ignore[reportCallIssue, reportReturnType]

    def pull(self, model: nn.Module) -> float | None:
        """Add to the gradients of a step what holds the weights, and return the penalty; None if nothing does."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Elastic(Memory):
    """Elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796, equation 3).

    The penalty is strength / 2 * sum of F (w - w_old)^2 over all weights w, where F is the diagonal of the Fisher information
    (training/run/remember/fisher.py). Its gradient is known, so no graph is made of it.
    """

    weights: Mapping[str, Tensor]
    fisher: Mapping[str, Tensor]

    def pull(self, model: nn.Module) -> float:
        """See Memory. A weight without a gradient (a head that the objective does not use) stays where it is anyway."""
        penalty = torch.zeros((), dtype=torch.float64)
        for name, weight in model.named_parameters():
            if weight.grad is None:
                continue
            moved = weight.detach() - self.weights[name]
            held = self.fisher[name] * moved
            penalty = penalty + (held * moved).sum().double().cpu()
            weight.grad.add_(held, alpha=self.strength)
        return self.strength / 2 * float(penalty)


@dataclass(frozen=True, slots=True, kw_only=True)
class Teacher(Memory):
    """Distillation from the older model on the run's own text (learning without forgetting, Li and Hoiem 2016).

    The term is strength * T^2 * KL(old || new) over the targets of tokens, both at temperature T (Hinton et al. 2015, 2); that of
    BERT's pairs is not distilled.
    """

    model: Model
    temperature: float

    def losses(self, model: nn.Module, examples: dict[str, Tensor]) -> dict[str, Tensor]:
        """See Memory. The new model comes first, so its dropout is what it would be without a teacher."""
        with recorded() as mine:
            sums: dict[str, Tensor] = model.losses(examples)  # pyright: ignore[reportAssignmentType, reportCallIssue]
        with torch.no_grad(), recorded() as theirs:
            self.model.losses(examples)
        (new,), (old,) = mine, theirs
        return {**sums, REMEMBER: self.strength * distillation(new, old, self.temperature)}
