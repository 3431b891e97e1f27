"""How processes average gradients: one message of our own, or DistributedDataParallel?

`torchrun --standalone --nproc_per_node=2 -m benchmarks.gradient_sync [--out FILE]`

Both run in alternation, on the same weights and batches, by gloo on the CPU: forward and backward pass and
the averaging, without the optimizer. Of a sampled path and of all operations mixed. Times are processor
seconds of the first process and of wall clock, the median over the repetitions; gradients are compared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from benchmarks.document import document, write
from snt_zoo.networks.distributed import joined
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.spaces import Choice
from snt_zoo.networks.supernet import NetworkConfig, Supernet

BATCH, CLASSES, SIZE = 32, 10, 32
NETWORK = NetworkConfig("nas_bench_201", {"channels": 16, "stem_stride": 2}, CLASSES, SIZE)


def sample(net: Supernet, seed: int) -> Genotype:
    """An architecture; the same in all processes."""
    generator = torch.Generator().manual_seed(seed)
    return net.space.discretise(
        {kind: torch.rand(alpha.shape, generator=generator) for kind, alpha in net.alphas.items()}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with joined() as team:
        net = Supernet.create(NETWORK, generator=torch.Generator().manual_seed(0))
        weights = net.weights()
        for alpha in net.alphas.values():
            alpha.requires_grad_(False)
        wrapped = DistributedDataParallel(net, find_unused_parameters=True)
        generator = torch.Generator().manual_seed(team.rank)
        images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator)
        images = images.to(memory_format=torch.channels_last)
        labels = torch.randint(CLASSES, (BATCH,), generator=generator)
        mixture = {kind: weight.detach() for kind, weight in net.mixture().items()}

        def own(choice: Choice | None) -> list[Tensor | None]:
            outputs = net(images, None if choice else mixture, choice)
            loss = functional.cross_entropy(outputs, labels)
            gradients = torch.autograd.grad(loss, weights, allow_unused=True)
            means = iter(team.average([g for g in gradients if g is not None]))
            return [None if g is None else next(means) for g in gradients]

        def library(choice: Choice | None) -> list[Tensor | None]:
            wrapped.zero_grad(set_to_none=True)
            outputs = wrapped(images, None if choice else mixture, choice)
            functional.cross_entropy(outputs, labels).backward()  # type: ignore[no-untyped-call]
            return [weight.grad for weight in weights]

        methods: dict[str, Callable[[Choice | None], list[Tensor | None]]] = {
            "one message": own,
            "DistributedDataParallel": library,
        }
        rows = []
        for path in ("sampled", "mixed"):
            seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in methods}
            difference, floats = 0.0, []
            for repeat in range(-2, options.repeats):  # two to warm up
                choice = net.space.choice(sample(net, repeat)) if path == "sampled" else None
                found = {}
                for name, method in methods.items():
                    team.wait()
                    cpu, wall = time.process_time(), time.perf_counter()
                    found[name] = method(choice)
                    if repeat >= 0:
                        seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
                for left, right in zip(*found.values(), strict=True):
                    if left is None or right is None:  # a gradient of zeros may also be left out
                        other = right if left is None else left
                        assert other is None or not other.any()
                    else:
                        difference = max(difference, float((left - right).abs().max()))
                floats.append(sum(g.numel() for g in found["one message"] if g is not None))
            for name, measured in seconds.items():
                rows.append(
                    {
                        "steps": path,
                        "method": name,
                        "processor_ms": round(1e3 * statistics.median(c for c, _ in measured), 2),
                        "wall_ms": round(1e3 * statistics.median(w for _, w in measured), 2),
                        "floats_sent": int(statistics.median(floats))
                        if name == "one message"
                        else sum(weight.numel() for weight in weights),
                        "max_difference": difference,
                    }
                )
        cost = {(row["steps"], row["method"]): float(str(row["processor_ms"])) for row in rows}
        summary = {
            f"ddp_over_one_message_{path}": round(
                cost[path, "DistributedDataParallel"] / cost[path, "one message"], 2
            )
            for path in ("sampled", "mixed")
        }
        command = "torchrun --standalone --nproc_per_node=2 -m benchmarks.gradient_sync"
        made = document(command, rows, {"processes": team.size, **summary})
        if team.first:
            if options.out is not None:
                write(options.out, made)
            print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
