"""How much memory this machine, or the container that we are in, has left."""

import re
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUPS = ((Path("/sys/fs/cgroup"), "memory.max", "memory.current"),
            (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes", "memory.usage_in_bytes"))  # fmt: skip


def available_bytes() -> int | None:
    """What a new process can take before something is killed; None where the system does not say (it is no Linux)."""
    found = [left for folder, limit, used in _CGROUPS if (left := _left(folder, limit, used)) is not None]
    if _MEMINFO.exists() and (line := re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text())):
        found.append(int(line[1]) * 1024)
    return min(found, default=None)


def _left(folder: Path, limit: str, used: str) -> int | None:
    """Of a control group: its limit less what it uses, without the files' pages that can be dropped at once."""
    if not (folder / limit).exists() or not (folder / used).exists():
        return None
    most = (folder / limit).read_text().strip()
    if most == "max":
        return None
    droppable = re.search(r"^(?:total_)?inactive_file (\d+)$", (folder / "memory.stat").read_text(), re.MULTILINE)
    return max(0, int(most) - int((folder / used).read_text()) + (int(droppable[1]) if droppable else 0))
