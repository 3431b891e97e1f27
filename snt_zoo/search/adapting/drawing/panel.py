"""One kind of cell as lines, nodes and labels in a picture."""

from __future__ import annotations

from dataclasses import dataclass

from snt_zoo.networks.genotype import Edge

NODE = 24  # half the width of a node
CORNER = 12
MARGIN = 28


@dataclass(frozen=True)
class Arc:
    """An edge; lengths in pixels."""

    edge: Edge
    colour: str
    path: str
    tip: tuple[float, float]
    down: bool  # where the tip points: down into a node, or along the row
    label_x: float
    label_y: float
    label_width: float
    width: float = 2.0  # of the line
    share: float | None = None  # of the operation in the edge's mixture, from 0 to 1


@dataclass(frozen=True)
class Panel:
    """One kind of cell; lengths in pixels, y counted from the panel's top."""

    title: str
    y: float
    axis: float  # of the first row of nodes
    nodes: tuple[tuple[float, float, str, str], ...]  # x, y, name, caption
    arcs: tuple[Arc, ...]
    concatenated: tuple[float, ...]  # x of the nodes that go to the output
    height: float
