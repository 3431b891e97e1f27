"""Feeds a network: batches of a split on a device, in memory or read ahead.

A split whose decoded images lie in memory is one uint8 tensor on the device, indexed by batch: a step waits
for nothing. Until they do, or where they lie in a file, a thread reads uint8 batches ahead. Both see the same
images in the same order, and change and normalise them on the device.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from snt_zoo.data.augmentation import Augmentation
from snt_zoo.data.dataset import Split
from snt_zoo.data.decoded import Wanted
from snt_zoo.data.normalisation import Normalisation, as_unit

# Batches that are read before they are asked for: one is read while another waits. More only hold memory.
AHEAD = 2


def batches(
    split: Split,
    *,
    size: int,
    batch_size: int,
    normalisation: Normalisation,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
    shuffle: bool = False,
    drop_last: bool = False,
    augment: Augmentation | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Goes once through a split.

    Args:
        split: What to go through.
        size: The side of the images, in pixels.
        batch_size: Images in a batch. With ``shuffle`` a single image that would be left for the
            last batch joins the one before it, as batch norm cannot train on one value.
        normalisation: Applied last.
        device: Where the batches shall lie.
        generator: On the CPU; draws the order, then the augmentation of each batch. torch's own
            where none is given.
        shuffle: Whether to go in random order.
        drop_last: Whether to leave out a last batch that is not full. A split that is smaller than
            one batch is still given, whole.
        augment: Changes to the training images; none if not given.

    Yields:
        float32 ``(b, 3, size, size)`` in channels_last, and int64 ``(b,)``.

    Raises:
        ValueError: ``batch_size`` or ``size`` is below 1.
        UnreadableImageError: A file turns out to be damaged when it is decoded.
    """
    if batch_size < 1 or size < 1:
        raise ValueError(f"expected batch_size and size of at least 1, got {batch_size} and {size}")
    plan = plan_batches(len(split), batch_size, shuffle=shuffle, drop_last=drop_last, generator=generator)
    source = one_pass(split, plan, size=size, device=torch.device(device))
    return _all_finished(source, normalisation, augment, generator)


def plan_batches(
    count: int,
    batch_size: int,
    *,
    shuffle: bool,
    drop_last: bool,
    generator: torch.Generator | None,
    least: int = 2,
) -> list[Tensor]:
    """The indices of each batch, int64 ``(b,)``; see `batches` for what becomes of the last.

    With ``shuffle`` fewer than ``least`` images that would be left for it join the one before.
    """
    order = torch.randperm(count, generator=generator) if shuffle else torch.arange(count)
    plan = list(torch.split(order, batch_size)) if count else []
    if len(plan) < 2 or len(plan[-1]) == batch_size:
        return plan
    if drop_last:
        return plan[:-1]
    if shuffle and len(plan[-1]) < least:
        return [*plan[:-2], torch.cat(plan[-2:])]
    return plan


def finished(
    pixels: Tensor, normalisation: Normalisation, augment: Augmentation | None, draws: Tensor | None
) -> Tensor:
    """uint8 ``(b, 3, size, size)`` as a network takes it, changed as ``draws`` say (`Augmentation.draw`)."""
    images = as_unit(pixels.contiguous(memory_format=torch.channels_last))
    if augment is not None and draws is not None:
        images = augment.apply(images, draws.to(images.device, non_blocking=True))
    return normalisation(images).contiguous(memory_format=torch.channels_last)


def _all_finished(
    source: Iterator[tuple[Tensor, Tensor]],
    normalisation: Normalisation,
    augment: Augmentation | None,
    generator: torch.Generator | None,
) -> Iterator[tuple[Tensor, Tensor]]:
    for pixels, labels in source:
        draws = None if augment is None else augment.draw(len(pixels), generator=generator)
        yield finished(pixels, normalisation, augment, draws), labels


def one_pass(
    split: Split, plan: list[Tensor], *, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """uint8 ``(b, 3, size, size)`` and labels of each batch of the plan."""
    images = split.decoded(size)
    if not images.held:
        yield from _ahead(images, split.labels, plan, device)
    elif device.type == "cpu":
        for indices in plan:
            yield images.take(indices), split.labels[indices]
    else:
        pixels, labels = split.tensor(size, device=device), split.labels.to(device)
        # One transfer of all indices: one for each batch would make the device wait for the host.
        lengths = [len(indices) for indices in plan]
        order = torch.cat(plan).to(device) if plan else torch.empty(0, dtype=torch.int64)
        for indices in torch.split(order, lengths):
            yield pixels[indices], labels[indices]


def _ahead(
    images: Wanted, labels: Tensor, plan: list[Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same by a thread that reads some batches before they are asked for."""

    def read(indices: Tensor) -> tuple[Tensor, Tensor]:
        batch = images.take(indices), labels[indices]
        return (batch[0].pin_memory(), batch[1].pin_memory()) if device.type == "cuda" else batch

    pool = ThreadPoolExecutor(1)
    try:
        coming: deque[Future[tuple[Tensor, Tensor]]] = deque()
        for indices in plan:
            coming.append(pool.submit(read, indices))
            if len(coming) > AHEAD:
                yield _moved(coming.popleft().result(), device)
        while coming:
            yield _moved(coming.popleft().result(), device)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _moved(batch: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    pixels, labels = batch
    return pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
