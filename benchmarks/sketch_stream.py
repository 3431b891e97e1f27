"""How fast a stream of small images is looked at by `ray.data`: `python -m benchmarks.sketch_stream --json`

Images of 32 pixels, made from their numbers, are enlarged and go through the backbone, which is nearly all
of the work of a sketch. First by one process and one thread, then by as many of Ray as there are cores:
images a second and core, from the first batch on, and the share that Ray has of what the one process does.
Starting is told apart.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.document import RESULTS, document, tell, write
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.executor import RAY, connect

BATCH = 256
SIDE = 32
Batch = dict[str, Any]


class Looker:
    """Looks at the images of some numbers; gives the sum of the features of each."""

    def __init__(self) -> None:
        torch.set_num_threads(1)
        self.backbone = get_backbone()

    def __call__(self, batch: Batch) -> Batch:
        drawn = np.random.default_rng(int(batch["id"][0]))
        images = torch.from_numpy(
            drawn.integers(0, 256, (len(batch["id"]), 3, SIDE, SIDE), dtype=np.uint8, endpoint=False)
        )
        size = self.backbone.size
        large = torch.nn.functional.interpolate(images.float(), size=(size, size), mode="bilinear")
        return {"id": batch["id"], "sum": self.backbone.features(large.to(torch.uint8)).sum(1).numpy()}


def alone(count: int) -> dict[str, Any]:
    """One process, without Ray."""
    look = Looker()
    look({"id": np.arange(BATCH)})
    start, started = time.perf_counter(), time.process_time()
    for first in range(0, count, BATCH):
        look({"id": np.arange(first, min(first + BATCH, count))})
    seconds = time.perf_counter() - start
    share = (time.process_time() - started) / seconds
    return {"by": "one process", "images": count, "per_second_and_core": count / seconds, "core_share": share}


def streamed(count: int, workers: int) -> dict[str, Any]:
    """By Ray's stream; no more is in memory at once than is under way."""
    start = time.perf_counter()
    ray = connect(RAY, workers + 1)  # one more makes the numbers, which is next to nothing
    from ray.data import range as numbers

    try:
        stream = numbers(count, override_num_blocks=max(2 * workers, count // (4 * BATCH)))
        found = stream.map_batches(Looker, batch_size=BATCH, concurrency=workers, num_cpus=1)
        seen, begun, first = 0, 0.0, 0
        for batch in found.iter_batches(batch_size=None):
            if not first:
                begun, first = time.perf_counter(), len(batch["id"])
            seen += len(batch["id"])
        seconds = time.perf_counter() - begun
    finally:
        ray.shutdown()
    return {
        "by": "ray.data",
        "images": seen,
        "workers": workers,
        "start_seconds": begun - start,
        "per_second_and_core": (seen - first) / seconds / workers,
    }


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sketch_stream", description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "sketch_stream.json")
    arguments = parser.parse_args()
    rows = [alone(min(arguments.images, 20 * BATCH)), streamed(arguments.images, arguments.workers)]
    rows = [{k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    for row in rows:
        tell(row)
    share = rows[1]["per_second_and_core"] / rows[0]["per_second_and_core"]
    command = f"python -m benchmarks.sketch_stream --json --images {arguments.images}"
    made = document(command, rows, {"share_of_one_process": round(share, 3)})
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
