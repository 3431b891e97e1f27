"""What is compared, and what of it is trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import derived_size
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.head import begin_on
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.adapting.candidates import Candidate
from snt_zoo.search.adapting.front_choice import Compared, chosen, compared, outwards, shares_of
from snt_zoo.search.adapting.published import SIZES, SMALL
from snt_zoo.search.budget import Budget
from snt_zoo.search.run import Run, RunOptions
from tests.conftest import MakeSupernet
from tests.search.runs import CONFIG, RECIPE, Ticks

NOBODY = Genotype("nas_bench_201", {"cell": ()})


def a_run(
    data: ImageDataset, seconds: float | None = None, timer: Callable[[], float] = time.perf_counter
) -> Run:
    budget = Budget(epochs=1) if seconds is None else Budget(seconds=seconds)
    return Run(RunOptions(budget, timer=timer), settings={}, val=data.val)


def of(macs: int, accuracy: float = 0.5) -> Compared:
    return Compared(NOBODY, 32, macs, accuracy)


@pytest.fixture
def supernet(make_supernet: MakeSupernet, few_digits: ImageDataset) -> Supernet:
    made = make_supernet(CONFIG)
    begin_on(made, few_digits.train, few_digits.val)
    return made


def test_networks_of_all_sizes_are_compared_and_the_supernet_stays(
    supernet: Supernet, few_digits: ImageDataset
) -> None:
    before = {name: tensor.clone() for name, tensor in supernet.state_dict().items()}
    candidate = Candidate("tiny", supernet, RECIPE)
    found = compared(candidate, supernet, few_digits, a_run(few_digits))
    assert all(torch.equal(tensor, before[name]) for name, tensor in supernet.state_dict().items())
    assert [each.macs for each in found] == sorted(each.macs for each in found)
    assert len(found) > 12 and found[-1].macs > 2 * found[0].macs
    for each in found:
        assert each.macs == derived_size(supernet.config, each.genotype)[1]
        assert 0 <= each.accuracy <= 1
    assert len({each.accuracy for each in found}) > 3


def test_little_time_compares_few_of_all_sizes(supernet: Supernet, few_digits: ImageDataset) -> None:
    candidate = Candidate("tiny", supernet, RECIPE)
    whole = compared(candidate, supernet, few_digits, a_run(few_digits))
    few = compared(candidate, supernet, few_digits, a_run(few_digits, 10, Ticks()))
    assert len(few) == 4
    assert (few[0].macs, few[-1].macs) == (whole[0].macs, whole[-1].macs)


def test_of_a_published_network_there_are_several_sizes_of_images(
    supernet: Supernet, few_digits: ImageDataset
) -> None:
    candidate = Candidate("published", supernet, replace(RECIPE, keep_norms=True))
    supernet.config = replace(supernet.config, input_size=96)
    found = compared(candidate, supernet, few_digits, a_run(few_digits))
    assert [each.input_size for each in found] == sorted(size for size in SIZES + SMALL if size <= 96)
    assert all(each.genotype == supernet.genotype() for each in found)


def test_the_most_accurate_of_each_band_is_trained() -> None:
    networks = [of(1000), of(1010, 0.6), of(3100), of(3200, 0.7), of(9900, 0.2), of(10_000, 0.8)]
    assert [each.macs for each in chosen(networks, points=3)] == [1010, 3200, 10_000]
    assert chosen(networks[:1]) == networks[:1]


def test_shares_are_those_of_the_roots_and_the_first_has_twice_as_much() -> None:
    assert shares_of([1, 4, 9]) == pytest.approx([1 / 8, 4 / 8, 3 / 8])
    assert shares_of([7]) == [1]


def test_the_middle_is_trained_first() -> None:
    assert outwards(5) == [2, 1, 3, 0, 4]
    assert outwards(4) == [1, 2, 0, 3]
    assert outwards(1) == [0]
