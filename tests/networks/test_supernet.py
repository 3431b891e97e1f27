from __future__ import annotations

import pytest
import torch

from snt_zoo.errors import ConfigError
from snt_zoo.networks.spaces import nas_bench_201
from snt_zoo.networks.supernet import NetworkConfig
from tests.conftest import TINY, MakeSupernet


def test_edge_normalisation_weighs_the_edges_into_a_node(make_supernet: MakeSupernet) -> None:
    net = make_supernet(TINY["nas_bench_201/partial"])
    with torch.no_grad():
        net.edge_alphas["cell"].normal_(generator=torch.Generator().manual_seed(0))
    sums = net.mixture()["cell"].sum(1)
    for node in (1, 2, 3):
        into = [row for row, (_, t) in enumerate(nas_bench_201.EDGES) if t == node]
        expected = net.edge_alphas["cell"][into].softmax(0)
        torch.testing.assert_close(sums[into], expected)
    assert set(make_supernet(TINY["nas_bench_201"]).edge_alphas) == set()
    assert "edge_alphas.cell" in net.state_dict()
    copy = net.with_head(3, generator=torch.Generator())
    assert torch.equal(copy.edge_alphas["cell"], net.edge_alphas["cell"])
    torch.testing.assert_close(net.entropy(), copy.entropy())


@pytest.mark.parametrize("heads", [(3, 3), (10, 0), (-1, 11)])
def test_heads_must_make_up_the_classes(heads: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="with the sum num_classes = 10"):
        NetworkConfig(num_classes=10, heads=heads)
