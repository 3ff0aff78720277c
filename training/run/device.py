"""The device and the precision of a run."""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.contract.settings import ConfigError


@dataclass(frozen=True, slots=True)
class Device:
    """A CPU or a GPU, and the precision of the forward and backward pass."""

    name: Literal["cpu", "cuda"]
    dtype: Literal["float32", "bfloat16"]

    def tensors(self, examples: Mapping[str, NDArray[np.int64]]) -> dict[str, Tensor]:
        """Copy NumPy arrays to this device."""
        return {name: torch.from_numpy(values).to(self.name, non_blocking=True) for name, values in examples.items()}

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which a forward pass runs in this precision."""
        if self.dtype == "float32":
            return contextlib.nullcontext()
        return torch.autocast(self.name, dtype=torch.bfloat16)


def prepare(wanted: Literal["cpu", "cuda", "auto"], dtype: Literal["float32", "bfloat16"], threads: int | None) -> Device:
    """Choose the device and make its arithmetic deterministic: the same run gives the same bits on the same machine.

    Raises ConfigError if a GPU is requested and there is none.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError('train.device: "cuda" is requested, but torch sees no GPU; use "auto" or "cpu"')
    torch.set_num_threads(threads or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  missing from torch's types
    name = "cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu"
    return Device(name, dtype)
