"""Files that a client sends, in a folder of their own that is gone afterwards.

What a client calls a file is never a path here. Of a bundle's files the names are compared with the five that
a bundle has; images get names of our own, and so do their folders, but for those of the splits: what the
client calls its classes is kept beside, to be put back into what is answered.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO

from starlette.datastructures import UploadFile
from starlette.requests import Request

from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.data.class_names import one_line
from snt_zoo.data.folders.listing import natural
from snt_zoo.data.npy_archive import open_archive
from snt_zoo.data.split_names import split_name
from snt_zoo.errors import (
    DatasetError,
    DiskFullError,
    OversizedImageError,
    RequestError,
    SntZooError,
    TooLargeError,
)
from snt_zoo.formats.tensor_cache import forgetting
from snt_zoo.registry.bundle.folder import FILE_LIMITS
from snt_zoo.registry.store.store import FULL
from snt_zoo.service.settings import Settings

FIELD = "files"
"""Name of the form's field, which may be there several times."""

_DEEPEST = 8  # folders above an image
_PART = 1 << 20
_NAME = 200  # signs of a class's name
_PASSED_OVER = re.compile(r"(^|/)(__MACOSX|\.[^/]*)(/|$)")


@contextlib.asynccontextmanager
async def sent_files(request: Request, *, most: int) -> AsyncIterator[list[tuple[str, IO[bytes]]]]:
    """The files of a form: what the client calls each, and its content.

    Args:
        request: whose body is `multipart/form-data`.
        most: files.

    Raises:
        RequestError: it is no such form, or holds no file.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise RequestError(f"send the files as multipart/form-data, in fields called {FIELD!r}")
    async with request.form(max_files=most, max_fields=most) as form:
        found = [each for each in form.getlist(FIELD) if isinstance(each, UploadFile)]
        if not found:
            raise RequestError(f"the form holds no file: expected fields called {FIELD!r}")
        yield [(each.filename or "", each.file) for each in found]


@contextlib.contextmanager
def bundle_folder(files: Sequence[tuple[str, IO[bytes]]]) -> Iterator[Path]:
    """The files of a bundle, in a folder from which a registry can add it.

    Raises:
        RequestError: a file is none of a bundle's, or is there twice.
    """
    names = [name for name, _ in files]
    if sorted(names) != sorted(FILE_LIMITS):
        raise RequestError(f"expected the files {', '.join(FILE_LIMITS)}, each once, got {len(files)} files")
    known = {name: name for name in FILE_LIMITS}
    with _folder() as folder:
        for name, content in files:
            with (folder / known[name]).open("xb") as sink:
                shutil.copyfileobj(content, sink, _PART)
        yield folder


@contextlib.contextmanager
def image_dataset(files: Sequence[tuple[str, IO[bytes]]], settings: Settings) -> Iterator[ImageDataset]:
    """The dataset of an upload, for as long as its files are there; nothing that is computed of it is kept.

    Args:
        files: one `.npz` in MedMNIST's layout; one `.zip`; or images, each called by its path in the folder
            of its dataset, as `cats/1.png` or `train/cats/1.png`.
        settings: bounds of it.

    Raises:
        TooLargeError, OversizedImageError: it is larger than a bound.
        DatasetError: it is no dataset.
        RequestError: it is none of the three.
    """
    name, content = files[0]
    kind = PurePosixPath(name).suffix.lower() if len(files) == 1 else ""
    with forgetting(), _folder() as folder:
        if kind == ".npz":
            yield _of_npz(content, folder, settings)
        elif kind == ".zip":
            with _opened_zip(content) as archive:
                yield _of_images(_members(archive, settings), folder, settings)
        else:
            yield _of_images([_Sent(path, file) for path, file in files], folder, settings)


@dataclass(frozen=True)
class _Sent:
    """An image: what the client calls it, and where its content can be read; of a zip with the archive."""

    path: str
    content: IO[bytes] | zipfile.ZipInfo
    archive: zipfile.ZipFile | None = None

    def copy(self, target: Path, most: int) -> int:
        """Write it, up to so many bytes and one; returns how many."""
        with target.open("xb") as sink:
            if isinstance(self.content, zipfile.ZipInfo):
                assert self.archive is not None
                with self.archive.open(self.content) as source:
                    return _copy(source, sink, most)
            return _copy(self.content, sink, most)


_Placed = list[tuple[tuple[str, ...], _Sent]]


def _of_npz(content: IO[bytes], folder: Path, settings: Settings) -> ImageDataset:
    path = folder / "upload.npz"
    with path.open("xb") as sink:
        shutil.copyfileobj(content, sink, _PART)
    with open_archive(path) as archive:
        images = [name for name in archive.names if name.endswith("_images")]
        headers = [archive.header(name, instead="send numbers") for name in images]
    count, size = sum(h.shape[0] for h in headers if h.shape), sum(h.nbytes for h in headers)
    _check_count(count, settings)
    if size > 3 * settings.max_images * _SIDE**2:
        raise TooLargeError(f"the arrays take {size:,} bytes: send smaller images, or a sketch")
    return open_dataset(path, max_pixels=settings.max_pixels)


_SIDE = 224  # pixels: what a backbone looks at; an array of as many images as may be sent, of that size


def _of_images(files: Sequence[_Sent], folder: Path, settings: Settings) -> ImageDataset:
    """Lay images out as a folder of class folders, under names of our own, and read it."""
    placed = [(parts, file) for file in files if (parts := _parts(file.path)) is not None]
    _check_count(len(placed), settings)
    placed = _below_top(placed)
    if not placed:
        raise DatasetError("no image was sent that lies in a folder of its class, as cats/1.png")
    names = sorted({part for parts, _ in placed for part in parts[:-1]}, key=natural)
    numbers = {name: split_name(name) or f"{number:06d}" for number, name in enumerate(names)}
    spoken = {number: one_line(name)[:_NAME] for name, number in numbers.items()}
    words = spoken | {f"{i:06d}.image": one_line(parts[-1])[:_NAME] for i, (parts, _) in enumerate(placed)}
    root = folder / "upload"
    left = settings.max_upload_bytes
    for number, (parts, file) in enumerate(placed):
        place = root.joinpath(*(numbers[part] for part in parts[:-1]))
        place.mkdir(parents=True, exist_ok=True)
        left -= file.copy(place / f"{number:06d}.image", left)
        if left < 0:
            raise TooLargeError(f"the images take more than {settings.max_upload_bytes:,} bytes: send fewer")
    try:
        data = open_dataset(root, max_pixels=settings.max_pixels)
    except DatasetError as error:
        raise type(error)(_in_words(str(error), folder, words)) from error
    passed_over = {
        reason: tuple(_in_words(path, folder, words) for path in paths)
        for reason, paths in data.passed_over.items()
    }
    names_given = tuple(spoken[each] for each in data.class_names)
    return replace(data, class_names=names_given, passed_over=passed_over)


def _below_top(placed: _Placed) -> _Placed:
    """The paths below the folder in which the whole dataset lies, if there is one."""
    while len({parts[0] for parts, _ in placed}) == 1 and any(len(parts) > 2 for parts, _ in placed):
        placed = [(parts[1:], file) for parts, file in placed if len(parts) > 2]
    return placed


def _in_words(message: str, folder: Path, words: Mapping[str, str]) -> str:
    """A message about folders and files of ours, in the client's words."""
    message = message.replace(f"{folder}{os.sep}", "")
    return re.sub(r"\b\d{6}(\.image)?\b", lambda found: words.get(found[0], found[0]), message)


def _parts(path: str) -> tuple[str, ...] | None:
    """The folders and the name that a client speaks of, as mere words; None for a file that lies in no class,
    and for what no person put there."""
    if _PASSED_OVER.search(path.replace("\\", "/")):
        return None
    parts = tuple(part for part in path.replace("\\", "/").split("/") if part)
    return parts if 2 <= len(parts) <= _DEEPEST else None


@contextlib.contextmanager
def _opened_zip(content: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(content) as archive:
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise DatasetError(f"the zip cannot be read: {error}: pack it anew") from error


def _members(archive: zipfile.ZipFile, settings: Settings) -> list[_Sent]:
    members = [info for info in archive.infolist() if not info.is_dir()]
    _check_count(len(members), settings)
    return [_Sent(info.filename, info, archive) for info in members]


def _copy(source: IO[bytes], sink: IO[bytes], most: int) -> int:
    copied = 0
    while copied <= most and (part := source.read(min(_PART, most + 1 - copied))):
        sink.write(part)
        copied += len(part)
    return copied


def _check_count(count: int, settings: Settings) -> None:
    if count > settings.max_images:
        raise OversizedImageError(
            f"{count:,} images were sent, at most {settings.max_images:,} are looked at: send a part of them"
        )


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    try:
        with tempfile.TemporaryDirectory(prefix="snt-zoo-upload-") as folder:
            yield Path(folder)
    except OSError as error:
        if isinstance(error, SntZooError) or error.errno not in FULL:
            raise
        raise DiskFullError("the service has no room for what is sent: try again later") from error
