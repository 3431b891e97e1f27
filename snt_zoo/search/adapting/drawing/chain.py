"""A long chain as rows of nodes that are read like lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snt_zoo.networks.genotype import Edge
from snt_zoo.search.adapting.drawing.panel import CORNER, MARGIN, NODE, Arc, Panel
from snt_zoo.search.adapting.drawing.style import label_width

_WIDTH = 760  # of the picture, where it is long enough to be broken
_ROW = 90  # from one row to the next
_SHORTEST = 5  # edges: a shorter chain is one row of an arc diagram


def is_chain(edges: Sequence[Edge]) -> bool:
    """Whether a cell is a long chain: every edge goes from where the one before ended to the next node."""
    steps = [(edge.source - edges[0].source, edge.target - edges[0].source) for edge in edges]
    return (
        len(edges) >= _SHORTEST
        and steps == [(i, i + 1) for i in range(len(edges))]
        and all(edge.operation != "none" for edge in edges)
    )


def chain_panel(
    kind: str, edges: Sequence[Edge], colours: Mapping[str, str], spacing: float, y: float
) -> Panel:
    """The panel of a chain.

    Args:
        kind: of cell.
        edges: in order; see `is_chain`.
        colours: of the operations.
        spacing: from node to node, with room for a label between them.
        y: where the panel begins.
    """
    columns = max(2, 1 + int((_WIDTH - 2 * (NODE + MARGIN)) / spacing))
    axis = 60.0

    def place(index: int) -> tuple[float, float]:
        row, column = divmod(index, columns)
        return MARGIN + NODE + column * spacing, axis + row * _ROW

    arcs = []
    for index, edge in enumerate(edges):
        start, end = place(index), place(index + 1)
        path = _straight(start, end) if start[1] == end[1] else _to_next_row(start, end)
        wraps = start[1] != end[1]
        arcs.append(
            Arc(
                edge=edge,
                colour=colours[edge.operation],
                path=path,
                tip=(end[0], end[1] - 16) if wraps else (end[0] - NODE, end[1]),
                down=wraps,
                label_x=(start[0] + end[0]) / 2,
                label_y=(start[1] + end[1]) / 2,
                label_width=label_width(edge.operation),
            )
        )
    captions = {0: "input", len(edges): "output"}
    first = edges[0].source
    nodes = tuple((*place(i), str(first + i), captions.get(i, "")) for i in range(len(edges) + 1))
    bottom = place(len(edges))[1]
    return Panel(kind.capitalize(), y, axis, nodes, tuple(arcs), (), bottom + 66)


def _straight(start: tuple[float, float], end: tuple[float, float]) -> str:
    return f"M{start[0] + NODE:g} {start[1]:g}H{end[0] - NODE - 7:g}"


def _to_next_row(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Down from the last node of a row, back between the rows, and down to the first node of the next."""
    (x, y), (to_x, to_y) = start, end
    middle = (y + to_y) / 2
    return (
        f"M{x:g} {y + 16:g}V{middle - CORNER:g}Q{x:g} {middle:g} {x - CORNER:g} {middle:g}"
        f"H{to_x + CORNER:g}Q{to_x:g} {middle:g} {to_x:g} {middle + CORNER:g}V{to_y - 16 - 7:g}"
    )
