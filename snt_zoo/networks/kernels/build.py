"""Compiles the kernels on first use and keeps the library in the user's cache.

What lies in a cache may be cut short by a full disk, left by somebody else or changed, and whatever is loaded
runs as part of this process. So a library is named by its own sha256, is loaded only if it and its folder
belong to the user and nobody else may write to them, and has been tried in a child process before it gets
its name.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path

import platformdirs

from snt_zoo.errors import warn
from snt_zoo.formats.durable import sync_file, sync_folder

SWITCH = "SNT_ZOO_KERNELS"
SOURCES = sorted(Path(__file__).parent.glob("*.cpp"))
HEADERS = sorted(Path(__file__).parent.glob("*.h"))
SELF_TEST = Path(__file__).with_name("selftest.py")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
OPENMP = "-fopenmp"
COMPILERS = ("c++", "g++", "clang++")
TIME_LIMIT = 300  # seconds; it takes about ten

_idle: ContextVar[bool] = ContextVar("idle", default=False)


def available(*, compile: bool = True) -> bool:
    """Whether the kernels can be used: switched on, and compiled or, if wanted, to be compiled."""
    return not _idle.get() and (compile or _is_compiled()) and library() is not None


def _is_compiled() -> bool:
    """Whether `library` has been asked for, or finds what an earlier process compiled."""
    if library.cache_info().currsize:
        return True
    try:
        compiler = _compiler()
        return compiler is not None and any(_folder().glob(f"{_fingerprint(compiler)}-*.so"))
    except (OSError, ValueError):
        return False  # `library` tells of it when something is trained


@contextlib.contextmanager
def without() -> Iterator[None]:
    """Compute with PyTorch's operations inside: for a few images no compiler is worth waiting for."""
    token = _idle.set(True)
    try:
        yield
    finally:
        _idle.reset(token)


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be had.

    Without a word where there is no compiler, as on most machines that a wheel is installed on: PyTorch's
    operations compute the same. A compiler that fails is told.
    """
    if os.environ.get(SWITCH, "1") == "0":
        return None
    try:
        compiler = _compiler()
        return None if compiler is None else ctypes.CDLL(str(_built(compiler)))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        warn(
            "the CPU kernels cannot be compiled or used, PyTorch's operations are used instead, which are "
            f"several times slower (set {SWITCH}=0 to silence this): "
            f"{str(detail)[-500:]}"
        )
        return None


def _compiler() -> list[str] | None:
    """The command of the compiler: `CXX` with its options, as make reads it, else the first that is there."""
    try:
        given = shlex.split(os.environ.get("CXX", ""), posix=os.name == "posix")
    except ValueError as error:
        raise ValueError(f"CXX={os.environ['CXX']!r} cannot be read: {error}") from None
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    return given or (None if found is None else [found])


def _built(compiler: Sequence[str]) -> Path:
    """Path of the library, compiled if no sound one is there."""
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_ours(folder.stat()):
        raise OSError(
            f"{folder} belongs to somebody else, or others may write to it: remove it, or set XDG_CACHE_HOME"
        )
    fingerprint = _fingerprint(compiler)
    for path in sorted(folder.glob(f"{fingerprint}-*.so")):
        if _is_sound(path):
            return path
        path.unlink()
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Path(place) / "kernels.so"
        try:
            _run([*compiler, *FLAGS, OPENMP, *map(str, SOURCES), "-o", str(made)])
        except subprocess.CalledProcessError:  # a compiler without OpenMP: one thread
            _run([*compiler, *FLAGS, *map(str, SOURCES), "-o", str(made)])
        made.chmod(0o700)
        _run([sys.executable, "-I", str(SELF_TEST), str(made)])
        sync_file(made)
        target = folder / f"{fingerprint}-{_sha256(made)}.so"
        made.replace(target)  # at once: another process may be doing the same
    sync_folder(folder, files=False)
    return target


def _folder() -> Path:
    return Path(platformdirs.user_cache_dir("snt-zoo", False)) / "kernels"


def _is_sound(path: Path) -> bool:
    """Whether a library is the file that was put there, and nobody else can have written to it."""
    status = path.lstat()
    whole = stat.S_ISREG(status.st_mode) and _is_ours(status)
    return whole and path.stem.rpartition("-")[2] == _sha256(path)


def _is_ours(status: os.stat_result) -> bool:
    if os.name != "posix":  # elsewhere the cache lies in the user's own profile
        return True
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _run(command: Sequence[str]) -> None:
    subprocess.run(
        command, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIME_LIMIT
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _fingerprint(compiler: Sequence[str]) -> str:
    """Of the source, the compiler and the processor: a home may be shared by different machines."""
    digest = hashlib.sha256()
    for file in (*HEADERS, *SOURCES):
        digest.update(file.read_bytes())
    for part in (*compiler, *FLAGS, platform.machine(), platform.system(), _processor()):
        digest.update(part.encode())
    return digest.hexdigest()[:32]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
