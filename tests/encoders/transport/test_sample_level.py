"""OTDD between samples: invariances, closed forms, a linear programme, and the chain of levels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snt_zoo.encoders.transport import (
    LabelledSamples,
    Method,
    dataset_distance,
    dataset_distances,
    sample_level,
)
from snt_zoo.errors import TimeLimitError
from tests.encoders.transport.making import DEVICES, cloud, labelled, programme
from tests.encoders.transport.test_bures import by_definition

METHODS: list[Method] = ["exact", "entropic", "class"]
SEEDS = st.integers(0, 10_000)
SIZES = st.integers(4, 14)
CLASSES = st.integers(1, 4)


def ground_cost(
    left: tuple[torch.Tensor, torch.Tensor], right: tuple[torch.Tensor, torch.Tensor], a: float, b: float
) -> np.ndarray:
    """Entry by entry, with W₂ by matrix square roots."""

    def gaussian(x: torch.Tensor, y: torch.Tensor, label: int) -> tuple[np.ndarray, np.ndarray]:
        own = x[y == label].numpy()
        spread = np.cov(own, rowvar=False) if len(own) > 1 else np.zeros((own.shape[1],) * 2)
        return own.mean(0), spread

    out = np.zeros((len(left[0]), len(right[0])))
    for i, (x, y) in enumerate(zip(*left, strict=True)):
        for j, (z, w) in enumerate(zip(*right, strict=True)):
            (m, s), (n, t) = gaussian(*left, int(y)), gaussian(*right, int(w))
            jitter = 1e-10 * np.eye(len(m))
            label = np.square(m - n).sum() + by_definition(s + jitter, t + jitter)
            out[i, j] = a * float((x - z).square().sum()) + b * float(label)
    return out


@pytest.mark.parametrize(("a", "b"), [(1.0, 1.0), (0.0, 1.0), (1.0, 0.0), (0.3, 2.0)])
def test_exact_equals_a_linear_programme_on_costs_by_hand(a: float, b: float) -> None:
    left, right = labelled(9, 2, dim=3, seed=1), labelled(11, 3, dim=3, seed=2)
    found = dataset_distance(
        LabelledSamples.of_features(*left),
        LabelledSamples.of_features(*right),
        method="exact",
        feature_weight=a,
        label_weight=b,
    )
    expected = programme(ground_cost(left, right, a, b), np.full(9, 1 / 9), np.full(11, 1 / 11))
    assert found.distance**2 == pytest.approx(expected, rel=1e-4)
    assert sum(found.parts.values()) == pytest.approx(found.distance**2)
    assert found.level == "exact"


@example(14, 7, 3, 4, 748)
@settings(max_examples=10, deadline=None)
@given(SIZES, SIZES, CLASSES, CLASSES, SEEDS)
def test_it_is_symmetric_and_the_coupling_has_the_frequencies(
    n: int, m: int, k: int, j: int, seed: int
) -> None:
    left, right = cloud(n, k, seed=seed), cloud(m, j, seed=seed + 1)
    for method in METHODS:
        there = dataset_distance(left, right, method=method)
        back = dataset_distance(right, left, method=method)
        assert there.distance == pytest.approx(back.distance, rel=1e-4, abs=1e-4)
        # The entropic plan ends after `MAX_ITERATIONS` at the latest, as for the example.
        torch.testing.assert_close(there.coupling.sum(1), left.frequencies, atol=1e-4, rtol=0)
        torch.testing.assert_close(there.coupling.sum(0), right.frequencies, atol=1e-5, rtol=0)
        assert there.costs.shape == (k, j) and there.level == method


@settings(max_examples=10, deadline=None)
@given(SIZES, CLASSES, SEEDS)
def test_relabelling_order_and_duplication_change_nothing(n: int, k: int, seed: int) -> None:
    features, labels = labelled(n, k, seed=seed)
    other = cloud(9, 3, seed=seed + 1)
    g = torch.Generator().manual_seed(seed)
    order, renumbered = torch.randperm(n, generator=g), torch.randperm(k, generator=g)
    plain = LabelledSamples.of_features(features, labels)
    turned = LabelledSamples.of_features(features[order], renumbered[labels[order]])
    # Twice the samples are twice the degrees of freedom of a covariance; the Gaussians stay those of before.
    doubled = dataclasses.replace(
        plain,
        features=features.repeat(2, 1),
        labels=labels.repeat(2),
        masses=plain.masses.repeat(2) / 2,
        _self_terms={},
    )
    for method in METHODS:
        expected = dataset_distance(plain, other, method=method).distance
        assert dataset_distance(turned, other, method=method).distance == pytest.approx(expected, rel=1e-4)
        assert dataset_distance(doubled, other, method=method).distance == pytest.approx(expected, rel=1e-4)
        for same in (plain, turned, doubled):
            # The entropic plan of equal sides converges slowly; its value is near long before.
            itself = dataset_distance(plain, same, method=method, tolerance=1e-4).distance
            assert itself == pytest.approx(0.0, abs=1e-2)


def test_one_gaussian_moved_is_as_far_as_it_was_moved() -> None:
    features, labels = labelled(12, 1, seed=0)
    shift = torch.tensor([3.0, 0, 0, 4.0, 0, 0], dtype=torch.float64)
    left, right = (LabelledSamples.of_features(x, labels) for x in (features, features + shift))
    assert dataset_distance(left, right, method="class").distance == pytest.approx(5.0)
    # Features and labels are both moved by 5: the squared parts add up.
    for method in ("exact", "entropic"):
        found = dataset_distance(left, right, method=method)
        assert found.distance == pytest.approx(50**0.5, rel=1e-3)
    half = dataset_distance(left, right, method="exact", label_weight=0.0)
    assert half.distance == pytest.approx(5.0) and half.parts["labels"] == 0.0


def test_entropic_comes_near_exact_as_epsilon_falls() -> None:
    left, right = cloud(20, 3, seed=1), cloud(25, 4, seed=2)
    exact = dataset_distance(left, right, method="exact").distance
    gaps = [
        abs(dataset_distance(left, right, method="entropic", epsilon=e).distance - exact)
        for e in (3, 0.3, 0.03)
    ]
    assert gaps == sorted(gaps, reverse=True) and gaps[-1] < 0.02 * exact


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_equals_its_pairs(method: Method, device: str) -> None:
    target = cloud(15, 3, seed=0)
    sources = [cloud(10 + 3 * i, 1 + i, seed=i + 1) for i in range(4)]
    together = dataset_distances(target, sources, method=method, device=device)
    for found, source in zip(together, sources, strict=True):
        alone = dataset_distance(target, source, method=method)
        assert found.distance == pytest.approx(alone.distance, rel=1e-5)
        torch.testing.assert_close(found.coupling, alone.coupling, atol=1e-5, rtol=0)


def test_the_chain_falls_from_level_to_level() -> None:
    left, right = cloud(300, 5, seed=1), cloud(300, 6, seed=2)
    assert dataset_distance(left, right).level == "exact"
    assert dataset_distance(left, right, time_limit=60.0).level == "exact"
    assert dataset_distance(left, right, time_limit=0.0).level == "class"
    for method in ("exact", "entropic"):
        with pytest.raises(TimeLimitError, match="cheaper level"):
            dataset_distance(left, right, method=method, time_limit=0.0)


def test_too_many_samples_for_exact_transport_fall_to_entropic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample_level, "_EXACT_ENTRIES", 100)
    found = dataset_distances(cloud(12, 2), [cloud(9, 2, seed=1), cloud(5, 2, seed=2)])
    # One of the two would fit; a ranking never mixes levels.
    assert [answer.level for answer in found] == ["entropic", "entropic"]


def test_exact_in_limited_time_is_as_exact() -> None:
    left, right = cloud(80, 3, seed=1), cloud(70, 3, seed=2)
    free = dataset_distance(left, right, method="exact")
    limited = dataset_distance(left, right, method="exact", time_limit=60.0)
    assert limited.distance == pytest.approx(free.distance, rel=1e-9)
