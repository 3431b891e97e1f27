"""A registry of many small bundles, for benchmarks: each with files and a digest of its own.

A few dozen bundles are added as a user would. Each copy of one has another sketch, near the original's, hence
another manifest, digest and vector, and shares the other files by hard links. All are listed in one
transaction, by what `verify --repair` lists bundles with: to add 10⁵ of them one by one would take hours.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.document import tell
from benchmarks.tiny_bundles import supernet, write_tiny_bundle
from snt_zoo.encoders.embedding import embed
from snt_zoo.registry import Registry, describe
from snt_zoo.registry.bundle.folder import DATASET, MANIFEST
from snt_zoo.registry.bundle.manifest import read_manifest
from snt_zoo.registry.bundle.sketch_file import load_sketch
from snt_zoo.registry.catalog.aliases import ADDED, LATEST
from snt_zoo.registry.catalog.rows import Listing
from snt_zoo.registry.catalog.tables import ALIASES, MOVES

ORIGINALS = 48
_SPREAD = 0.05  # of a copy's means about the original's, whose coordinates are about 0.1
_MEANS = "0.means"
_TOLD = 10_000  # copies between two lines of progress


def make_registry(home: Path, count: int) -> Registry:
    """A registry of so many bundles, at least `ORIGINALS`, in a new folder."""
    registry = Registry.open(home)
    described = describe(supernet(0))
    for seed in range(ORIGINALS):
        folder = home.parent / f"original-{seed}"
        registry.add(write_tiny_bundle(folder, seed=seed, name=f"tiny-{seed}", described=described))
    originals = [registry._intake.listing(record.id) for record in registry.list()]
    copies = list(_copies(originals, count - ORIGINALS))
    catalog = registry._catalog
    catalog.replace([*originals, *copies])
    with catalog.write() as connection:
        for table, made in zip((ALIASES, MOVES), _latest(copies), strict=True):
            if made:
                connection.execute(table.insert(), made)
    return Registry.open(home)


def _latest(copies: list[Listing]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Rows by which `latest` stands for each copy, and of the moves by which it came to."""
    held, moves = [], []
    for record in (copy.record for copy in copies):
        alias = {"name": record.name, "alias": LATEST}
        held.append(alias | {"bundle": record.id})
        why = f"{record.id}{ADDED}"
        moves.append(alias | {"at": record.added_at, "digest": record.digest, "by": "benchmark", "why": why})
    return held, moves


def _copies(originals: list[Listing], count: int) -> Iterator[Listing]:
    draw = np.random.default_rng(0)
    sketches = [(original.record.path / DATASET).read_bytes() for original in originals]
    for number in range(count):
        if number % _TOLD == 0:
            tell({"made": number, "of": count})
        original = originals[number % ORIGINALS]
        varied = vary(sketches[number % ORIGINALS], draw)
        made = _copy(original.record.path, number, varied)
        files = read_manifest(made).all_files
        digest = files[MANIFEST].sha256
        path = made.rename(made.with_name(f"copy-{number}-{digest[:8]}"))
        yield replace(
            original,
            record=replace(
                original.record,
                id=path.name,
                name=f"copy-{number}",
                digest=digest,
                params=original.record.params + number,
                tags=(*original.record.tags, f"tenth-{number % 10}"),
                path=path,
            ),
            vectors=embed(load_sketch(varied)).numpy()[None].astype(np.float32),
            files=files,
        )


def vary(raw: bytes, draw: np.random.Generator) -> bytes:
    """The file of another sketch near that of a file: with other means."""
    length = int.from_bytes(raw[:8], "little")
    start, end = json.loads(raw[8 : 8 + length])[_MEANS]["data_offsets"]
    start, end = start + 8 + length, end + 8 + length
    means = np.frombuffer(raw[start:end], "<f2").astype(np.float32)
    other = means + _SPREAD * draw.standard_normal(len(means), dtype=np.float32)
    return raw[:start] + other.astype("<f2").tobytes() + raw[end:]


def _copy(original: Path, number: int, sketch: bytes) -> Path:
    """Lay out the files of a copy with another sketch in a folder of that number."""
    folder = original.with_name(str(number))
    folder.mkdir()
    for file in original.iterdir():
        if file.name not in (DATASET, MANIFEST):
            os.link(file, folder / file.name)
    (folder / DATASET).write_bytes(sketch)
    manifest = json.loads((original / MANIFEST).read_bytes())
    manifest["files"][DATASET] = {"sha256": hashlib.sha256(sketch).hexdigest(), "size": len(sketch)}
    (folder / MANIFEST).write_bytes(json.dumps(manifest).encode())
    return folder
