"""A mobile supernet that begins as a published network: exactly that, along the path of its genotype."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2

from snt_zoo.errors import ConfigError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.published import supernet_from_published
from snt_zoo.networks.spaces.mobile import CHAIN, KERNELS, OPERATIONS, operation_index
from snt_zoo.networks.spaces.mobile.blocks import ElasticBlock
from snt_zoo.networks.supernet import NetworkConfig, Supernet

PRETRAINED = OPERATIONS.index("mb_e6_k3")


@pytest.fixture(scope="module")
def narrow() -> nn.Module:
    """torchvision's network at a quarter of the width."""
    torch.manual_seed(0)  # torchvision takes no generator
    return with_statistics(mobilenet_v2(width_mult=0.25)).eval()


def with_statistics(net: nn.Module) -> nn.Module:
    """A network with scales, shifts and statistics as if it were trained."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0.0, 0.3)
                module.running_mean.normal_(0.0, 0.3)  # type: ignore[union-attr]
                module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr]
    return net


def begun(state: Mapping[str, Tensor], **hyperparameters: int) -> Supernet:
    config = NetworkConfig("mobile", {"width": 25, **hyperparameters}, 5, 64)
    return supernet_from_published(state, config, generator=torch.Generator().manual_seed(0)).eval()


@torch.no_grad()
@pytest.mark.parametrize("size", [32, 50, 64])
def test_the_path_is_the_published_network(narrow: nn.Module, size: int) -> None:
    net = begun(narrow.state_dict()).double()
    images = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = narrow.double().features(images).mean((2, 3))  # type: ignore[operator]
    assert net.choice() == {CHAIN: [OPERATIONS.index("mb_e6_k3")] * 16}
    torch.testing.assert_close(net.features(images), expected, rtol=1e-9, atol=1e-12)
    derived = DerivedModel.inherit(net).double().eval()
    torch.testing.assert_close(derived.features(images), expected, rtol=1e-9, atol=1e-12)


LITE = {
    "tf_efficientnet_lite0": {},
    "tf_efficientnet_lite2": {"width": 110, "depth": 120},
    "tf_efficientnet_lite4": {"width": 140, "depth": 180},
}


@torch.no_grad()
@pytest.mark.parametrize("name", LITE)
def test_the_path_is_an_efficientnet_lite(name: str) -> None:
    import timm

    torch.manual_seed(0)  # timm takes no generator
    published = with_statistics(timm.create_model(name, num_classes=0)).double().eval()
    config = NetworkConfig("mobile", {"lite": 1, **LITE[name]}, 5, 64)
    net = supernet_from_published(published.state_dict(), config, generator=torch.Generator().manual_seed(0))
    net = net.double().eval()
    derived = DerivedModel.inherit(net).double().eval()
    for size in (64, 50, 97):  # even and odd maps pad differently
        images = torch.randn(
            2, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
        )
        expected = published(images)
        # The supernet takes its weights as float32.
        torch.testing.assert_close(net.features(images), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(derived.features(images), expected, rtol=1e-5, atol=1e-5)
    kernels = {edge.operation for edge in derived.genotype.cells[CHAIN]}
    assert kernels == {"mb_e6_k3", "mb_e6_k5"}


@torch.no_grad()
def test_in_lite_a_larger_kernel_begins_as_the_same_function() -> None:
    import timm

    published = with_statistics(timm.create_model("tf_efficientnet_lite0", num_classes=0)).eval()
    config = NetworkConfig("mobile", {"lite": 1}, 5, 64)
    net = supernet_from_published(published.state_dict(), config, generator=torch.Generator()).double().eval()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = net.features(images, choice={CHAIN: [operation_index(6, 7)] * 15})
    torch.testing.assert_close(found, net.features(images))


@torch.no_grad()
def test_a_larger_kernel_begins_as_the_same_function(narrow: nn.Module) -> None:
    net = begun(narrow.state_dict()).double()
    images = torch.randn(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = net.features(images)
    for kernel in KERNELS[1:]:
        found = net.features(images, choice={CHAIN: [operation_index(6, kernel)] * 16})
        torch.testing.assert_close(found, expected)


def test_a_smaller_expansion_has_the_most_important_channels(narrow: nn.Module) -> None:
    net = begun(narrow.state_dict())
    for index, block in enumerate(net.trunk.get_submodule("blocks").children()):
        assert isinstance(block, ElasticBlock)
        published = narrow.state_dict()[f"features.{index + 2}.conv.2.weight"].float()
        for expansion in (3, 4):
            n = expansion * block.plan.c_in
            kept = block.project.weight[:, :n].detach().abs().sum()
            best = published.abs().sum((0, 2, 3)).topk(n).values.sum()
            torch.testing.assert_close(kept, best)


def test_the_start_is_preferred_and_the_rest_is_open(narrow: nn.Module) -> None:
    net = begun(narrow.state_dict())
    mixture = net.mixture()[CHAIN]
    assert (mixture.argmax(1) == PRETRAINED).all()
    others = mixture[:, [index for index in range(len(OPERATIONS)) if index != PRETRAINED]]
    assert mixture[:, PRETRAINED].max() < 0.75
    assert others.min() > 0.03


def test_weights_that_do_not_fit_are_refused(narrow: nn.Module) -> None:
    state = narrow.state_dict()
    with pytest.raises(ConfigError, match=r"18\.0\.weight must be \(640, 80, 1, 1\)"):
        begun(state, features=640)
    with pytest.raises(ConfigError, match="give the width, depth and features of the pretrained network"):
        begun(state, width=50)
    with pytest.raises(ConfigError, match="give the width, depth"):
        begun(state, depth=150)
    with pytest.raises(ConfigError, match="give the width, depth"):
        begun(state, depth=50)
    with pytest.raises(ConfigError, match=r"no place for 19\.weight"):
        begun(state | {"features.19.weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match="no such weights"):
        begun({name: t for name, t in state.items() if name != "features.0.0.weight"})
    with pytest.raises(ConfigError, match="not one of darts"):
        supernet_from_published(state, NetworkConfig("darts"), generator=torch.Generator())
