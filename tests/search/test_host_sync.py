"""No step reads a number back from the device: on a GPU it would wait for the host and idle after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from snt_zoo.data import ImageDataset
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.learners import WeightLearner
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.searchers import get_searcher, list_searchers
from tests.conftest import TINY

# `gdas`, and so `sandwich`, must know on the host which path it has drawn: docs/decisions.md, "Limits that
# are known".

# What `item`, `tolist`, `bool`, `nonzero` and indexing by a mask come down to.
WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal")


class Reads(TorchDispatchMode):
    """Counts operations whose result the host must know.

    Args:
        on_host: tensors that lie on the host whatever the device, by address: Adam's counters of steps.
    """

    def __init__(self, on_host: set[int]) -> None:
        super().__init__()
        self.on_host = on_host
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().split(".")[0] in WAITING and args[0].data_ptr() not in self.on_host:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


def learner_of(kind: str, net: Supernet, data: ImageDataset) -> WeightLearner:
    options: dict[str, Any] = {
        "recipe": Recipe(batch_size=50, warmup_share=0.0, augmentation="cutout"),
        "generator": torch.Generator(),
        "peak_lr": 0.05,
    }
    if kind == "derived":
        return WeightLearner(DerivedModel.inherit(net), data.train, **options)
    return get_searcher(kind)(net, data.train, data.val, **options)


@pytest.mark.parametrize("kind", ["derived", *sorted({*list_searchers()} - {"gdas", "sandwich"})])
def test_the_host_reads_nothing_in_an_epoch_but_at_its_end(
    kind: str, few_digits: ImageDataset, make_supernet: Callable[..., Supernet]
) -> None:
    config = TINY["nas_bench_201"]
    config = config if kind == "derived" else get_searcher(kind).prepared(config)
    learner = learner_of(kind, make_supernet(config), few_digits)
    learner.epoch(lambda: 0.1)  # Adam sets up its state in the first step
    during: list[int] = []

    def progress() -> float:
        during.append(len(reads.found))
        return 0.1

    adam = getattr(learner, "alpha_optimizer", learner.optimizer)
    counters = {state["step"].data_ptr() for state in adam.state.values() if "step" in state}
    with Reads(counters) as reads:
        learner.epoch(progress)
    assert during == [0, 0, 0, 0]  # four steps; batches and augmentation among them
    assert reads.found  # at the end the loss is read: the count does count
