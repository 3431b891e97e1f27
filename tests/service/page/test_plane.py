"""The plane: it keeps what lies in it, repeats, and dots do not cover each other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from snt_zoo.service.page.plane import Frame, Plane, apart

SIZE = (1000.0, 600.0)


def vectors(seed: int, count: int = 20, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


@given(st.integers(0, 50))
def test_distances_within_a_plane_are_kept(seed: int) -> None:
    flat = np.random.default_rng(seed).normal(size=(12, 2))
    rotation = np.linalg.qr(np.random.default_rng(seed + 1).normal(size=(16, 16)))[0][:2]
    points = flat @ rotation + 3.0
    plane = Plane.through(points)
    placed = plane.place(points)
    expected = np.linalg.norm(flat[:, None] - flat[None], axis=-1)
    assert np.allclose(np.linalg.norm(placed[:, None] - placed[None], axis=-1), expected)
    assert plane.share > 1 - 1e-9


@given(st.integers(0, 50))
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


@given(st.integers(0, 50))
def test_a_picture_holds_all_points_and_keeps_their_proportions(seed: int) -> None:
    points = np.random.default_rng(seed).normal(size=(30, 2)) * (5, 1)
    frame = Frame.around(points, SIZE, margin=50.0)
    drawn = frame.draw(points)
    assert (drawn >= 50 - 1e-6).all()
    assert (drawn <= np.array(SIZE) - 50 + 1e-6).all()
    assert np.allclose((drawn[0] - drawn[1]) * (1, -1), frame.scale * (points[0] - points[1]))
    far = frame.draw(np.array([[1e9, -1e9]]))
    assert far.tolist() == [[1000.0, 600.0]]


@given(st.integers(0, 20))
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
