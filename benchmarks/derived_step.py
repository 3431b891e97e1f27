"""Time of a training step and an evaluation of derived networks: `python -m benchmarks.derived_step --json`

Three genotypes of `darts`, drawn at random, in two sizes, once by the compiled kernels and once by PyTorch's
operations in channels_last; and the starter's `nas_bench_201`, for the time of a multiply-accumulate. A step
is forward, backward and SGD on 64 images of 32 × 32, an evaluation forward alone. The arms take turns within
one run; what is reported are medians of the processor's time on one thread.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch.nn import functional

from benchmarks.document import RESULTS, document, write
from snt_zoo.networks import kernels
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs
from snt_zoo.networks.supernet import NetworkConfig, Supernet

BATCH, SIZE, CLASSES = 64, 32, 10
SHAPES = ({"channels": 16, "cells": 8}, {"channels": 8, "cells": 5})
GENOTYPES = 3
ARMS: dict[str, Callable[[], AbstractContextManager[None]]] = {
    "kernels": contextlib.nullcontext,
    "PyTorch": kernels.without,
}


def derived(space: str, hyperparameters: dict[str, int], seed: int) -> DerivedModel:
    """A network of a random genotype."""
    generator = torch.Generator().manual_seed(seed)
    net = Supernet.create(
        NetworkConfig(space, hyperparameters, CLASSES, SIZE), generator=torch.Generator().manual_seed(seed)
    )
    with torch.no_grad():
        for alpha in net.alphas.values():
            alpha.copy_(torch.randn(alpha.shape, generator=generator))
    return DerivedModel.inherit(net).to(memory_format=torch.channels_last)


def measure(network: DerivedModel, arms: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of a step and of an evaluation, by arm; the first turn warms up."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)

    def step() -> None:
        network.train()
        functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    def evaluation() -> None:
        network.eval()
        with torch.no_grad():
            network(images)

    times: dict[str, dict[str, list[float]]] = {arm: {"step": [], "evaluation": []} for arm in arms}
    for turn in range(rounds + 1):
        for arm in arms:
            with ARMS[arm]():
                for name, run in (("step", step), ("evaluation", evaluation)):
                    began = time.process_time()
                    run()
                    if turn:
                        times[arm][name].append(time.process_time() - began)
    return {arm: {name: statistics.median(t) for name, t in found.items()} for arm, found in times.items()}


def rows(rounds: int) -> list[dict[str, Any]]:
    """A row for each network and arm."""
    found = []
    networks = [("darts", shape, seed) for shape in SHAPES for seed in range(GENOTYPES)]
    for space, hyperparameters, seed in [*networks, ("nas_bench_201", {}, 0)]:
        network = derived(space, hyperparameters, seed)
        macs = count_macs(network)
        arms = list(ARMS) if space == "darts" else ["PyTorch"]
        for arm, seconds in measure(network, arms, rounds).items():
            made = {"space": space, **hyperparameters, "genotype": seed, "arm": arm, "macs": macs}
            made |= {f"{name}_seconds": value for name, value in seconds.items()}
            found.append(made | {"step_ns_per_mac": seconds["step"] / macs / BATCH * 1e9})
    return found


def summarise(found: list[dict[str, Any]]) -> dict[str, Any]:
    """How many times faster the kernels are, at worst and at best, and what a multiply-accumulate costs."""
    summary: dict[str, Any] = {}
    for shape in SHAPES:
        of_shape = [row for row in found if shape.items() <= row.items()]
        by_arm = {arm: [row for row in of_shape if row["arm"] == arm] for arm in ARMS}
        part: dict[str, Any] = {}
        for name in ("step", "evaluation"):
            key = f"{name}_seconds"
            ratios = [a[key] / b[key] for a, b in zip(by_arm["PyTorch"], by_arm["kernels"], strict=True)]
            part[f"{name}_speedup"] = [round(min(ratios), 2), round(max(ratios), 2)]
        starter = next(row["step_ns_per_mac"] for row in found if row["space"] == "nas_bench_201")
        for arm, its in by_arm.items():
            cost = statistics.median(row["step_ns_per_mac"] for row in its)
            part[f"step_mac_time_of_{arm}_vs_nas_bench_201"] = round(cost / starter, 2)
        summary["c{channels}_{cells}_cells".format(**shape)] = part
    return summary


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.derived_step", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the document (it is written in any case)")
    parser.add_argument("--rounds", type=int, default=5, help="timed turns of each arm")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = rows(options.rounds)
    command = f"python -m benchmarks.derived_step --json --rounds {options.rounds}"
    made = document(command, found, summarise(found))
    write(RESULTS / "derived_step.json", made)
    if options.json:
        print(json.dumps(made, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
