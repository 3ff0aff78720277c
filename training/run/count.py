"""How many weights a model of a shape has, without making them."""

from collections.abc import Mapping
from typing import Any

import torch

from training.models import families
from training.run.sections import ModelSection


def parameters(family: str, shape: Mapping[str, Any]) -> int:
    """Of a model as a checkpoint's state describes it; shared weights count once. Raises ValueError."""
    with torch.device("meta"):
        return families.parameters(families.build(families.shape_of_dict(family, shape)))


def planned_parameters(model: Mapping[str, Any], vocabulary: int, positions: int) -> int:
    """Of a config's [model] over so many pieces and positions. Raises ValueError."""
    with torch.device("meta"):
        return families.parameters(families.build(ModelSection.model_validate(model).shape(vocabulary, positions)))
