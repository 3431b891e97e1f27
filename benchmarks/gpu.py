"""How well training fills a GPU. `python -m benchmarks.gpu --json [--device cuda] [--steps 40]`

Of each search space a step of the derived network, and one of the searchers `gdas`, `darts` and `drnas`,
which moves alphas and weights, as finetuning makes them (batches of 64 of scikit-learn's digits, mixed
precision where the device has it): the first step, the median, and the slowest of the later ones, among
which is a batch of another size. On a GPU also how long the device works in a step, how many CUDA graphs
were recorded, if any can be (`snt_zoo.search.step_graph`), and the median without them. After every step it
waits for the device, which finetuning does not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.document import RESULTS, document, tell, write
from snt_zoo.data import ImageDataset, open_dataset
from snt_zoo.errors import DeviceError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.device import resolve_device
from snt_zoo.networks.starting import starting_supernet
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import Searcher, get_searcher
from snt_zoo.workflows.latency import STARTER_NETWORK

STAGES = ("derived", "gdas", "darts", "drnas")

PROFILED = 5
"""Steps in which the device's own time is counted."""


def supernets() -> dict[str, Callable[[], Supernet]]:
    """One of each space, by name."""
    darts = NetworkConfig("darts", {"channels": 16, "cells": 8}, 10, 32)

    def fresh(config: NetworkConfig) -> Supernet:
        return Supernet.create(config, generator=torch.Generator().manual_seed(0))

    return {
        "nas_bench_201": lambda: fresh(replace(STARTER_NETWORK, num_classes=10)),
        "mobile": lambda: starting_supernet("mobilenet_v2", num_classes=10, input_size=64),
        "darts": lambda: fresh(darts),
    }


def learner_of(stage: str, supernet: Supernet, data: ImageDataset, device: torch.device) -> WeightLearner:
    """What makes the steps of a stage, on a device."""
    recipe = Recipe(warmup_share=0.0, average=0.99)
    options: dict[str, Any] = {"recipe": recipe, "generator": torch.Generator(), "peak_lr": 0.01}
    supernet.placed(device)
    if stage == "derived":
        return WeightLearner(DerivedModel.inherit(supernet), data.train, **options)
    return get_searcher(stage)(supernet, data.train, data.val, **options)


def step_times(learner: WeightLearner, steps: int) -> list[float]:
    """Milliseconds of each of so many steps."""
    learner.network.train()
    found = []
    for _ in range(steps):
        _wait(learner.device)
        start = time.perf_counter()
        learner.step(*next(learner.batches), 0.5)
        _wait(learner.device)
        found.append(1e3 * (time.perf_counter() - start))
    return found


def device_time(learner: WeightLearner) -> float | None:
    """Milliseconds that a GPU works in a step; None on a CPU."""
    if learner.device.type != "cuda":
        return None
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        step_times(learner, PROFILED)
    total = sum(float(event.self_device_time_total) for event in profile.key_averages())
    return total / 1e3 / PROFILED


def without_graphs(learner: WeightLearner, steps: int) -> dict[str, Any]:
    """How many graphs were recorded, and the median step without them; nothing where none can be."""
    if learner.graphs is None or not learner.repeats:
        return {}
    recorded = learner.graphs.recorded
    learner.graphs = None
    if isinstance(learner, Searcher):
        recorded += learner.alpha_graphs.recorded if learner.alpha_graphs is not None else 0
        learner.alpha_graphs = None
    return {"graphs": recorded, "without_graphs_ms": statistics.median(step_times(learner, steps))}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main() -> None:
    """Measure, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "gpu.json")
    arguments = parser.parse_args()
    if arguments.steps < 2:
        parser.error("--steps must be at least 2: the first is told apart from the others")
    try:
        device = resolve_device(arguments.device)
    except DeviceError as error:
        parser.error(str(error))
    data = open_dataset("sklearn:digits")
    rows = []
    for space, make in supernets().items():
        for stage in STAGES:
            learner = learner_of(stage, make(), data, device)
            first, *later = step_times(learner, arguments.steps)
            row: dict[str, Any] = {
                "space": space,
                "stage": stage,
                "first_ms": first,
                "median_ms": statistics.median(later),
                "slowest_later_ms": max(later),
                "device_ms": device_time(learner),
            }
            row |= without_graphs(learner, arguments.steps)
            tell(row)
            rows.append({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    made = document("python -m benchmarks.gpu --json", rows, {"device": name})
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
