"""A model of any family with the head of a task: what fine-tuning trains."""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from training.models.families import Model

Examples = Mapping[str, Tensor]


class Tuned(nn.Module):
    """A body, which was pretrained or is new, and a head, which is new; a task that predicts text has none.

    Weights are named `body.…` and `head.…`.
    """

    def __init__(self, body: Model, head: nn.Module | None, losses: Callable[["Tuned", Examples], dict[str, Tensor]]) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self._losses = losses

    def losses(self, examples: Examples) -> dict[str, Tensor]:
        """Return the sums of the task's loss by term, in nats (see training/models/families.py)."""
        return self._losses(self, examples)
