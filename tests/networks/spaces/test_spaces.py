"""`tests/networks/spaces/cases.py` for each space, and what is theirs alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces import darts, get_space, list_spaces, nas_bench_201, register_space
from snt_zoo.networks.spaces.darts import kernels
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.conftest import TINY
from tests.networks.spaces import reference
from tests.networks.spaces.cases import SpaceTestCase

MakeSupernet = Callable[..., Supernet]


class TestNasBench201(SpaceTestCase):
    config = TINY["nas_bench_201"]
    others = (NetworkConfig("nas_bench_201", {"channels": 6, "cells_per_stage": 2}, 7, 21),)
    reference = staticmethod(reference.nas_bench_201_features)


class TestPartialNasBench201(TestNasBench201):
    config = TINY["nas_bench_201/partial"]


class TestMobile(SpaceTestCase):
    config = TINY["mobile"]
    reference = staticmethod(reference.mobile_features)


class TestDarts(SpaceTestCase):
    config = TINY["darts"]
    others = (
        NetworkConfig("darts", {"channels": 6, "cells": 5, "stem_multiplier": 3}, 3, 19),
        NetworkConfig("darts", {"channels": 4, "cells": 4, "stem_stride": 2}, 3, 19),
    )
    reference = staticmethod(reference.darts_features)


class TestPartialDarts(TestDarts):
    config = TINY["darts, partial"]


class WithoutKernels:
    """Everything by PyTorch's operations, as where there is no compiler."""

    @pytest.fixture(autouse=True)
    def _by_pytorch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(kernels, "usable", lambda _: False)


class TestDartsWithoutKernels(WithoutKernels, TestDarts):
    pass


class TestPartialDartsWithoutKernels(WithoutKernels, TestPartialDarts):
    pass


def test_every_space_has_its_case() -> None:
    assert {case.config.space for case in SpaceTestCase.__subclasses__()} == set(list_spaces())


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


def test_darts_keeps_two_edges_into_each_node_and_never_none() -> None:
    space = get_space("darts")
    generator = torch.Generator().manual_seed(0)
    mixture = {kind: torch.rand(14, 8, generator=generator) for kind in ("normal", "reduce")}
    mixture["normal"][:, 0] = 9.0  # `none` is the strongest everywhere
    for edges in space.discretise(mixture).cells.values():
        assert [edge.target for edge in edges] == [2, 2, 3, 3, 4, 4, 5, 5]
        assert all(edge.operation != "none" for edge in edges)
    rows = mixture["reduce"][:, 1:].max(1).values
    strongest = {
        s for (s, t), _ in sorted(zip(darts.EDGES, rows, strict=True), key=lambda p: -p[1]) if t == 5
    }
    kept = {e.source for e in space.discretise(mixture).cells["reduce"] if e.target == 5}
    assert kept <= strongest and len(kept) == 2
    into_5 = sorted(
        ((float(r), s) for (s, t), r in zip(darts.EDGES, rows, strict=True) if t == 5), reverse=True
    )
    assert kept == {s for _, s in into_5[:2]}


def test_the_last_node_of_a_genotype_from_outside_must_be_reached() -> None:
    cut = Genotype("nas_bench_201", {"cell": tuple(Edge(s, t, "none") for s, t in nas_bench_201.EDGES)})
    with pytest.raises(ConfigError, match="a way from node 0 to node 3"):
        DerivedModel(NetworkConfig("nas_bench_201", {}, 10), cut)
    with pytest.raises(ConfigError, match="darts genotype"):
        DerivedModel(NetworkConfig("darts", {}, 10), cut)


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


def test_partial_channels_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match="multiple of partial_channels, got 10 and 4"):
        get_space("nas_bench_201", channels=10, partial_channels=4)


def test_darts_skips_at_most_half_of_a_cells_edges() -> None:
    space = get_space("darts")
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        mixture = {kind: torch.rand(14, 8, generator=generator) for kind in ("normal", "reduce")}
        mixture["normal"][:, darts.SKIP] += 1.0
        guarded = space.discretise(mixture)
        kept = guarded.cells["normal"]
        assert sum(edge.operation == "skip_connect" for edge in kept) == darts.MAX_SKIPS
        # Those that lose least are replaced: the gap of a kept skip is at least that of any replaced one.
        gaps = {}
        for edge in kept:
            row = mixture["normal"][darts.EDGES.index(edge[:2])].clone()
            skip = float(row[darts.SKIP])
            row[[0, darts.SKIP]] = -1.0
            gaps[edge] = skip - float(row.max())
        replaced = [gap for edge, gap in gaps.items() if edge.operation != "skip_connect"]
        left = [gap for edge, gap in gaps.items() if edge.operation == "skip_connect"]
        assert max(replaced) <= min(left)


def test_spaces_are_found_by_name() -> None:
    with pytest.raises(UnknownComponentError, match=f"choose one of {', '.join(list_spaces())}"):
        get_space("resnet")
    with pytest.raises(ConfigError, match="has no hyperparameter 'depth'"):
        get_space("darts", depth=3)
    with pytest.raises(ConfigError, match="channels must be a whole number from 1 to 128, got 10000"):
        get_space("darts", channels=10_000)
    with pytest.raises(ValueError, match="registered already"):
        register_space("darts")(darts.Darts)


def test_both_routes_of_darts_move_the_running_statistics_alike(
    make_supernet: MakeSupernet, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not kernels.available():
        pytest.skip("no C++ compiler: the kernels are not used")
    images = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    compiled, plain = (make_supernet(TINY["darts"]).double().train() for _ in range(2))
    calls = (lambda net: net(images, net.mixture()), lambda net: net(images))
    for call in calls:
        call(compiled)
    with monkeypatch.context() as patched:
        patched.setattr(kernels, "usable", lambda _: False)
        for call in calls:
            call(plain)
    for (name, found), expected in zip(compiled.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(found, expected, msg=lambda text, name=name: f"{name}: {text}")


def test_a_fused_cell_is_differentiated_once(make_supernet: MakeSupernet) -> None:
    if not kernels.available():
        pytest.skip("no C++ compiler: the kernels are not used")
    net = make_supernet(TINY["darts"]).double().train()
    images = torch.zeros(2, 3, 16, 16, dtype=torch.float64)
    loss = net(images, net.mixture()).sum()
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="run it forward again"):
        loss.backward()
