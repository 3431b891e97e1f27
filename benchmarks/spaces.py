"""Sizes of the search spaces and time of a training step. `python -m benchmarks.spaces [--out FILE]`

A step is one forward and backward pass of the supernet's weights on one batch: with all operations mixed, and
along one sampled path. All steps run in alternation in one process on one thread, timed in processor time;
the figure to read is the ratio to the first row, the median over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.document import document, write
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, count_parameters
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.supernet import NetworkConfig, Supernet

CONFIGS = (
    NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2}, 10, 32),  # the starter zoo's
    NetworkConfig("darts", {"channels": 12, "cells": 5, "stem_stride": 2}, 10, 32),  # the starter zoo's
    NetworkConfig("darts", {"channels": 8, "cells": 5}, 10, 32),
    NetworkConfig("darts", {"channels": 16, "cells": 8}, 10, 32),
    NetworkConfig("mobile", {"width": 50, "depth": 50, "halvings": 3, "features": 320}, 10, 32),
    NetworkConfig("mobile", {}, 10, 96),  # MobileNetV2's shape
)
GENOTYPES = 20


def random_genotypes(net: Supernet) -> list[Genotype]:
    """Genotypes of uniformly drawn mixtures."""
    generator = torch.Generator().manual_seed(0)
    return [
        net.space.discretise(
            {kind: torch.rand(alpha.shape, generator=generator) for kind, alpha in net.alphas.items()}
        )
        for _ in range(GENOTYPES)
    ]


def sizes(net: Supernet, genotypes: list[Genotype]) -> dict[str, Any]:
    """Of the supernet, and the smallest, median and largest of the derived networks."""
    with torch.device("meta"):
        derived = [DerivedModel(net.config, genotype) for genotype in genotypes]
    params = sorted(count_parameters(model) for model in derived)
    macs = sorted(count_macs(model) for model in derived)

    def spread(values: list[int]) -> list[int]:
        return [values[0], int(statistics.median(values)), values[-1]]

    return {
        "supernet_params": count_parameters(net),
        "supernet_macs": count_macs(net),
        "derived_params": spread(params),
        "derived_macs": spread(macs),
    }


def step(net: Supernet, images: Tensor, options: Mapping[str, Any]) -> float:
    """Seconds of processor time of one step."""
    start = time.process_time()
    loss = net(images, **options).square().mean()
    torch.autograd.grad(loss, net.weights(), allow_unused=True)
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    nets, genotypes, batches = [], [], []
    for config in CONFIGS:
        net = Supernet.create(config, generator=torch.Generator().manual_seed(0)).train()
        images = torch.randn(arguments.batch, 3, config.input_size, config.input_size)
        nets.append(net)
        genotypes.append(random_genotypes(net))
        batches.append(images.contiguous(memory_format=torch.channels_last))
    times: dict[tuple[int, str], list[float]] = {}
    for turn in range(arguments.rounds + 1):
        for index, (net, images) in enumerate(zip(nets, batches, strict=True)):
            path = net.space.choice(genotypes[index][turn % GENOTYPES])
            for kind, options in (("mixed", {"mixture": net.mixture()}), ("sampled", {"choice": path})):
                seconds = step(net, images, options)
                if turn:  # the first round warms up
                    times.setdefault((index, kind), []).append(seconds)
    rows = []
    for index, (net, found) in enumerate(zip(nets, genotypes, strict=True)):
        row: dict[str, Any] = {
            "space": net.config.space,
            "hyperparameters": net.space.hyperparameters(),
            "input_size": net.config.input_size,
            **sizes(net, found),
        }
        for kind in ("mixed", "sampled"):
            ratios = [a / b for a, b in zip(times[index, kind], times[0, "mixed"], strict=True)]
            row[f"{kind}_seconds"] = round(statistics.median(times[index, kind]), 4)
            row[f"{kind}_ratio"] = round(statistics.median(ratios), 3)
        rows.append(row)
        print(json.dumps(row), file=sys.stderr)
    made = document(
        f"python -m benchmarks.spaces --batch {arguments.batch} --rounds {arguments.rounds}",
        rows,
        {
            "ratio_to": "the mixed step of the first row",
            "mixed_ratio": [row["mixed_ratio"] for row in rows],
            "sampled_ratio": [row["sampled_ratio"] for row in rows],
        },
    )
    if arguments.out:
        write(arguments.out, made)
    print(json.dumps(made, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
