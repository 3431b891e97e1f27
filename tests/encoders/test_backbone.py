"""The backbone that ships is torchvision's MobileNetV2 with the weights of the package, folded or not."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import mobilenet_v2

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import get_backbone, list_backbones, register_backbone
from snt_zoo.errors import UnknownComponentError
from snt_zoo.networks.starting import published_weights
from tests.encoders.making import cheap_backbone


def test_features_are_those_of_the_published_network(digits: ImageDataset) -> None:
    backbone = get_backbone()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.network.modules())
    plain = mobilenet_v2().features
    missing, unexpected = plain.load_state_dict(published_weights("mobilenet_v2"), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    images = digits.test.subset(torch.arange(32)).tensor(backbone.size)
    with torch.no_grad():
        wanted = plain.eval()(backbone.normalisation(images)).mean((2, 3))
    torch.testing.assert_close(backbone.features(images), wanted, rtol=1e-4, atol=1e-4)
    assert float(wanted.std()) > 0.1


def test_the_default_backbone_needs_no_network_and_sees(digits: ImageDataset) -> None:
    backbone = get_backbone()
    assert backbone.dim == 1280 and not any(p.requires_grad for p in backbone.network.parameters())
    part = digits.train.subset(torch.arange(120))
    features = backbone.features(part.tensor(backbone.size))
    assert features.shape == (120, 1280)
    # Leave-one-out nearest neighbour on ImageNet features: far over chance (0.1) on digits.
    distances = torch.cdist(features, features)
    distances.fill_diagonal_(float("inf"))
    hits = part.labels[distances.argmin(1)] == part.labels
    assert float(hits.double().mean()) > 0.7


def test_backbones_are_found_by_name() -> None:
    assert "mobilenet_v2" in list_backbones()
    with pytest.raises(UnknownComponentError, match="timm:NAME"):
        get_backbone("resnet")
    with pytest.raises(UnknownComponentError, match=r"timm\.list_pretrained"):
        get_backbone("timm:no_such_model")
    with pytest.raises(ValueError, match="registered already"):
        register_backbone("mobilenet_v2")(cheap_backbone)


def test_a_timm_model_makes_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    create = timm.create_model
    # The network is timm's own; only the download of its weights is left out.
    monkeypatch.setattr(
        timm, "create_model", lambda name, pretrained, **k: create(name, pretrained=False, **k)
    )
    backbone = get_backbone("timm:mobilenetv3_small_050")
    images = torch.zeros(2, 3, backbone.size, backbone.size, dtype=torch.uint8)
    assert backbone.id == "timm:mobilenetv3_small_050"
    assert backbone.features(images).shape == (2, backbone.dim) == (2, 1024)


def test_the_id_carries_the_size() -> None:
    own, small = get_backbone("efficientnet_lite0"), get_backbone("efficientnet_lite0@96")
    assert (own.id, own.size) == ("efficientnet_lite0", 224)
    assert (small.id, small.size, small.network) == ("efficientnet_lite0@96", 96, own.network)
    assert get_backbone("mobilenet_v2@96").id == "mobilenet_v2"  # its own size
    assert small.features(torch.zeros(1, 3, 96, 96, dtype=torch.uint8)).shape == (1, 1280)


@pytest.mark.parametrize("size", ["", "8", "2000", "96px", "-96", "٩٦"])
def test_a_size_that_cannot_be_is_refused(size: str) -> None:
    with pytest.raises(UnknownComponentError, match=r"expected a size of 32 to 1024 pixels"):
        get_backbone(f"mobilenet_v2@{size}")
