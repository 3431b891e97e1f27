"""On a made world in which a network is good for datasets that lie where its source lies."""

from __future__ import annotations

import torch

from benchmarks.learned_space.cards import from_cards
from benchmarks.learned_space.contrastive import Settings, Table, train_space
from benchmarks.learned_space.network_encoder import NetworkBatch
from benchmarks.learned_space.set_encoder import SketchBatch
from snt_zoo.encoders.sketch import Sketch
from tests.encoders.making import random_sketch


def _shifted(kind: int, seed: int) -> Sketch:
    made = random_sketch(4, seed=seed)
    shift = torch.zeros(64)
    shift[kind] = 6.0
    fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
    return Sketch(**{**fields, "means": made.means + shift})


def test_a_space_finds_the_networks_of_a_datasets_kind_and_repeats() -> None:
    kinds, each = 3, 8
    tasks = SketchBatch.of([_shifted(t % kinds, t) for t in range(kinds * each)])
    sources = SketchBatch.of([_shifted(k, 100 + k) for k in range(kinds)])
    networks = NetworkBatch(
        torch.randn(6, 4, generator=torch.Generator().manual_seed(0)),
        torch.zeros(6, 2),
        torch.zeros(6, 2),
        torch.eye(kinds).repeat(2, 1),
        torch.arange(6),
    )
    task, network = torch.cartesian_prod(torch.arange(kinds * each), torch.arange(6)).T
    y = torch.where(task % kinds == network % kinds, 1.5, -0.5)
    seen = task < kinds * each - kinds  # the last of each kind are new to it
    table = Table(task[seen], network[seen], y[seen])
    settings = Settings(steps=60, tasks=12)
    spaces = [train_space(table, tasks, sources, networks, torch.zeros(6), settings) for _ in range(2)]
    new = tasks.subset(torch.arange(kinds * each - kinds, kinds * each))
    found = []
    for space in spaces:
        with torch.no_grad():
            vectors = space.of_network(networks, space.of_data(sources))
            found.append(space.score(space.of_data(new), vectors, torch.zeros(6)))
    assert torch.equal(found[0], found[1])
    assert (found[0].argmax(1) % kinds).tolist() == [0, 1, 2]


def test_cards_tell_of_networks_that_nobody_tried() -> None:
    cards = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).double()
    levels = cards @ torch.tensor([1.0, -0.5, 0.0]).double()
    tried = torch.arange(60) < 40
    found = from_cards(cards, levels, tried)
    assert torch.corrcoef(torch.stack([found[~tried], levels[~tried]]))[0, 1] > 0.95
