"""An exponential average of a network's weights along its training.

The average generalises better than any of the points that it is made of while the rate is large, as
stochastic weight averaging does (Izmailov et al., UAI 2018, arXiv 1803.05407). Two things must fit it:

- Batch-norm statistics belong to weights, and those of the trained network are not its. They are measured
  on training images before the average is evaluated.
- Alphas are not averaged: Adam moves them slowly, and an average would derive to an architecture of an
  earlier time than the weights were trained for. The average has the alphas of now.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from snt_zoo.data import Split
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.evaluate import recalibrate
from snt_zoo.search.supernet import Supernet


class WeightAverage:
    """The average of a network's weights.

    Args:
        network: what is trained.
        decay: share of the old average in the new one, from 0 to below 1; about 1 / (1 - decay) of the last
            steps count. Early it is less, so that the first steps are soon forgotten.
    """

    def __init__(self, network: Supernet | DerivedModel, decay: float) -> None:
        self.decay = decay
        self.model = AveragedModel(network, multi_avg_fn=self._rule)
        self.steps = 0
        """How many went into it. Counted here: the model's counter would have to be read from a GPU."""
        self._measured_at = -1

    def _rule(
        self,
        averages: tuple[Tensor, ...] | list[Tensor],
        current: tuple[Tensor, ...] | list[Tensor],
        number: Tensor | int,
    ) -> None:
        early = (1 + self.steps) / (10 + self.steps)
        torch._foreach_lerp_(list(averages), list(current), 1 - min(self.decay, early))

    @property
    def network(self) -> Supernet | DerivedModel:
        """The averaged network."""
        found = self.model.module
        assert isinstance(found, (Supernet, DerivedModel))
        return found

    def update(self, network: Supernet | DerivedModel) -> None:
        """Take the weights of now into the average."""
        self.model.update_parameters(network)
        self.steps += 1

    @torch.no_grad()
    def measured(
        self, network: Supernet | DerivedModel, split: Split, *, mixture: Mapping[str, Tensor] | None = None
    ) -> Supernet | DerivedModel:
        """The averaged network with the alphas of now and batch norms measured for it.

        Args:
            network: what is trained.
            split: training images.
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
        recalibrate(average, split, mixture=mixture)
        self._measured_at = self.steps
        return average

    def state(self) -> dict[str, Tensor]:
        """Named tensors, for a checkpoint."""
        return dict(self.model.state_dict())

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(dict(state))
        self.steps = int(self.model.n_averaged)
        self._measured_at = -1
