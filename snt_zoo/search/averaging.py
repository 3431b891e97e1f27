"""An exponential average of a network's weights along its training.

The average generalises better than any of the points that it is made of while the rate is large, as
stochastic weight averaging does (Izmailov et al., UAI 2018, arXiv 1803.05407). Two things must fit it:

- Batch-norm statistics belong to weights, and those of the trained network are not its. They are measured
  on training images before the average is evaluated.
- Alphas are not averaged: Adam moves them slowly, and an average would derive to an architecture of an
  earlier time than the weights were trained for. The average has the alphas of now.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from snt_zoo.data import Split
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import recalibrate
from snt_zoo.networks.supernet import Supernet
from snt_zoo.search.checkpoint import nest, unnest


class WeightAverage:
    """The average of a network's weights.

    Args:
        network: what is trained.
        decay: share of the old average in the new one, from 0 to below 1; about 1 / (1 - decay) of the last
            steps count. Early it is less, so that the first steps are soon forgotten.
    """

    def __init__(self, network: Supernet | DerivedModel, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network)
        """The averaged network. Its buffers are of no use until it is `measured`."""
        self.steps = 0
        """How many went into it."""
        self._measured_at = -1
        self._pairs: tuple[list[Tensor], list[Tensor]] | None = None
        """The average's parameters and those of the network: to walk through the modules takes time."""

    @torch.no_grad()
    def update(self, network: Supernet | DerivedModel) -> None:
        """Take the weights of now into the average; each time of the same network."""
        # torch's AveragedModel does the same, and copies every buffer besides, in each step and one by one.
        if self._pairs is None:
            self._pairs = list(self.network.parameters()), list(network.parameters())
        averages, current = self._pairs
        if self.steps == 0:
            torch._foreach_copy_(averages, current)
        else:
            early = (1 + self.steps) / (10 + self.steps)
            torch._foreach_lerp_(averages, current, 1 - min(self.decay, early))
        self.steps += 1

    @torch.no_grad()
    def measured(
        self,
        network: Supernet | DerivedModel,
        split: Split | None,
        *,
        mixture: Mapping[str, Tensor] | None = None,
    ) -> Supernet | DerivedModel:
        """The averaged network with the alphas of now and batch norms measured for it.

        Args:
            network: what is trained.
            split: training images; None where the norms of the network are to stay.
            mixture: as of `recalibrate`.
        """
        average = self.network
        if self._measured_at == self.steps:
            return average
        if isinstance(average, Supernet) and isinstance(network, Supernet):
            average.alphas.load_state_dict(network.alphas.state_dict())
            average.edge_alphas.load_state_dict(network.edge_alphas.state_dict())
            average.bound = network.bound
        for old, new in zip(average.buffers(), network.buffers(), strict=True):
            old.copy_(new)  # those of other paths: the nearest that there is
        if split is not None:
            recalibrate(average, split, mixture=mixture)
        self._measured_at = self.steps
        return average

    def state(self) -> dict[str, Tensor]:
        """Named tensors, for a checkpoint."""
        return {"n_averaged": torch.tensor(self.steps), **nest("module", self.network.state_dict())}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.network.load_state_dict(unnest("module", state))
        self.steps = int(state["n_averaged"])
        self._measured_at = -1
