"""Helpers of the numba kernels: compilation, and loads and stores of eight bytes at any address.

`load64` and `store64` exist because an index into a NumPy array of 64-bit words reaches only every eighth byte.
"""

from pathlib import Path
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import caching, cgutils, config
from numba.extending import intrinsic

from pipelines.contract.storage.cache import compiled_folder
from pipelines.contract.storage.compiled import stamp_with_imports

_numba: Any = config  # whose settings pyright does not know
_numba.CACHE_DIR = compiled_folder(Path(__file__).parent) or _numba.CACHE_DIR
stamp_with_imports(caching._SourceFileBackedLocatorMixin)  # pyright: ignore[reportPrivateUsage]

_INTERNAL: Any = {"cache": True, "nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
_INT64 = ir.IntType(64)
_kernels: list[Any] = []  # that Python calls, of all modules imported so far

_intrinsic: Any = intrinsic  # it removes the first parameter, which pyright does not know


def jit(function: Any) -> Any:
    """Compile a kernel to machine code that is cached on disk and runs without the GIL."""
    kernel = numba.njit(cache=True, nogil=True)(function)
    _kernels.append(kernel)
    return kernel


def load() -> int:
    """Load what was compiled before of the kernels of all imported modules; return the number of loaded functions.

    Otherwise each is loaded by its first call, which takes some 10 ms.
    """
    loaded = 0
    for kernel in _kernels:
        cache, codegen = kernel._cache, kernel.targetctx.codegen()
        for key in cache._cache_file._load_index():
            if key == cache._index_key(key[0], codegen):  # compiled from this code for this processor
                kernel.compile(key[0])
                loaded += 1
    return loaded


def jit_internal(function: Any) -> Any:
    """Compile a kernel that only other kernels call, without wrappers for Python and C: this takes half the time."""
    return numba.njit(**_INTERNAL)(function)


def jit_borrowing(function: Any) -> Any:
    """Compile a kernel that only other kernels call, and that neither makes nor returns arrays.

    It counts no references to the arrays that it is given: with many of them, as those of a tree, that would take longer than
    most calls do.
    """
    options: Any = {**_INTERNAL, "_nrt": False}
    return numba.njit(**options)(function)


@_intrinsic
def load64(_typing: Any, array: Any, _index: Any) -> Any:
    """Return the uint64 at array[index:index + 8] (uint8; little-endian machines only). Bounds are not checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=1)

    return types.uint64(array, types.int64), generate


@_intrinsic
def store64(_typing: Any, array: Any, _index: Any, _value: Any) -> Any:
    """Write a uint64 over array[index] and array[index + 1] (int32). Bounds are not checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _pointer(context, builder, signature.args[0], *arguments[:2]), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), generate


@_intrinsic
def lowest_bit(_typing: Any, _value: Any) -> Any:
    """Return the number of trailing zero bits of a uint64; 64 for 0."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """Return the address of array[index] as a pointer to a uint64."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(
        cgutils.pointer_add(builder, data, builder.mul(index, _INT64(array_type.dtype.bitwidth // 8))), _INT64.as_pointer()
    )
