"""What a search space is, and where the spaces are found by name.

A space is a frozen dataclass of its hyperparameters. It says which operations and edges there are,
builds the trunk of the supernet (every operation of every edge) and the trunk of a derived network
(the one operation of each edge that a genotype kept), and moves the weights from the one to the other.
A new space is one file with one decorated class; see `docs/spaces.md`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snt_zoo.components import Components
from snt_zoo.errors import ConfigError, InfeasibleError
from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.networks.spaces.costs import Bound, Choice, Costs
from snt_zoo.networks.spaces.parts import Parts
from snt_zoo.networks.spaces.solving import Rule, best_choice

IN_CHANNELS = 3  # grey images are read as three equal channels

Owner = tuple[str, int, int]
"""An operation of an edge: kind of cell, row of the edge, column of the operation."""

Rows = tuple[nn.Parameter, slice | None]
"""A parameter, and which of its rows along dimension 0 are meant; None for all."""


class SupernetTrunk(nn.Module, abc.ABC):
    """Everything of a supernet but its alphas and its classifier."""

    @abc.abstractmethod
    def forward(
        self,
        x: Tensor,
        mixture: Mapping[str, Tensor] | None = None,
        choice: Choice | None = None,
    ) -> Tensor:
        """Features of a batch: of all operations mixed, or along one path.

        Args:
            x: images, ``batch x in_channels x height x width``.
            mixture: for each kind of cell, weights of shape ``edges x operations``.
            choice: with it only the chosen operation of each edge is computed, times its weight in
                the mixture if there is one.

        Returns:
            Features, ``batch x feature_dim``.
        """

    @abc.abstractmethod
    def inherit(self, derived: nn.Module, genotype: Genotype) -> None:
        """Copy the weights of the operations that the genotype kept into a derived trunk."""

    @abc.abstractmethod
    def operation_parameters(self) -> Mapping[Owner, Sequence[Rows]]:
        """The weights of each operation of each edge, over all cells of its kind.

        Operations without weights are left out. Where several edges share one tensor, the rows of each
        are told.
        """


class SearchSpace(abc.ABC):
    """A search space with its hyperparameters; subclasses are frozen dataclasses."""

    name: ClassVar[str]
    operations: ClassVar[tuple[str, ...]]
    """Names of the operations, in the order of the columns of the alphas."""
    edges: ClassVar[Mapping[str, tuple[tuple[int, int], ...]]]
    """For each kind of cell its edges (source node, target node), in the order of the rows."""
    bounds: ClassVar[Mapping[str, tuple[int, int]]]
    """Smallest and largest allowed value of each hyperparameter: a config from outside is not
    trusted to be of a sane size."""
    added_later: ClassVar[frozenset[str]] = frozenset()
    """Hyperparameters that bundles of earlier releases lack. Their default is, and must stay, the value at
    which the space is what it was without them."""
    idle: ClassVar[tuple[str, ...]] = ("none", "skip_connect")
    """Operations that compute nothing: too many of them are a collapse."""
    never: ClassVar[tuple[str, ...]] = ()
    """Operations that no genotype keeps."""
    may_be_pretrained: ClassVar[bool] = False
    """Whether its supernets may hold a published network, whose batch-norm statistics are worth keeping."""
    settle_share: ClassVar[float] = 0.0
    """Of a pretraining by default: the last share, in which only the path of the genotype is trained."""
    depthwise: ClassVar[bool] = False
    """Whether its networks have depthwise convolutions; see `memory_format`."""
    mac_time: ClassVar[float] = 1.0
    """Processor time of a multiply-accumulate of its networks, where one of `nas_bench_201` is 1."""
    pixels_at_once: ClassVar[int] = 256 * 32**2
    """Of the images that go through a network together on a CPU, where no gradients are kept."""
    skip: ClassVar[str | None] = "skip_connect"
    """The operation that passes its input on, which DARTS- strengthens for a while."""

    def validate(self) -> None:
        """Raise `ConfigError` if a hyperparameter is out of its bounds."""
        for field, (low, high) in self.bounds.items():
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ConfigError(
                    f"search space {self.name}: {field} must be a whole number from {low} to {high}, "
                    f"got {value!r}; correct it in the config"
                )

    def memory_format(self, device: torch.device) -> torch.memory_format:
        """How weights and images shall lie in memory.

        In channels_last, but on a GPU for depthwise convolutions: cuDNN takes seconds to plan them for each
        size of a batch (docs/decisions.md, 57).
        """
        planned = device.type not in ("cpu", "meta") and self.depthwise
        return torch.contiguous_format if planned else torch.channels_last

    def hyperparameters(self) -> dict[str, int]:
        """The hyperparameters as plain data."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # subclasses are dataclasses

    @property
    @abc.abstractmethod
    def feature_dim(self) -> int:
        """Dimension of the features that a trunk gives."""

    @abc.abstractmethod
    def build_supernet_trunk(self, in_channels: int) -> SupernetTrunk:
        """The trunk that holds every operation of every edge."""

    @abc.abstractmethod
    def build_derived_trunk(self, genotype: Genotype, in_channels: int) -> nn.Module:
        """The trunk of a genotype: ``batch x in_channels x h x w`` to ``batch x feature_dim``."""

    def pieces(self, trunk: nn.Module) -> Mapping[str, nn.Module]:
        """The modules of a derived trunk by what they do: those that another genotype's has too are alike.

        By default none: such a space's networks hand nothing on once they are derived.
        """
        return {}

    @abc.abstractmethod
    def discretise(self, mixture: Mapping[str, Tensor]) -> Genotype:
        """The genotype of a mixture, by the rule of the paper that defined the space."""

    @abc.abstractmethod
    def costs(self, input_size: int) -> Costs:
        """What each choice costs, for square images of `input_size` pixels a side."""

    def parts(self, input_size: int) -> Parts:
        """What each choice is made of, so that it can be timed (`snt_zoo.networks.latency`).

        Args:
            input_size: side of the images in pixels.

        Raises:
            ConfigError: the space does not say.
        """
        raise ConfigError(
            f"the search space {self.name} does not say what its operations are made of "
            "(`SearchSpace.parts`), so their latency cannot be known: bound its networks by --max-macs"
        )

    def rules(self) -> Sequence[Rule]:
        """Linear rules that every genotype of the space obeys, for `best_genotype`."""
        return ()

    def best_genotype(self, scores: Mapping[str, Tensor], bound: Bound) -> Genotype | None:
        """The genotype with the largest sum of scores among those within a bound.

        Here for spaces that keep every edge, with costs that add up; others override it.

        Args:
            scores: for each kind of cell ``edges x operations``, finite.
            bound: on the trunk.

        Returns:
            None if no genotype is within the bound.
        """
        choice = best_choice(scores, bound, self.rules())
        return None if choice is None else self.genotype(choice)

    def derive(self, mixture: Mapping[str, Tensor], bound: Bound | None = None) -> Genotype:
        """The genotype of a mixture by the paper's rule, or if that costs too much, the best that may be.

        The best has the largest product of its operations' weights in the mixture.

        Raises:
            InfeasibleError: nothing is within the bound.
        """
        genotype = self.discretise(mixture)
        if bound is None or bound.allows(self.pruned(self.choice(genotype))):
            return genotype
        scores = {kind: weights.detach().clamp_min(1e-30).log() for kind, weights in mixture.items()}
        best = self.best_genotype(scores, bound)
        if best is None:
            raise InfeasibleError(
                f"no network of the search space {self.name} is within the bounds: raise them"
            )
        return best

    def genotype(self, choice: Choice) -> Genotype:
        """A path as a genotype: the inverse of `choice` where every edge is kept."""
        return Genotype(
            self.name,
            {
                kind: tuple(
                    Edge(*edge, self.operations[index])
                    for edge, index in zip(edges, choice[kind], strict=True)
                )
                for kind, edges in self.edges.items()
            },
        )

    def pruned(self, choice: Choice) -> Choice:
        """The path without what takes no part in the output and so is not built: that edge has `none`."""
        return choice

    def choice(self, genotype: Genotype) -> Choice:
        """The genotype as a path through the supernet: an edge that it does not keep has `none`."""
        path = {}
        for kind, edges in self.edges.items():
            kept = {(e.source, e.target): e.operation for e in genotype.cells[kind]}
            path[kind] = [self.operations.index(kept.get(edge, "none")) for edge in edges]
        return path


SPACES: Components[type[SearchSpace]] = Components("search space")
register_space = SPACES.register
list_spaces = SPACES.names
"""The names of the search spaces, sorted."""


def get_space(name: str, **hyperparameters: Any) -> SearchSpace:
    """A search space by name.

    Example:
        >>> get_space("nas_bench_201", channels=16).feature_dim
        64

    Raises:
        UnknownComponentError: no space of that name.
        ConfigError: an unknown hyperparameter, or one out of its bounds.
    """
    cls = SPACES.get(name)
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]  # subclasses are dataclasses
    unknown = sorted(set(hyperparameters) - known)
    if unknown:
        raise ConfigError(
            f"search space {name} has no hyperparameter {', '.join(map(repr, unknown))}: "
            f"it has {', '.join(sorted(known))}"
        )
    space = cls(**hyperparameters)
    space.validate()
    return space
