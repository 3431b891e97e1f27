"""The class-level distance as a metric, against closed forms, scipy and a linear programme."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from snt_zoo.encoders.projection import DIM
from snt_zoo.encoders.sketch import COVARIANCE_DIM
from snt_zoo.encoders.transport import bures_wasserstein, class_distance, class_distances, class_level
from snt_zoo.encoders.transport.bures import square_root_distances, squared_bures
from snt_zoo.errors import IndexMismatchError
from tests.encoders.making import random_sketch
from tests.encoders.transport.making import DEVICES, programme

SCALE = DIM / COVARIANCE_DIM
SIZES = st.integers(1, 6)
SEEDS = st.integers(0, 10_000)


def test_ground_cost_equals_the_formula_with_matrix_square_roots() -> None:
    left, right = random_sketch(3, seed=1), random_sketch(4, seed=2)
    costs = bures_wasserstein(left, right)
    for i in range(3):
        for j in range(4):
            a, b = left.covariances[i].double().numpy(), right.covariances[j].double().numpy()
            root = sqrtm(a)
            bures = np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(root @ b @ root)).real
            shift = (left.means[i] - right.means[j]).double().square().sum()
            assert float(costs[i, j]) == pytest.approx(float(shift) + SCALE * bures, rel=1e-6)


def test_many_classes_use_variances_with_the_same_formula() -> None:
    full, other = random_sketch(3, seed=1), random_sketch(2, seed=2)
    variances = full.covariances.diagonal(dim1=1, dim2=2)
    diagonal = replace(full, covariances=variances.diag_embed())
    plain = replace(other, covariances=other.covariances.diagonal(dim1=1, dim2=2).diag_embed())
    packed = replace(full, covariances=variances)
    torch.testing.assert_close(bures_wasserstein(packed, plain), bures_wasserstein(diagonal, plain))


@settings(max_examples=25, deadline=None)
@given(SIZES, SIZES, SEEDS)
def test_transport_equals_a_linear_programme(k: int, m: int, seed: int) -> None:
    left, right = random_sketch(k, seed=seed), random_sketch(m, seed=seed + 1)
    found = class_distance(left, right)
    expected = programme(found.costs.numpy(), left.frequencies.numpy(), right.frequencies.numpy())
    assert found.distance**2 == pytest.approx(expected, rel=1e-6, abs=1e-9)
    torch.testing.assert_close(found.coupling.sum(1), left.frequencies)
    torch.testing.assert_close(found.coupling.sum(0), right.frequencies)


@settings(max_examples=25, deadline=None)
@given(SIZES, SIZES, SIZES, SEEDS)
def test_it_is_a_metric(k: int, m: int, n: int, seed: int) -> None:
    a, b, c = (random_sketch(size, seed=seed + i) for i, size in enumerate((k, m, n)))
    ab, bc, ac = class_distance(a, b).distance, class_distance(b, c).distance, class_distance(a, c).distance
    assert class_distance(b, a).distance == pytest.approx(ab, rel=1e-6)
    assert class_distance(a, a).distance == pytest.approx(0.0, abs=1e-3)
    assert ac <= ab + bc + 1e-6


def test_relabelling_the_classes_changes_nothing() -> None:
    a, b = random_sketch(5, seed=1), random_sketch(4, seed=2)
    order = torch.tensor([3, 0, 4, 1, 2])
    turned = replace(
        a,
        class_names=tuple(a.class_names[i] for i in order),
        counts=a.counts[order],
        means=a.means[order],
        covariances=a.covariances[order],
    )
    assert class_distance(turned, b).distance == pytest.approx(class_distance(a, b).distance, rel=1e-9)
    pairs = {(m.target, m.source_class) for m in class_distance(a, b).matches}
    assert {(m.target, m.source_class) for m in class_distance(turned, b).matches} == pairs


def test_counting_every_image_twice_changes_nothing() -> None:
    a, b = random_sketch(5, seed=1), random_sketch(4, seed=2)
    assert class_distance(replace(a, counts=2 * a.counts), b).distance == pytest.approx(
        class_distance(a, b).distance, rel=1e-9
    )


def test_sketches_of_different_backbones_are_not_compared() -> None:
    with pytest.raises(IndexMismatchError, match="sketch both with the same one"):
        class_distance(random_sketch(2), replace(random_sketch(2), backbone="other"))


def test_two_single_classes_are_two_gaussians() -> None:
    a, b = random_sketch(1, seed=1), random_sketch(1, seed=2)
    found = class_distance(a, b)
    assert found.distance**2 == pytest.approx(float(bures_wasserstein(a, b)))
    shifted = replace(a, means=a.means + 0.5)
    assert class_distance(a, shifted).distance == pytest.approx(0.5 * DIM**0.5, rel=1e-6)
    # W₂ of N(0, Σ) and N(0, s²Σ) is |s - 1| √tr Σ.
    wider = replace(a, covariances=4 * a.covariances)
    trace = SCALE * float(a.covariances.double().diagonal(dim1=1, dim2=2).sum())
    assert class_distance(a, wider).distance == pytest.approx(trace**0.5, rel=1e-5)


@pytest.mark.parametrize("device", DEVICES)
def test_a_batch_lies_just_above_its_pairs(device: str) -> None:
    target = random_sketch(7, seed=1)
    sources = [target, *(random_sketch(k, seed=k + 1) for k in (1, 5, 12, 30))]
    found = class_distances(target, sources, device=device)
    assert found[0].distance == pytest.approx(0.0, abs=1e-6)
    for answer, source in zip(found[1:], sources[1:], strict=True):
        exact = class_distance(target, source).distance
        assert exact * (1 - 1e-6) <= answer.distance <= exact * 1.03
        torch.testing.assert_close(answer.coupling.sum(0), source.frequencies)
        assert float((answer.costs - bures_wasserstein(target, source)).min()) > -1e-4
        assert answer.distance**2 == pytest.approx(sum(answer.parts.values()))


def test_a_sketch_that_is_there_twice_is_measured_once_and_answers_twice() -> None:
    target, one, other = random_sketch(4, seed=1), random_sketch(3, seed=2), random_sketch(5, seed=3)
    first, second, again = class_distances(target, [one, other, one])
    assert again is first and second is not first
    alone = class_distances(target, [other])[0]
    assert second.distance == pytest.approx(alone.distance, rel=1e-12)
    assert second.matches == alone.matches


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), SEEDS)
def test_the_nearest_are_told_exactly_and_the_others_are_not_nearer(nearest: int, seed: int) -> None:
    target = random_sketch(4, seed=seed)
    sources = [random_sketch(1 + i % 5, seed=seed + i + 1) for i in range(12)]
    all_of_them = class_distances(target, sources)
    found = class_distances(target, sources, nearest=nearest)
    ranking = sorted(range(12), key=lambda i: all_of_them[i].distance)
    assert sorted(range(12), key=lambda i: found[i].distance)[:nearest] == ranking[:nearest]
    for place in ranking[:nearest]:
        assert found[place].distance == pytest.approx(all_of_them[place].distance, rel=1e-12)
        assert found[place].matches == all_of_them[place].matches
    last = all_of_them[ranking[nearest - 1]].distance
    assert all(found[place].distance >= last for place in ranking[nearest:])


def test_of_an_owner_with_several_sources_the_nearest_counts() -> None:
    target = random_sketch(4, seed=1)
    sources = [random_sketch(1 + i % 5, seed=i + 2) for i in range(12)]
    owners = [f"owner {i // 3}" for i in range(12)]
    exact = [each.distance for each in class_distances(target, sources)]
    found = [each.distance for each in class_distances(target, sources, nearest=3, owners=owners)]
    least = {owner: min(d for d, o in zip(exact, owners, strict=True) if o == owner) for owner in owners}
    for owner in sorted(least, key=lambda owner: least[owner])[:3]:
        assert min(d for d, o in zip(found, owners, strict=True) if o == owner) == pytest.approx(least[owner])


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_a_bures_distance_is_at_least_half_of_its_bound(seed: int) -> None:
    left, right = random_sketch(3, seed=seed).roots, random_sketch(4, seed=seed + 1).roots
    assert bool((square_root_distances(left, right) <= 2 * squared_bures(left, right) + 1e-9).all())


def test_a_batch_of_none_is_empty_and_other_backbones_are_refused() -> None:
    assert class_distances(random_sketch(2), []) == []
    with pytest.raises(IndexMismatchError, match="sketch both with the same one"):
        class_distances(random_sketch(2), [random_sketch(3), replace(random_sketch(2), backbone="other")])


def test_many_pairs_of_classes_take_the_cheaper_way(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = random_sketch(6, seed=1), random_sketch(5, seed=2)
    exact = class_distance(a, b)
    monkeypatch.setattr(class_level, "EXACT_PAIRS", 29)
    cheaper = class_distance(a, b)
    assert exact.distance <= cheaper.distance <= 1.03 * exact.distance
    torch.testing.assert_close(cheaper.costs, exact.costs, rtol=0.1, atol=0)
