"""Out of memory: how it is recognised, and how a batch is cut into parts that fit.

Gradients of the parts, weighted by their numbers of images, add up to those of the batch. Batch norm is the
exception: its statistics are those of the part.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from snt_zoo.errors import OutOfMemoryError

T = TypeVar("T")

# Batch norm cannot train on one image.
LEAST_IMAGES = 2

# What releases before torch.OutOfMemoryError, and the libraries below torch, say.
_TEXTS = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left."""
    kind = getattr(torch, "OutOfMemoryError", torch.cuda.OutOfMemoryError)  # torch 2.4 has the latter only
    return isinstance(error, kind) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _TEXTS)
    )


def release(device: torch.device) -> None:
    """Give the memory that nothing uses back to the device."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def count_parts(images: int, micro_batch: int | None) -> int:
    """In how many parts a batch goes through the network, so that each has at most `micro_batch` images.

    No part has fewer than two images, if the batch has as many.
    """
    if micro_batch is None:
        return 1
    return max(1, min(-(-images // micro_batch), images // LEAST_IMAGES))


def halved(images: int, parts: int, device: torch.device) -> int:
    """The next micro-batch, after one of so many parts of a batch did not fit.

    Raises:
        OutOfMemoryError: the parts cannot be smaller.
    """
    largest = -(-images // parts)
    if largest // 2 < LEAST_IMAGES:
        raise OutOfMemoryError(
            f"{largest} images at a time do not fit into the memory of {device}: choose smaller images or "
            "a smaller network, or another device with --device"
        )
    return largest // 2


def accumulated(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    parameters: list[Tensor],
    *,
    parts: int,
) -> tuple[Tensor, list[Tensor | None]]:
    """The mean loss of a batch, detached, and its gradients, computed in parts.

    Args:
        loss_of: the mean loss of some images with their labels.
        images: ``batch x 3 x size x size``.
        labels: ``batch``.
        parameters: what to differentiate by.
        parts: how many; sizes differ by one image at most.
    """
    if parts == 1:
        whole = loss_of(images, labels)
        return whole.detach(), list(torch.autograd.grad(whole, parameters, allow_unused=True))
    total = torch.zeros((), device=images.device)
    sums: list[Tensor | None] = [None] * len(parameters)
    for part, targets in zip(images.tensor_split(parts), labels.tensor_split(parts), strict=True):
        loss = loss_of(part, targets) * (len(part) / len(images))
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        total = total + loss.detach()
        sums = [added(left, right) for left, right in zip(sums, gradients, strict=True)]
    return total, sums


def fitting_gradients(
    loss_of: Callable[[Tensor, Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    parameters: list[Tensor],
    *,
    micro_batch: int | None,
) -> tuple[Tensor, list[Tensor | None], int | None]:
    """`accumulated` in as few parts as fit.

    Args:
        loss_of, images, labels, parameters: as of `accumulated`.
        micro_batch: most images in a part, to begin with; None for the whole batch.

    Returns:
        The loss, the gradients, and the micro-batch that fitted.

    Raises:
        OutOfMemoryError: not even two images fit.
    """
    while True:
        parts = count_parts(len(images), micro_batch)
        try:
            return *accumulated(loss_of, images, labels, parameters, parts=parts), micro_batch
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            micro_batch = halved(len(images), parts, images.device)
        release(images.device)  # here, as the error holds on to the tensors of the frames that it passed


def added(left: Tensor | None, right: Tensor | None) -> Tensor | None:
    """The sum of two gradients of one tensor, which may have taken no part."""
    if left is None or right is None:
        return right if left is None else left
    return left + right  # not in place: autograd may hand out one tensor twice


def fitting(function: Callable[[int], T], batch_size: int, device: torch.device) -> T:
    """What a function gives for the largest batch that fits: `batch_size`, or a half, a quarter, ….

    Raises:
        OutOfMemoryError: not even two images fit.
    """
    while True:
        try:
            return function(batch_size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            batch_size = halved(batch_size, 1, device)
        release(device)
