from __future__ import annotations

from dataclasses import replace

import torch

from snt_zoo.networks.derived import DerivedModel
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
