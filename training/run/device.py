"""The device and the precision of a run."""

import contextlib
import ctypes
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.contract.settings import ConfigError

# glibc keeps freed blocks below a threshold in a heap with holes, and moves that threshold up to 32 MiB by itself: a step with
# recomputation then takes 2.7 times what lives in it. From 4 MiB on, blocks are mapped and given back; with large pages this
# costs some 5 % of the time of a small model (4 layers, 128 wide), less of a larger one.
_MAPPED_FROM, _KEPT_FREE = 4 * 2**20, 128 * 2**20
_MOST_THREADS = 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h


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

    Raises ConfigError if a GPU is requested and there is none, and for more threads than torch can start.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError('train.device: "cuda" is requested, but torch sees no GPU; use "auto" or "cpu"')
    if (threads or 0) > _MOST_THREADS:
        raise ConfigError(f"train.threads: {threads:,} are more than {_MOST_THREADS:,}; torch ends the process over so many")
    _map_large_blocks()
    torch.set_num_threads(threads or os.cpu_count() or 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    torch.use_deterministic_algorithms(True)
    setattr(torch.utils.deterministic, "fill_uninitialized_memory", False)  # noqa: B010  missing from torch's types
    name = "cuda" if wanted == "cuda" or (wanted == "auto" and torch.cuda.is_available()) else "cpu"
    return Device(name, dtype)


def _map_large_blocks() -> None:
    """Have the C library give memory back, where it is glibc and the user has not set its thresholds."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None or {"MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"} & set(os.environ):
        return
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch reads it at its first tensor: large pages
    mallopt(_M_MMAP_THRESHOLD, _MAPPED_FROM)
    mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE)
