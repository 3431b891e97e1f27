from __future__ import annotations

from pathlib import Path

import pytest

from snt_zoo.data.room import free_memory

GB = 10**9


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One with 8 GB left, and without control groups."""
    write(tmp_path, {"proc/meminfo": f"MemTotal: 9 kB\nMemAvailable:   {8 * GB // 1024} kB\n"})
    return tmp_path


def write(root: Path, files: dict[str, object]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


def test_a_machine_without_groups_has_what_it_says(machine: Path) -> None:
    assert free_memory(machine) == 8 * GB // 1024 * 1024


def test_a_system_that_says_nothing_is_not_known(tmp_path: Path) -> None:
    assert free_memory(tmp_path) is None


def test_the_tightest_group_above_the_process_counts(machine: Path) -> None:
    write(
        machine,
        {
            "proc/self/cgroup": "0::/pods/one",
            "sys/fs/cgroup/pods/memory.max": 3 * GB,
            "sys/fs/cgroup/pods/memory.current": 2 * GB,
            "sys/fs/cgroup/pods/memory.stat": f"anon 5\ninactive_file {GB // 2}\nslab 1",
            "sys/fs/cgroup/pods/one/memory.max": "max",
            "sys/fs/cgroup/pods/one/memory.current": GB,
        },
    )
    assert free_memory(machine) == 1.5 * GB
    write(machine, {"sys/fs/cgroup/pods/one/memory.max": GB})
    assert free_memory(machine) == 0


@pytest.mark.parametrize("path", ["/", "/docker/abc"])
def test_a_container_may_see_its_own_group_as_the_root(machine: Path, path: str) -> None:
    write(
        machine,
        {
            "proc/self/cgroup": f"0::{path}",
            "sys/fs/cgroup/memory.max": 4 * GB,
            "sys/fs/cgroup/memory.current": GB,
        },
    )
    assert free_memory(machine) == 3 * GB


def test_groups_of_version_1_count_alike(machine: Path) -> None:
    write(
        machine,
        {
            "proc/self/cgroup": "9:cpu,cpuacct:/here\n4:memory:/docker/abc",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": 2 * GB,
            "sys/fs/cgroup/memory/memory.usage_in_bytes": 2 * GB,
            "sys/fs/cgroup/memory/memory.stat": f"total_inactive_file {GB}",
        },
    )
    assert free_memory(machine) == GB


def test_this_machine_has_some_or_says_nothing() -> None:
    left = free_memory()
    assert left is None or left > 0
