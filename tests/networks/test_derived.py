from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.spread import spread
from tests.conftest import TINY, MakeSupernet


def test_it_has_the_weights_of_the_operations_that_its_genotype_keeps(make_supernet: MakeSupernet) -> None:
    net, other = (make_supernet(TINY["nas_bench_201"], seed=seed) for seed in (0, 1))
    own, asked = DerivedModel.inherit(net.double()), DerivedModel.inherit(net, other.genotype())
    assert own.genotype == net.genotype() != asked.genotype == other.genotype()
    for model in (own, asked):
        assert torch.equal(model.head.weight, net.head.weight) and model.head.weight is not net.head.weight
        known = {row.tobytes() for t in net.trunk.parameters() for row in t.detach().numpy()}
        assert all(row.tobytes() in known for t in model.trunk.parameters() for row in t.detach().numpy())


def test_fresh_weights_are_the_generators_alone(make_supernet: MakeSupernet) -> None:
    config, genotype = TINY["darts"], make_supernet(TINY["darts"]).genotype()
    made = []
    for seed in (3, 3, 4):
        generator = torch.Generator().manual_seed(seed)
        made.append(DerivedModel.create(replace(config, num_classes=7), genotype, generator=generator))
    first, again, third = (torch.cat([p.flatten() for p in model.parameters()]) for model in made)
    assert torch.equal(first, again) and not torch.equal(first, third)
    assert made[0](torch.zeros(2, 3, 16, 16)).shape == (2, 7)


@pytest.mark.parametrize("space", sorted(TINY))
def test_what_two_networks_have_in_common_is_taken_over(space: str, make_supernet: MakeSupernet) -> None:
    net = make_supernet(TINY[space])
    first, last = (DerivedModel.inherit(net, genotype) for genotype in spread(net, 4)[::3])
    twin = DerivedModel.inherit(net, first.genotype)
    with torch.no_grad():
        for tensor in first.state_dict().values():
            tensor.add_(1)
    twin.take_over(first)  # of the same genotype it is all
    assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in twin.state_dict().items())
    before = {name: tensor.clone() for name, tensor in last.state_dict().items()}
    last.take_over(first)
    changed = {name for name, tensor in last.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {"head.weight", *(f"trunk.stem.{name}" for name in first.trunk.stem.state_dict())} <= changed
    assert changed < set(before)
    pieces = first.space.pieces(first.trunk)
    assert sum(p.numel() for piece in pieces.values() for p in piece.parameters()) == sum(
        p.numel() for p in first.trunk.parameters()
    )
