"""Limits of a machine, for a while: files that may not grow, folders that may not be written to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import SkipTest

_CAPABILITIES = 0x20080522  # version 3 of Linux's capset
_OVERRIDES = 0b111  # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: what lets root write anywhere


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Inside, a file that would have more bytes cannot be written: the same as a disk that is full."""
    if os.name != "posix":
        raise SkipTest("files are limited on POSIX alone")
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Inside, nothing below a folder may be written, not even by root."""
    if sys.platform != "linux":
        raise SkipTest("permissions are taken away on Linux alone")
    paths = [path for path in (folder, *folder.rglob("*")) if not path.is_symlink()]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222)
    try:
        with _without_root_rights():
            yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(mode)


@contextlib.contextmanager
def _without_root_rights() -> Iterator[None]:
    """Inside, this thread of root keeps to the permissions of files."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_CAPABILITIES, 0)
    held = (ctypes.c_uint32 * 6)()
    libc.capget(header, held)
    fewer = (ctypes.c_uint32 * 6)(*held)
    fewer[0] &= ~_OVERRIDES  # of what is in effect; it stays permitted, and can be taken back
    if libc.capset(header, fewer) != 0:
        raise SkipTest("the rights of root cannot be taken away here")
    try:
        yield
    finally:
        libc.capset(header, held)
