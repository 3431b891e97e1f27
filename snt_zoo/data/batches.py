"""Feeds a network: batches of a split on a device, in memory or streamed.

A split that fits in memory is one uint8 tensor on the device, indexed by batch: a step waits for
nothing. A larger one is read by worker processes that send uint8 batches. Both see the same
images in the same order, and change and normalise them on the device.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from snt_zoo.data.augmentation import Augmentation
from snt_zoo.data.dataset import Split
from snt_zoo.data.image_store import ImageStore
from snt_zoo.data.normalisation import Normalisation, as_unit
from snt_zoo.errors import SntZooError


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
    workers: int | None = None,
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
        workers: Worker processes that read a split which does not fit in memory; with 0 it is read
            in this process. By default one for each core, at most four.

    Yields:
        float32 ``(b, 3, size, size)`` in channels_last, and int64 ``(b,)``.

    Raises:
        ValueError: ``batch_size`` or ``size`` is below 1, or ``workers`` is below 0.
        UnreadableImageError: A file turns out to be damaged when it is decoded.
    """
    if workers is None:
        workers = min(4, os.cpu_count() or 1)
    if batch_size < 1 or size < 1 or workers < 0:
        raise ValueError(
            "expected batch_size and size of at least 1 and workers of at least 0, "
            f"got {batch_size}, {size} and {workers}"
        )
    device = torch.device(device)
    plan = plan_batches(len(split), batch_size, shuffle=shuffle, drop_last=drop_last, generator=generator)
    if split.fits(size):
        source = from_memory(split, plan, size=size, device=device)
    else:
        source = streamed(split, plan, size=size, device=device, workers=workers)
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


def from_memory(
    split: Split, plan: list[Tensor], *, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """uint8 ``(b, 3, size, size)`` and labels of each batch of the plan, from a split that fits."""
    pixels = split.tensor(size, device=device)
    labels = split.labels.to(device)
    # One transfer of all indices: one for each batch would make the device wait for the host.
    lengths = [len(indices) for indices in plan]
    order = torch.cat(plan).to(device) if plan else torch.empty(0, dtype=torch.int64)
    for indices in torch.split(order, lengths):
        yield pixels[indices], labels[indices]


@dataclass(frozen=True, eq=False)
class _BatchReader(Dataset[tuple[Tensor, Tensor] | SntZooError]):
    """Reads a batch by its indices, in a worker process."""

    images: ImageStore
    labels: Tensor
    size: int

    def __getitem__(self, indices: Tensor) -> tuple[Tensor, Tensor] | SntZooError:
        # An error that is raised here would reach the user with the worker's traceback for a
        # message; handed over as a value, it keeps its one line.
        try:
            return self.images.read(indices, self.size), self.labels[indices]
        except SntZooError as error:
            return error


def streamed(
    split: Split, plan: Iterable[Tensor], *, size: int, device: torch.device, workers: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """The same from a split that does not fit, read ahead by worker processes; the plan may be endless."""
    loader = DataLoader(
        _BatchReader(split.images, split.labels, size),
        batch_size=None,  # the plan holds whole batches
        sampler=plan,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # its seed for the workers must not move torch's own generator
    )
    for batch in loader:
        if isinstance(batch, SntZooError):
            raise batch
        pixels, labels = batch
        yield pixels.to(device, non_blocking=True), labels.to(device, non_blocking=True)
