"""Tensors that are used again from step to step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


class Workspace:
    """Keeps tensors that a step has finished with, for the next step.

    Fresh memory of some megabytes comes from the operating system page by page, each set to zero: in a mixed
    DARTS cell that cost a tenth of a step. A tensor that is not given back is freed as any other.
    """

    def __init__(self) -> None:
        self._free: defaultdict[tuple[torch.dtype, tuple[int, ...]], list[Tensor]] = defaultdict(list)

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A contiguous tensor on the CPU, with any values."""
        free = self._free[dtype, tuple(shape)]
        return free.pop() if free else torch.empty(tuple(shape), dtype=dtype)

    def give_back(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors of `take` back; nobody may use them any more."""
        for tensor in tensors:
            self._free[tensor.dtype, tuple(tensor.shape)].append(tensor)

    def __deepcopy__(self, _: object) -> Workspace:
        return Workspace()
