"""The learning rate along a stage."""

from __future__ import annotations

import math

import pytest

from snt_zoo.data import ImageDataset
from tests.conftest import TINY
from tests.search.cases import make_searcher

PEAK = 0.05  # of `make_searcher`


@pytest.mark.parametrize("progress", [0.0, 0.25, 0.5, 1.0, 1.1])
def test_it_falls_on_half_a_cosine(few_digits: ImageDataset, progress: float) -> None:
    searcher = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    searcher.set_rate(progress)
    expected = PEAK * (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    assert [group["lr"] for group in searcher.optimizer.param_groups] == pytest.approx([expected])


def test_a_warm_up_rises_in_a_line_and_joins_the_cosine(few_digits: ImageDataset) -> None:
    plain = make_searcher("gdas", TINY["nas_bench_201"], few_digits)
    warmed = make_searcher("gdas", TINY["nas_bench_201"], few_digits, rate_warmup=0.2)

    def rates(progress: float) -> tuple[float, float]:
        plain.set_rate(progress)
        warmed.set_rate(progress)
        return plain.optimizer.param_groups[0]["lr"], warmed.optimizer.param_groups[0]["lr"]

    for progress, share in ((0.0, 0.0), (0.05, 0.25), (0.1, 0.5), (0.2, 1.0), (0.7, 1.0)):
        there, rising = rates(progress)
        assert rising == pytest.approx(share * there)
