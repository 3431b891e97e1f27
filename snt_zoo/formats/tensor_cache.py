"""Tensors that took time to compute, kept in the user's cache folder under a key of all that they depend on.

A cache and nothing more: it may be deleted at any time, and what cannot be read or written is computed anew
without a word. An entry is a safetensors file with a digest of its own content; only the user may read it, as
it was made of the user's images. The entries that were used longest ago go when there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import NamedTuple

import platformdirs
import torch
from PIL import __version__ as pillow
from torch import Tensor

from snt_zoo.errors import TensorError
from snt_zoo.formats.tensor_file import dump_tensors, load_tensors
from snt_zoo.version import __version__

SWITCH = "SNT_ZOO_CACHE"
"""With the value 0 nothing is kept, and nothing that was kept is used."""

LIMIT = 256 * 2**20
"""Bytes of all entries. A query of 512 images keeps 4 MB, so that is what sixty datasets take."""

_ENTRY_LIMIT = LIMIT // 8
_TURNS = "0"
"""First signs of the keys with which room is made: to list many entries takes longer than to write one, and a
query keeps a few kilobytes. One key in sixteen is enough."""
_SUFFIX = ".safetensors"
_DIGEST = "sha256"
_ROOMS = ("data", "encoders", "networks")  # whose code decides what is computed


_FORGETTING: ContextVar[bool] = ContextVar("forgetting", default=False)


class Entry(NamedTuple):
    """What is kept: tensors, and texts beside them."""

    tensors: Mapping[str, Tensor]
    texts: Mapping[str, str]


@contextlib.contextmanager
def forgetting() -> Iterator[None]:
    """Inside, nothing is kept, and nothing that was kept is used: for images that are not the user's own."""
    token = _FORGETTING.set(True)
    try:
        yield
    finally:
        _FORGETTING.reset(token)


def key_of(*parts: str | bytes) -> str:
    """A name for what is computed from some parts, here and by this code.

    Args:
        parts: what it is, and all that it depends on, in order.
    """
    found = hashlib.sha256(_code())
    # Another number of threads, or another processor, may add in another order.
    here = platform.machine(), torch.backends.cpu.get_cpu_capability(), str(torch.get_num_threads())
    for part in (torch.__version__, pillow, *here, *parts):
        raw = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        found.update(b"%d:" % len(raw) + raw)
    return found.hexdigest()


def recall(key: str) -> Entry | None:
    """What is kept under a key; None where nothing is, or nothing that can be read."""
    folder = _folder()
    if folder is None:
        return None
    path = folder / f"{key}{_SUFFIX}"
    try:
        with path.open("rb") as file:
            tensors, texts = load_tensors(file.read(_ENTRY_LIMIT + 1), what=path.name, limit=_ENTRY_LIMIT)
    except (OSError, TensorError):
        return None
    entry = Entry(tensors, {name: text for name, text in texts.items() if name != _DIGEST})
    if texts.get(_DIGEST) != _digest(entry):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # what was used last goes last
    return entry


def remember(key: str, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """Keep something under a key, if the folder can be written to."""
    folder = _folder()
    if folder is None:
        return
    entry = Entry(tensors, texts)
    content = dump_tensors(tensors, {**texts, _DIGEST: _digest(entry)})
    if len(content) > _ENTRY_LIMIT:
        return
    with contextlib.suppress(OSError):
        # Only the user may read a temporary file. One that a full disk cut short goes like an old entry.
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:
            file.write(content)
        Path(file.name).replace(folder / f"{key}{_SUFFIX}")
        if key[0] in _TURNS:
            _make_room(folder)


def _digest(entry: Entry) -> str:
    return hashlib.sha256(dump_tensors(entry.tensors, entry.texts)).hexdigest()


def _make_room(folder: Path) -> None:
    """Remove what was used longest ago, files that a killed process left included."""
    left = LIMIT
    found = [(path.stat(), path) for path in folder.iterdir()]
    for status, path in sorted(found, key=lambda one: one[0].st_mtime_ns, reverse=True):
        left -= status.st_size
        if left < 0:
            path.unlink(missing_ok=True)


def _folder() -> Path | None:
    """Where entries lie; None where they are not wanted, or others could read or write them."""
    if _FORGETTING.get() or os.environ.get(SWITCH, "1") == "0":
        return None
    folder = Path(platformdirs.user_cache_dir("snt-zoo", False)) / "features"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError:
        return None
    # Where there is no POSIX the cache lies in the user's own profile.
    shared = os.name == "posix" and (
        status.st_uid != os.geteuid() or bool(status.st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    )
    return None if shared else folder


@cache
def _code() -> bytes:
    """A digest of the code that computes: a change of it must not meet what was computed before."""
    found = hashlib.sha256(__version__.encode())
    package = Path(__file__).parents[1]
    for path in sorted(path for room in _ROOMS for path in (package / room).rglob("*.py")):
        found.update(path.read_bytes())
    return found.digest()
