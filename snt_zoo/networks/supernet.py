"""The supernet: a trunk that holds every operation of a search space, alphas that mix them, a head.

The alphas are registered parameters, so a saved supernet keeps its architecture prior (in the original
DARTS code they were plain tensors outside `state_dict()`).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from snt_zoo.data import Normalisation
from snt_zoo.errors import ConfigError
from snt_zoo.networks.genotype import Genotype
from snt_zoo.networks.initialise import initialise, materialise
from snt_zoo.networks.spaces import IN_CHANNELS, Bound, Choice, SearchSpace, get_space

__all__ = ["IN_CHANNELS", "NetworkConfig", "Supernet"]

MAX_CLASSES = 100_000
_COMMIT_STEP = 0.1  # large against the rounding of float16, in which bundles may be stored
_COMMIT_STEPS = 1000


@functools.lru_cache(maxsize=32)
def _same_target(edges: tuple[tuple[int, int], ...], device: torch.device) -> Tensor:
    """Which edges lead into one node, bool ``edges x edges``; kept, as making it would stall a GPU."""
    targets = torch.tensor([target for _, target in edges])
    return (targets[:, None] == targets[None, :]).to(device)


@dataclass(frozen=True)
class NetworkConfig:
    """All that is needed to build a supernet, or with a genotype a derived network.

    Args:
        space: name of the search space.
        hyperparameters: of the space.
        num_classes: outputs of the head.
        input_size: side of the square input, in pixels.
        normalisation: what turns uint8 images into inputs.
        heads: of a supernet of several datasets, the number of classes of each, which follow one another;
            empty for one head. See `snt_zoo.networks.heads`.
    """

    space: str = "nas_bench_201"
    hyperparameters: Mapping[str, int] = field(default_factory=dict)
    num_classes: int = 2
    input_size: int = 32
    normalisation: Normalisation = field(default_factory=Normalisation)
    heads: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise ConfigError(f"num_classes must be 2 to {MAX_CLASSES}, got {self.num_classes}")
        if not 8 <= self.input_size <= 512:
            raise ConfigError(f"input_size must be 8 to 512 pixels, got {self.input_size}")
        if self.heads and (min(self.heads) < 1 or sum(self.heads) != self.num_classes):
            raise ConfigError(
                f"heads must be positive numbers with the sum num_classes = {self.num_classes}, got "
                f"{', '.join(map(str, self.heads[:8]))}{'…' if len(self.heads) > 8 else ''}"
            )

    def build_space(self) -> SearchSpace:
        """The search space that the config names."""
        return get_space(self.space, **self.hyperparameters)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with every hyperparameter spelled out."""
        data = asdict(self)
        data["hyperparameters"] = self.build_space().hyperparameters()
        data["normalisation"] = {k: list(v) for k, v in data["normalisation"].items()}
        data["heads"] = list(self.heads)
        if not self.heads:  # what is written of a network with one head is what it always was
            del data["heads"]
        return data


class Supernet(nn.Module):
    """An over-parameterised network that holds every architecture of a search space.

    Build one with `Supernet.create` (fresh weights) or from a bundle.

    Args:
        config: space, its hyperparameters, classes and input.

    Attributes:
        alphas: for each kind of cell ``edges x operations``.
        edge_alphas: for each kind of cell ``edges``: the edge normalisation of a space with partial
            channels (PC-DARTS, Xu et al. 2020, section 3.3); empty for other spaces.
        bound: what the network that the genotype derives to may cost; None for anything.

    Example:
        >>> net = Supernet.create(NetworkConfig(num_classes=10), generator=torch.Generator())
        >>> net(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        self.space = config.build_space()
        self.trunk = self.space.build_supernet_trunk(IN_CHANNELS)
        self.head = nn.Linear(self.space.feature_dim, config.num_classes)
        self.alphas = nn.ParameterDict(
            {
                kind: nn.Parameter(torch.zeros(len(edges), len(self.space.operations)))
                for kind, edges in self.space.edges.items()
            }
        )
        partial = getattr(self.space, "partial_channels", 1) > 1
        self.edge_alphas = nn.ParameterDict(
            {kind: nn.Parameter(torch.zeros(len(edges))) for kind, edges in self.space.edges.items()}
            if partial
            else {}
        )
        self.bound: Bound | None = None

    @classmethod
    def create(
        cls,
        config: NetworkConfig,
        *,
        generator: torch.Generator,
        device: torch.device | str = "cpu",
    ) -> Supernet:
        """A supernet with fresh weights, drawn from `generator` alone.

        Raises:
            ConfigError: a hyperparameter is out of its bounds.
        """
        with torch.device("meta"):
            net = cls(config)
        materialise(net)
        initialise(net, generator=generator)
        return net.placed(device)

    def placed(self, device: torch.device | str) -> Supernet:
        """Itself, moved to a device, in the memory format that is fast there."""
        where = torch.device(device)
        return self.to(where, memory_format=self.space.memory_format(where))  # type: ignore[call-overload, no-any-return]

    def mixture(self) -> dict[str, Tensor]:
        """For each kind of cell the weights of its operations: ``edges x operations``.

        The softmax of the alphas: rows sum to 1, or with edge normalisation to the edge's weight.
        """
        return self.normalised(self.probabilities())

    def probabilities(self) -> dict[str, Tensor]:
        """For each kind of cell the softmax of its alphas: ``edges x operations``, rows sum to 1."""
        return {kind: alpha.softmax(dim=-1) for kind, alpha in self.alphas.items()}

    def normalised(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of operations times the weights of their edges, if the space has partial channels.

        Those are the softmax of `edge_alphas` over the edges into one node (Xu et al. 2020, equation 3).
        """
        return {
            kind: table * self._edge_weights(kind)[:, None] if kind in self.edge_alphas else table
            for kind, table in weights.items()
        }

    def _edge_weights(self, kind: str) -> Tensor:
        logits: Tensor = self.edge_alphas[kind]
        same = _same_target(tuple(self.space.edges[kind]), logits.device)
        shifted = (logits - logits.detach().max()).exp()
        weights: Tensor = shifted / (same.to(shifted.dtype) @ shifted)
        return weights

    def features(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        """``batch x 3 x size x size`` to ``batch x feature_dim``; see `forward`."""
        if mixture is None and choice is None:
            choice = self.choice()
        x = x.contiguous(memory_format=self.space.memory_format(x.device))
        out: Tensor = self.trunk(x, mixture, choice)
        return out

    def forward(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        """Logits, along the path of the genotype unless told otherwise.

        Args:
            x: normalised images, ``batch x 3 x size x size``.
            mixture: weights of the operations, ``edges x operations`` for each kind of cell: all
                operations are computed and mixed.
            choice: the operation of each edge: only that path is computed (with a mixture too: times
                its weights).

        Returns:
            ``batch x num_classes``.
        """
        out: Tensor = self.head(self.features(x, mixture, choice))
        return out

    def choice(self) -> Choice:
        """The path of the genotype."""
        return self.space.choice(self.genotype())

    @torch.no_grad()
    def genotype(self) -> Genotype:
        """The architecture that the alphas stand for now, within the bound."""
        return self.space.derive(self.mixture(), self.bound)

    @torch.no_grad()
    def commit(self, genotype: Genotype) -> None:
        """Raise the alphas of a genotype, where others are chosen, until they stand for it unbounded.

        So an architecture that was chosen within a bound, or otherwise than by the alphas, is what a saved
        supernet derives to. Nothing changes if it is already.

        Raises:
            ConfigError: the space's own rule can never derive that genotype.
        """
        choice = self.space.choice(genotype)
        for _ in range(_COMMIT_STEPS):
            now = self.space.discretise(self.mixture())
            if now == genotype:
                return
            chosen = self.space.choice(now)
            for kind, path in choice.items():
                kept = {(edge.source, edge.target) for edge in genotype.cells[kind]}
                edges = zip(self.space.edges[kind], path, chosen[kind], strict=True)
                for row, (edge, index, other) in enumerate(edges):
                    if edge in kept and index != other:
                        self.alphas[kind][row, index] += _COMMIT_STEP
                        if kind in self.edge_alphas:
                            self.edge_alphas[kind][row] += _COMMIT_STEP
        raise ConfigError(f"the space {self.config.space} cannot derive {genotype} from any alphas")

    def entropy(self) -> float:
        """Mean entropy of the mixtures as a share of the largest possible, from 0 (decided) to 1."""
        with torch.no_grad():
            rows = torch.cat(list(self.probabilities().values()))
            entropy = -(rows * rows.clamp_min(1e-12).log()).sum(1).mean()
        return float(entropy / torch.tensor(float(rows.shape[1])).log())

    def weights(self) -> list[nn.Parameter]:
        """The parameters that are not alphas."""
        return [*self.trunk.parameters(), *self.head.parameters()]

    def with_head(
        self, num_classes: int, *, generator: torch.Generator, heads: tuple[int, ...] = ()
    ) -> Supernet:
        """A copy with the same trunk and alphas and a fresh head, or several, for another task."""
        config = replace(self.config, num_classes=num_classes, heads=heads)
        net = Supernet.create(config, generator=generator)
        net.trunk.load_state_dict(self.trunk.state_dict())
        net.alphas.load_state_dict(self.alphas.state_dict())
        net.edge_alphas.load_state_dict(self.edge_alphas.state_dict())
        return net
