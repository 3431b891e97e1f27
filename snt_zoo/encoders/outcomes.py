"""Outcomes: what a network came to on a task, with all that is needed to know what was measured.

A file of JSON lines, to which whoever measures appends. A line that was cut off is left out when it is read,
so a process that is killed loses what it was writing and nothing else.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

PROBE = "probe"
"""In the place of a supernet's name: a linear probe on the backbone's features, on the same images."""


@dataclass(frozen=True)
class Outcome:
    """One accuracy.

    Args:
        target: name of the dataset.
        fingerprint: of the dataset, the first 16 signs.
        change: of its pixels, as `grey`; empty for none.
        view: of it; see `snt_zoo.encoders.views`.
        classes: of the view.
        images: training images of the view.
        chance: share of the commonest class among the images that were asked, from 0 to 1.
        name: of the supernet, or `PROBE`.
        bundle: id of the supernet.
        digest: sha256 of its manifest, the first 16 signs.
        kind: of the genotype; see `snt_zoo.networks.variants`.
        genotype: as JSON.
        params: weights of the network, without a head.
        macs: multiply-accumulates of the trunk for one image.
        method: `head` (logistic), `ridge` (a head in closed form) or `finetune`.
        budget: seconds of training; 0 for a head.
        seed: of what was drawn.
        val_images: that were asked.
        test_images: likewise.
        val: accuracy, from 0 to 1; None where the network computes no numbers, or there was no image.
        test: likewise.
        code_version: of the snt-zoo that measured.
        date: when, ISO 8601, UTC.
        expected: what was predicted beforehand, from 0 to 1; None where nothing was.
    """

    target: str
    fingerprint: str
    change: str
    view: str
    classes: int
    images: int
    chance: float
    name: str
    bundle: str
    digest: str
    kind: str
    genotype: str
    params: int
    macs: int
    method: str
    budget: float
    seed: int
    val_images: int
    test_images: int
    val: float | None
    test: float | None
    code_version: str
    date: str
    expected: float | None = None

    @property
    def cell(self) -> tuple[str, str, str, str, float]:
        """What is measured in one go: target, change, supernet, genotype, budget."""
        return self.target, self.change, self.bundle, self.kind, self.budget

    @property
    def accuracy(self) -> float | None:
        """On all images that were asked, as a head is chosen by none of them; of a finetuning on the test
        part."""
        if self.method == "finetune":
            return self.test
        parts = [(self.val, self.val_images), (self.test, self.test_images)]
        known = [(value, count) for value, count in parts if value is not None and count]
        total = sum(count for _, count in known)
        return sum(value * count for value, count in known) / total if total else None


_FIELDS = tuple(field.name for field in fields(Outcome))
_REQUIRED = set(_FIELDS) - {"expected"}


def append_outcomes(path: Path, outcomes: Sequence[Outcome]) -> None:
    """Append some lines by one write, so that several processes may append to one file."""
    lines = "".join(json.dumps(asdict(one), ensure_ascii=False, allow_nan=False) + "\n" for one in outcomes)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        line = (b"\n" if torn else b"") + lines.encode("utf-8")
        if os.write(handle, line) < len(line):  # what is cut off is left out when it is read
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(handle)
    finally:
        os.close(handle)


def read_outcomes(path: Path) -> Iterator[Outcome]:
    """The outcomes of a file of JSON lines, in order; none if there is no file."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict) and _REQUIRED <= set(row) <= set(_FIELDS):
                yield Outcome(**row)


def write_table(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write a Parquet file, compressed; needs pyarrow."""
    import pyarrow
    import pyarrow.parquet

    rows: list[dict[str, Any]] = [asdict(one) for one in outcomes]
    table = pyarrow.table({name: [row[name] for row in rows] for name in _FIELDS})
    pyarrow.parquet.write_table(table, path, compression="zstd", compression_level=19)


def read_table(path: Path) -> list[Outcome]:
    """The outcomes of a Parquet file; needs pyarrow."""
    import pyarrow.parquet

    return [Outcome(**row) for row in pyarrow.parquet.read_table(path).to_pylist()]
