"""Activations by the names of transformers' activations.py."""

from collections.abc import Mapping
from typing import Any

from pipelines.contract.errors import UserError

NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}


def activation(config: Mapping[str, Any], field: str, default: str) -> str:
    """Return our name of the activation in a field of a config.json. Raises UserError, naming it, for one that is not known."""
    name = config.get(field, default)
    if name not in NAMES:
        raise UserError(f"{field} is {name!r}; this program knows only {', '.join(NAMES)}")
    return NAMES[name]


def activation_name(ours: str, tanh: str = "gelu_pytorch_tanh") -> str:
    """Return transformers' name of an activation; `tanh` is the one of the approximation by tanh, which has several."""
    return tanh if ours == "gelu_tanh" else ours
