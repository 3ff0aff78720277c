"""Take root's right to read everything from a block, so that the permissions of files count as for any user."""

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager

import pytest

_VERSION = 0x20080522  # of Linux's capget(2): two sets of 32 capabilities


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint32) for name in ("effective", "permitted", "inheritable"))


@contextmanager
def as_any_user() -> Generator[None]:
    """Run the block without capabilities, in this thread only; files still belong to this user."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "capset"):
        pytest.skip("this system has no capabilities; run the tests as another user than root")
    header, sets = _Header(_VERSION, 0), (_Sets * 2)()
    assert libc.capget(ctypes.byref(header), sets) == 0
    before = [each.effective for each in sets]
    for each in sets:
        each.effective = 0
    assert libc.capset(ctypes.byref(header), sets) == 0, os.strerror(ctypes.get_errno())
    try:
        yield
    finally:
        for each, effective in zip(sets, before, strict=True):
            each.effective = effective
        assert libc.capset(ctypes.byref(header), sets) == 0
