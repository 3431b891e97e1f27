"""Sketch many datasets: a file for each, which a query takes in the place of the images.

A sketch that is there is not made again, so whoever was interrupted goes on where it was.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from snt_zoo.data import open_dataset
from snt_zoo.encoders.backbone import DEFAULT_BACKBONE
from snt_zoo.encoders.sketch import sketch
from snt_zoo.executor import LOCAL, Ended, run_tasks
from snt_zoo.formats.durable import write_file
from snt_zoo.registry.bundle.sketch_file import dump_sketches

_NAME = 64  # characters of a dataset's name that its file has


def sketch_name(ref: str) -> str:
    """The name of the file of a dataset's sketch.

    Args:
        ref: of the dataset, as `open_dataset` takes it; another one has another name.

    Example:
        >>> sketch_name("photos/flowers")
        'flowers-29fd4d52.safetensors'
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", Path(ref).name)[:_NAME]
    return f"{name}-{hashlib.sha256(ref.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}.safetensors"


def sketch_many(
    refs: Sequence[str],
    out: Path,
    *,
    backbone: str | None = None,
    on: str = LOCAL,
    workers: int = 1,
) -> Iterator[Ended[str, Path]]:
    """Sketch the datasets that have no sketch in a folder yet.

    Args:
        refs: of the datasets, as `open_dataset` takes them; one that is named twice counts once. On a cluster
            every machine needs them, and the folder, under the same paths.
        out: the folder; made if it is not there.
        backbone: its name; by default the starter zoo's.
        on: as of `run_tasks`.
        workers: likewise.

    Yields:
        Each as it ends, with the path of its sketch or the reason why there is none.

    Raises:
        ExecutorError: tasks cannot be run there.
    """
    out.mkdir(parents=True, exist_ok=True)
    missing = [ref for ref in dict.fromkeys(refs) if not (out / sketch_name(ref)).is_file()]
    job = functools.partial(_sketch, out=out, backbone=backbone or DEFAULT_BACKBONE)
    return run_tasks(job, missing, on=on, workers=workers)


def _sketch(ref: str, *, out: Path, backbone: str) -> Path:
    torch.set_num_threads(1)
    path = out / sketch_name(ref)
    write_file(path, dump_sketches([sketch(open_dataset(ref), backbone=backbone)]))
    return path
