from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.data import ImageDataset
from snt_zoo.data.image_store import digests
from snt_zoo.data.joining import join

from .making import array_split


def dataset(name: str, classes: int) -> ImageDataset:
    parts = [array_split(12, classes=classes, seed=10 * classes + seed) for seed in range(3)]
    return ImageDataset(name, tuple("abc"[:classes]), *parts)


def test_every_image_keeps_its_pixels_its_digest_and_its_class() -> None:
    left, right = dataset("left", 2), dataset("right", 3)
    both = join([left, right])
    assert both.class_names == ("left/a", "left/b", "right/a", "right/b", "right/c")
    assert both.name == "left+right" and both.heads == (2, 3)
    for joined, parts in ((both.train, (left.train, right.train)), (both.test, (left.test, right.test))):
        order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
        pixels = torch.cat([part.tensor(8) for part in parts])
        named = [digest for part in parts for digest in digests(part.images, torch.arange(12))]
        assert torch.equal(joined.images.read(order, 8), pixels[order])
        for ask in (joined.digests, joined.quick_digests):
            assert ask(order) == [named[index] for index in order.tolist()]
        assert joined.labels.tolist() == [*parts[0].labels.tolist(), *(2 + parts[1].labels).tolist()]


def test_what_was_passed_over_is_told_with_the_names_of_the_datasets() -> None:
    left = replace(dataset("left", 2), passed_over={"hidden": (".x",)}, links_out=("a/l.png",))
    right = replace(dataset("right", 2), passed_over={"hidden": (".y",), "unreadable": ("b/z.png",)})
    both = join([left, right])
    assert {reason: paths for reason, paths in both.passed_over.items() if paths} == {
        "hidden": ("left/.x", "right/.y"),
        "unreadable": ("right/b/z.png",),
    }
    assert both.skipped == ("right/b/z.png",)
    assert both.links_out == ("left/a/l.png",)
    assert both.account()["passed_over"]["count"] == 3


def test_one_alone_stays_as_it_is() -> None:
    alone = dataset("alone", 2)
    assert join([alone]) is alone
