"""What photographs cost: to decode one of 12 megapixels, and to read its pixels again at a working size.

    python -m benchmarks.decoding --json [--size 224] [--images 200]

Made photographs of 4000 × 3000 pixels in four formats are read at the size by `EncodedStore`, each format in
a fresh process, which tells its peak of memory beyond what it had when it began. Then decoded images are read
in random batches of 32 from memory, from `PixelFile`, and from the same file by a mapping; from the file also
after the system was told to forget its pages. Milliseconds are processor time of all threads for an image.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.memory import peak_bytes
from snt_zoo.data.pixel_file import PixelFile
from snt_zoo.data.stores import THREADS, EncodedStore

COMMAND = "python -m benchmarks.decoding --json"
WIDTH, HEIGHT = 4000, 3000
FORMATS: dict[str, dict[str, Any]] = {
    "photo.jpg": {"quality": 90},
    "progressive.jpg": {"quality": 90, "progressive": True},
    "photo.png": {"compress_level": 6},
    "photo.webp": {"quality": 90, "method": 0},
}
BATCH = 32
SECONDS = 4.0  # of processor time for each format, and SHORT for reading pixels in each way
SHORT = 1.0

Pixels = NDArray[np.uint8]


def photograph(seed: int) -> Image.Image:
    """A smooth scene with the noise of a sensor: about 4 MB as a JPEG of quality 90."""
    generator = np.random.default_rng(seed)
    scene = Image.fromarray(generator.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    pixels = np.asarray(scene.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)).astype(np.int16)
    pixels += generator.normal(0, 6, (HEIGHT, WIDTH, 1)).astype(np.int16)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def read_format(path: Path, size: int, count: int) -> dict[str, Any]:
    """One format in this process, which must be fresh: images a second, and the peak of memory."""
    torch.set_num_threads(1)
    store = EncodedStore([path] * count)
    store.read(torch.arange(1), 8)  # what is imported and built up once
    before, began, spent, done = peak_bytes(), time.perf_counter(), time.process_time(), 0
    while done < count and time.process_time() - spent < SECONDS:
        done += len(store.read(torch.arange(done, min(done + BATCH, count)), size))
    spent = time.process_time() - spent
    return {
        "what": path.name,
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "images": done,
        "threads": THREADS,
        "milliseconds": round(1000 * spent / done, 1),
        "images_per_second": round(done / (time.perf_counter() - began), 1),
        "peak_megabytes": round((peak_bytes() - before) / 1e6),
    }


def read_pixels(size: int, count: int) -> list[dict[str, Any]]:
    """Images a second from memory, file and mapping, one thread."""
    generator = np.random.default_rng(0)
    held: Pixels = generator.integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    file = PixelFile(size)
    if file.put(np.arange(count), held) < count:
        raise SystemExit("the disk has too little room: choose fewer --decoded images")
    handle = file._file
    mapped: Pixels = np.memmap(handle, np.uint8, "r", 0, held.shape)

    def forget() -> None:
        os.fsync(handle.fileno())
        os.posix_fadvise(handle.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    def rate(what: str, get: Callable[[NDArray[np.int64]], Pixels], *, every: bool = False) -> dict[str, Any]:
        began, spent, done = time.perf_counter(), time.process_time(), 0
        order = generator.permutation(count)
        while time.process_time() - spent < SHORT and (not every or done < count):
            rows = order[done : done + BATCH] if every else generator.integers(0, count, BATCH)
            done += len(get(rows))
        spent = time.process_time() - spent
        return {
            "what": what,
            "images": done,
            "milliseconds": round(1000 * spent / done, 3),
            "images_per_second": round(done / (time.perf_counter() - began)),
        }

    rows = [
        rate("memory", lambda rows: np.take(held, rows, axis=0)),
        rate("file", file.get),
        rate("mapping", lambda rows: mapped[rows]),
    ]
    forget()
    rows.append(rate("file, its pages forgotten", file.get, every=True))
    return rows


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding", description=__doc__)
    parser.add_argument("--size", type=int, default=224, help="pixels a side")
    parser.add_argument("--images", type=int, default=200, help="most photographs of a format")
    parser.add_argument("--decoded", type=int, default=2000, help="images in memory and in the file")
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "decoding.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one is not None:
        print(json.dumps(read_format(arguments.one, arguments.size, arguments.images)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        image = photograph(0)
        for name, options in FORMATS.items():
            path = Path(folder) / name
            image.save(path, **options)
            command = [sys.executable, "-m", "benchmarks.decoding", "--one", str(path)]
            of = ["--size", str(arguments.size), "--images", str(arguments.images)]
            done = subprocess.run([*command, *of], capture_output=True, text=True, check=True)
            rows.append(json.loads(done.stdout))
            tell(rows[-1])
    for row in read_pixels(arguments.size, arguments.decoded):
        rows.append(row)
        tell(row)
    spent = {row["what"]: row["milliseconds"] for row in rows}
    summary = {"size": arguments.size, "jpeg_over_file": round(spent["photo.jpg"] / spent["file"])}
    made = document(COMMAND, rows, summary)
    write(arguments.out, made)
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
