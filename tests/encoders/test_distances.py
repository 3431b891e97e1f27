"""Every distance passes the common case; then what is peculiar to each."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from scipy.optimize import minimize

from snt_zoo.data import ImageDataset
from snt_zoo.encoders.distances import Source, get_distance, list_distances, register_distance
from snt_zoo.encoders.distances.blind import Static
from snt_zoo.encoders.distances.logme import log_evidence
from snt_zoo.encoders.sketch import sketch
from snt_zoo.encoders.target import Target
from snt_zoo.encoders.transport import class_distance
from snt_zoo.errors import DatasetError, RegistryError, UnknownComponentError
from tests.encoders.cases import DistanceCase, sources, tiny_supernet
from tests.encoders.making import cheap_backbone, random_sketch


class TestClassTransport(DistanceCase):
    name = "class-ot"
    level = "class"
    couples = True


class TestSampleTransport(DistanceCase):
    name = "otdd"
    level = "exact"
    couples = True
    options = {"samples": 40}  # noqa: RUF012


class TestSampleTransportWithoutTime(DistanceCase):
    name = "otdd"
    level = "class"
    couples = True
    options = {"time_limit": 0.0}  # noqa: RUF012


class TestMeanFeature(DistanceCase):
    name = "mean-feature"
    level = "mean-feature"


class TestClassMeans(DistanceCase):
    name = "class-means"
    level = "class-means"


class TestFrechet(DistanceCase):
    name = "frechet"
    level = "frechet"


class TestLogME(DistanceCase):
    name = "logme"
    level = "logme"
    sees = False  # it looks at the images and the networks


class TestRandom(DistanceCase):
    name = "random"
    level = "random"
    sees = False


class TestStatic(DistanceCase):
    name = "static"
    level = "static"
    sees = False


def test_every_distance_has_a_case() -> None:
    tested = {case.name for case in DistanceCase.__subclasses__()}
    assert tested == set(list_distances())


def test_names_are_unique_and_unknown_ones_list_the_known() -> None:
    with pytest.raises(UnknownComponentError, match=f"choose one of {', '.join(list_distances())}"):
        get_distance("euclid")
    with pytest.raises(ValueError, match="registered already"):
        register_distance("static")(Static)


def test_frechet_equals_its_formula_on_one_gaussian_each() -> None:
    a, b = random_sketch(1, seed=1), random_sketch(1, seed=2)
    p, q = (s.covariances[0].double().numpy() for s in (a, b))
    bures = np.trace(p) + np.trace(q) - 2 * np.trace(sqrtm(p @ q)).real
    squared = float((a.means - b.means).double().square().sum()) + 2 * bures
    found = get_distance("frechet")(Target(a), [Source("b", b)])[0].distance
    assert found == pytest.approx(math.sqrt(squared), rel=1e-5)


def test_frechet_does_not_see_how_a_dataset_is_cut_into_classes() -> None:
    # Two classes, or the one that they make together: the same mean and covariance.
    halves = random_sketch(2, seed=1, counts=[10, 30])
    weights = halves.frequencies.float()
    mean = (weights[:, None] * halves.means).sum(0)
    apart = (halves.means - mean)[:, :32]
    spread = (weights[:, None, None] * (halves.covariances + apart[:, :, None] * apart[:, None])).sum(0)
    whole = random_sketch(1)
    whole = replace(whole, means=mean[None], covariances=spread[None])
    assert get_distance("frechet")(Target(halves), [Source("w", whole)])[0].distance < 1e-3


def test_class_means_take_each_class_to_its_nearest() -> None:
    a, b = random_sketch(3, seed=1), random_sketch(4, seed=2)
    costs = torch.cdist(a.means.double(), b.means.double()).square()
    there = sum(f * min(row) for f, row in zip(a.frequencies.tolist(), costs.tolist(), strict=True))
    back = sum(f * min(row) for f, row in zip(b.frequencies.tolist(), costs.T.tolist(), strict=True))
    found = get_distance("class-means")(Target(a), [Source("b", b)])[0].distance
    assert found == pytest.approx(math.sqrt((there + back) / 2))


def test_random_depends_on_the_seed_and_on_nothing_that_is_alike() -> None:
    target = Target(random_sketch(3))
    candidates = sources(target.sketch)

    def draws(seed: int) -> list[float]:
        return [found.distance for found in get_distance("random", seed=seed)(target, candidates)]

    assert draws(0) == draws(0) != draws(1)
    assert len(set(draws(0))) == len(candidates)


def test_static_ranks_every_target_alike() -> None:
    one, other = random_sketch(3, seed=5), random_sketch(9, seed=6)
    candidates = sources(one)
    static = get_distance("static")
    answers = [[m.distance for m in static(Target(t), candidates)] for t in (one, other)]
    assert answers[0] == answers[1]
    # By hand: the mean distance to the other candidates.
    expected = [class_distance(candidates[0].sketch, s.sketch).distance for s in candidates[1:]]
    assert answers[0][0] == pytest.approx(sum(expected) / 3, rel=0.01)
    measured = get_distance("static", averages={"id 2": 0.9, "id 0": 0.4})
    distances = [m.distance for m in measured(Target(one), candidates)]
    assert distances == pytest.approx([0.6, 1.0, 0.1, 1.0])


def evidence_by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """The largest log evidence of y ~ N(0, I/β + XXᵀ/α), by a general minimiser over α and β."""
    n = len(y)
    values, vectors = np.linalg.eigh(x @ x.T)
    turned = (vectors.T @ y) ** 2

    def negative(logs: np.ndarray) -> float:
        logs = np.clip(logs, -30, 30)
        spread = np.maximum(values, 0) / np.exp(logs[0]) + 1 / np.exp(logs[1])
        return float(0.5 * (n * np.log(2 * np.pi) + np.log(spread).sum() + (turned / spread).sum()))

    starts = [(a, b) for a in (-2.0, 2.0, 5.0) for b in (0.0, 3.0)]
    return max(-minimize(negative, s, method="Nelder-Mead", options={"fatol": 1e-10}).fun for s in starts)


@pytest.mark.parametrize(("n", "d"), [(60, 5), (40, 60)])
def test_logme_is_the_largest_evidence(n: int, d: int) -> None:
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % 3
    x = torch.randn(n, d, generator=g, dtype=torch.float64)
    x[:, :3] += 1.5 * torch.nn.functional.one_hot(labels, 3)
    expected = np.mean([evidence_by_hand(x.numpy(), (labels == k).double().numpy()) for k in range(3)]) / n
    assert log_evidence(x, labels) == pytest.approx(expected, rel=1e-3)


def test_logme_prefers_features_that_tell_the_classes_apart(few_digits: ImageDataset) -> None:
    g = torch.Generator().manual_seed(0)
    labels = few_digits.train.labels
    noise = torch.randn(len(labels), 20, generator=g)
    telling = noise + 3 * torch.nn.functional.one_hot(labels, 20)
    assert log_evidence(telling, labels) > log_evidence(noise, labels) + 0.1


def test_logme_asks_for_what_it_lacks(few_digits: ImageDataset) -> None:
    made = sketch(few_digits, backbone=cheap_backbone())
    logme = get_distance("logme", max_images=50)
    with pytest.raises(DatasetError, match="only a sketch was given"):
        logme(Target(made), [Source("a", made, lambda: tiny_supernet(0))])
    with pytest.raises(RegistryError, match="needs the network of a"):
        logme(Target(made, few_digits), [Source("a", made)])


def test_logme_puts_a_network_that_computes_no_numbers_last(few_digits: ImageDataset) -> None:
    made = sketch(few_digits)
    spoilt = tiny_supernet(1)
    with torch.no_grad():
        for parameter in spoilt.trunk.parameters():
            parameter.fill_(3e38)
    sources = [Source("a", made, lambda: spoilt), Source("b", made, lambda: tiny_supernet(0))]
    bad, good = get_distance("logme", max_images=50)(Target(made, few_digits), sources)
    assert bad.distance == float("inf") and 0 < good.distance < bad.distance
