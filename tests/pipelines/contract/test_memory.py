"""What is left is the least of what the machine and the container leave."""

import mmap
import os
from pathlib import Path

import pytest

from pipelines.contract import memory


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    groups = tuple((tmp_path / folder, limit, used) for folder, (_, limit, used) in zip("ab", memory._CGROUPS, strict=True))
    monkeypatch.setattr(memory, "_CGROUPS", groups)
    return tmp_path


def group(folder: Path, limit: str, used: str, limits: tuple[str, str], statistics: str) -> None:
    folder.mkdir()
    for name, value in ((limit, limits[0]), (used, limits[1]), ("memory.stat", statistics)):
        (folder / name).write_text(value + "\n")


def test_a_machine_that_says_nothing_has_no_answer(machine: Path) -> None:
    assert memory.available_bytes() is None


def test_the_machines_free_memory_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_machine_bytes", lambda: 9000)
    (machine / "meminfo").write_text("MemTotal:       9000 kB\nMemFree:         100 kB\nMemAvailable:    2000 kB\n")
    assert memory.available_bytes() == 2000 * 1024
    group(machine / "a", "memory.max", "memory.current", ("max", "5"), "inactive_file 1")
    assert memory.available_bytes() == 2000 * 1024
    assert memory.total_bytes() == 9000


def test_a_containers_limit_counts_without_the_pages_of_files(machine: Path) -> None:
    (machine / "meminfo").write_text("MemAvailable:    2000 kB\n")
    group(machine / "a", "memory.max", "memory.current", ("1000", "700"), "anon 400\ninactive_file 50")
    assert memory.available_bytes() == 350
    assert memory.total_bytes() == 1000
    group(machine / "b", "memory.limit_in_bytes", "memory.usage_in_bytes", ("100", "90"), "total_inactive_file 20")
    assert memory.available_bytes() == 30
    assert memory.total_bytes() == 100


def test_this_machine_has_some() -> None:
    found = memory.available_bytes()
    assert found is None or found > 2**20


def test_the_memory_of_this_process_is_what_linux_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.own_bytes()
    block = mmap.mmap(-1, 64 * 2**20)  # not by the allocator, which may still hold pages that an earlier test has freed
    for page in range(0, len(block), mmap.PAGESIZE):
        block[page] = 1
    assert memory.own_bytes() - before == pytest.approx(len(block), rel=0.1)
    (tmp_path / "statm").write_text("9000 1234 500 1 0 700 0\n")
    monkeypatch.setattr(memory, "_STATM", tmp_path / "statm")
    assert memory.own_bytes() == 1234 * os.sysconf("SC_PAGE_SIZE")
    monkeypatch.setattr(memory, "_STATM", tmp_path / "none")
    assert memory.own_bytes() >= before  # the most that it had
