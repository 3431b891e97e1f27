from __future__ import annotations

import pytest
import torch

from snt_zoo.encoders.profile import DIM, probe_images, profile, profile_of
from snt_zoo.errors import DivergenceError
from snt_zoo.networks.derived import DerivedModel
from tests.conftest import TINY, MakeSupernet


def test_the_images_are_small_and_of_many_kinds() -> None:
    images = probe_images()
    pixels = images.tensor(32)
    assert pixels.shape == (96, 3, 32, 32)
    assert len({pixels[i].numpy().tobytes() for i in range(96)}) == 96
    grey = (pixels[:, 0] == pixels[:, 1]).flatten(1).all(1)
    assert 10 < int(grey.sum()) < 86


@pytest.mark.parametrize("name", ["nas_bench_201", "darts", "mobile"])
def test_a_network_of_any_space_has_a_profile(name: str, make_supernet: MakeSupernet) -> None:
    supernet = make_supernet(TINY[name])
    first, second = (profile(DerivedModel.inherit(supernet)) for _ in range(2))
    assert first.shape == (DIM,) and torch.equal(first, second)
    assert 0.7 < float(first.norm()) < 1.4


def test_rotation_scale_and_shift_of_features_do_not_matter() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.randn(96, 8, generator=g)
    turned, _ = torch.linalg.qr(torch.randn(8, 8, generator=g))
    assert torch.allclose(profile_of(x), profile_of(5 * x @ turned + 3), atol=1e-4)
    assert torch.allclose(profile_of(x), profile_of(torch.cat([x, torch.zeros(96, 4)], 1)), atol=1e-5)
    assert float(profile_of(x) @ profile_of(torch.randn(96, 8, generator=g))) < 0.7


def test_features_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(DivergenceError, match="overflow"):
        profile_of(torch.full((96, 4), torch.nan))
