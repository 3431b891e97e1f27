"""What the regularisers do, when, and what they say of it."""

from __future__ import annotations

import json

import pytest
import torch

from snt_zoo.data import ImageDataset
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.spaces import nas_bench_201
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.recipe import Recipe
from snt_zoo.search.regularisers import get_regulariser, list_regularisers, register_regulariser
from snt_zoo.search.regularisers.skip_alarm import SkipAlarm
from tests.conftest import TINY
from tests.search.cases import make_searcher

CONFIG = TINY["nas_bench_201"]


def make_net() -> Supernet:
    return Supernet.create(CONFIG, generator=torch.Generator().manual_seed(0))


def test_regularisers_are_found_by_name() -> None:
    assert get_regulariser("skip-alarm") is SkipAlarm and "skip-alarm" in list_regularisers()
    with pytest.raises(UnknownComponentError, match="choose one of "):
        get_regulariser("luck")
    with pytest.raises(ValueError, match="registered already"):
        register_regulariser("skip-alarm")(SkipAlarm)


def test_the_alarm_rings_above_a_third() -> None:
    net = make_net()
    regulariser = SkipAlarm(net, Recipe(), sampled=False)
    names = ["nor_conv_3x3", "skip_connect", "nor_conv_3x3", "none", "nor_conv_1x1", "nor_conv_3x3"]
    for third, fired in (("nor_conv_1x1", False), ("skip_connect", True)):
        with torch.no_grad():
            net.alphas["cell"].zero_()
            for row, name in enumerate([*names[:4], third, names[5]]):
                net.alphas["cell"][row, nas_bench_201.OPERATIONS.index(name)] = 5.0
        regulariser.after_epoch()
        report = regulariser.report()
        assert report["fired"] is fired and bool(regulariser.warnings()) is fired
    assert report["share"] == 0.5 and report["epochs"] == [1]
    assert "50% of the edges" in regulariser.warnings()[0]


def test_the_alarm_looks_at_each_kind_of_cell() -> None:
    net = Supernet.create(TINY["darts"], generator=torch.Generator().manual_seed(0))
    regulariser = SkipAlarm(net, Recipe(), sampled=False)
    with torch.no_grad():
        net.alphas["normal"][:, net.space.operations.index("skip_connect")] = 9.0
        net.alphas["reduce"][:, net.space.operations.index("sep_conv_3x3")] = 9.0
    assert regulariser.share(net.genotype()) == 0.5
    assert net.genotype().share("skip_connect") == 0.25


def test_reports_are_plain_data(few_digits: ImageDataset) -> None:
    searcher = make_searcher("darts", CONFIG, few_digits, regularisers=tuple(list_regularisers()))
    searcher.epoch(lambda: 0.9)
    assert json.loads(json.dumps(searcher.report())) == searcher.report()
