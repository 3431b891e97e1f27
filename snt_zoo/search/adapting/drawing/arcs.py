"""A cell as an arc diagram.

Its nodes stand in a row, every edge is an arc with a lane of its own among the edges that it overlaps, and
its label sits between two nodes, where no arc rises or falls. So no two labels can meet, whatever the
genotype.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from snt_zoo.networks.genotype import Edge
from snt_zoo.search.adapting.drawing.panel import CORNER, MARGIN, NODE, Arc, Panel
from snt_zoo.search.adapting.drawing.style import label_width

_LANE = 26


def arc_panel(
    kind: str,
    edges: Sequence[Edge],
    colours: Mapping[str, str],
    spacing: float,
    y: float,
    concatenating: bool,
) -> Panel:
    """The panel of a cell.

    Args:
        kind: of cell.
        edges: of the genotype.
        colours: of the operations.
        spacing: from node to node.
        y: where the panel begins.
        concatenating: whether the cell takes two cells' outputs and gives all its nodes, concatenated.
    """
    numbers = sorted({node for edge in edges for node in edge[:2]})
    place = {node: float(MARGIN + NODE + i * spacing) for i, node in enumerate(numbers)}
    kept = [edge for edge in edges if edge.operation != "none"]
    lanes = _lanes(kept)
    axis = 60.0 + _LANE * max([0, *lanes])
    arcs = tuple(_arc(i, kept, lanes, place, axis, colours[edge.operation]) for i, edge in enumerate(kept))
    captions = {0: "input", numbers[-1] if numbers else 0: "output"}
    if concatenating:
        captions = {0: "cell k−2", 1: "cell k−1"}
    nodes = [(x, axis, str(node), captions.get(node, "")) for node, x in place.items()]
    joined: tuple[float, ...] = ()
    if concatenating:
        joined = tuple(x for node, x in place.items() if node not in captions)
        nodes.append((float(MARGIN + NODE + len(numbers) * spacing), axis, "out", ""))
    title = {"cell": "Cell", "normal": "Normal cell", "reduce": "Reduction cell"}.get(kind, kind)
    return Panel(title, y, axis, tuple(nodes), arcs, joined, axis + 66)


def _lanes(edges: Sequence[Edge]) -> list[int]:
    """The lane of each edge: 0 is the straight way between neighbours; overlapping edges differ."""
    lanes = [0] * len(edges)
    placed: list[int] = []
    shortest_first = sorted(range(len(edges)), key=lambda i: (_span(edges[i]), i))
    for i in shortest_first:
        (low, high), first = _span_ends(edges[i]), 0 if _span(edges[i]) == 1 else 1
        taken = {lanes[j] for j in placed if low < _span_ends(edges[j])[1] and _span_ends(edges[j])[0] < high}
        lanes[i] = next(lane for lane in range(first, len(edges) + 2) if lane not in taken)
        placed.append(i)
    return lanes


def _span(edge: Edge) -> int:
    return abs(edge.target - edge.source)


def _span_ends(edge: Edge) -> tuple[int, int]:
    return min(edge.source, edge.target), max(edge.source, edge.target)


def _arc(
    i: int,
    edges: Sequence[Edge],
    lanes: Sequence[int],
    place: Mapping[int, float],
    axis: float,
    colour: str,
) -> Arc:
    edge, lane = edges[i], lanes[i]
    # The label stands in the middle one of the gaps that the edge crosses.
    crossed = [x for node, x in place.items() if _span_ends(edge)[0] <= node <= _span_ends(edge)[1]]
    middle = (len(crossed) - 1) // 2
    label_x = (crossed[middle] + crossed[min(middle + 1, len(crossed) - 1)]) / 2
    y = axis - _LANE * lane
    if lane == 0:
        start, end = place[edge.source] + NODE, place[edge.target] - NODE
        path, tip = f"M{start:g} {axis:g}H{end - 7:g}", (end, axis)
    else:
        y -= 14
        start = place[edge.source] + _port(i, edges, lanes, outgoing=True)
        end = place[edge.target] - _port(i, edges, lanes, outgoing=False)
        top, corner = axis - 16, math.copysign(CORNER, end - start)
        path = (
            f"M{start:g} {top:g}V{y + CORNER:g}Q{start:g} {y:g} {start + corner:g} {y:g}"
            f"H{end - corner:g}Q{end:g} {y:g} {end:g} {y + CORNER:g}V{top - 7:g}"
        )
        tip = (end, top)
    return Arc(edge, colour, path, tip, lane > 0, label_x, y, label_width(edge.operation))


def _port(i: int, edges: Sequence[Edge], lanes: Sequence[int], *, outgoing: bool) -> float:
    """How far from a node's middle an arc meets it: outer arcs enclose inner ones without crossing."""
    end = 0 if outgoing else 1
    siblings = [j for j in range(len(edges)) if lanes[j] > 0 and edges[j][end] == edges[i][end]]
    siblings.sort(key=lambda j: -lanes[j])
    return 6 + siblings.index(i) * 14 / max(len(siblings) - 1, 1)
