"""The space `mobile`, its networks and what they cost.

A chain of inverted residual blocks (MobileNetV2: Sandler et al., CVPR 2018, arXiv 1801.04381). Each block has
a kernel of 3, 5 or 7 and an expansion of 3, 4 or 6, or is skipped where it keeps its input's shape, by alphas
of its own as in FBNet (Wu et al., CVPR 2019, arXiv 1812.03443), and with weights that the choices share as
in Once-for-All (Cai et al., ICLR 2020, arXiv 1908.09791).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces.base import (
    IN_CHANNELS,
    Owner,
    Rows,
    SearchSpace,
    SupernetTrunk,
    register_space,
)
from snt_zoo.networks.spaces.costs import Choice, Costs
from snt_zoo.networks.spaces.mobile.blocks import ElasticBlock, InvertedResidual
from snt_zoo.networks.spaces.mobile.convolution import Convolution
from snt_zoo.networks.spaces.mobile.normed import normed, quick, widened
from snt_zoo.networks.spaces.mobile.plan import (
    FAMILIES,
    HALVINGS,
    OPERATIONS,
    SKIP,
    BlockPlan,
    Plan,
    halved,
    make_plan,
    shape_of,
)
from snt_zoo.networks.spaces.parts import Part, Parts
from snt_zoo.networks.spaces.solving import Rule

CHAIN = "chain"  # the one kind of cell


class _Network(SupernetTrunk):
    """Stem, first block, chain and last convolution; elastic without a path, derived with one."""

    def __init__(self, plan: Plan, in_channels: int, path: Sequence[int] | None) -> None:
        super().__init__()
        self.elastic = path is None
        self.path = () if path is None else tuple(path)
        self.first_keeps_shape = plan.stem == plan.first  # only in networks narrower than the published ones
        family, eps = plan.family, plan.family.eps
        self.stem = nn.Sequential(
            Convolution(in_channels, plan.stem, 3, plan.stem_stride, family),
            nn.BatchNorm2d(plan.stem, eps),
            nn.ReLU6(inplace=True),
        )
        # The first block expands by 1 in both families: there is nothing to choose.
        self.first = nn.Sequential(
            Convolution(plan.stem, plan.stem, 3, 1, family, groups=plan.stem),
            nn.BatchNorm2d(plan.stem, eps),
            nn.ReLU6(inplace=True),
            nn.Conv2d(plan.stem, plan.first, 1, bias=False),
            nn.BatchNorm2d(plan.first, eps),
        )
        self.blocks = nn.ModuleList(ElasticBlock(block) for block in plan.blocks if path is None)
        if path is not None:
            self.blocks.extend(
                InvertedResidual(block, *shape_of(operation))
                for block, operation in zip(plan.blocks, path, strict=True)
                if operation != SKIP
            )
        self.last = nn.Sequential(
            nn.Conv2d(plan.blocks[-1].c_out, plan.features, 1, bias=False),
            nn.BatchNorm2d(plan.features, eps),
            nn.ReLU6(inplace=True),
        )

    def forward(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        dtype = x.dtype
        x = self._begin(x)
        for row, block in enumerate(self.blocks):
            if self.elastic:
                weights = None if mixture is None else mixture[CHAIN][row]
                x = block(x, weights, None if choice is None else choice[CHAIN][row])
            else:
                x = block(x)
        convolution, norm, bounds = _layers(self.last)
        out: Tensor = bounds(normed(convolution, norm, x)).to(dtype).mean((2, 3))
        return out

    def _begin(self, x: Tensor) -> Tensor:
        """Stem and first block."""
        if self.first_keeps_shape:
            x = self.stem(x)
            return x + self.first(x)  # type: ignore[no-any-return]
        convolution, norm, _ = _layers(self.stem)
        depthwise, depthwise_norm, _, project, project_norm = _layers(self.first)
        if not self.elastic:
            x = quick(x, convolution, norm)
        wide = widened(convolution, norm, depthwise, depthwise_norm, x)
        return normed(project, project_norm, wide)

    @torch.no_grad()
    def inherit(self, derived: nn.Module, genotype: Genotype) -> None:
        assert isinstance(derived, _Network)
        for name in ("stem", "first", "last"):
            getattr(derived, name).load_state_dict(getattr(self, name).state_dict())
        plain = iter(derived.blocks)
        for block, edge in zip(self.blocks, genotype.cells[CHAIN], strict=True):
            operation = OPERATIONS.index(edge.operation)
            if operation != SKIP:
                assert isinstance(block, ElasticBlock)
                target = next(plain)
                assert isinstance(target, InvertedResidual)
                block.copy_to(target, operation)

    def pieces(self) -> Mapping[str, nn.Module]:
        """As of `SearchSpace`, of a derived trunk."""
        found: dict[str, nn.Module] = {name: getattr(self, name) for name in ("stem", "first", "last")}
        kept = [f"{row} {OPERATIONS[op]}" for row, op in enumerate(self.path) if op != SKIP]
        return found | dict(zip(kept, self.blocks, strict=True))

    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        """For each operation of each block the weights that it uses; a skip has none and is left out.

        The choices share their weights, so the same rows stand under several operations: those of
        expansion 3 under all nine, and a gradient on them is the sum of what all nine want. No rows of
        dimension 0 tell a kernel's centre or the projection's columns apart: there all of the rows stand.
        """
        found = {}
        for row, block in enumerate(self.blocks):
            assert isinstance(block, ElasticBlock)
            for operation in range(SKIP):  # which has no weights
                found[CHAIN, row, operation] = block.uses(operation)
        return found


def _layers(layers: nn.Sequential) -> list[Any]:
    return list(layers)


@register_space("mobile")
@dataclass(frozen=True)
class Mobile(SearchSpace):
    """A chain of inverted residual blocks with a choice of kernel, expansion and depth.

    The defaults are the shape of MobileNetV2, and with ``lite=1`` that of EfficientNet-Lite0; a small one for
    images of 32×32 pixels is ``width=50, depth=50, halvings=3, features=320``.

    Args:
        width: channels, in hundredths of the published network's.
        depth: blocks of each stage, in hundredths of the published network's, rounded up.
        halvings: how many strides of 2 there are. The published networks have five; with fewer the first
            ones are 1.
        features: channels of the last convolution.
        lite: 1 for the stages, the padding and the batch norms of EfficientNet-Lite (Tan and Le, ICML 2019,
            arXiv 1905.11946; Lite2 has ``width=110, depth=120``), 0 for those of MobileNetV2.
    """

    operations: ClassVar[tuple[str, ...]] = OPERATIONS
    may_be_pretrained: ClassVar[bool] = True
    depthwise: ClassVar[bool] = True
    added_later: ClassVar[frozenset[str]] = frozenset({"lite"})
    pixels_at_once: ClassVar[int] = 32 * 64**2  # its first layers keep many channels at full size
    bounds: ClassVar[Mapping[str, tuple[int, int]]] = {
        "width": (10, 200),
        "depth": (10, 200),
        "halvings": (1, HALVINGS),
        "features": (8, 4096),
        "lite": (0, 1),
    }

    width: int = 100
    depth: int = 100
    halvings: int = HALVINGS
    features: int = 1280
    lite: int = 0

    @cached_property
    def plan(self) -> Plan:
        """The shape of the network."""
        return make_plan(
            family=FAMILIES[self.lite],
            width=self.width,
            depth=self.depth,
            halvings=self.halvings,
            features=self.features,
        )

    @property
    def edges(self) -> Mapping[str, tuple[tuple[int, int], ...]]:  # type: ignore[override]  # by depth
        return {CHAIN: tuple((i, i + 1) for i in range(len(self.plan.blocks)))}

    @property
    def feature_dim(self) -> int:
        return self.features

    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        return _Network(self.plan, in_channels, None)

    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        return _Network(self.plan, in_channels, self._check(genotype))

    def pieces(self, trunk: nn.Module) -> Mapping[str, nn.Module]:
        assert isinstance(trunk, _Network)
        return trunk.pieces()

    def discretise(self, mixture: Mapping[str, Tensor]) -> Genotype:
        """The strongest operation of each block (Wu et al. 2019, section 3.2), guarded.

        A block that changes the shape is never skipped, and at most half of all blocks are: skips win
        early in a search, since they have nothing to learn. Beyond that the blocks that lose least by it
        take their strongest operation that computes.
        """
        weights = mixture[CHAIN].detach().cpu()
        computing, path = weights[:, :SKIP].max(1)
        gain = weights[:, SKIP] - computing  # what skipping has over the best block
        gain[[not block.keeps_shape for block in self.plan.blocks]] = -float("inf")
        skipped = [row for row in gain.argsort(descending=True, stable=True).tolist() if gain[row] > 0]
        path[skipped[: len(path) // 2]] = SKIP
        edges = zip(self.edges[CHAIN], path.tolist(), strict=True)
        return Genotype(self.name, {CHAIN: tuple(Edge(*edge, OPERATIONS[index]) for edge, index in edges)})

    def costs(self, input_size: int) -> Costs:
        """What each operation of each block adds to a derived network; see `Costs`."""
        plan = self.plan
        stem_pixels = halved(input_size, plan.stem_stride) ** 2
        sides = list(plan.sides(input_size))
        c_last = plan.blocks[-1].c_out
        stem, depthwise, pointwise = 9 * IN_CHANNELS * plan.stem, 9 * plan.stem, plan.stem * plan.first
        last = c_last * plan.features
        norms = 2 * (plan.stem + plan.stem + plan.first + plan.features)
        rows = [
            [(0, 0) if op == SKIP else _cost(block, *shape_of(op), *side) for op in range(len(OPERATIONS))]
            for block, side in zip(plan.blocks, sides, strict=True)
        ]
        table = torch.tensor(rows, dtype=torch.int64)
        return Costs(
            fixed_params=stem + depthwise + pointwise + last + norms,
            fixed_macs=(stem + depthwise + pointwise) * stem_pixels + last * sides[-1][1] ** 2,
            params={CHAIN: table[:, :, 0]},
            macs={CHAIN: table[:, :, 1]},
        )

    def parts(self, input_size: int) -> Parts:
        rows = []
        for block, (side, _) in zip(self.plan.blocks, self.plan.sides(input_size), strict=True):
            shape = f"{block.c_in}-{block.c_out}@{side}/{block.stride}"
            rows.append(
                [
                    ()
                    if op == SKIP
                    else (
                        Part(
                            f"{self.name}{self.lite} {OPERATIONS[op]} {shape}",
                            block.c_in,
                            side,
                            block.keeps_shape,
                            functools.partial(InvertedResidual, block, *shape_of(op)),
                        ),
                    )
                    for op in range(len(OPERATIONS))
                ]
            )
        return {CHAIN: rows}

    def rules(self) -> Sequence[Rule]:
        """As `discretise`: no skip where the shape changes, and at most half of the blocks skipped."""
        fixed = torch.zeros(len(self.plan.blocks), len(OPERATIONS))
        skips = torch.zeros_like(fixed)
        skips[:, SKIP] = 1
        fixed[[not block.keeps_shape for block in self.plan.blocks], SKIP] = 1
        return Rule({CHAIN: fixed}, 0, 0), Rule({CHAIN: skips}, 0, len(fixed) // 2)

    def _check(self, genotype: Genotype) -> list[int]:
        """The path of a genotype that fits."""
        edges = genotype.cells.get(CHAIN, ())
        good = (
            genotype.space == self.name
            and set(genotype.cells) == {CHAIN}
            and tuple((e.source, e.target) for e in edges) == self.edges[CHAIN]
            and all(
                e.operation in (OPERATIONS if block.keeps_shape else OPERATIONS[:SKIP])
                for e, block in zip(edges, self.plan.blocks, strict=True)
            )
        )
        if not good:
            fixed = [str(row) for row, block in enumerate(self.plan.blocks) if not block.keeps_shape]
            raise ConfigError(
                f"a mobile genotype of this width and depth must have one chain of {len(self.plan.blocks)} "
                f"edges i→i+1, each with one of {', '.join(OPERATIONS)}, and no skip_connect from nodes "
                f"{', '.join(fixed)}, where the shape changes; got {genotype}"
            )
        return [OPERATIONS.index(edge.operation) for edge in edges]


def _cost(block: BlockPlan, expansion: int, kernel: int, side: int, out_side: int) -> tuple[int, int]:
    """Parameters and multiply-accumulates of one inverted residual block."""
    wide = expansion * block.c_in
    expand, depthwise, project = wide * block.c_in, wide * kernel**2, wide * block.c_out
    params = expand + depthwise + project + 2 * (wide + wide + block.c_out)
    return params, expand * side**2 + (depthwise + project) * out_side**2
