"""The predictor: how accurate a network will be on a dataset, before anything is fitted to that.

A Gaussian process (`gaussian_process`) over outcomes of networks on datasets. A dataset is known by the facts
and the embedding of its sketch, so that a query without images has a prediction as well; a network by its
profile, its card and how near its sources are. `python -m zoo.predictor` makes the one that ships, and
`snt-zoo encoder train` one from a registry's own outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from snt_zoo.encoders.embedding import embed
from snt_zoo.encoders.facts import facts
from snt_zoo.encoders.gaussian_process import GaussianProcess, Geometry, NewTask, Pairs, fit
from snt_zoo.encoders.intervals import LEVEL, grouped_quantile
from snt_zoo.encoders.network_facts import Cards, NetworkFacts, Places, across, between
from snt_zoo.encoders.profile import VERSION
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import ConfigError

FIT_TASKS = 24
"""Datasets on which the values of the kernel are fitted, drawn at random: more took longer and changed
little."""


class Predicted(NamedTuple):
    """What a network comes to on a dataset, with a new head and not trained any further.

    Args:
        accuracy: from 0 to 1.
        low: of the interval that holds the accuracy with the predictor's `level`.
        high: likewise.
    """

    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Predictor:
    """A fitted predictor; get one with `Predictor.fit` or `load_predictor`.

    Args:
        process: that was fitted, to logits of accuracies less their `mean`.
        weights: solved: covariances with what was seen times these are predictions, float64 ``n``.
        mean: of what was seen.
        vectors: of the datasets, float64 ``T x EMBEDDING_DIM``.
        known: facts of the datasets as they are, float64 ``T x len(FACTS)``.
        parents: of the datasets, by name: the unit of intervals.
        networks: that were seen, without the probe, which is the last of the process.
        near: mean and deviation of the distances to sources.
        bound: of residuals, as logits, for intervals.
        bound_beside_probe: the same where the accuracy of a linear probe on the dataset is known.
        card: what it is, as plain data: backbone, outcomes, datasets, parents, and figures.
    """

    process: GaussianProcess
    weights: Tensor
    mean: float
    vectors: Tensor
    known: Tensor
    parents: tuple[str, ...]
    networks: tuple[NetworkFacts, ...]
    near: tuple[float, float]
    bound: float
    bound_beside_probe: float
    card: Mapping[str, Any]

    @property
    def backbone(self) -> str:
        """That made the sketches; others cannot be asked about."""
        return str(self.card["backbone"])

    @classmethod
    def fit(
        cls,
        sketches: Sequence[Sketch],
        parents: Sequence[str],
        networks: Sequence[NetworkFacts],
        table: Tensor,
        asked: Tensor,
        distances: Tensor,
        *,
        card: Mapping[str, Any],
        steps: int = 40,
        seed: int = 0,
    ) -> Predictor:
        """Fit a predictor.

        Args:
            sketches: of T datasets.
            parents: of each; the unit of the intervals.
            networks: N of them.
            table: logits of the accuracies of new heads, float64 ``T x (N + 1)``, the probe's last; NaN where
                there is none.
            asked: images on which they were measured, float64 ``T``.
            distances: of each dataset to the nearest source of each network, float64 ``T x N``.
            card: what is to be said of it.
            steps: of the fit of the kernel.
            seed: of the datasets on which that is fitted.

        Raises:
            ConfigError: fewer than two datasets have outcomes.
        """
        task, network = (~table.isnan()).nonzero(as_tuple=True)
        if len(torch.unique(task)) < 2:
            raise ConfigError("a predictor needs outcomes on at least two datasets: measure more of them")
        known = torch.stack([facts(sketch) for sketch in sketches])
        vectors = torch.stack([embed(sketch) for sketch in sketches]).double()
        finite = distances[distances.isfinite()]
        near = float(finite.mean()), float(finite.std().clamp_min(1e-6))
        geometry = geometry_of(known, known, vectors, networks, networks, distances, near)
        y = table[task, network]
        mean = float(y.mean())
        noise = binomial_noise(y, asked[task])
        rows = torch.unique(task)
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        some = torch.isin(task, rows[order[:FIT_TASKS]]).nonzero().flatten()
        kernel = fit(
            geometry, Pairs(task[some], network[some]), y[some] - mean, noise[some], steps=steps
        ).kernel
        process = GaussianProcess(kernel, geometry, Pairs(task, network), y - mean, noise)
        bound, beside = (
            grouped_quantile(
                [(y - said).abs() for y, said in _left_out(process, parents, len(networks), keep)]
            )
            for keep in (False, True)
        )
        stated = {**card, "backbone": sketches[0].backbone, "profiles": VERSION, "level": LEVEL}
        weights = process.solved()
        return cls(
            process,
            weights,
            mean,
            vectors,
            known,
            tuple(parents),
            tuple(networks),
            near,
            bound,
            beside,
            stated,
        )

    def evaluate(self, *, beside_probe: bool = False) -> dict[str, Any]:
        """How far it is off, and how true its intervals are, on what it learned from, each parent left out.

        The values of the kernel are those that were fitted to some of all datasets.

        Args:
            beside_probe: where the probe's accuracy on the dataset is known.

        Returns:
            Mean absolute error and median width in points of accuracy; the share of outcomes within their
            intervals, whose bound is of the other parents.
        """
        parts = _left_out(self.process, self.parents, len(self.networks), beside_probe)
        residuals = [(y - said).abs() for y, said in parts]
        errors, covered, widths = [], [], []
        for number, (y, said) in enumerate(parts):
            bound = grouped_quantile(residuals[:number] + residuals[number + 1 :])
            low, middle, high = ((said + self.mean + by).sigmoid() for by in (-bound, 0.0, bound))
            errors.append(float(((y + self.mean).sigmoid() - middle).abs().mean()))
            covered.append(float((residuals[number] <= bound).double().mean()))
            widths.append(float((high - low).mean()))
        return {
            "datasets": len(torch.unique(self.process.pairs.task)),
            "parents": len(parts),
            "outcomes": sum(len(y) for y, _ in parts),
            "mae_points": 100 * sum(errors) / len(errors),
            "coverage": sum(covered) / len(covered),
            "level": LEVEL,
            "width_points": 100 * sorted(widths)[len(widths) // 2],
        }

    def predict(
        self,
        sketch: Sketch,
        networks: Sequence[NetworkFacts],
        distances: Sequence[float],
        *,
        probe: tuple[float, int] | None = None,
    ) -> list[Predicted] | None:
        """What some networks will come to on a dataset, and the probe last; None for another backbone.

        Args:
            sketch: of the dataset.
            networks: any, seen or not.
            distances: of the dataset to the nearest source of each.
            probe: the accuracy of a linear probe on the dataset, and on how many images that was measured, if
                it is known: most of what is not known of a dataset is how hard it is.
        """
        if sketch.backbone != self.backbone:
            return None
        if probe is None:
            logits = self.mean + self._means(sketch, networks, distances)
            return _predicted(logits, self.bound)
        known = torch.cat([self.known, facts(sketch)[None]])
        vectors = torch.cat([self.vectors, embed(sketch).double()[None]])
        digests = [each.digest for each in self.networks]
        new = [each for each in networks if each.digest not in digests]
        everybody = [*self.networks, *new]
        number = {each.digest: n for n, each in enumerate(everybody)}
        near = torch.zeros(len(known), len(everybody), dtype=torch.float64)
        near[:] = torch.nan
        for each, distance in zip(networks, distances, strict=True):
            near[-1, number[each.digest]] = distance
        geometry = geometry_of(known, self.known, vectors, everybody, self.networks, near, self.near)
        # What was seen keeps its own distances to sources, and the probe its place at the end.
        seen = self.process.pairs
        shift = torch.where(seen.network == len(self.networks), len(everybody), seen.network)
        geometry.to_source[seen.task, shift] = self.process.geometry.to_source[seen.task, seen.network]
        asked = torch.tensor([*(number[each.digest] for each in networks), len(everybody)])
        pairs = Pairs(torch.full((len(asked),), len(self.known)), asked)
        cross = self.process.kernel.matrix(geometry, pairs, Pairs(seen.task, shift))
        logits = self.mean + cross @ self.weights
        own = Pairs(pairs.task[-1:], pairs.network[-1:])
        back = torch.cholesky_solve(cross[-1][:, None], self.process.root)[:, 0]
        # Covariances with the probe, given what was seen.
        both = self.process.kernel.matrix(geometry, pairs, own)[:, 0] - cross @ back
        share = torch.tensor((probe[0] * probe[1] + 0.5) / (probe[1] + 1), dtype=torch.float64)
        noise = binomial_noise(share.logit(), torch.tensor(float(probe[1])))
        gain = both / (both[-1] + noise + self.process.kernel.values["noise"])
        return _predicted(logits + gain * (share.logit() - logits[-1]), self.bound_beside_probe)

    def _means(self, sketch: Sketch, networks: Sequence[NetworkFacts], distances: Sequence[float]) -> Tensor:
        """Logits less their mean, of the networks and the probe, ``m + 1``, by a sketch alone."""
        seen = self._seen
        self._remember([network for network in networks if network not in seen.rows])
        probe = torch.full((len(self.networks) + 1,), 2.0, dtype=torch.float64)
        probe[-1] = 0.0
        apart = torch.stack([*(seen.rows[network] for network in networks), probe])
        same = torch.zeros_like(apart)
        for row, network in enumerate(networks):
            if (column := seen.number.get(network.digest)) is not None:
                same[row, column] = 1.0
        same[-1, -1] = 1.0
        near = torch.tensor([*distances, torch.nan], dtype=torch.float64)
        new = NewTask(
            facts=_scaled(facts(sketch)[None], self.known)[0],
            between_tasks=torch.cdist(embed(sketch).double()[None], self.vectors)[0],
            between_networks=apart,
            same=same,
            to_source=_standardised(near, self.near),
        )
        return self.process.mean_of(new, seen.table)

    def _remember(self, new: Sequence[NetworkFacts]) -> None:
        """How far networks are from those that were seen, and from the probe: what no dataset changes."""
        seen = self._seen
        if not new:
            return
        found = torch.full((len(new), len(self.networks) + 1), 2.0, dtype=torch.float64)
        found[:, :-1] = across(Places.of(new, seen.cards.scaled(new)), seen.places)
        for network, row in zip(new, found, strict=True):
            if (column := seen.number.get(network.digest)) is not None:
                row[column] = 0.0
            seen.rows[network] = row

    @cached_property
    def _seen(self) -> _Seen:
        cards = Cards.measured_on(self.networks)
        number = {each.digest: n for n, each in enumerate(self.networks)}
        places = Places.of(self.networks, cards.scaled(self.networks))
        return _Seen(cards, places, number, self.process.summed(self.weights), WeakKeyDictionary())


def _left_out(
    process: GaussianProcess, parents: Sequence[str], networks: int, beside_probe: bool
) -> list[tuple[Tensor, Tensor]]:
    """Of each parent what its supernets came to, and what is said of them without it, or by its probe
    alone."""
    task, own = process.pairs.task.tolist(), process.pairs.network < networks
    groups = [
        (torch.tensor([parents[t] == parent for t in task]) & (own | (not beside_probe))).nonzero().flatten()
        for parent in sorted({parents[t] for t in task})
    ]
    groups = [group for group in groups if bool(own[group].any())]
    return [
        (process.y[group][own[group]], said[own[group]])
        for group, said in zip(groups, process.left_out(groups), strict=True)
    ]


def binomial_noise(y: Tensor, asked: Tensor) -> Tensor:
    """Variances of logits ``n`` that were measured on so many images each."""
    p = y.sigmoid()
    return 1 / (asked * p * (1 - p)).clamp_min(1.0)


class _Seen(NamedTuple):
    """What was seen, as a query without a probe needs it: computed once."""

    cards: Cards
    places: Places
    number: Mapping[str, int]
    table: Tensor
    rows: WeakKeyDictionary[NetworkFacts, Tensor]


def _predicted(logits: Tensor, bound: float) -> list[Predicted]:
    low, high = ((logits + sign * bound).sigmoid().tolist() for sign in (-1, 1))
    return [Predicted(*each) for each in zip(logits.sigmoid().tolist(), low, high, strict=True)]


def _scaled(known: Tensor, measured: Tensor) -> Tensor:
    """Facts of datasets, standardised by those of others."""
    return ((known - measured.mean(0)) / measured.std(0).clamp_min(1e-3)).clamp(-4, 4)


def _standardised(distances: Tensor, near: tuple[float, float]) -> Tensor:
    """How near sources are; 0 where there is no distance."""
    return torch.where(distances.isfinite(), ((near[0] - distances) / near[1]).clamp(-4, 4), 0.0)


def geometry_of(
    known: Tensor,
    measured: Tensor,
    vectors: Tensor,
    networks: Sequence[NetworkFacts],
    tried: Sequence[NetworkFacts],
    distances: Tensor,
    near: tuple[float, float],
) -> Geometry:
    """How datasets and networks lie to each other; the probe is the last network, unlike all others.

    Args:
        known: facts of all datasets.
        measured: of those by which they are standardised.
        vectors: of all datasets.
        networks: all but the probe.
        tried: those by which cards are standardised.
        distances: ``T x N``; not finite where there is none, which then says nothing.
        near: mean and deviation of the distances.
    """
    scaled = _scaled(known, measured)
    apart = torch.full((len(networks) + 1,) * 2, 2.0, dtype=torch.float64)
    apart[:-1, :-1] = between(networks, Cards.measured_on(tried).scaled(networks))
    apart.fill_diagonal_(0.0)
    to_source = _standardised(distances, near)
    probe = torch.zeros(len(to_source), 1, dtype=torch.float64)
    return Geometry(scaled, torch.cdist(vectors, vectors), apart, torch.cat([to_source, probe], 1))
