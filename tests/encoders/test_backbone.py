"""The backbone that ships is torchvision's MobileNetV2 with the weights of the package, folded or not."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models import mobilenet_v2

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.backbone import get_backbone
from snt_zoo.networks.starting import mobilenet_v2_weights


def test_features_are_those_of_the_published_network(digits: ImageDataset) -> None:
    backbone = get_backbone()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.network.modules())
    plain = mobilenet_v2().features
    missing, unexpected = plain.load_state_dict(mobilenet_v2_weights(), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    images = digits.test.subset(torch.arange(32)).tensor(backbone.size)
    with torch.no_grad():
        wanted = plain.eval()(backbone.normalisation(images)).mean((2, 3))
    torch.testing.assert_close(backbone.features(images), wanted, rtol=1e-4, atol=1e-4)
    assert float(wanted.std()) > 0.1
