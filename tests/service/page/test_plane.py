"""The plane: it keeps what lies in it, repeats, and dots do not cover each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given as cases
from hypothesis import strategies as st

from snt_zoo.service.page.plane import Frame, Plane, apart

SIZE = (1000.0, 600.0)


def vectors(seed: int, count: int = 20, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@cases(st.integers(0, 50))
def test_distances_within_a_plane_are_kept(seed: int) -> None:
    flat = np.random.default_rng(seed).normal(size=(12, 2))
    rotation = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(16, 16)))[0][:2]
    points = flat @ rotation + 3.0
    plane = Plane.through(points)
    placed = plane.place(points)
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    assert np.allclose(np.linalg.norm(placed[:, None] - placed[None], axis=-1), expected)
    assert plane.share > 1 - 1e-9


@cases(st.integers(0, 50))
def test_the_order_of_the_vectors_changes_nothing(seed: int) -> None:
    given, order = vectors(seed), np.random.default_rng(seed).permutation(20)
    assert np.allclose(
        Plane.through(given).place(given)[order], Plane.through(given[order]).place(given[order])
    )


def test_the_first_direction_has_the_larger_spread_and_no_other_has_more() -> None:
    given = vectors(0) * np.linspace(1, 4, 16)
    spread = Plane.through(given).place(given).var(0)
    assert spread[0] >= spread[1]
    others = np.random.default_rng(1).normal(size=(100, 16))
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert (((given - given.mean(0)) @ others.T).var(0) <= spread[0] + 1e-9).all()


def test_one_vector_and_equal_vectors_have_a_place() -> None:
    for given in (vectors(0, 1), np.repeat(vectors(0, 1), 5, 0)):
        plane = Plane.through(given)
        points = plane.place(given)
        assert np.isfinite(points).all()
        drawn = Frame.around(points, SIZE, margin=50.0).draw(points)
        assert np.isfinite(drawn).all()


@cases(st.integers(0, 50))
def test_a_picture_holds_all_points_in_the_order_of_their_distances(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(30, 2)) * (5, 1)
    points -= points.mean(0)
    points[0] *= 50  # one odd dataset
    frame = Frame.around(points, SIZE, margin=50.0)
    drawn = frame.draw(points)
    assert (drawn >= 50 - 1e-6).all()
    assert (drawn <= np.array(SIZE) - 50 + 1e-6).all()
    middle = frame.draw(np.zeros((1, 2)))
    away = np.linalg.norm((drawn - middle) / frame.scale, axis=1)
    assert (away.argsort() == np.linalg.norm(points, axis=1).argsort()).all()
    far = frame.draw(np.array([[1e99, -1e99]]))
    assert far.tolist() == [[1000.0, 600.0]]


def test_one_odd_dataset_does_not_press_the_others_together() -> None:
    points = np.random.default_rng(0).normal(size=(30, 2))
    points[0] = (60.0, 0.0)
    drawn = Frame.around(points, SIZE, margin=50.0).draw(points)
    assert drawn[1:, 0].max() - drawn[1:, 0].min() > 300


@cases(st.integers(0, 20))
def test_dots_are_moved_apart_and_stay_in_the_picture(seed: int) -> None:
    places = np.random.default_rng(seed).normal(size=(40, 2)) * 30 + (500, 300)
    places[1] = places[0]
    moved = apart(places, 25.0, SIZE)
    distances = np.linalg.norm(moved[:, None] - moved[None], axis=-1) + 1e9 * np.eye(40)
    assert distances.min() > 24
    assert (moved >= 0).all()
    assert (moved <= SIZE).all()


def test_dots_that_are_far_apart_stay_where_they_are() -> None:
    places = np.array([[100.0, 100.0], [500.0, 300.0]])
    assert np.allclose(apart(places, 25.0, SIZE), places, atol=0.01)
