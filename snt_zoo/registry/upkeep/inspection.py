"""Looking for what is wrong with a registry: every hash, the catalog against the disk, the vectors.

Nothing here changes anything. A check of one bundle reads its files, its rows and its vectors; what a
bundle's row says must follow from its files, whose manifest's sha256 is the version that the row names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from snt_zoo.encoders.embedding import DatasetEncoder
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import BundleError, RegistryError
from snt_zoo.registry.bundle.bundle import read_header
from snt_zoo.registry.bundle.fields import is_id
from snt_zoo.registry.bundle.folder import check_folder
from snt_zoo.registry.bundle.manifest import LISTED, Manifest, read_manifest
from snt_zoo.registry.bundle.schema import BundleConfig
from snt_zoo.registry.catalog import vector_rows
from snt_zoo.registry.catalog.catalog import Catalog
from snt_zoo.registry.catalog.records import Record, facts
from snt_zoo.registry.catalog.rows import derived, held
from snt_zoo.registry.catalog.tables import VECTORS
from snt_zoo.registry.catalog.vectors import embeddings
from snt_zoo.registry.store.store import Store

_CLOSE = 1e-4  # an encoder may round otherwise on another machine
_SHOWN = 3


@dataclass(frozen=True)
class Problem:
    """Something that is not as it should be.

    Args:
        kind: `catalog`, `files`, `row`, `vectors`, `unlisted`, `blob` or `index`.
        where: id of the bundle, or the file.
        what: is wrong, in a line.
        repaired: what was done about it; None if nothing was.
    """

    kind: str
    where: str
    what: str
    repaired: str | None = None


class Inspection:
    """Checks of a store and its catalog."""

    def __init__(self, store: Store, catalog: Catalog, encoder: DatasetEncoder) -> None:
        self._store = store
        self._catalog = catalog
        self._encoder = encoder
        self._checked: set[int] = set()  # inodes of files whose hash was found right

    def bundle(self, id: str) -> Iterator[Problem]:
        """What is wrong with one bundle, which the catalog may list, or the store may hold, or both."""
        if not is_id(id):
            yield Problem("row", ascii(id)[1:-1][:80], "its row names no supernet")
            return
        record = self._catalog.get(id)
        folder = self._store.path(id)
        if record is None:
            if folder.exists():
                yield Problem("unlisted", id, "its folder is in the store, but the catalog does not list it")
            return
        try:
            check_folder(folder)
            manifest = read_manifest(folder)
            if manifest.digest != record.digest:
                what = f"manifest.json has sha256 {manifest.digest[:12]}…, not {record.digest[:12]}…"
                yield Problem("files", id, what)
                return
            for name in LISTED:
                manifest.check(folder, name)
            config, sketches, _ = read_header(folder, known=record.digest)
        except BundleError as error:
            yield Problem("files", id, str(error))
            return
        self._checked |= {path.stat().st_ino for path in folder.iterdir()}
        yield from self._row(record, config, manifest)
        yield from self._vectors(record, sketches)

    def whole(self) -> Iterator[Problem]:
        """What is wrong with the database and the blobs, and what is no bundle; call it after `bundle`."""
        for path in self._store.strangers():
            yield Problem("unlisted", path.name, "it stands among the bundles, and is none")
        for line in self._catalog.database.problems():
            yield Problem("catalog", self._catalog.path.name, line)
        with self._catalog.read() as connection:
            makers = vector_rows.makers(connection)
        if len(makers) > 1:
            shown = "; ".join(f"{m.backbone} and {m.encoder} with {m.dim} numbers" for m in makers[:_SHOWN])
            yield Problem("vectors", self._catalog.path.name, f"vectors of several makers: {shown}")
        for blob in self._store.blobs.all():
            # A link to a file of a bundle that was good: these bytes were hashed already.
            if _inode(blob) in self._checked or self._store.blobs.is_intact(blob):
                continue
            if blob.exists():  # and was not removed meanwhile
                yield Problem("blob", blob.name, "its content has another sha256 than its name says")

    def _row(self, record: Record, config: BundleConfig, manifest: Manifest) -> Iterator[Problem]:
        wrong = [name for name, value in facts(config).items() if getattr(record, name) != value]
        files = manifest.all_files
        if record.size != sum(entry.size for entry in files.values()):
            wrong.append("size")
        with self._catalog.read() as connection:
            for table, expected_rows in derived(record, config, files):
                if held(connection, record.id, table) != expected_rows:
                    wrong.append(table.name)
        if wrong:
            shown = ", ".join(dict.fromkeys(wrong))
            yield Problem("row", record.id, f"the catalog says otherwise than the bundle: {shown}")

    def _vectors(self, record: Record, sketches: tuple[Sketch, ...]) -> Iterator[Problem]:
        query = sa.select(VECTORS.c.data).where(VECTORS.c.bundle == record.id).order_by(VECTORS.c.id)
        with self._catalog.read() as connection:
            held = [np.frombuffer(data, dtype="<f4") for data in connection.scalars(query)]
        if len(held) != len(sketches):
            yield Problem("vectors", record.id, f"it has {len(sketches)} sketches and {len(held)} vectors")
            return
        if not all(np.isfinite(v).all() and abs(float(np.linalg.norm(v)) - 1.0) < _CLOSE for v in held):
            yield Problem("vectors", record.id, "a vector is not finite, or not of unit length")
            return
        try:
            expected = embeddings(sketches, self._encoder)
        except RegistryError as error:
            yield Problem("vectors", record.id, str(error))
            return
        same = all(len(v) == expected.shape[1] for v in held)
        if not same or float(np.abs(np.stack(held) - expected).max()) > _CLOSE:
            yield Problem(
                "vectors", record.id, "a vector is not the one that the encoder makes of its sketch"
            )


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None
