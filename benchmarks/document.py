"""The one form in which every benchmark reports: date, versions, machine, rows and summary."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
"""Where what is reported is kept."""

_PACKAGES = ("snt-zoo", "torch", "torchvision", "faiss-cpu", "pot", "numpy")


def document(command: str, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> dict[str, Any]:
    """A benchmark's document.

    Args:
        command: that makes it again.
        rows: one for each thing that was measured.
        summary: what the rows come to.
    """
    return {
        "command": command,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in _PACKAGES},
        "machine": {"processor": _processor(), "cores": os.cpu_count(), "system": platform.system()},
        "rows": list(rows),
        "summary": dict(summary),
    }


def write(path: Path, made: Mapping[str, Any]) -> None:
    """Write a document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def tell(row: Mapping[str, Any]) -> None:
    """A row for people who wait, on stderr."""
    print(dict(row), file=sys.stderr, flush=True)


def _version(package: str) -> str:
    from snt_zoo import __version__

    return __version__ if package == "snt-zoo" else version(package)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
