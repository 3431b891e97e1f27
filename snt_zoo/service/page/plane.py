"""Vectors as points of a plane: the two directions along which they differ most (principal components).

A linear map, so that a query falls where its own vector says, and the same for the same vectors: nothing is
drawn at random, and the sign of a direction, which the decomposition leaves open, is fixed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_STRETCH = 2.0
_ROUNDS = 200  # of pushing points apart; a few dozen suffice unless there is no room


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane through vectors.

    Args:
        centre: their mean, ``dim``.
        axes: two directions of unit length, ``2 x dim``; the first with the larger spread.
        share: of the variance that the plane shows, from 0 to 1.
    """

    centre: Points
    axes: Points
    share: float

    @classmethod
    def through(cls, vectors: NDArray[np.floating]) -> Plane:
        """The plane of some vectors, ``n x dim`` with n at least 1."""
        exact = np.asarray(vectors, dtype=np.float64)
        centre = exact.mean(0)
        spreads, directions = np.linalg.eigh((exact - centre).T @ (exact - centre))
        axes = directions[:, ::-1][:, :2].T
        largest = np.abs(axes).argmax(1)
        axes = axes * np.where(axes[np.arange(len(axes)), largest] < 0, -1.0, 1.0)[:, None]
        total = float(spreads.clip(0).sum())
        return cls(centre, axes, float(spreads[-2:].clip(0).sum()) / total if total > 0 else 1.0)

    def place(self, vectors: NDArray[np.floating]) -> Points:
        """Where vectors fall, ``n x 2``."""
        placed: Points = (np.asarray(vectors, dtype=np.float64) - self.centre) @ self.axes.T
        return placed


@dataclass(frozen=True, eq=False)
class Frame:
    """How points of a plane become places in a picture: upwards is up.

    What is far from the middle is drawn nearer, or one odd dataset would press all others together: a
    distance r from there becomes m asinh(r / m), where m is the median. What is near keeps its distances.

    Args:
        reach: median distance from the middle.
        low: the corner of the points, ``2``.
        scale: pixels for one, ``2``.
        corner: where the corner of the points lies in the picture, ``2``.
        size: width and height of the picture in pixels.
    """

    reach: float
    low: Points
    scale: Points
    corner: Points
    size: tuple[float, float]

    @classmethod
    def around(cls, points: Points, size: tuple[float, float], *, margin: float) -> Frame:
        """The frame in which some points, ``n x 2``, have all the room but a margin.

        One axis may be stretched, to twice the other's scale at most.
        """
        reach = max(float(np.median(np.linalg.norm(points, axis=1))), 1e-9)
        bent = _bent(points, reach)
        low, high = bent.min(0), bent.max(0)
        scale = (np.array(size) - 2 * margin) / np.maximum(high - low, 1e-9)
        scale = np.minimum(scale, _STRETCH * scale.min())
        return cls(reach, low, scale, (np.array(size) - scale * (high - low)) / 2, size)

    def draw(self, points: Points) -> Points:
        """Places in the picture, ``n x 2``; what lies outside is moved to its edge."""
        placed = self.corner + self.scale * (_bent(points, self.reach) - self.low)
        placed[:, 1] = self.size[1] - placed[:, 1]
        drawn: Points = np.clip(placed, 0.0, np.array(self.size))
        return drawn


def _bent(points: Points, reach: float) -> Points:
    """Points with those that are far from the middle drawn nearer."""
    far = np.linalg.norm(points, axis=1, keepdims=True) / reach
    bent: Points = points * np.divide(np.arcsinh(far), far, out=np.ones_like(far), where=far > 0)
    return bent


def apart(places: Points, least: float, size: tuple[float, float]) -> Points:
    """Places moved until no two are nearer than `least` pixels, as far as there is room.

    Args:
        places: ``n x 2``; takes n² memory.
        least: distance.
        size: of the picture, which they do not leave.
    """
    moved = places.copy()
    # Those on one spot leave it in different directions: by the golden angle, so that all differ.
    turns = np.arange(len(moved)) * 2.399963
    moved += 1e-3 * np.stack([np.cos(turns), np.sin(turns)], 1)
    for _ in range(_ROUNDS):
        between = moved[:, None] - moved[None]
        distances = np.linalg.norm(between, axis=-1)
        np.fill_diagonal(distances, np.inf)
        lacking = np.clip(least - distances, 0.0, None)
        if not lacking.any():
            break
        moved += 0.5 * (between / distances[..., None] * lacking[..., None]).sum(1)
        edge = least / 2
        moved = np.clip(moved, edge, np.array(size) - edge)
    return moved
