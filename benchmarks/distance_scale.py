"""A sketch of 1,000 classes against another, in a process of its own, for its time and peak memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import torch

from benchmarks.document import tell
from benchmarks.memory import peak_bytes
from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM, Sketch
from snt_zoo.encoders.transport import class_distance

CLASSES = 1000


def large_sketch(seed: int) -> Sketch:
    """Class Gaussians of unequal frequencies, as a reader of a file sees them."""
    g = torch.Generator().manual_seed(seed)
    factors = torch.randn(CLASSES, COVARIANCE_DIM, COVARIANCE_DIM, generator=g) / COVARIANCE_DIM
    made = Sketch(
        name=f"large {seed}",
        backbone="mobilenet_v2/random",
        class_names=tuple(f"class {i}" for i in range(CLASSES)),
        counts=torch.randint(5, 500, (CLASSES,), generator=g),
        means=torch.randn(CLASSES, DIM, generator=g) / DIM**0.5,
        covariances=factors @ factors.mT,
        samples=torch.randn(100, DIM, generator=g) / DIM**0.5,
        sample_labels=torch.arange(100),
    )
    return Sketch.from_tensors(made.to_tensors(), made.to_meta())


def scale() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run this module in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.distance_scale"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    row = json.loads(done.stdout)
    tell(row)
    return [row], {
        "class_level_1000_classes_seconds": row["seconds"],
        "class_level_1000_classes_peak_mib": row["peak_mib"],
    }


def main() -> None:
    """Measure, and print a row."""
    torch.set_num_threads(1)
    target, source = large_sketch(0), large_sketch(1)
    before = peak_bytes() >> 20
    start, wall = time.process_time(), time.perf_counter()
    found = class_distance(target, source)
    row = {
        "what": "1,000 against 1,000 classes",
        "seconds": round(time.process_time() - start, 3),
        "wall_seconds": round(time.perf_counter() - wall, 3),
        "distance": round(found.distance, 5),
        "pairs_that_carry": int((found.coupling > 0).sum()),
        "peak_mib_before": before,
        "peak_mib": peak_bytes() >> 20,
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
