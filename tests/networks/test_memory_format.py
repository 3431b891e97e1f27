"""How weights and images lie in memory: another way on a GPU, with the same results."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import predict
from snt_zoo.networks.spaces import SearchSpace, get_space, list_spaces
from snt_zoo.networks.supernet import NetworkConfig, Supernet

IMAGES = torch.randint(0, 256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def formats_of(network: nn.Module) -> set[bool]:
    """Whether the 3 × 3 convolutions of many channels are in channels_last."""
    return {
        conv.weight.is_contiguous(memory_format=torch.channels_last)
        for conv in network.modules()
        if isinstance(conv, nn.Conv2d) and conv.groups == 1 and min(conv.weight.shape) > 1
    }


@pytest.mark.parametrize("name", list_spaces())
def test_depthwise_convolutions_are_not_planned_in_channels_last_on_a_gpu(name: str) -> None:
    space = get_space(name)
    depthwise = name in ("darts", "mobile")
    on_gpu = torch.contiguous_format if depthwise else torch.channels_last
    assert space.memory_format(torch.device("cuda")) is on_gpu
    assert space.memory_format(torch.device("cpu")) is torch.channels_last


def test_the_format_changes_no_prediction(
    tiny_config: NetworkConfig,
    make_supernet: Callable[..., Supernet],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    supernet = make_supernet(tiny_config)
    model = DerivedModel.inherit(supernet)
    before = [predict(network, IMAGES) for network in (supernet, model)]
    assert formats_of(model) <= {True}
    monkeypatch.setattr(SearchSpace, "memory_format", lambda *_: torch.contiguous_format)
    after = [predict(network.placed("cpu"), IMAGES) for network in (supernet, model)]
    assert formats_of(model) <= {False}
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old, new)
