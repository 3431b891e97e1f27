from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from snt_zoo.data import Augmentation
from snt_zoo.errors import UnknownComponentError

NONE = Augmentation.named("none")
MIDDLE = torch.full((1, 10), 0.5)  # draws that change nothing


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _images(count: int = 6, side: int = 16) -> Tensor:
    return torch.rand(count, 3, side, side, generator=_generator(9))


@pytest.mark.parametrize("name", Augmentation.presets())
def test_presets_keep_shape_range_and_format(name: str) -> None:
    images = _images().contiguous(memory_format=torch.channels_last)
    before = images.clone()
    changed = Augmentation.named(name)(images, generator=_generator())
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert torch.equal(images, before)
    assert (changed is images) == (name == "none")


def test_an_unknown_preset_lists_what_there_is() -> None:
    with pytest.raises(UnknownComponentError, match=r"'wild'; there are none, safe, flip, cutout, strong"):
        Augmentation.named("wild")


@pytest.mark.parametrize("name", ["safe", "flip", "cutout"])
def test_the_generators_state_decides(name: str) -> None:
    augment = Augmentation.named(name)
    a, b, c = (augment(_images(), generator=_generator(seed)) for seed in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


@given(seed=st.integers(0, 2**32), name=st.sampled_from(["safe", "flip", "cutout"]))
@settings(max_examples=20, deadline=None)
def test_a_result_does_not_depend_on_the_others_in_the_batch(seed: int, name: str) -> None:
    augment = replace(Augmentation.named(name), shear=5)
    images, draws = _images(), torch.rand(6, 10, generator=_generator(seed))
    together = augment.apply(images, draws)
    for i in range(len(images)):
        alone = augment.apply(images[i : i + 1], draws[i : i + 1])[0]
        assert torch.allclose(alone, together[i], atol=1e-6)
    order = torch.randperm(6, generator=_generator(1))
    assert torch.allclose(augment.apply(images[order], draws[order]), together[order], atol=1e-6)


def test_draws_of_a_batch_begin_like_those_of_a_longer_one() -> None:
    augment = Augmentation.named("safe")
    few = augment(_images(6)[:4], generator=_generator())
    assert torch.allclose(few, augment(_images(6), generator=_generator())[:4], atol=1e-6)


def test_equal_images_are_changed_each_in_its_own_way() -> None:
    images = _images(1).expand(5, -1, -1, -1)
    changed = Augmentation.named("safe")(images, generator=_generator())
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 5


def test_middle_draws_change_nothing() -> None:
    images = _images(1)
    assert torch.allclose(Augmentation().apply(images, MIDDLE), images, atol=1e-5)


def _drawn(**columns: float) -> Tensor:
    names = ("x", "y", "scale", "rotate", "shear", "flip", "brightness", "contrast", "left", "top")
    draws = MIDDLE.clone()
    for name, value in columns.items():
        draws[0, names.index(name)] = value
    return draws


def _soft_blob() -> Tensor:
    """A smooth shape without symmetry on black, so that interpolation hardly matters."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    blob = torch.exp(-8 * ((x - 0.2) ** 2 + (y + 0.1) ** 2)) + torch.exp(
        -30 * ((x + 0.2) ** 2 + (y - 0.3) ** 2)
    )
    return blob.clamp(0, 1).expand(1, 3, -1, -1)


@pytest.mark.parametrize(
    ("strengths", "draws", "affine"),
    [
        ({"rotate": 30}, {"rotate": 1.0}, {"angle": -30.0}),
        ({"rotate": 30}, {"rotate": 0.25}, {"angle": 15.0}),
        ({"scale": 0.5}, {"scale": 1.0}, {"scale": 1.5}),
        ({"scale": 0.5}, {"scale": 0.0}, {"scale": 0.5}),
        ({"translate": 0.2}, {"x": 0.0}, {"translate": [13, 0]}),
        ({"translate": 0.2}, {"y": 1.0}, {"translate": [0, -13]}),
        ({"rotate": 20, "scale": 0.2}, {"rotate": 1.0, "scale": 1.0}, {"angle": -20.0, "scale": 1.2}),
    ],
)
def test_warps_are_those_of_torchvision(
    strengths: dict[str, Any], draws: dict[str, float], affine: dict[str, Any]
) -> None:
    image = _soft_blob()
    warped = replace(NONE, **strengths).apply(image, _drawn(**draws))
    arguments = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]} | affine
    expected = reference.affine(image, interpolation=InterpolationMode.BILINEAR, **arguments)
    assert (warped - expected).abs().max() < 0.02
    assert (warped - image).abs().max() > 0.1


def test_turning_in_an_oblong_image_keeps_shapes() -> None:
    image = _soft_blob()
    wide = torch.nn.functional.pad(image, (20, 20))
    augment = replace(NONE, rotate=45)
    turned = augment.apply(wide, _drawn(rotate=1.0))[..., 20:-20]
    assert (turned - augment.apply(image, _drawn(rotate=1.0))).abs()[..., 16:48, 16:48].max() < 0.01


def _handedness(images: Tensor) -> Tensor:
    """The sign of the turn from the red to the green to the blue dot of each image."""
    side = images.shape[-1]
    place = torch.arange(side, dtype=torch.float32)
    weight = images / images.sum((2, 3), keepdim=True)
    x = (weight.sum(2) * place).sum(2)
    y = (weight.sum(3) * place).sum(2)
    return ((x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])).sign()


def test_safe_never_mirrors_and_flip_does_half_of_the_time() -> None:
    image = torch.zeros(1, 3, 32, 32)
    image[0, 0, 8:12, 8:12] = image[0, 1, 8:12, 20:24] = image[0, 2, 20:24, 8:12] = 1
    images = image.expand(400, -1, -1, -1)
    plain: dict[str, Any] = {"brightness": 0.0, "contrast": 0.0, "shear": 10.0}  # tone would move the centres
    safe = replace(Augmentation.named("safe"), **plain)(images, generator=_generator())
    assert (_handedness(safe) == 1).all()
    flip = replace(Augmentation.named("flip"), **plain)(images, generator=_generator())
    assert 150 < int((_handedness(flip) == -1).sum()) < 250


def test_flipping_alone_only_moves_pixels() -> None:
    images = _images(64)
    flipped = replace(NONE, flip=True)(images, generator=_generator())
    mirrored = (flipped != images).flatten(1).any(1)
    assert 0 < int(mirrored.sum()) < 64
    assert torch.equal(flipped[mirrored], images[mirrored].flip(-1))


@pytest.mark.parametrize("ground", [0.0, 1.0])
def test_no_frame_comes_in_at_the_border(ground: float) -> None:
    images = torch.full((50, 3, 20, 20), ground)
    strong = replace(NONE, translate=0.5, scale=0.5, rotate=90, shear=30)
    assert torch.allclose(strong(images, generator=_generator()), images, atol=1e-6)


@pytest.mark.parametrize("side", [10, 32])
def test_cutout_erases_one_square_of_at_most_the_side(side: int) -> None:
    images = torch.zeros(300, 3, side, side)
    erased = replace(NONE, erase=0.5)(images, generator=_generator()) == 0.5
    assert torch.equal(erased[:, 0], erased[:, 1])
    rows, columns = erased[:, 0].any(2), erased[:, 0].any(1)
    assert torch.equal(erased[:, 0], rows[:, :, None] & columns[:, None, :])
    for lines in (rows.sum(1), columns.sum(1)):
        assert lines.max() == math.ceil(side / 2)
        assert lines.min() >= side // 4


def test_tone_changes_are_bounded() -> None:
    images = torch.full((200, 3, 4, 4), 0.75)
    bright = replace(NONE, brightness=0.2)(images, generator=_generator())
    assert 0.55 <= bright.min() < 0.57
    assert 0.93 < bright.max() <= 0.95
    contrast = replace(NONE, contrast=0.2)(images, generator=_generator())
    assert 0.7 <= contrast.min() < 0.71
    assert 0.79 < contrast.max() <= 0.8


@pytest.mark.parametrize(
    "wrong", [{"translate": -0.1}, {"scale": 1.0}, {"rotate": float("nan")}, {"erase": 2}]
)
def test_senseless_strengths_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Augmentation(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (1.0, 0.0), (0.5, 1.0)])
def test_a_crop_is_a_part_that_is_enlarged(x: float, y: float) -> None:
    augment = replace(NONE, crop=0.25)
    draws = MIDDLE.clone()
    draws[:, :3] = torch.tensor([x, y, 0.0])  # the least area, of the image's shape
    images = _images(1)
    left, top = (int(place * 8) for place in (x, y))
    part = reference.resized_crop(
        images, top, left, 8, 8, [16, 16], InterpolationMode.BILINEAR, antialias=False
    )
    inner = slice(1, -1)  # at its border a crop sees what lies beside it
    torch.testing.assert_close(augment.apply(images, draws)[..., inner, inner], part[..., inner, inner])


def test_a_crop_has_its_share_of_the_area_and_stays_in_the_image() -> None:
    augment = replace(NONE, crop=0.5)
    ramp = torch.linspace(0, 1, 64).expand(500, 3, 64, 64)
    seen = augment(ramp, generator=_generator())
    across = augment(ramp.transpose(2, 3), generator=_generator())
    widths, heights = seen[:, 0, 32, -1] - seen[:, 0, 32, 0], across[:, 0, -1, 32] - across[:, 0, 0, 32]
    areas = widths * heights / (63 / 64) ** 2
    assert 0.48 < float(areas.min()) < 0.55 and 0.93 < float(areas.max()) <= 1.02
    assert float((widths / heights).max()) < 1.36
