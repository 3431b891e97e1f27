"""The learned network encoder: what a network does, was trained on, costs and looks like, as a unit vector.

It lies in the space of the dataset encoder (`set_encoder`). A network that was never seen, of a space that
was never seen, has all of these but an id of its own; the id is dropped at random in training, so that the
rest must do without it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

BLOCKS = ("profile", "sources", "card", "topology", "id")

ID_DROPOUT = 0.3
"""Share of the networks of a step that go without their id."""


@dataclass(frozen=True, eq=False)
class NetworkBatch:
    """Networks as tensors.

    Args:
        profile: float32 ``n x p``; see `snt_zoo.encoders.profile`.
        card: float32 ``n x c``: costs, own accuracy, breadth.
        topology: float32 ``n x o``.
        sources: which of the sources each was trained on, rows sum to 1: float32 ``n x s``.
        ids: of the supernet, int64 ``n``; −1 for one that has none.
    """

    profile: Tensor
    card: Tensor
    topology: Tensor
    sources: Tensor
    ids: Tensor

    def subset(self, rows: Tensor) -> NetworkBatch:
        """Some of them."""
        return NetworkBatch(*(part[rows] for part in vars(self).values()))


class NetworkEncoder(nn.Module):
    """Networks to unit vectors.

    Args:
        sizes: of a profile, a card and a topology.
        ids: how many supernets have an id.
        dim: of the vectors, and of those of their sources.
        width: inside.
        without: blocks of `BLOCKS` that are left out; an ablation.
    """

    def __init__(
        self,
        sizes: tuple[int, int, int],
        ids: int,
        dim: int = 48,
        width: int = 96,
        *,
        without: Collection[str] = (),
    ) -> None:
        super().__init__()
        self.without = frozenset(without)
        profile, card, topology = sizes
        self.of_profile = nn.Linear(profile, width)
        self.of_card = nn.Linear(card, width)
        self.of_topology = nn.Linear(topology, width)
        self.of_sources = nn.Linear(dim, width)
        self.of_id = nn.Embedding(ids, width)
        nn.init.normal_(self.of_id.weight, std=0.1)
        self.out = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim)
        )
        self.centre: Tensor
        self.scale: Tensor
        self.register_buffer("centre", torch.zeros(sum(sizes)))
        self.register_buffer("scale", torch.ones(sum(sizes)))

    @torch.no_grad()
    def standardise(self, batch: NetworkBatch) -> None:
        """Measure the inputs' mean and deviation on the networks that are trained on."""
        parts = [batch.profile, batch.card, batch.topology]
        self.centre.copy_(torch.cat([part.mean(0) for part in parts]))
        self.scale.copy_(torch.cat([part.std(0).clamp_min(0.02) for part in parts]))

    def forward(self, batch: NetworkBatch, sources: Tensor, *, keep_id: Tensor | None = None) -> Tensor:
        """``n`` networks to ``n x dim``, of unit length.

        Args:
            batch: the networks.
            sources: vectors of the sources, ``s x dim``.
            keep_id: which keep their id, bool ``n``; all that have one by default.
        """
        sizes = [batch.profile.shape[1], batch.card.shape[1], batch.topology.shape[1]]
        inputs = (batch.profile, batch.card, batch.topology)
        pairs = zip(torch.split(self.centre, sizes), torch.split(self.scale, sizes), strict=True)
        profile, card, topology = (
            ((x - centre) / scale).clamp(-5, 5) for x, (centre, scale) in zip(inputs, pairs, strict=True)
        )
        has_id = batch.ids >= 0 if keep_id is None else keep_id & (batch.ids >= 0)
        parts = {
            "profile": self.of_profile(profile),
            "card": self.of_card(card),
            "topology": self.of_topology(topology),
            "sources": self.of_sources(batch.sources @ sources),
            "id": self.of_id(batch.ids.clamp_min(0)) * has_id[:, None],
        }
        inside = sum(part for name, part in parts.items() if name not in self.without)
        return functional.normalize(self.out(inside), dim=1)
