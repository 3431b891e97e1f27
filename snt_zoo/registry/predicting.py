"""Predictions for the matches of a query: how accurate each will be with a new head, before one is fitted."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from snt_zoo.encoders.network_facts import NetworkFacts
from snt_zoo.encoders.outcomes import Outcome
from snt_zoo.encoders.predictor import Predicted, Predictor
from snt_zoo.encoders.predictor_file import load_predictor, shipped_predictor
from snt_zoo.encoders.prior import shrunken_means
from snt_zoo.encoders.sketch import Sketch
from snt_zoo.errors import BundleError, warn
from snt_zoo.registry.catalog.records import Record
from snt_zoo.registry.hub.seen import RemoteRecord
from snt_zoo.registry.own_outcomes import FILE, own_outcomes, wanted
from snt_zoo.registry.ranking import Nearest, Said, said

BUDGET = "0s"
"""Of training, that predictions are for: a new last layer, and nothing else."""


STRENGTH = 8.0
"""Outcomes that a prediction is worth. By the kernel of the predictor, what an outcome says of a network as
such has a variance of 0.03, what it says of its dataset and of chance 0.3. With 2 a dozen runs of a user cost
the order 0.4 points of regret, with 8 0.2; neither can be told from 0 (`python -m benchmarks.feedback`)."""


def own_predictor(home: Path) -> Path:
    """Where a registry's own predictor lies."""
    return home / "predictor.safetensors"


def predictor_of(home: Path) -> Predictor | None:
    """A registry's own predictor if it has one that can be read, else the one that ships."""
    path = own_predictor(home)
    try:
        stamp = path.stat().st_mtime_ns
    except OSError:
        return shipped_predictor()
    try:
        return _loaded(path, stamp)
    except BundleError as error:
        warn(f"the registry's own predictor is left out: {error}")
        return shipped_predictor()


@functools.lru_cache(maxsize=4)
def _loaded(path: Path, stamp: int) -> Predictor:
    """Read once, and again when the file has changed."""
    return load_predictor(path)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What is predicted of the matches of a query.

    Args:
        predictor: that says it.
        sketch: of the target.
        networks: of the matches, in their order.
        distances: by class-ot.
        moved: by how much outcomes of the registry move a supernet; see `levels`.
        matches: one for each network.
        probe: of a linear probe on the backbone.
    """

    predictor: Predictor
    sketch: Sketch
    networks: tuple[NetworkFacts, ...]
    distances: tuple[float, ...]
    moved: Mapping[str, float]
    matches: tuple[Predicted, ...]
    probe: Predicted

    @classmethod
    def of(
        cls,
        predictor: Predictor,
        sketch: Sketch,
        ranking: Sequence[Nearest],
        moved: Mapping[str, float] | None = None,
    ) -> Predictions | None:
        """From the sketch alone; None for another backbone.

        A supernet that the predictor never saw is known by its card and its sources, wherever it is.

        Args:
            predictor: that is asked.
            sketch: of the target.
            ranking: with distances by class-ot.
            moved: as of `moved_at`.
        """
        if sketch.backbone != predictor.backbone:
            return None
        seen = {each.digest: each for each in predictor.networks}
        networks = tuple(seen.get(one.candidate.record.digest[:16]) or _facts(one) for one in ranking)
        distances = tuple(one.distance for one in ranking)
        return cls._asked(predictor, sketch, networks, distances, moved or {}, None)

    @classmethod
    def _asked(
        cls,
        predictor: Predictor,
        sketch: Sketch,
        networks: tuple[NetworkFacts, ...],
        distances: tuple[float, ...],
        moved: Mapping[str, float],
        probe: tuple[float, int] | None,
    ) -> Predictions:
        found = predictor.predict(sketch, networks, distances, probe=probe)
        assert found is not None
        matches = tuple(
            _moved(one, moved.get(network.digest, 0.0)) for network, one in zip(networks, found, strict=False)
        )
        return cls(predictor, sketch, networks, distances, moved, matches, found[-1])

    @property
    def close(self) -> bool:
        """Whether the best of the matches is predicted to be at least as good as the probe."""
        return max(one.accuracy for one in self.matches) >= self.probe.accuracy

    def ordered(self, places: Sequence[int]) -> Predictions:
        """Some of the matches, in another order."""
        return replace(
            self,
            networks=tuple(self.networks[place] for place in places),
            distances=tuple(self.distances[place] for place in places),
            matches=tuple(self.matches[place] for place in places),
        )

    def beside(self, probe: float, images: int) -> Predictions:
        """The same where the accuracy of a probe is known: most of what was open is how hard the dataset is.

        Args:
            probe: accuracy on validation.
            images: on which that was measured.
        """
        return self._asked(
            self.predictor, self.sketch, self.networks, self.distances, self.moved, (probe, images)
        )


def moved_at(home: Path) -> Mapping[str, float]:
    """By how much the outcomes of a registry move its supernets: `levels`, once for a state of the file."""
    path = home / FILE
    try:
        status = path.stat()
    except OSError:
        return {}
    return _levels_of(home, status.st_mtime_ns, status.st_size) if wanted() else {}


@functools.lru_cache(maxsize=4)
def _levels_of(home: Path, stamp: int, size: int) -> Mapping[str, float]:
    return levels(own_outcomes(home))


def levels(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """By how much each supernet did better here than was predicted, as logits, by the digest of its bundle.

    The level of a dataset is taken out, since a dataset that is harder than it looked says nothing of a
    supernet.
    """
    rows = [
        (one.fingerprint, one.digest, _logit(one.val, one.val_images) - _logit(one.expected, math.inf))
        for one in outcomes
        if one.method == "head" and one.val is not None and one.expected is not None
    ]
    if not rows:
        return {}
    tasks, digests = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    shrunk = shrunken_means(
        torch.tensor([tasks.index(row[0]) for row in rows]),
        torch.tensor([digests.index(row[1]) for row in rows]),
        torch.tensor([row[2] for row in rows], dtype=torch.float64),
        networks=len(digests),
        strength=STRENGTH,
    )
    return dict(zip(digests, shrunk.tolist(), strict=True))


def _moved(one: Predicted, by: float) -> Predicted:
    if not by:
        return one
    shifted = (1 / (1 + math.exp(-(_logit(value, math.inf) + by))) for value in one)
    return Predicted(*shifted)


def _logit(share: float, count: float) -> float:
    """Finite also at 0 and 1: of so many images half a one is added to either side."""
    share = min(max(share, 1e-6), 1 - 1e-6) if math.isinf(count) else (share * count + 0.5) / (count + 1)
    return math.log(share / (1 - share))


def _facts(one: Nearest) -> NetworkFacts:
    return _facts_of(one.candidate.record)


@functools.lru_cache(maxsize=32_768)
def _facts_of(record: Record | RemoteRecord) -> NetworkFacts:
    """One object for a record, by which the predictor knows it again."""
    size = said(record).input_size if isinstance(record, Record) else Said().input_size
    return NetworkFacts(
        digest=record.digest[:16],
        params=record.params,
        macs=record.macs,
        accuracy=record.val_accuracy if isinstance(record, Record) else None,
        sources=len(record.sources),
        input_size=size,
    )
