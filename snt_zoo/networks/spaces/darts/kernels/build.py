"""Compiles the kernels on first use and keeps the library in the user's cache."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path

import platformdirs

SWITCH = "SNT_ZOO_KERNELS"
SOURCE = Path(__file__).with_name("kernels.cpp")
FLAGS = ("-std=c++17", "-O3", "-march=native", "-fPIC", "-shared")
OPENMP = "-fopenmp"
COMPILERS = ("c++", "g++", "clang++")
TIME_LIMIT = 300  # seconds; it takes about ten


def available() -> bool:
    """Whether the kernels can be used: switched on, and compiled or to be compiled."""
    return library() is not None


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels; None (with a warning that says why) where they cannot be had."""
    if os.environ.get(SWITCH, "1") == "0":
        return None
    compiler = os.environ.get("CXX") or next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        warnings.warn(
            "no C++ compiler found: mixed DARTS cells will train several times slower on the CPU. Install "
            f"g++ or clang++ (or set {SWITCH}=0 to silence this)",
            stacklevel=2,
        )
        return None
    try:
        return ctypes.CDLL(str(_built(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or str(error)
        warnings.warn(
            f"the CPU kernels could not be compiled with {compiler}, PyTorch's operations are used instead "
            f"(set {SWITCH}=0 to silence this): {str(detail)[-500:]}",
            stacklevel=2,
        )
        return None


def _built(compiler: str) -> Path:
    """Path of the library, compiled if it is not there yet."""
    folder = Path(platformdirs.user_cache_dir("snt-zoo", False)) / "kernels"
    target = folder / f"{_fingerprint(compiler)}.so"
    if target.exists():
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as place:
        made = Path(place) / "kernels.so"
        try:
            _compile(compiler, (*FLAGS, OPENMP), made)
        except subprocess.CalledProcessError:  # a compiler without OpenMP: one thread
            _compile(compiler, FLAGS, made)
        made.replace(target)  # at once: another process may be doing the same
    return target


def _compile(compiler: str, flags: tuple[str, ...], target: Path) -> None:
    subprocess.run(
        [compiler, *flags, str(SOURCE), "-o", str(target)],
        check=True,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT,
    )


def _fingerprint(compiler: str) -> str:
    """Of the source, the compiler and the processor: a home may be shared by different machines."""
    digest = hashlib.sha256(SOURCE.read_bytes())
    for part in (compiler, *FLAGS, platform.machine(), platform.system(), _processor()):
        digest.update(part.encode())
    return digest.hexdigest()[:32]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
