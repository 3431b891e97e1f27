"""Each space against its slow and obvious reference, and its derived networks against its supernet."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from snt_zoo.errors import ConfigError, UnknownComponentError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces import darts, get_space, list_spaces, nas_bench_201, register_space
from snt_zoo.networks.spaces.darts import kernels
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.conftest import TINY
from tests.networks.spaces import reference

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


@pytest.fixture(params=["compiled", "pytorch"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which a space may compute: with the compiled kernels and without."""
    if request.param == "pytorch":
        monkeypatch.setattr(kernels, "usable", lambda _: False)
    elif not kernels.available():
        pytest.skip("no C++ compiler: the kernels are not used")
    return str(request.param)


@pytest.mark.usefixtures("route")
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


@pytest.mark.usefixtures("route")
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


@pytest.mark.usefixtures("route")
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("training", [True, False])
def test_a_derived_model_equals_the_supernet_on_its_path(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, images: Tensor, seed: int, training: bool
) -> None:
    net = make_supernet(tiny_config, seed=seed).double()
    with torch.no_grad():
        net.train()(images, net.mixture())  # running statistics that are not the initial ones
    derived = DerivedModel.inherit(net)
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


def test_the_operations_own_all_weights_of_their_edges(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet, images: Tensor
) -> None:
    net = make_supernet(tiny_config).double()
    owned = net.trunk.operation_parameters()
    marks = {id(weight): torch.zeros_like(weight) for rows in owned.values() for weight, _ in rows}
    for rows in owned.values():
        for weight, part in rows:
            (marks[id(weight)] if part is None else marks[id(weight)][part]).add_(1)
    shared = {id(w) for w in net.trunk.parameters()} - set(marks)
    assert all(bool((mark >= 1).all()) for mark in marks.values())
    # The weights that an operation is said to own are those that a path with it uses beyond the rest.
    choice = net.choice()
    used = torch.autograd.grad(
        net.features(images, choice=choice).sum(), list(net.trunk.parameters()), allow_unused=True
    )
    used_by_id = {id(w): g != 0 for w, g in zip(net.trunk.parameters(), used, strict=True) if g is not None}
    pruned = net.space.pruned(choice)
    mine: dict[int, Tensor] = {}
    for (kind, row, column), rows in owned.items():
        if pruned[kind][row] == column:
            for weight, part in rows:
                mask = mine.setdefault(id(weight), torch.zeros_like(weight, dtype=torch.bool))
                (mask if part is None else mask[part]).fill_(True)
    for key, mask in used_by_id.items():
        if key not in shared:
            assert bool((mask <= mine.get(key, torch.zeros_like(mask))).all())


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


def test_a_committed_genotype_is_what_the_alphas_stand_for(
    tiny_config: NetworkConfig, make_supernet: MakeSupernet
) -> None:
    net = make_supernet(tiny_config, seed=1)
    other = make_supernet(tiny_config, seed=2).genotype()
    assert net.genotype() != other
    before = {kind: alpha.clone() for kind, alpha in net.alphas.items()}
    net.commit(net.genotype())
    assert all(torch.equal(net.alphas[kind], alpha) for kind, alpha in before.items())
    net.commit(other)
    assert net.genotype() == other
    net.half()  # as a bundle may store it
    assert net.float().genotype() == other


def test_partial_channels_divide_the_channels() -> None:
    with pytest.raises(ConfigError, match="multiple of partial_channels, got 10 and 4"):
        get_space("nas_bench_201", channels=10, partial_channels=4)
    for name in list_spaces():
        space = get_space(name)
        assert space.added_later <= set(space.hyperparameters())


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
