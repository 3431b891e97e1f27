"""The best head of a race, where another source won it: a network that is there without any training.

A large supernet may begin better than any other and be too slow to be trained in the budget. A small one is
then trained, and in the end the better of the two is handed back (`snt_zoo.search.adapting.floor`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from snt_zoo.data import ImageDataset
from snt_zoo.networks.bounds import Limits
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.search.adapting.racer import Entrant
from snt_zoo.search.checkpoint import unnest
from snt_zoo.search.run import Run

BEST_HEAD = "best-head"


@dataclass(frozen=True, eq=False)
class BestHead:
    """A network: a supernet that did not win the race, with the head that was fitted to it.

    Args:
        source: its id.
        model: derived from it, with the head; in eval mode on the CPU.
        val_accuracy: from 0 to 1.
    """

    source: str
    model: DerivedModel
    val_accuracy: float


def best_head(
    entrants: Sequence[Entrant], data: ImageDataset, *, run: Run, limits: Limits, seed: int
) -> BestHead | None:
    """The best head of a race, if it is not the winner's."""
    facts = run.facts.get(BEST_HEAD)
    if facts is None:
        return None
    entrant = next(entrant for entrant in entrants if entrant.id == facts["id"])
    supernet = entrant.start(data, limits, seed, torch.device("cpu"))
    supernet.load_state_dict(unnest(BEST_HEAD, run.kept))
    return BestHead(entrant.id, DerivedModel.inherit(supernet).eval(), facts["val_accuracy"])


def own_state(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a run has kept of the winner."""
    return {name: tensor for name, tensor in kept.items() if not name.startswith(f"{BEST_HEAD}.")}


def head_state(kept: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a run has kept of the best head, under the names that it has there."""
    return {name: tensor for name, tensor in kept.items() if name.startswith(f"{BEST_HEAD}.")}
