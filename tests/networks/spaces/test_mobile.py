"""What only the space `mobile` has: blocks that must not be skipped, views of shared weights, exact costs."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from snt_zoo.data import ImageDataset
from snt_zoo.errors import ConfigError
from snt_zoo.networks.derived import DerivedModel
from snt_zoo.networks.evaluate import count_macs, recalibrate
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces import mobile
from snt_zoo.networks.spaces.mobile import CHAIN, OPERATIONS, SKIP, Mobile
from snt_zoo.networks.supernet import NetworkConfig, Supernet
from tests.conftest import TINY, MakeSupernet
from tests.search.cases import make_searcher

CONFIG = TINY["mobile"]
SPACE = Mobile(**CONFIG.hyperparameters)
BLOCKS = SPACE.plan.blocks


def random_genotype(space: Mobile, seed: int) -> Genotype:
    generator = torch.Generator().manual_seed(seed)
    return space.discretise({CHAIN: torch.rand(len(space.plan.blocks), len(OPERATIONS), generator=generator)})


def test_the_default_shape_is_mobilenet_v2() -> None:
    from torchvision.models import mobilenet_v2

    space = Mobile()
    path = [OPERATIONS.index("mb_e6_k3")] * 16
    edges = zip(space.edges[CHAIN], path, strict=True)
    genotype = Genotype("mobile", {CHAIN: tuple(Edge(*edge, OPERATIONS[index]) for edge, index in edges)})
    with torch.device("meta"):
        derived = space.build_derived_trunk(genotype, 3)
        published = mobilenet_v2().features
    assert [p.shape for p in derived.parameters()] == [p.shape for p in published.parameters()]
    strides = [m.stride for m in derived.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [m.stride for m in published.modules() if isinstance(m, nn.Conv2d)]


def test_fewer_halvings_drop_the_first_strides() -> None:
    def strides(halvings: int) -> list[int]:
        plan = Mobile(depth=10, halvings=halvings).plan
        return [plan.stem_stride, *(block.stride for block in plan.blocks)]

    assert strides(5) == [2, 2, 2, 2, 1, 2, 1]
    assert strides(3) == [1, 1, 2, 2, 1, 2, 1]
    assert strides(1) == [1, 1, 1, 1, 1, 2, 1]


def test_the_mixture_shares_work() -> None:
    """All nine operations cost less than the three of expansion 6 would, each for itself."""
    config = NetworkConfig("mobile", {}, 10, 96)
    with torch.device("meta"):
        whole = count_macs(Supernet(config))
    table = Mobile().costs(96)
    widest = sum(
        int(table.macs[CHAIN][:, OPERATIONS.index(f"mb_e6_k{kernel}")].sum()) for kernel in mobile.KERNELS
    )
    all_nine = int(table.macs[CHAIN].sum())
    assert whole - table.fixed_macs - 12_800 < widest < 0.5 * all_nine


@pytest.mark.parametrize("seed", range(20))
def test_a_skip_never_wins_where_the_shape_changes_and_at_most_half_the_blocks_skip(seed: int) -> None:
    space = Mobile()  # 16 blocks, ten of which may be skipped
    generator = torch.Generator().manual_seed(seed)
    mixture = torch.rand(16, len(OPERATIONS), generator=generator)
    mixture[:, SKIP] += 1.0
    genotype = space.discretise({CHAIN: mixture})
    kept = [edge.operation for edge in genotype.cells[CHAIN]]
    assert kept.count("skip_connect") == 8 and genotype.share("skip_connect") <= 0.5
    gains = mixture[:, SKIP] - mixture[:, :SKIP].max(1).values
    allowed = [row for row, block in enumerate(space.plan.blocks) if block.keeps_shape]
    assert len(allowed) == 10
    strongest = sorted(allowed, key=lambda row: -float(gains[row]))[:8]
    assert sorted(strongest) == [row for row, name in enumerate(kept) if name == "skip_connect"]
    for row, name in enumerate(kept):
        if name != "skip_connect":
            assert name == OPERATIONS[int(mixture[row, :SKIP].argmax())]


def test_the_weight_of_an_impossible_skip_is_never_used(make_supernet: MakeSupernet) -> None:
    net = make_supernet(CONFIG).double()
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    fixed = [row for row, block in enumerate(BLOCKS) if not block.keeps_shape]
    gradient = torch.autograd.grad(net.features(x, net.mixture()).square().sum(), net.alphas[CHAIN])[0]
    assert gradient[fixed, SKIP].abs().max() < 1e-12 * gradient.abs().max()
    assert gradient[[row for row in range(len(BLOCKS)) if row not in fixed], SKIP].abs().min() > 0
    before = net.features(x, net.mixture())
    with torch.no_grad():
        net.alphas[CHAIN][fixed, SKIP] += 3.0
    torch.testing.assert_close(net.features(x, net.mixture()), before)


def test_an_auxiliary_skip_helps_only_where_there_can_be_one(make_supernet: MakeSupernet) -> None:
    """DARTS- adds to the weight of the skip: that is β times a block's input, or nothing."""
    net = make_supernet(CONFIG).double().eval()
    fixed = [row for row, block in enumerate(BLOCKS) if not block.keeps_shape]
    mixture = net.mixture()[CHAIN].detach()
    x = torch.randn(2, 8, 6, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    helped = mixture.clone()
    helped[:, SKIP] += 0.7
    for row, block in enumerate(net.trunk.get_submodule("blocks").children()):
        images = x.repeat(1, 2, 1, 1)[:, : BLOCKS[row].c_in]
        difference = block(images, helped[row]) - block(images, mixture[row])
        expected = torch.zeros_like(difference) if row in fixed else 0.7 * images
        torch.testing.assert_close(difference, expected)


def test_an_overwhelming_impossible_skip_gives_no_nan(make_supernet: MakeSupernet) -> None:
    net = make_supernet(CONFIG)
    with torch.no_grad():
        net.alphas[CHAIN][:, SKIP] = 1e4
    out = net.features(torch.randn(2, 3, 16, 16), net.mixture())
    assert out.isfinite().all()
    gradient = torch.autograd.grad(out.sum(), net.alphas[CHAIN])[0]
    assert gradient.isfinite().all()


def test_gdas_trains_paths_of_the_chain(few_digits: ImageDataset) -> None:
    searcher = make_searcher("gdas", CONFIG, few_digits, warmup_share=0.0)
    before = searcher.alphas[0].detach().clone()
    assert searcher.epoch(lambda: 0.0) < 5 and (searcher.alphas[0] != before).any()


def test_operation_parameters_are_those_that_have_a_gradient(make_supernet: MakeSupernet) -> None:
    """Rows outside the slices have none, rows inside have; a skip has none at all."""
    net = make_supernet(CONFIG).double().train()
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    used = net.trunk.operation_parameters()  # type: ignore[operator]
    assert set(used) == {(CHAIN, r, o) for r in range(len(BLOCKS)) for o in range(SKIP)}
    genotype = random_genotype(SPACE, 3)
    path = SPACE.choice(genotype)
    net.features(x, choice=path).square().sum().backward()
    for row, operation in enumerate(path[CHAIN]):
        block = list(net.trunk.blocks[row].parameters())  # type: ignore[index]
        rows: Mapping[int, slice | None] = {id(p): part for p, part in used.get((CHAIN, row, operation), ())}
        for parameter in block:
            if id(parameter) not in rows:
                assert parameter.grad is None
                continue
            assert parameter.grad is not None
            touched = parameter.grad.flatten(1).abs().sum(1) if parameter.dim() > 1 else parameter.grad.abs()
            part = rows[id(parameter)]
            if part is not None:
                assert not touched[part.stop :].any()
            assert touched[part or slice(None)].any()


def test_a_path_moves_the_statistics_of_its_own_choices_only(
    make_supernet: MakeSupernet, few_digits: ImageDataset
) -> None:
    net = make_supernet(CONFIG)
    before: dict[str, Tensor] = {name: b.clone() for name, b in net.named_buffers()}
    recalibrate(net, few_digits.train)
    for row, operation in enumerate(net.choice()[CHAIN]):
        norm = net.trunk.blocks[row].project_norm  # type: ignore[index, union-attr]
        old = before[f"trunk.blocks.{row}.project_norm.running_mean"].view(SKIP, -1)
        moved = (norm.running_mean.view(SKIP, -1) != old).any(1).tolist()  # type: ignore[union-attr, operator]
        assert moved == [index == operation for index in range(SKIP)]


@pytest.mark.parametrize(
    "edges",
    [
        (),
        tuple(Edge(i, i + 1, "mb_e6_k3") for i in range(len(BLOCKS) - 1)),
        tuple(Edge(i, i + 2, "mb_e6_k3") for i in range(len(BLOCKS))),
        tuple(Edge(i, i + 1, "mb_e5_k3") for i in range(len(BLOCKS))),
        tuple(Edge(i, i + 1, "skip_connect") for i in range(len(BLOCKS))),
    ],
)
def test_a_genotype_from_outside_that_does_not_fit_is_refused(edges: tuple[Edge, ...]) -> None:
    with pytest.raises(ConfigError, match="one chain of 7 edges"):
        DerivedModel(CONFIG, Genotype("mobile", {CHAIN: edges}))
