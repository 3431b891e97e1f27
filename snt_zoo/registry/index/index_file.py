"""The index on the disk: `index/` beside the catalog, a cache that may be deleted at any time.

FAISS reads its files unsafely: a crafted one can do anything. So no file is ever handed to it that this
registry did not write: `index.json` names the file by the sha256 that was taken when it was written, says
of which catalog and of which of its states it is, and a file with another sum, or of another catalog, is
not opened but made anew from the catalog. (Who can write both files can also write the catalog.) An index
never leaves the machine, and none is ever pulled.

Written beside, forced to the disk and renamed: a reader sees the old index or the new one. The data file
is never written again, so that processes can map it; the old one is deleted when a new one is there.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import faiss
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from snt_zoo.errors import StaleIndexError
from snt_zoo.formats.durable import sync_folder
from snt_zoo.registry.catalog.vector_rows import State
from snt_zoo.registry.catalog.vectors import Maker
from snt_zoo.registry.store.blobs import sha256_of

LOCK_SECONDS = 600.0  # to build an index of 10⁷ vectors takes minutes
_LABEL = "index.json"
_LABEL_LIMIT = 10_000  # bytes


class Label(BaseModel):
    """Of what an index file is.

    Args:
        format: of this label.
        generation: of the catalog; another catalog has another one.
        revision: of the catalog when the index was made.
        newest: largest id of a vector that it could have; later vectors have larger ones.
        backbone: of its vectors, as are `encoder` and `dim`.
        sha256: of the data file; begins its name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    generation: int
    revision: int
    newest: int
    backbone: str
    encoder: str
    dim: int
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @classmethod
    def of(cls, state: State, newest: int, maker: Maker) -> Label:
        """The label of an index of that moment of a catalog that has a generation."""
        assert state.generation is not None
        return cls(
            generation=state.generation,
            revision=state.revision,
            newest=newest,
            backbone=maker.backbone,
            encoder=maker.encoder,
            dim=maker.dim,
        )

    @property
    def maker(self) -> Maker:
        """What made its vectors."""
        return Maker(self.backbone, self.encoder, self.dim)

    @property
    def data(self) -> str:
        """Name of the data file."""
        return f"{self.sha256[:16]}.faiss"


class IndexFile:
    """The folder of a registry's index.

    Args:
        folder: made when something is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, state: State, maker: Maker, *, copy: bool = False) -> tuple[Label, faiss.Index] | None:
        """The index, if there is one.

        Args:
            state: of the catalog; the index may be of an earlier revision.
            maker: of the catalog's vectors.
            copy: in memory of its own, to be changed; else it is mapped from its file.

        Raises:
            StaleIndexError: it is damaged, or not of this catalog or this maker.
        """
        label = self._label()
        if label is None:
            return None
        if label.generation != state.generation or label.revision > state.revision:
            raise StaleIndexError(f"{self.folder} is the index of another catalog: it is to be made anew")
        if label.maker != maker:
            raise StaleIndexError(f"{self.folder} holds vectors of {label.maker}: it is to be made anew")
        path = self.folder / label.data
        try:
            if sha256_of(path) != label.sha256:
                raise StaleIndexError(f"{path} was changed or damaged: it is to be made anew")
            index = faiss.read_index(str(path), 0 if copy else faiss.IO_FLAG_MMAP_IFC)
        except (OSError, RuntimeError) as error:
            if label != self._label():  # another process wrote a new one meanwhile, and deleted this
                return self.read(state, maker, copy=copy)
            raise StaleIndexError(f"{path} cannot be read: {error}; it is to be made anew") from error
        return label, index

    def write(self, index: faiss.Index, label: Label) -> None:
        """Put an index in the place of the one that is there; under the lock.

        Raises:
            OSError: the disk is full, or the folder may not be written to.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        data, text = (self.folder / f"{uuid.uuid4().hex}.tmp" for _ in range(2))
        try:
            try:
                faiss.write_index(index, str(data))
            except RuntimeError as error:  # whatever went wrong in C++
                raise OSError(f"{data} cannot be written: {error}") from error
            label = label.model_copy(update={"sha256": sha256_of(data)})
            text.write_text(label.model_dump_json(), encoding="utf-8")
            sync_folder(self.folder)
            data.replace(self.folder / label.data)
            text.replace(self.folder / _LABEL)
            sync_folder(self.folder, files=False)
        except BaseException:
            data.unlink(missing_ok=True)
            text.unlink(missing_ok=True)
            raise
        self._sweep(keep=label.data)

    def discard(self) -> None:
        """Delete the index; under the lock."""
        (self.folder / _LABEL).unlink(missing_ok=True)
        self._sweep(keep=None)

    @contextlib.contextmanager
    def lock(self, *, wait: bool) -> Iterator[bool]:
        """Keep other processes from writing.

        Args:
            wait: False gives up at once, True after ten minutes.

        Yields:
            Whether nobody else is writing. So it is too where nobody may write.
        """
        lock = FileLock(self.folder / "lock")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=LOCK_SECONDS if wait else 0)
        except Timeout:
            yield False
            return
        except OSError:
            yield True
            return
        try:
            yield True
        finally:
            lock.release()

    def _label(self) -> Label | None:
        path = self.folder / _LABEL
        try:
            with path.open("rb") as file:
                return Label.model_validate_json(file.read(_LABEL_LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StaleIndexError(
                f"{path} cannot be read: {type(error).__name__}; it is to be made anew"
            ) from error

    def _sweep(self, *, keep: str | None) -> None:
        # What another process still maps cannot be deleted on Windows: the next write tries again.
        for path in self.folder.glob("*"):
            if path.suffix in (".faiss", ".tmp") and path.name != keep:
                with contextlib.suppress(OSError):
                    path.unlink()
