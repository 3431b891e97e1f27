"""One run of `benchmarks.photographs`, in a process of its own that prints its row."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.photographs_plan import ARMS, Auto, Finetuning, Job, Probe


def measure(job: Job, data: Path) -> dict[str, Any]:
    """Run a job; returns its row. The clock of each arm starts when everything is imported.

    Args:
        job: what.
        data: folder with `photos/` and `backbones/`.
    """
    folder, arm = data / "photos" / job.set, ARMS[job.arm]
    with tempfile.TemporaryDirectory() as scratch:
        if job.per_class is not None:
            from benchmarks.photographs_images import draw

            folder = draw(folder, Path(scratch) / job.set, job.per_class, job.seed)
        if isinstance(arm, Auto):
            assert job.budget is not None
            found = _auto(arm, folder, Path(scratch) / "home", job.budget, job.seed)
        else:
            found = _rival(arm, job, folder, data / "backbones")
    return vars(job) | found | {"processor_seconds": round(time.process_time(), 2)}


def _rival(arm: Probe | Finetuning, job: Job, folder: Path, backbones: Path) -> dict[str, Any]:
    import torch

    from benchmarks.photographs_images import CORES
    from benchmarks.photographs_probe import run_probe
    from benchmarks.photographs_training import run_finetuning

    torch.set_num_threads(CORES)
    if isinstance(arm, Probe):
        return run_probe(arm, folder, backbones)
    assert job.budget is not None
    return run_finetuning(arm, folder, backbones, job.budget, job.seed)


def _auto(arm: Auto, folder: Path, home: Path, budget: float, seed: int) -> dict[str, Any]:
    """What the zoo hands back; seeding a fresh registry is before the clock, as it is done once."""
    import snt_zoo.workflows.finetune  # noqa: F401  (the public names import it when they are first used)
    from benchmarks.transfer_arms import row_of
    from snt_zoo import Zoo, open_dataset
    from snt_zoo.networks.evaluate import input_sizes

    began = time.perf_counter()
    zoo = Zoo.open(home)
    opened = time.perf_counter()
    result = zoo.finetune(
        "auto", open_dataset(folder), budget=budget, seed=seed, device="cpu", max_macs=arm.max_macs
    )
    seconds = time.perf_counter() - opened
    return row_of(result) | {
        "seconds": round(seconds, 2),
        "open_seconds": round(opened - began, 2),
        "sizes": list(input_sizes(result.model)),
    }


def print_row(job: str, data: Path) -> None:
    """Run a job that is given as JSON; its row is the last line of stdout."""
    print(json.dumps(measure(Job(**json.loads(job)), data), allow_nan=False))
