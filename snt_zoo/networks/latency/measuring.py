"""Measures operations and whole networks by onnxruntime, for a table of latencies.

An operation by itself tells little: a call, a copy of its input and a change of the memory's layout cost as
much. So it is measured as a difference, between a chain of several of it and one alone; or, where it
changes the shape of the maps, between a convolution that is followed by it and that convolution.

All are run in turn, several times over, and the least of the rounds counts: other work on the machine comes
and goes, and lengthens processor time too, by the cache that it takes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.export.onnx_file import OnnxNetwork, branches_to_onnx, chained
from snt_zoo.networks.spaces.parts import Part

CHAIN = 4  # operations more in the longer chain
_WARM = 3
_LEAST_RUNS = 5  # in a round
SECONDS = 0.15
"""For which each network is run over and over, in all rounds."""
ROUNDS = 3
_TOGETHER = 4
"""Whole networks of one pass of the exporter: with more, each takes longer."""


@dataclass(frozen=True)
class Clock:
    """How runs are timed.

    Args:
        threads: of a run. Of one the time of its processor is taken, which other work on the machine does
            not lengthen; of several the wall clock.
        seconds: for each network.
    """

    threads: int
    seconds: float = SECONDS

    def all(self, files: Sequence[bytes], shapes: Sequence[tuple[int, int, int]]) -> NDArray[np.float64]:
        """Seconds of ONNX files of one input, each for one image of its shape."""
        rounds = [[self.of(*each) for each in zip(files, shapes, strict=True)] for _ in range(ROUNDS)]
        return np.asarray(np.min(rounds, 0))

    def of(self, file: bytes, shape: tuple[int, int, int]) -> float:
        """The first quartile of the runs of a round, in seconds: those that were disturbed least."""
        network = OnnxNetwork(file, threads=self.threads)  # hundreds at once would each keep its threads
        image = np.random.default_rng(0).standard_normal((1, *shape), dtype=np.float32)
        now = time.thread_time if self.threads == 1 else time.perf_counter
        for _ in range(_WARM):
            network(image)
        times: list[float] = []
        end = time.perf_counter() + self.seconds / ROUNDS
        while len(times) < _LEAST_RUNS or time.perf_counter() < end:
            start = now()
            network(image)
            times.append(now() - start)
        return float(np.percentile(times, 25))


def measure_parts(parts: Sequence[Part], clock: Clock) -> list[float]:
    """Seconds of each operation, at least 0, for one image."""
    shapes = [(part.channels, part.side, part.side) for part in parts]
    files = branches_to_onnx([part.build() for part in parts], shapes)
    leads = {shape: nn.Conv2d(shape[0], shape[0], 1) for shape in shapes}
    lead = dict(zip(leads, branches_to_onnx(list(leads.values()), list(leads)), strict=True))
    chains, alone = [], []
    for part, shape, file in zip(parts, shapes, files, strict=True):
        chains.append(chained([file] * (1 + CHAIN) if part.chains else [lead[shape], file]))
        alone.append(file if part.chains else lead[shape])
    more, less = np.split(clock.all([*chains, *alone], [*shapes, *shapes]), 2)
    links = np.array([CHAIN if part.chains else 1 for part in parts])
    return [float(each) for each in (more - less).clip(0) / links]


def measure_networks(networks: Sequence[DerivedModel], clock: Clock) -> list[float]:
    """Seconds of each whole network for one image of its size, from normalised pixels to logits."""
    shapes = [(3, network.config.input_size, network.config.input_size) for network in networks]
    files: list[bytes] = []
    for start in range(0, len(networks), _TOGETHER):
        some = slice(start, start + _TOGETHER)
        files += branches_to_onnx(networks[some], shapes[some])
    return [float(each) for each in clock.all(files, shapes)]
