"""Time of a weight step and an alpha step of the DARTS space: ours, the tests' slow one, the published one.

`python -m benchmarks.step_time --json [--peer-darts PATH]`, where PATH is a checkout of github quark0/darts.

All compute the same logits from the same weights on the same batch (64 images of 32 × 32). A weight step is
forward, backward, clipping and SGD; an alpha step is forward, backward and Adam, first order. The published
code computes the gradients of the weights in both; ours computes those that are used. The arms take turns
within one run, and what is reported are medians and the ratios of them; in processor time too, since other
processes may be busy. Peak memory is that of a process that runs nothing but the arm.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.darts_peer import build_peer
from benchmarks.document import document, write
from benchmarks.memory import peak_bytes
from snt_zoo.networks import kernels
from snt_zoo.networks.supernet import NetworkConfig, Supernet

BATCH, SIZE, CLASSES = 64, 32, 10
SHAPES = ((16, 8), (8, 5))  # channels and cells
ROOT = Path(__file__).parents[1]
COMMAND = "python -m benchmarks.step_time --json"


@dataclass(frozen=True)
class Arm:
    """One way to compute; `logits` of a batch in train mode, with what is trained."""

    logits: Callable[[Tensor], Tensor]
    weights: list[nn.Parameter]
    alphas: list[Tensor]
    channels_last: bool
    all_gradients: bool = False  # the published alpha step differentiates by the weights too


def build(name: str, channels: int, cells: int, peer: Path | None) -> Arm:
    """An arm by name; all begin with the same weights and alphas."""
    config = NetworkConfig("darts", {"channels": channels, "cells": cells}, CLASSES, SIZE)
    net = Supernet.create(config, generator=torch.Generator().manual_seed(0)).train()
    if name.startswith("published"):
        assert peer is not None
        theirs: Any = build_peer(peer, net).train()
        last = name.endswith("channels_last")
        if last:
            theirs.to(memory_format=torch.channels_last)
        return Arm(theirs, list(theirs.parameters()), theirs.arch_parameters(), last, True)
    alphas: list[Tensor] = list(net.alphas.values())
    if name == "sampled":  # gdas: one path a step; its alphas get gradients through the weight of the path

        def sampled(x: Tensor) -> Tensor:
            ones = {kind: m / m.detach() for kind, m in net.mixture().items()}
            out: Tensor = net(x, ones, net.choice())
            return out

        return Arm(sampled, net.weights(), alphas, True)
    if name == "slow":
        reference = importlib.import_module("tests.networks.spaces.reference")

        def slow(x: Tensor) -> Tensor:
            out: Tensor = net.head(reference.darts_features(net.trunk, x, net.mixture()))
            return out

        return Arm(slow, net.weights(), alphas, False)
    if name == "ours, PyTorch only":
        kernels.usable = lambda *_, **__: False
    return Arm(lambda x: net(x, net.mixture()), net.weights(), alphas, True)


class Steps:
    """The steps of an arm on one fixed batch."""

    def __init__(self, arm: Arm) -> None:
        generator = torch.Generator().manual_seed(1)
        images = torch.randn(BATCH, 3, SIZE, SIZE, generator=generator)
        self.images = images.to(memory_format=torch.channels_last) if arm.channels_last else images
        self.labels = torch.randint(0, CLASSES, (BATCH,), generator=generator)
        self.arm = arm
        self.of_weights = torch.optim.SGD(arm.weights, lr=0.025, momentum=0.9, weight_decay=3e-4)
        self.of_alphas = torch.optim.Adam(arm.alphas, lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3)

    def _loss(self) -> Tensor:
        return functional.cross_entropy(self.arm.logits(self.images), self.labels)

    def weight(self) -> None:
        """One step of the weights."""
        for alpha in self.arm.alphas:
            alpha.requires_grad_(self.arm.all_gradients)
        self._step(self.arm.weights, self.of_weights, clip=True)

    def alpha(self) -> None:
        """One step of the alphas."""
        for alpha in self.arm.alphas:
            alpha.requires_grad_(True)
        for weight in self.arm.weights:
            weight.requires_grad_(self.arm.all_gradients)
        self._step(self.arm.alphas, self.of_alphas, clip=False)
        for weight in self.arm.weights:
            weight.requires_grad_(True)

    def _step(self, tensors: list[Any], optimizer: torch.optim.Optimizer, *, clip: bool) -> None:
        loss = self._loss()
        if self.arm.all_gradients:
            for tensor in (*self.arm.weights, *self.arm.alphas):
                tensor.grad = None
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            gradients = torch.autograd.grad(loss, tensors, allow_unused=True)
            for tensor, gradient in zip(tensors, gradients, strict=True):
                tensor.grad = gradient
        if clip:
            nn.utils.clip_grad_norm_(tensors, 5.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def measure(
    channels: int, cells: int, *, arms: list[str], rounds: int, peer: Path | None
) -> list[dict[str, Any]]:
    """Rows of one shape: each arm's median times and peak memory."""
    # Before this process holds gigabytes itself: both together did not fit into 24.
    memory = {name: _peak_memory(name, channels, cells, peer) for name in arms}
    usable = kernels.usable
    steps, logits = {}, {}
    for name in arms:
        built = build(name, channels, cells, peer)
        steps[name] = Steps(built)
        with torch.no_grad():
            logits[name] = built.logits(steps[name].images)
        kernels.usable = usable
    times: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for turn in range(rounds + 1):  # the first turn warms up
        for name in arms:
            kernels.usable = (lambda *_, **__: False) if name == "ours, PyTorch only" else usable
            for kind in ("weight", "alpha"):
                wall, processor = time.perf_counter(), time.process_time()
                getattr(steps[name], kind)()
                if turn:
                    taken = time.perf_counter() - wall, time.process_time() - processor
                    times.setdefault((name, kind), []).append(taken)
            kernels.usable = usable
            print(f"C={channels}, {cells} cells, turn {turn} of {rounds}: {name}", file=sys.stderr)
    rows = []
    for name in arms:
        row: dict[str, Any] = {"channels": channels, "cells": cells, "arm": name}
        for kind in ("weight", "alpha"):
            for index, clock in enumerate(("seconds", "processor_seconds")):
                row[f"{kind}_step_{clock}"] = statistics.median(t[index] for t in times[name, kind])
        mixed = name != "sampled"
        row["max_logit_difference"] = float((logits[name] - logits["ours"]).abs().max()) if mixed else None
        row["peak_memory_mb"] = memory[name]
        rows.append(row)
    return rows


def _peak_memory(name: str, channels: int, cells: int, peer: Path | None) -> float:
    """Megabytes that one weight step adds, in a process of its own."""
    options = ["--memory-of", name, str(channels), str(cells), *(["--peer-darts", str(peer)] if peer else [])]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.step_time", *options],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return float(done.stdout)


def _print_memory(name: str, channels: int, cells: int, peer: Path | None) -> None:
    steps = Steps(build(name, channels, cells, peer))
    before = peak_bytes()
    steps.weight()
    print((peak_bytes() - before) / 1e6)


def profile(channels: int, cells: int) -> list[dict[str, Any]]:
    """Where the time of a weight step of ours goes: the parts above one per cent."""
    steps = Steps(build("ours", channels, cells, None))
    steps.weight()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        steps.weight()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    ranked = sorted(events, key=lambda event: -event.self_cpu_time_total)
    names = {"_FusedCell": "fused cells, forward", "_FusedCellBackward": "fused cells, backward"}
    return [
        {
            "profile_of": f"weight step, C={channels}, {cells} cells",
            "part": names.get(event.key, event.key),
            "share": round(event.self_cpu_time_total / total, 4),
        }
        for event in ranked
        if event.self_cpu_time_total > 0.01 * total
    ]


def summarise(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ratios of a whole step (weights and alphas) at C=16, 8 cells; of the smaller shape beside it."""
    found: dict[str, Any] = {}
    for channels, cells in SHAPES:
        by_arm = {
            row["arm"]: row
            for row in rows
            if row.get("channels") == channels and row.get("cells") == cells and "arm" in row
        }
        ours = by_arm["ours"]

        def ratio(slower: str, faster: str, clock: str, table: Mapping[str, Any] = by_arm) -> float | None:
            if slower not in table:
                return None
            return _step(table[slower], clock) / _step(table[faster], clock)

        part = {
            "speedup_vs_slow": ratio("slow", "ours", "seconds"),
            "speedup_vs_peer_published": ratio("published", "ours", "seconds"),
            "speedup_vs_peer_channels_last": ratio("published, channels_last", "ours", "seconds"),
            "speedup_sampled_vs_peer_published": ratio("published", "sampled", "seconds"),
            "speedup_without_compiler_vs_peer_published": ratio("published", "ours, PyTorch only", "seconds"),
            "processor_time": {
                "speedup_vs_peer_published": ratio("published", "ours", "processor_seconds"),
                "speedup_vs_peer_channels_last": ratio(
                    "published, channels_last", "ours", "processor_seconds"
                ),
            },
            "step_seconds": _step(ours, "seconds"),
            "max_logit_difference": max(row["max_logit_difference"] or 0.0 for row in by_arm.values()),
        }
        if (channels, cells) == SHAPES[0]:
            found |= part
        else:
            found[f"at_c{channels}_{cells}_cells"] = part
    return found


def _step(row: Mapping[str, Any], clock: str) -> float:
    return float(row[f"weight_step_{clock}"] + row[f"alpha_step_{clock}"])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_time", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the document (it is written in any case)")
    parser.add_argument("--peer-darts", type=Path, help="a checkout of github quark0/darts")
    parser.add_argument("--rounds", type=int, default=3, help="timed turns of each arm")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks/results/step_time.json")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    peer = options.peer_darts
    if options.memory_of:
        name, channels, cells = options.memory_of
        _print_memory(name, int(channels), int(cells), peer)
        return
    arms = ["ours", "sampled", "ours, PyTorch only", "slow"]
    if peer is not None:
        arms += ["published", "published, channels_last"]
    run = functools.partial(measure, arms=arms, rounds=options.rounds, peer=peer)
    rows = [row for channels, cells in SHAPES for row in run(channels, cells)]
    rows += profile(*SHAPES[0])
    command = f"{COMMAND}{' --peer-darts PATH' if peer else ''} --rounds {options.rounds}"
    made = document(command, rows, summarise(rows) | {"threads": options.threads})
    write(options.out, made)
    if options.json:
        print(json.dumps(made, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
