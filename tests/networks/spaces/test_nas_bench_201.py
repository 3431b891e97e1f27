"""What only the space `nas_bench_201` has: its rule of deriving, and operations that share a convolution."""

from __future__ import annotations

import pytest
import torch

from snt_zoo.errors import ConfigError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces import get_space, nas_bench_201
from snt_zoo.networks.supernet import NetworkConfig
from tests.conftest import MakeSupernet


def test_a_path_trains_the_statistics_of_its_own_operations_only(make_supernet: MakeSupernet) -> None:
    net = make_supernet(NetworkConfig("nas_bench_201", {"channels": 4}, 10, 16)).train()
    conv_1x1 = nas_bench_201.OPERATIONS.index("nor_conv_1x1")
    none = nas_bench_201.OPERATIONS.index("none")
    path = [conv_1x1 if edge == (0, 3) else none for edge in nas_bench_201.EDGES]
    net(torch.randn(4, 3, 16, 16), choice={"cell": path})
    norm = net.trunk.cells[0].conv_1x1[0].norm  # type: ignore[union-attr, index]
    moved = (norm.running_mean != 0).view(3, 4)
    assert moved[2].all() and not moved[:2].any()  # the third edge that leaves node 0
    assert not net.trunk.cells[0].conv_3x3[0].norm.running_mean.any()  # type: ignore[union-attr, index]


def test_nas_bench_201_takes_the_strongest_operation_of_each_edge() -> None:
    space = get_space("nas_bench_201")
    names = ["nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "nor_conv_3x3", "none"]
    mixture = torch.full((6, 5), 0.1)
    for row, name in enumerate(names):
        mixture[row, nas_bench_201.OPERATIONS.index(name)] = 0.6
    cell = space.discretise({"cell": mixture}).cells["cell"]
    assert [edge.operation for edge in cell] == names
    assert [(edge.source, edge.target) for edge in cell] == list(nas_bench_201.EDGES)


@pytest.mark.parametrize("empty", ["none", "skip_connect"])
def test_nas_bench_201_never_derives_a_network_that_computes_nothing(empty: str) -> None:
    space = get_space("nas_bench_201")
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        mixture = torch.rand(6, 5, generator=generator)
        mixture[:, nas_bench_201.OPERATIONS.index(empty)] += 1.0
        genotype = space.discretise({"cell": mixture})
        live = nas_bench_201.layout.live(genotype.cells["cell"])
        computing = [edge for edge in live if edge.operation not in ("none", "skip_connect")]
        assert len(computing) >= nas_bench_201.MIN_COMPUTING
        assert genotype.share("none", "skip_connect") <= 0.5


def test_the_last_node_of_a_genotype_from_outside_must_be_reached() -> None:
    cut = Genotype("nas_bench_201", {"cell": tuple(Edge(s, t, "none") for s, t in nas_bench_201.EDGES)})
    with pytest.raises(ConfigError, match="a way from node 0 to node 3"):
        DerivedModel(NetworkConfig("nas_bench_201", {}, 10), cut)
    with pytest.raises(ConfigError, match="darts genotype"):
        DerivedModel(NetworkConfig("darts", {}, 10), cut)
