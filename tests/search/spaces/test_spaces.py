"""Each space against its slow and obvious reference, and its derived networks against its supernet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.search.derived import DerivedModel
from snt_zoo.search.genotype import Edge, Genotype
from snt_zoo.search.spaces import darts, get_space, list_spaces, nas_bench_201, register_space
from snt_zoo.search.supernet import NetworkConfig, Supernet
from tests.search.spaces import reference

MakeSupernet = Callable[..., Supernet]


def reference_features(net: Supernet, x: Tensor) -> Tensor:
    if net.config.space == "darts":
        return reference.darts_features(net.trunk, x, net.mixture())
    if net.config.space == "mobile":
        return reference.mobile_features(net.trunk, x, net.mixture()["chain"])
    return reference.nas_bench_201_features(net.trunk, x, net.mixture()["cell"])


@pytest.fixture
def images(tiny_config: NetworkConfig) -> Tensor:
    size = tiny_config.input_size
    return torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [16, 15])  # an odd side halves to a rounded one
def test_mixed_features_and_gradients_equal_the_reference(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, training: bool, size: int
) -> None:
    net = make_supernet(tiny_config).double().train(training)
    with torch.no_grad():
        for buffer in net.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(2))
    x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    parameters = [*net.trunk.parameters(), *net.alphas.values()]

    def gradients(features: Tensor) -> list[Tensor]:
        probe = torch.randn(features.shape, generator=torch.Generator().manual_seed(3), dtype=x.dtype)
        return list(torch.autograd.grad((features * probe).sum(), parameters))

    expected = reference_features(net, x)
    found = net.features(x, net.mixture())
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    for left, right in zip(gradients(found), gradients(expected), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("training", [True, False])
def test_a_path_equals_the_mixture_that_is_one_on_it(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, images: Tensor, training: bool
) -> None:
    net = make_supernet(tiny_config).double().train(training)
    choice = net.choice()
    one_hot = {
        kind: torch.nn.functional.one_hot(torch.tensor(path), len(net.space.operations)).double()
        for kind, path in choice.items()
    }
    torch.testing.assert_close(net.features(images, choice=choice), net.features(images, one_hot))
    weighted = {kind: rows * 0.5 for kind, rows in one_hot.items()}
    torch.testing.assert_close(net.features(images, weighted, choice), net.features(images, weighted))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("training", [True, False])
def test_a_derived_model_equals_the_supernet_on_its_path(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, images: Tensor, seed: int, training: bool
) -> None:
    net = make_supernet(tiny_config, seed=seed).double()
    with torch.no_grad():
        net.train()(images, net.mixture())  # running statistics that are not the initial ones
    derived = DerivedModel.inherit(net).double()
    torch.testing.assert_close(derived.train(training)(images), net.train(training)(images))


def test_every_parameter_of_a_derived_model_takes_part(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, images: Tensor
) -> None:
    derived = DerivedModel.inherit(make_supernet(tiny_config)).double()
    gradients = torch.autograd.grad(derived(images).sum(), list(derived.parameters()), allow_unused=True)
    assert all(gradient is not None for gradient in gradients)


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
        live = nas_bench_201._live(genotype.cells["cell"])
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


def test_spaces_are_found_by_name() -> None:
    assert list_spaces() == ["darts", "mobile", "nas_bench_201"]
    with pytest.raises(UnknownComponentError, match="choose one of darts, mobile, nas_bench_201"):
        get_space("resnet")
    with pytest.raises(ConfigError, match="has no hyperparameter 'depth'"):
        get_space("darts", depth=3)
    with pytest.raises(ConfigError, match="channels must be a whole number from 1 to 128, got 10000"):
        get_space("darts", channels=10_000)
    with pytest.raises(ValueError, match="registered already"):
        register_space("darts")(darts.Darts)


def test_a_genotype_survives_json_and_nothing_else_does(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet
) -> None:
    genotype = make_supernet(tiny_config).genotype()
    assert Genotype.from_json(genotype.to_json()) == genotype
    for wrong in (None, [], {"space": "darts"}, {"space": "x", "cells": {"a": [[0, 1]]}}, {"cells": 3}):
        with pytest.raises(ConfigError, match="a genotype must be"):
            Genotype.from_json(wrong)
