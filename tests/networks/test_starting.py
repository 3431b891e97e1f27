from __future__ import annotations

import pytest
import torch


@pytest.mark.parametrize(("name", "size"), [("mobilenet_v2", 96), ("efficientnet_lite0", 224)])
def test_the_shipped_weights_give_the_backbones_features(name: str, size: int) -> None:
    """At full width, through the entry that users have; float32, and a size with odd maps."""
    from snt_zoo import starting_supernet
    from snt_zoo.encoders.backbone import get_backbone

    net = starting_supernet(name, num_classes=3).eval()
    assert (net.config.input_size, net.config.num_classes) == (size, 3)
    images = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for batch in (images, images[:, :, :50, :50]):
            expected = get_backbone(name).network(batch)
            found = net.features(batch)
            assert float((found - expected).norm() / expected.norm()) < 1e-4
