"""A registry of many small bundles, for benchmarks of the service: each with files and a digest of its own.

A few dozen bundles are added as a user would. Each copy of one has another card, hence another manifest and
digest, and shares the other files by hard links; its rows are written in SQL, with a vector near the
original's. To add 10⁵ of them one by one would take hours.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.tiny_bundles import supernet, write_tiny_bundle
from snt_zoo.registry import Registry, describe
from snt_zoo.registry.bundle.folder import CARD, MANIFEST
from snt_zoo.registry.catalog.tables import BUNDLES, SOURCES

ORIGINALS = 48
_SPREAD = 0.05  # of a copy's vector about the original's, in each of its coordinates


def make_registry(home: Path, count: int) -> Registry:
    """A registry of so many bundles, at least `ORIGINALS`, in a new folder."""
    registry = Registry.open(home)
    described = describe(supernet(0))
    for seed in range(ORIGINALS):
        folder = home.parent / f"original-{seed}"
        registry.add(write_tiny_bundle(folder, seed=seed, name=f"tiny-{seed}", described=described))
    originals = registry.list()
    draw = np.random.default_rng(0)
    with closing(sqlite3.connect(home / "catalog.sqlite")) as connection, connection:
        vectors = {
            record.id: np.frombuffer(
                connection.execute("SELECT data FROM vectors WHERE bundle = ?", (record.id,)).fetchone()[0],
                "<f4",
            )
            for record in originals
        }
        for number in range(ORIGINALS, count):
            record = originals[number % ORIGINALS]
            digest = _copy(home / "bundles", record.path, number)
            id = f"copy-{number}-{digest[:8]}"
            (home / "bundles" / str(number)).rename(home / "bundles" / id)
            made = {"id": id, "name": f"copy-{number}", "digest": digest, "params": record.params + number}
            _row(connection, BUNDLES.name, "id", record.id, made)
            _row(connection, SOURCES.name, "bundle", record.id, {"bundle": id})
            vector = vectors[record.id] + _SPREAD * draw.standard_normal(len(vectors[record.id]))
            data = (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
            connection.execute("INSERT INTO vectors (bundle, data) VALUES (?, ?)", (id, data))
        connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")
    return Registry.open(home)


def _copy(bundles: Path, original: Path, number: int) -> str:
    """Lay out the files of a copy; returns the sha256 of its manifest."""
    folder = bundles / str(number)
    folder.mkdir()
    for file in original.iterdir():
        if file.name not in (CARD, MANIFEST):
            os.link(file, folder / file.name)
    card = (original / CARD).read_bytes() + f"\nCopy {number}.\n".encode()
    (folder / CARD).write_bytes(card)
    manifest = json.loads((original / MANIFEST).read_bytes())
    manifest["files"][CARD] = {"sha256": hashlib.sha256(card).hexdigest(), "size": len(card)}
    raw = json.dumps(manifest).encode()
    (folder / MANIFEST).write_bytes(raw)
    return hashlib.sha256(raw).hexdigest()


def _row(connection: sqlite3.Connection, table: str, key: str, id: str, made: dict[str, object]) -> None:
    """Copy rows of a bundle with other values in some columns."""
    columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    values = [":" + name if name in made else name for name in columns]
    connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table} "
        f"WHERE {key} = :original",
        {**made, "original": id},
    )
