"""Several heads in one linear layer: a block of its rows for each dataset that a generalist is trained on.

A supernet of several sources has a trunk and alphas that all share, and a head for each source. The heads
lie one under the other in one layer, so that weights, bundles and checks are those of any supernet; what
makes them heads of their own is that a softmax runs over the classes of an image's dataset alone. An image
of one dataset then says nothing about the classes of another, which may be the same ones by other names.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from snt_zoo.data import Split


@functools.lru_cache(maxsize=32)
def _owners(heads: tuple[int, ...], device: torch.device) -> Tensor:
    """The head of each class, int64 ``classes``; kept, as building it in each step would stall a GPU."""
    return torch.repeat_interleave(torch.arange(len(heads)), torch.tensor(heads)).to(device)


def own_classes(labels: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Which classes stand in the head of each label: bool ``batch x classes``."""
    owners = _owners(heads, labels.device)
    return owners[labels][:, None] == owners


def own_logits(logits: Tensor, labels: Tensor, heads: tuple[int, ...]) -> Tensor:
    """Logits in which the classes of other heads than the label's are −∞.

    Args:
        logits: ``batch x classes``.
        labels: int64 ``batch``.
        heads: numbers of classes, in order; none for one head, whose logits come back as they are.
    """
    return logits.masked_fill(~own_classes(labels, heads), -torch.inf) if heads else logits


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    heads: tuple[int, ...] = (),
    *,
    label_smoothing: float = 0.0,
    reduction: str = "mean",
) -> Tensor:
    """Cross-entropy within the head of each label; with one head that of torch.

    Args:
        logits: ``batch x classes``.
        labels: int64 ``batch``.
        heads: as of `own_logits`.
        label_smoothing: share of the target that is spread over the classes of the head.
        reduction: `mean` or `sum` over the batch.
    """
    if not heads:
        return functional.cross_entropy(logits, labels, label_smoothing=label_smoothing, reduction=reduction)
    own = own_classes(labels, heads)
    logs = logits.masked_fill(~own, -torch.inf).log_softmax(1)
    losses = functional.nll_loss(logs, labels, reduction="none")
    if label_smoothing:
        spread = -logs.masked_fill(~own, 0.0).sum(1) / own.sum(1)
        losses = (1 - label_smoothing) * losses + label_smoothing * spread
    return losses.sum() if reduction == "sum" else losses.mean()


def split_by_head(split: Split, heads: Sequence[int]) -> tuple[Split, ...]:
    """The images of each head, with the labels that they have among all classes; the whole for one head."""
    if not heads:
        return (split,)
    owners = _owners(tuple(heads), torch.device("cpu"))[split.labels]
    return tuple(split.subset((owners == head).nonzero().flatten()) for head in range(len(heads)))


@contextlib.contextmanager
def statistics_kept(network: nn.Module) -> Iterator[None]:
    """Batch-norm statistics are after it what they were before."""
    buffers = list(network.buffers())
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)
