"""How much memory is left: that of the machine, or of the container in which the process runs.

Read from Linux's `/proc` and control groups of both versions. Other systems do not say it in a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

# Of each version of control groups: limit, use, and the name of what the kernel gives up first in the use.
_FILES = {
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can be taken without anything being driven out.

    Args:
        root: Below it lie `proc` and `sys`.

    Returns:
        The least that the machine and each control group have left; None where the system does not say.
    """
    return min((*_machine(root), *_groups(root)), default=None)


def _machine(root: Path) -> Iterator[int]:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _text(root / "proc/meminfo"), re.MULTILINE)
    if found:
        yield int(found[1]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """What each group that holds this process has left; a container may see its own as the root."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        kind = "memory" if "memory" in controllers.split(",") else controllers
        if kind in _FILES:
            base = root / "sys/fs/cgroup" / kind
            inner = base / path.lstrip("/")
            for folder in (inner, *inner.parents):
                if folder.is_relative_to(base):
                    yield from _left(folder, *_FILES[kind])


def _left(folder: Path, limit: str, use: str, given_up: str) -> Iterator[int]:
    most, taken = _text(folder / limit).strip(), _text(folder / use).strip()
    if most.isdecimal() and taken.isdecimal():  # a group without a limit says "max"
        found = re.search(rf"^{given_up} (\d+)$", _text(folder / "memory.stat"), re.MULTILINE)
        yield max(0, int(most) - int(taken) + (int(found[1]) if found else 0))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
