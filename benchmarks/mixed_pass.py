"""What it costs to mix all operations where one path would do: `python -m benchmarks.mixed_pass --json`

A draw on the device, weighted by its one-hot, would let a step of `gdas` be recorded as a CUDA graph. It runs
every operation of every edge. Of each search space: multiply-accumulates for an image and launches of
kernels, forward and backward, of sampled paths in the mean and of all operations mixed. All is counted and
nothing computed, so no GPU is needed; how long a step takes on one is in `benchmarks.gpu`.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.document import RESULTS, document, tell, write
from benchmarks.gpu import supernets
from snt_zoo.networks.spaces.costs import Choice
from snt_zoo.networks.supernet import Supernet

PATHS = 6
BATCH = 64
_FREE = ("view", "detach", "empty", "alias", "as_strided", "aten.t.", "slice", "select", "expand", "split")
"""Beginnings of operations that launch nothing."""


class Launches(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations that compute something."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not any(word in str(func) for word in _FREE)
        return func(*args, **(kwargs or {}))


def cost(network: Supernet, mixture: Mapping[str, Tensor] | None, choice: Choice | None) -> tuple[float, int]:
    """Multiply-accumulates for an image, and launches, of both passes."""
    size = network.config.input_size
    images = torch.empty(BATCH, 3, size, size, device="meta")
    with FlopCounterMode(display=False) as flops, Launches() as launches:  # type: ignore[no-untyped-call]
        network(images, mixture, choice).sum().backward()
    return flops.get_total_flops() / 2 / BATCH, launches.count


def rows() -> list[dict[str, Any]]:
    """A row for each search space."""
    found = []
    generator = torch.Generator().manual_seed(0)
    for name, make in supernets().items():
        network = make().to("meta").train()
        space, shapes = network.space, {kind: alpha.shape for kind, alpha in network.alphas.items()}
        mixed = cost(
            network, {kind: torch.empty(*shape, device="meta") for kind, shape in shapes.items()}, None
        )
        sampled = []
        for _ in range(PATHS):
            drawn = {kind: torch.rand(*shape, generator=generator) for kind, shape in shapes.items()}
            sampled.append(cost(network, None, space.choice(space.derive(drawn))))
        macs, launches = (statistics.mean(column) for column in zip(*sampled, strict=True))
        found.append(
            {
                "space": name,
                "sampled_macs": round(macs),
                "mixed_macs": round(mixed[0]),
                "sampled_launches": round(launches),
                "mixed_launches": mixed[1],
                "times_macs": round(mixed[0] / macs, 1),
                "times_launches": round(mixed[1] / launches, 1),
            }
        )
        tell(found[-1])
    return found


def main() -> None:
    """Count, write the document and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mixed_pass", description=__doc__)
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: JSON is all there is")
    parser.add_argument("--out", type=Path, default=RESULTS / "mixed_pass.json")
    arguments = parser.parse_args()
    found = rows()
    summary = {row["space"]: row["times_launches"] for row in found}
    made = document("python -m benchmarks.mixed_pass --json", found, summary)
    write(arguments.out, made)
    print(json.dumps(made))


if __name__ == "__main__":
    main()
