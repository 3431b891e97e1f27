"""A registry of many small bundles, for benchmarks of the service: each with files and a digest of its own.

A few dozen bundles are added as a user would. Each copy of one has another sketch, near the original's, hence
another manifest, digest and vector, and shares the other files by hard links; its rows are written in SQL. To
add 10⁵ of them one by one would take hours.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from benchmarks.document import tell
from benchmarks.tiny_bundles import supernet, write_tiny_bundle
from snt_zoo.encoders.embedding import embed
from snt_zoo.registry import Registry, describe
from snt_zoo.registry.bundle.folder import DATASET, MANIFEST
from snt_zoo.registry.bundle.sketch_file import load_sketch
from snt_zoo.registry.catalog.tables import BUNDLES, SOURCES

ORIGINALS = 48
_SPREAD = 0.5  # of a copy's means about the original's, whose coordinates are about 1
_MEANS = "0.means"
_TOLD = 10_000  # copies between two lines of progress


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
        sketches = {record.id: (record.path / DATASET).read_bytes() for record in originals}
        for number in range(ORIGINALS, count):
            record = originals[number % ORIGINALS]
            if number % _TOLD == 0:
                tell({"made": number, "of": count})
            varied = vary(sketches[record.id], draw)
            digest = _copy(home / "bundles", record.path, number, varied)
            id = f"copy-{number}-{digest[:8]}"
            (home / "bundles" / str(number)).rename(home / "bundles" / id)
            made = {"id": id, "name": f"copy-{number}", "digest": digest, "params": record.params + number}
            _row(connection, BUNDLES.name, "id", record.id, made)
            _row(connection, SOURCES.name, "bundle", record.id, {"bundle": id})
            data = embed(load_sketch(varied)).numpy().astype("<f4").tobytes()
            connection.execute("INSERT INTO vectors (bundle, data) VALUES (?, ?)", (id, data))
        connection.execute("UPDATE state SET value = value + 1 WHERE key = 'revision'")
    return Registry.open(home)


def vary(raw: bytes, draw: np.random.Generator) -> bytes:
    """The file of another sketch near that of a file: with other means."""
    length = int.from_bytes(raw[:8], "little")
    start, end = json.loads(raw[8 : 8 + length])[_MEANS]["data_offsets"]
    start, end = start + 8 + length, end + 8 + length
    means = np.frombuffer(raw[start:end], "<f2").astype(np.float32)
    other = means + _SPREAD * draw.standard_normal(len(means), dtype=np.float32)
    return raw[:start] + other.astype("<f2").tobytes() + raw[end:]


def _copy(bundles: Path, original: Path, number: int, sketch: bytes) -> str:
    """Lay out the files of a copy with another sketch; returns the sha256 of its manifest."""
    folder = bundles / str(number)
    folder.mkdir()
    for file in original.iterdir():
        if file.name not in (DATASET, MANIFEST):
            os.link(file, folder / file.name)
    (folder / DATASET).write_bytes(sketch)
    manifest = json.loads((original / MANIFEST).read_bytes())
    manifest["files"][DATASET] = {"sha256": hashlib.sha256(sketch).hexdigest(), "size": len(sketch)}
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
