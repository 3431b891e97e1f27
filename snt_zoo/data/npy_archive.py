"""The arrays of an `.npz` file, judged by their headers before memory is spent on them.

An archive of a few megabytes can claim a thousand times as much, a header can be as long as 4 GiB, and an
array of items without size can be of any length. Nothing is ever unpickled.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snt_zoo.errors import DatasetError, OversizedImageError, UnknownFormatError, first_line

MAX_ARRAY_BYTES = 8 * 2**30
"""What all arrays that are read may take together."""

# Grey shapes on an even ground were seen to shrink to a hundredth, a bomb to a thousandth. What is small does
# no harm.
MAX_EXPANSION = 250
SMALL_BYTES = 256 * 2**20

_HEADER_BYTES = 20_000  # numpy itself takes no header of more than 10,000

Array = NDArray[Any]


@dataclass(frozen=True)
class Header:
    """What an array's own header says of it.

    Args:
        name: of the array.
        shape: of any number of dimensions.
        dtype: of its items.
        info: of the archive's member.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    info: zipfile.ZipInfo

    @property
    def nbytes(self) -> int:
        """Bytes that it takes in memory."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class NpyArchive:
    """An open `.npz` file; get one with `open_archive`.

    Args:
        path: of the file.
        zip: the same, opened.
        names: of all its arrays.
    """

    path: Path
    zip: zipfile.ZipFile
    names: Sequence[str]

    def header(self, name: str, *, instead: str) -> Header:
        """The header of an array; nothing else of it is read.

        Args:
            name: one of `names`.
            instead: what to store in place of an array of Python objects.

        Raises:
            DatasetError: It holds objects, or claims more than there is.
        """
        info = self.zip.getinfo(f"{name}.npy")
        with self.zip.open(info) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dtypes that no reader takes anyway
            start = io.BytesIO(file.read(_HEADER_BYTES))
            version = np.lib.format.read_magic(start)
            read_header = {
                (1, 0): np.lib.format.read_array_header_1_0,
                (2, 0): np.lib.format.read_array_header_2_0,
            }.get(version)
            if read_header is None:
                raise ValueError(f"{info.filename} is of an unknown version of the .npy format")
            shape, _, dtype = read_header(start)
        if dtype.hasobject:
            raise DatasetError(
                f"{self.path} holds Python objects in {info.filename}, which are never unpickled; {instead}"
            )
        found = Header(name, shape, dtype, info)
        if min(shape, default=0) < 0 or found.nbytes > info.file_size or not dtype.itemsize:
            raise DatasetError(
                f"{self.path} is damaged: {info.filename} claims the shape {shape} of {dtype}, but has "
                f"{info.file_size:,} bytes; write it anew with numpy.savez"
            )
        return found

    def read(self, headers: Collection[Header]) -> dict[str, Array]:
        """Some arrays, by name.

        Raises:
            OversizedImageError: They take more memory than there may be, or far more than the file.
        """
        total, size = sum(header.nbytes for header in headers), self.path.stat().st_size
        if total > MAX_ARRAY_BYTES:
            raise OversizedImageError(
                f"{self.path} holds arrays of {total / 2**30:.1f} GiB, more than the limit of "
                f"{MAX_ARRAY_BYTES / 2**30:.0f} GiB; use a folder of class folders instead"
            )
        if total > SMALL_BYTES and total > MAX_EXPANSION * size:
            raise OversizedImageError(
                f"{self.path} has {size:,} bytes and holds arrays of {total / 2**30:.1f} GiB, more than "
                f"{MAX_EXPANSION} times as much: if they are meant, write them with numpy.savez, uncompressed"
            )
        return {header.name: self._array(header) for header in headers}

    def _array(self, header: Header) -> Array:
        with self.zip.open(header.info) as file:
            array: Array = np.lib.format.read_array(file, allow_pickle=False)
        return array


@contextmanager
def open_archive(path: Path) -> Iterator[NpyArchive]:
    """An `.npz` file, for as long as it is read.

    Raises:
        UnknownFormatError: It is none.
        OversizedImageError: What is read does not fit in memory.
        DatasetError: It is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
            yield NpyArchive(path, archive, [n.removesuffix(".npy") for n in names if n.endswith(".npy")])
    except DatasetError:
        raise
    except zipfile.BadZipFile as error:
        raise UnknownFormatError(f"{path} is no .npz file, or is damaged: {error}") from error
    except MemoryError as error:
        raise OversizedImageError(
            f"{path} does not fit in memory; use a folder of class folders instead"
        ) from error
    except Exception as error:
        # On a damaged or crafted archive zipfile and numpy raise nearly anything: ValueError,
        # TypeError, EOFError, OSError, NotImplementedError, RuntimeError, zlib.error, …
        raise DatasetError(
            f"cannot read {path}: {first_line(error)}; write it anew with numpy.savez"
        ) from error
