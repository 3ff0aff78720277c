"""Which errors of the system a user can mend, and what the message says."""

import errno
import io
import os
import socket

import pytest

from pipelines.contract.errors import UserError, as_user_error
from pipelines.contract.manifest import DatasetError


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.EACCES, "Permission denied", "/data/a"), "/data/a: permission denied; change its permissions, or name"),
        (OSError(errno.EACCES, "Permission denied", b"/data/a"), "/data/a: permission denied; "),
        (OSError(errno.EXDEV, "Invalid cross-device link", "/a", None, "/b"), "/a -> /b: invalid cross-device link; check the "),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "Disk quota exceeded; free some space"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/cd"), "/cd: read-only file system; name a path on a disk that can be"),
        (OSError(errno.EADDRINUSE, "Address already in use"), "Address already in use; end the program that uses the address"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit on open files (`ulimit -n`)"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "Connection reset by peer; check the network"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known; check the network"),
        (
            OSError("When reading from bucket: AWS Error ACCESS_DENIED"),
            "When reading from bucket: AWS Error ACCESS_DENIED; check",
        ),
        (MemoryError(), "not enough memory; use fewer workers"),
    ],
)
def test_an_error_of_the_system_names_the_path_and_the_fix(error: BaseException, message: str) -> None:
    mistake = as_user_error(error)
    assert type(mistake) is UserError
    assert str(mistake).startswith(message) and "\n" not in str(mistake)


def test_our_own_stays_itself() -> None:
    error = DatasetError("x: y")
    assert as_user_error(error) is error


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        KeyError("x"),
        RuntimeError("x"),
        AssertionError(),
        OSError(errno.EINVAL, "?"),
        io.UnsupportedOperation("read"),
    ],
)
def test_anything_else_is_a_bug(error: BaseException) -> None:
    assert as_user_error(error) is None
