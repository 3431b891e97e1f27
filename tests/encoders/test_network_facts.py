from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.encoders.network_facts import CARD, UNKNOWN, Cards, NetworkFacts, between
from snt_zoo.encoders.profile import DIM


def made(number: int, *, profile: bool = True) -> NetworkFacts:
    """A network with a profile of length 1."""
    drawn = torch.randn(DIM, generator=torch.Generator().manual_seed(number))
    return NetworkFacts(
        f"{number:016x}", 10**5 + number, 10**7, 0.5, 1, 32, drawn / drawn.norm() if profile else None
    )


def test_a_card_is_finite_and_no_claim_moves_a_network_far() -> None:
    ordinary = [made(i) for i in range(5)]
    cards = Cards.measured_on(ordinary)
    crafted = replace(ordinary[0], params=10**18, macs=0, accuracy=None, sources=10**9)
    scaled = cards.scaled([crafted])
    assert scaled.shape == (1, len(CARD)) and float(scaled.abs().max()) <= 4


def test_distances_are_by_what_networks_do_and_unknown_ones_are_unlike_all() -> None:
    networks = [made(0), made(1), replace(made(0), digest="copy"), made(2, profile=False)]
    apart = between(networks, Cards.measured_on(networks).scaled(networks))
    assert torch.allclose(apart, apart.T) and float(apart.diagonal().max()) == 0
    assert float(apart[0, 2]) < 1e-4 < float(apart[0, 1])
    assert float(apart[0, 3]) >= UNKNOWN**0.5
