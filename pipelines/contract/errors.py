"""The base class of all errors that a user can mend, and the system's errors that count as such."""

import errno
import io
import socket


class UserError(ValueError):
    """An error that a user can mend; its message is one line that names the file or field, the place and the fix.

    The command line prints the message and exits with code 1. Any other exception is a bug and keeps its traceback.
    """


def as_user_error(error: BaseException) -> UserError | None:
    """Return a UserError as it is, an error of the operating system as a UserError, and None for any other error.

    A missing file, a full disk or a network that is down is not a bug: the message names the path, if the system named one,
    and the fix.

    >>> as_user_error(FileNotFoundError(errno.ENOENT, "No such file or directory", "data/pages.xml"))
    UserError('data/pages.xml: no such file or directory; check the path')
    >>> as_user_error(KeyError("pages"))
    """
    if isinstance(error, UserError):
        return error
    if isinstance(error, MemoryError):
        return UserError(f"not enough memory{f' ({error})' if str(error) else ''}; use fewer workers, or a machine with more")
    if not isinstance(error, OSError) or isinstance(error, io.UnsupportedOperation):  # the latter is a wrong call
        return None
    is_network = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
    what, fix = str(error.strerror or error).rstrip("."), _NETWORK if is_network else _FIXES.get(error.errno or 0)
    if fix is None and error.filename is None and error.errno is not None:
        return None
    paths = " -> ".join(_path(name) for name in (error.filename, error.filename2) if name is not None)
    start = f"{paths}: {what[:1].lower()}{what[1:]}" if paths else what or type(error).__name__
    return UserError(f"{start}; {fix or _ELSE}")


def _path(name: object) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


_ELSE = "check the path or address, its permissions, and that the file is whole"  # for errors without a number, as pyarrow's
_NETWORK = "check the network and the address, then run the command again"
_FIXES = {
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of the path is a file; check the path",
    errno.EISDIR: "name a file, not a folder",
    errno.EEXIST: "name another path, or remove it",
    errno.ENOTEMPTY: "name an empty folder",
    errno.ENAMETOOLONG: "use a shorter path",
    errno.ELOOP: "the symbolic links form a circle; remove one",
    errno.EACCES: "change its permissions, or name another path",
    errno.EPERM: "change its permissions, or name another path",
    errno.EROFS: "name a path on a disk that can be written",
    errno.ENOSPC: "free some space, or name another disk; what is finished is kept",
    errno.EDQUOT: "free some space, or name another disk; what is finished is kept",
    errno.EFBIG: "raise the limit on the size of a file (`ulimit -f`)",
    errno.EIO: "the disk failed; check it, or name another",
    errno.ESTALE: "the network disk was mounted again; run the command again",
    errno.EMFILE: "raise the limit on open files (`ulimit -n`)",
    errno.ENFILE: "the machine has too many open files; end other programs",
    errno.ENOMEM: "use fewer workers, or a machine with more memory",
    errno.EADDRINUSE: "end the program that uses the address, or choose another port",
    errno.EADDRNOTAVAIL: "choose an address of this machine",
    errno.EHOSTUNREACH: _NETWORK,
    errno.ENETUNREACH: _NETWORK,
}
