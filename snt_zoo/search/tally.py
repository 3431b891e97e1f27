"""The losses of an epoch, summed on the device, and whether they have diverged.

Nothing is read from the device until it is asked for: `check` finds out afterwards which step was the first
to be no number.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from snt_zoo.errors import DivergenceError

HOPELESS = 100
"""A mean loss that is so many times that of guessing is a divergence, though still a number."""


class Tally:
    """Counts the steps of an epoch and sums their losses.

    Args:
        num_classes: K; guessing has the loss log K.
        device: where the losses lie.
    """

    def __init__(self, num_classes: int, *, device: torch.device) -> None:
        self.guessing = math.log(num_classes)
        self.steps = 0
        self._total = torch.zeros((), device=device)
        self._finite = torch.zeros((), device=device)  # steps until the total was no number

    def clear(self) -> None:
        """Begin an epoch."""
        self.steps = 0
        self._total.zero_()
        self._finite.zero_()

    def add(self, loss: Tensor) -> None:
        """Count a step; `loss` is a scalar on the device."""
        self.steps += 1
        self._total += loss
        self._finite += self._total.isfinite()

    def mean(self) -> float:
        """The mean loss; waits for the device.

        Raises:
            DivergenceError: it is not finite, or hopeless. The message says since which step of the epoch.
        """
        total, finite = torch.stack([self._total, self._finite]).tolist()
        if not math.isfinite(total):
            raise DivergenceError(f"the training loss became {total} in step {int(finite) + 1}")
        mean: float = total / max(self.steps, 1)
        if mean > HOPELESS * self.guessing:
            raise DivergenceError(
                f"the training loss was {mean:.3g} in the mean (guessing has {self.guessing:.3g}) up to step "
                f"{self.steps}"
            )
        return mean

    def state(self) -> dict[str, Tensor]:
        """Named tensors, for a checkpoint."""
        return {"steps": torch.tensor(self.steps), "total": self._total, "finite": self._finite}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.steps = int(state["steps"])
        self._total.copy_(state["total"])
        self._finite.copy_(state["finite"])
