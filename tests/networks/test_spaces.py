"""`tests/networks/cases.py` for each space, and what is theirs alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks import kernels
from snt_zoo.networks.spaces import darts, get_space, list_spaces, register_space
from snt_zoo.networks.supernet import NetworkConfig
from tests.conftest import TINY
from tests.networks.cases import SpaceTestCase
from tests.networks.spaces import reference


class TestNasBench201(SpaceTestCase):
    config = TINY["nas_bench_201"]
    others = (NetworkConfig("nas_bench_201", {"channels": 6, "cells_per_stage": 2}, 7, 21),)
    reference = staticmethod(reference.nas_bench_201_features)


class TestPartialNasBench201(TestNasBench201):
    config = TINY["nas_bench_201/partial"]


class TestMobile(SpaceTestCase):
    config = TINY["mobile"]
    others = (replace(config, input_size=15), NetworkConfig("mobile", {}, 10, 224))
    reference = staticmethod(reference.mobile_features)


class TestDarts(SpaceTestCase):
    config = TINY["darts"]
    others = (
        NetworkConfig("darts", {"channels": 6, "cells": 5, "stem_multiplier": 3}, 3, 19),
        NetworkConfig("darts", {"channels": 4, "cells": 4, "stem_stride": 2}, 3, 19),
    )
    reference = staticmethod(reference.darts_features)


class TestPartialDarts(TestDarts):
    config = TINY["darts, partial"]


class WithoutKernels:
    """Everything by PyTorch's operations, as where there is no compiler."""

    @pytest.fixture(autouse=True)
    def _by_pytorch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernels, "usable", lambda *_, **__: False)


class TestDartsWithoutKernels(WithoutKernels, TestDarts):
    pass


class TestPartialDartsWithoutKernels(WithoutKernels, TestPartialDarts):
    pass


def test_every_space_has_its_case() -> None:
    assert {case.config.space for case in SpaceTestCase.__subclasses__()} == set(list_spaces())


def test_partial_channels_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match="multiple of partial_channels, got 10 and 4"):
        get_space("nas_bench_201", channels=10, partial_channels=4)


def test_spaces_are_found_by_name() -> None:
    with pytest.raises(UnknownComponentError, match=f"choose one of {', '.join(list_spaces())}"):
        get_space("resnet")
    with pytest.raises(ConfigError, match="has no hyperparameter 'depth'"):
        get_space("darts", depth=3)
    with pytest.raises(ConfigError, match="channels must be a whole number from 1 to 128, got 10000"):
        get_space("darts", channels=10_000)
    with pytest.raises(ValueError, match="registered already"):
        register_space("darts")(darts.Darts)
