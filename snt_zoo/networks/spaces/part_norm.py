"""Some channels of a batch norm as a norm of their own: edges, and choices of a block, share one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


def normalise(
    x: Tensor, norm: nn.Module, rows: slice, weight: Tensor | None = None, bias: Tensor | None = None
) -> Tensor:
    """What the channels `rows` of a norm make of an input of as many channels, ``batch x n x h x w``.

    Args:
        x: the input.
        norm: a `BatchNorm2d`; in train mode its statistics of these channels are updated.
        rows: which channels.
        weight: scale ``n``; none if not given, and so is `bias`.
        bias: shift ``n``.
    """
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None and norm.momentum is not None
    return functional.batch_norm(
        x,
        norm.running_mean[rows],  # views: training updates them in place
        norm.running_var[rows],
        weight,
        bias,
        training=norm.training,
        momentum=norm.momentum,
        eps=norm.eps,
    )


def copy_statistics(source: nn.Module, target: nn.BatchNorm2d, rows: slice) -> None:
    """Give the statistics of the channels `rows` to a norm of as many."""
    for name in ("running_mean", "running_var"):
        getattr(target, name).copy_(getattr(source, name)[rows])
