"""Memory of this machine, or of the container that this process runs in."""

import os
import re
import resource
import sys
from pathlib import Path

_MEMINFO, _STATM = Path("/proc/meminfo"), Path("/proc/self/statm")
# The folder of a control group (versions 2 and 1), with the files of its limit and its usage.
_CGROUPS = ((Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
            (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"))  # fmt: skip


def total_bytes() -> int:
    """Return the machine's memory, or the container's limit if that is smaller."""
    limits = [_limit(folder / limit) for folder, limit, _ in _CGROUPS]
    return min([_machine_bytes(), *(limit for limit in limits if limit is not None)])


def available_bytes() -> int | None:
    """Return the memory that a new process can use before one is killed; None if it is unknown (not Linux)."""
    free = [in_group for group in _CGROUPS if (in_group := _free_in(*group)) is not None]
    if _MEMINFO.exists() and (line := re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text())):
        free.append(int(line[1]) * 1024)
    return min(free, default=None)


def own_bytes() -> int:
    """Return the memory that this process has now; where that is unknown (not Linux), the most that it had."""
    if _STATM.exists():
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limit(file: Path) -> int | None:
    """Return a control group's limit; None if it has none ("max") or does not exist."""
    return int(text) if file.exists() and (text := file.read_text().strip()).isdigit() else None


def _free_in(folder: Path, limit_name: str, usage_name: str) -> int | None:
    """Return a control group's limit minus its usage; page cache that can be dropped counts as free."""
    limit = _limit(folder / limit_name)
    if limit is None or not (folder / usage_name).exists():
        return None
    droppable = re.search(r"^(?:total_)?inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    return max(0, limit - int((folder / usage_name).read_text()) + (int(droppable[1]) if droppable else 0))
