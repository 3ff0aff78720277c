"""The section [remember] of a pretraining run."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contract.settings import Section
from training.data.config import MayChange


class RememberSection(Section):
    """What holds a run that starts from an older model (train.init_from) near what that one knew."""

    method: Literal["ewc", "distill"] | None = None
    """`ewc`: elastic weight consolidation (Kirkpatrick et al. 2017, arXiv 1612.00796) holds each weight by its Fisher
    information; `distill`: the older model's predictions on the new text are learnt too (Li and Hoiem 2016, arXiv 1606.09282)."""
    strength: float = Field(default=1.0, gt=0, le=1e9)
    """The weight of the added term. For ewc, 1 weighs the old loss as much as the new one, near the old weights."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """distill: both distributions are flattened by it (Hinton et al. 2015, arXiv 1503.02531, 2; 2 in Li and Hoiem)."""
    rows: int = Field(default=256, ge=1)
    """ewc: rows of the old train split from which the Fisher information is computed; all if there are fewer."""
    tokens: MayChange[str | None] = None  # the fingerprint of the rows is compared instead
    """ewc: the old tokens dataset, or its build; by default data.replay, else what the older run was trained on."""
    name: MayChange[str | None] = None
    """Tokens dataset of that release; may be omitted if there is only one."""

    @model_validator(mode="after")
    def _fields_belong_together(self) -> Self:
        if self.method is None and self.model_fields_set & {"strength", "temperature", "rows", "tokens", "name"} - _unset(self):
            raise ValueError('its numbers are of a method; set method to "ewc" or "distill", or remove them')
        return self


def _unset(section: RememberSection) -> set[str]:
    """Return the fields that have their defaults, as all have in the resolved config of a run that remembers nothing."""
    fields = type(section).model_fields
    return {name for name, field in fields.items() if getattr(section, name) == field.default}
