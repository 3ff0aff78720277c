"""Compilation of the numba kernels of training."""

from pathlib import Path
from typing import Any

import numba
from numba.core import caching, config

from pipelines.contract.storage.cache import compiled_folder
from pipelines.contract.storage.compiled import stamp_with_imports

_numba: Any = config  # whose settings pyright does not know
_numba.CACHE_DIR = compiled_folder(Path(__file__).parent) or _numba.CACHE_DIR
stamp_with_imports(caching._SourceFileBackedLocatorMixin)  # pyright: ignore[reportPrivateUsage]


def jit(function: Any) -> Any:
    """Compile a kernel to machine code that is cached on disk and runs without the GIL."""
    return numba.njit(cache=True, nogil=True)(function)
