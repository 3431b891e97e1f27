"""A Gaussian process over pairs of a dataset and a network: exact, in closed form.

The kernel is a sum of what can make a network do well on a dataset (Bonilla et al. 2007, multi-task Gaussian
processes, for the product of a kernel of tasks and one of networks):

| part | what it says |
|---|---|
| `level` | linear in the facts of a dataset: how hard it is |
| `alike` | datasets that are near each other are about as hard |
| `fit` | networks that do alike, or cost alike, do alike on datasets that are near |
| `own_fit` | a network does alike on datasets that are near |
| `source` | linear in how near the dataset is to what the network was trained on |

Mean and variance of a new pair follow by solving one linear system; what is said without some of the pairs
follows from the inverse of the same matrix.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

PARTS = ("level", "alike", "fit", "own_fit", "source")

START = {
    "level": 0.3, "alike": 0.5, "fit": 0.3, "own_fit": 0.3, "source": 0.1, "noise": 0.05, "constant": 1.0,
    "far": 0.3, "unlike": 0.5,
}  # fmt: skip
"""Variances before they are fitted, and the length scales of distances between datasets (`far`) and networks
(`unlike`)."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of a dataset and a network, by number.

    Args:
        task: int64 ``n``.
        network: int64 ``n``.
    """

    task: Tensor
    network: Tensor

    def __len__(self) -> int:
        return len(self.task)

    def subset(self, rows: Tensor) -> Pairs:
        """Some of them."""
        return Pairs(self.task[rows], self.network[rows])


@dataclass(frozen=True, eq=False)
class Geometry:
    """How datasets and networks lie to each other; all float64.

    Args:
        facts: of datasets, standardised, ``T x p``.
        between_tasks: distances of datasets, ``T x T``.
        between_networks: distances of networks, ``N x N``.
        to_source: how near each dataset is to the nearest source of each network, standardised, ``T x N``.
    """

    facts: Tensor
    between_tasks: Tensor
    between_networks: Tensor
    to_source: Tensor


@dataclass(frozen=True, eq=False)
class Kernel:
    """The sum of the parts; see the module's docstring.

    Args:
        logs: logarithm of each value of `START`, in its order.
        without: parts that are left out.
    """

    logs: Tensor = field(
        default_factory=lambda: torch.tensor(list(START.values()), dtype=torch.float64).log()
    )
    without: Collection[str] = ()

    @property
    def values(self) -> dict[str, Tensor]:
        """By name."""
        return dict(zip(START, self.logs.exp(), strict=True))

    def matrix(self, geometry: Geometry, left: Pairs, right: Pairs) -> Tensor:
        """Covariances without noise, ``n x m``."""
        v = self.values
        on = {name: 0.0 if name in self.without else v[name] for name in PARTS}
        near = (-geometry.between_tasks / v["far"]).exp()
        like = (-(geometry.between_networks / v["unlike"]).square()).exp()
        same = torch.eye(len(like), dtype=torch.float64)
        facts = geometry.facts @ geometry.facts.T
        # Summed as tables of datasets and of networks, which are small, and then taken for the pairs.
        of_task = v["constant"] + on["level"] * facts + on["alike"] * near
        fits = on["fit"] * like + on["own_fit"] * same
        task, network = (left.task, right.task), (left.network, right.network)
        found = _taken(of_task, *task) + _taken(near, *task) * _taken(fits, *network)
        sources = [geometry.to_source[each.task, each.network] for each in (left, right)]
        return found + on["source"] * sources[0][:, None] * sources[1]


def _taken(table: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """``n x m`` of a table; twice as quick with its gradient as by both indices at once."""
    return table.index_select(0, rows).index_select(1, columns)


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """One that was fitted.

    Args:
        kernel: with its values.
        geometry: of all datasets and networks.
        pairs: that were seen.
        y: float64 ``n``, what was seen.
        noise: variance of each besides the kernel's own noise, float64 ``n``.
    """

    kernel: Kernel
    geometry: Geometry
    pairs: Pairs
    y: Tensor
    noise: Tensor

    def covariance(self) -> Tensor:
        """Of what was seen, noise included, ``n x n``."""
        own = self.kernel.matrix(self.geometry, self.pairs, self.pairs)
        return own + torch.diag(self.noise + self.kernel.values["noise"])

    @cached_property
    def root(self) -> Tensor:
        """The Cholesky factor of the covariance, ``n x n``; computed once."""
        found: Tensor = torch.linalg.cholesky(self.covariance())
        return found

    def solved(self) -> Tensor:
        """What covariances with a new pair are multiplied with for its mean: ``K⁻¹ y``, ``n``."""
        found: Tensor = torch.cholesky_solve(self.y[:, None], self.root)[:, 0]
        return found

    def evidence(self) -> Tensor:
        """The log marginal likelihood, a scalar, without its constant."""
        root = torch.linalg.cholesky(self.covariance())
        solved = torch.cholesky_solve(self.y[:, None], root)[:, 0]
        found: Tensor = -0.5 * (self.y @ solved) - root.diagonal().log().sum()
        return found

    def predict(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Mean and variance (without noise) of some pairs, ``m`` each."""
        cross = self.kernel.matrix(self.geometry, pairs, self.pairs)
        half = torch.linalg.solve_triangular(self.root, cross.T, upper=False)
        mean = cross @ self.solved()
        own = self.kernel.matrix(self.geometry, pairs, pairs).diagonal()
        return mean, (own - half.square().sum(0)).clamp_min(1e-9)

    @cached_property
    def inverse(self) -> Tensor:
        """Of the covariance, ``n x n``; computed once."""
        found: Tensor = torch.cholesky_inverse(self.root)
        return found

    def solved_without(self, rows: Tensor) -> Tensor:
        """As `solved`, if some rows had not been seen; these have the weight 0: ``n``.

        With ``P = K⁻¹`` and ``a = P y`` that is ``a − P_·B P_BB⁻¹ a_B``, so that leaving out every parent
        costs as much as one fit.
        """
        inverse, weights = self.inverse, self.inverse @ self.y
        gone: Tensor = torch.linalg.solve(inverse[rows][:, rows], weights[rows])
        return (weights - inverse[:, rows] @ gone).index_fill(0, rows, 0.0)

    def summed(self, weights: Tensor) -> Tensor:
        """`weights` of what was seen as a table ``T x N``, zero where nothing was seen: see `mean_of`."""
        table = torch.zeros(self.geometry.to_source.shape, dtype=torch.float64)
        return table.index_put_((self.pairs.task, self.pairs.network), weights, accumulate=True)

    def mean_of(self, new: NewTask, table: Tensor) -> Tensor:
        """Means of some networks on a task that was not seen, ``m``.

        What `Kernel.matrix` times the weights comes to. Each part of the kernel is a product of one factor
        for tasks and one for networks, so the sum over all pairs that were seen is taken factor by factor.

        Args:
            new: how the task and the networks lie to what was seen.
            table: of `summed`.
        """
        v = self.kernel.values
        on = {name: 0.0 if name in self.kernel.without else v[name] for name in PARTS}
        near = (-new.between_tasks / v["far"]).exp()
        like = (-(new.between_networks / v["unlike"]).square()).exp()
        tasks = table.sum(1)
        common = v["constant"] * tasks.sum() + on["level"] * (self.geometry.facts @ new.facts) @ tasks
        fits = on["fit"] * like + on["own_fit"] * new.same
        found = common + on["alike"] * near @ tasks + fits @ (near @ table)
        return found + on["source"] * new.to_source * (table * self.geometry.to_source).sum()

    def left_out(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """What would be predicted of some rows if they had not been seen.

        Args:
            parts: rows that are left out together, int64.

        Returns:
            Means, one tensor for each part.
        """
        found = []
        for rows in parts:
            own = self.kernel.matrix(self.geometry, self.pairs.subset(rows), self.pairs)
            found.append(own @ self.solved_without(rows))
        return found


@dataclass(frozen=True, eq=False)
class NewTask:
    """A task that was not seen, and networks to ask about; all float64.

    Args:
        facts: standardised, ``p``.
        between_tasks: distances to the tasks that were seen, ``T``.
        between_networks: distances of the networks to those that were seen, ``m x N``.
        same: 1 where they are the same, ``m x N``.
        to_source: how near the task is to the nearest source of each network, standardised, ``m``.
    """

    facts: Tensor
    between_tasks: Tensor
    between_networks: Tensor
    same: Tensor
    to_source: Tensor


def fit(
    geometry: Geometry,
    pairs: Pairs,
    y: Tensor,
    noise: Tensor,
    *,
    without: Collection[str] = (),
    steps: int = 60,
    start: Mapping[str, float] | None = None,
) -> GaussianProcess:
    """Find the values of the kernel by gradient ascent on the evidence.

    Args:
        geometry: of all datasets and networks.
        pairs: that were seen.
        y: what was seen, float64 ``n``.
        noise: variances that are known, float64 ``n``.
        without: parts of the kernel that are left out.
        steps: of Adam; none keeps the start.
        start: values in the place of `START`.
    """
    values = torch.tensor(list({**START, **(start or {})}.values()), dtype=torch.float64)
    logs = values.log().requires_grad_()
    optimizer = torch.optim.Adam([logs], lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        covariance = GaussianProcess(Kernel(logs, without), geometry, pairs, y, noise).covariance()
        with torch.no_grad():
            # Of minus the evidence by the covariance, in closed form: through the Cholesky factor the
            # gradient takes three times as long.
            root = torch.linalg.cholesky(covariance)
            weights = torch.cholesky_solve(y[:, None], root)
            slope = 0.5 * (torch.cholesky_inverse(root) - weights @ weights.T)
        # A broad log-normal prior around the start keeps what the data do not speak of where it is.
        loss = (slope * covariance).sum() + 0.125 * (logs - values.log()).square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return GaussianProcess(Kernel(logs.detach(), without), geometry, pairs, y, noise)
