"""Operations and networks are measured."""

from __future__ import annotations

import pytest

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.latency.measuring import Clock, measure_networks, measure_parts
from snt_zoo.networks.spaces import get_space
from tests.conftest import TINY, MakeSupernet

pytest.importorskip("onnxruntime")
CLOCK = Clock(threads=1, seconds=0.02)


def test_what_computes_more_takes_longer() -> None:
    parts = get_space("nas_bench_201", channels=32).parts(32)["cell"][0]
    small, large = parts[2][0], parts[3][0]  # convolutions of 1 and of 3 pixels a side
    assert (small.channels, small.side) == (32, 32)
    quick, slow = measure_parts([small, large], CLOCK)
    assert 0 < quick < slow < 0.1


def test_what_changes_the_shape_is_measured_too() -> None:
    row = get_space("darts", channels=8, cells=3).parts(32)["reduce"][0]
    halving = [parts[0] for parts in row if parts]
    assert not any(part.chains for part in halving)
    assert all(seconds >= 0 for seconds in measure_parts(halving[:3], CLOCK))


def test_networks_are_measured_whole(make_supernet: MakeSupernet) -> None:
    networks = [DerivedModel.inherit(make_supernet(TINY["nas_bench_201"], seed=seed)) for seed in range(2)]
    assert all(0 < seconds < 0.1 for seconds in measure_networks([n.eval() for n in networks], CLOCK))
