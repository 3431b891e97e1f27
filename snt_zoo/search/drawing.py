"""Pictures for the report: a derived cell as a graph, validation accuracy against time.

Plain SVG strings without scripts or outside resources, readable on light and on dark. The geometry is
computed here, the markup stands in `templates/`.

A cell is an arc diagram: its nodes stand in a row, every edge is an arc with a lane of its own among the
edges that it overlaps, and its label sits between two nodes, where no arc rises or falls. So no two labels
can meet, whatever the genotype.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jinja2

from snt_zoo.search.genotype import Edge, Genotype

if TYPE_CHECKING:
    from snt_zoo.search.run import EpochRecord

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("snt_zoo.search"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# Each has a contrast of 3:1 or more to both white and the dark background of the report.
_PALETTE = ("#2f81f7", "#2da44e", "#cf7010", "#a371f7", "#e5534b", "#1b93a3", "#d0569a", "#818b98")
_COLOURS = {
    "skip_connect": "#818b98",
    "nor_conv_1x1": "#1b93a3",
    "nor_conv_3x3": "#2f81f7",
    "sep_conv_3x3": "#2f81f7",
    "sep_conv_5x5": "#a371f7",
    "dil_conv_3x3": "#2da44e",
    "dil_conv_5x5": "#d0569a",
    "avg_pool_3x3": "#cf7010",
    "max_pool_3x3": "#e5534b",
}
STAGES = {
    "head": ("new head", "#a371f7"),
    "search": ("supernet", "#2f81f7"),
    "derived": ("derived network", "#2da44e"),
}

# Spaces whose cells take the outputs of the two cells before and give all their nodes, concatenated.
_CONCATENATING = frozenset({"darts"})

_NODE = 24  # half the width of a node
_LANE = 26
_CORNER = 12
_CHARACTER = 6.2  # width of one, at the size of the labels
_MARGIN = 28


@dataclass(frozen=True)
class _Arc:
    edge: Edge
    colour: str
    path: str
    tip: tuple[float, float]
    down: bool  # where the tip points: down into a node, or along the row
    label_x: float
    label_y: float
    label_width: float


@dataclass(frozen=True)
class _Panel:
    """One kind of cell; lengths in pixels, y counted from the panel's top."""

    title: str
    y: float
    axis: float
    nodes: tuple[tuple[float, str, str], ...]  # x, name, caption
    arcs: tuple[_Arc, ...]
    concatenated: tuple[float, ...]  # x of the nodes that go to the output
    height: float


def draw_genotype(genotype: Genotype) -> str:
    """The cells of a genotype as graphs, one below the other; edges with `none` are left out.

    Args:
        genotype: of any space.

    Returns:
        An `<svg>` element; each drawn edge is one group of the class `edge`.

    Example:
        >>> draw_genotype(Genotype("nas_bench_201", {"cell": (Edge(0, 1, "skip_connect"),)}))[:4]
        '<svg'
    """
    kept = [e.operation for cell in genotype.cells.values() for e in cell if e.operation != "none"]
    operations = sorted(set(kept))
    colours = {
        name: _COLOURS.get(name, _PALETTE[index % len(_PALETTE)]) for index, name in enumerate(operations)
    }
    gap = max([90.0, *(_label_width(name) + 24 for name in operations)])
    spacing = gap + 2 * _NODE
    panels: list[_Panel] = []
    y = 0.0
    for kind, edges in genotype.cells.items():
        panel = _panel(kind, edges, colours, spacing, y, genotype.space in _CONCATENATING)
        panels.append(panel)
        y += panel.height
    columns = max([len(panel.nodes) for panel in panels], default=1)
    width = max((columns - 1) * spacing + 2 * (_NODE + _MARGIN), 420.0)
    legend, legend_height = _legend(colours, width)
    return TEMPLATES.get_template("cell.svg.j2").render(
        genotype=genotype,
        panels=panels,
        legend=[(x, y + row, name, colour) for x, row, name, colour in legend],
        width=width,
        height=y + legend_height,
        node=_NODE,
    )


def _panel(
    kind: str,
    edges: Sequence[Edge],
    colours: Mapping[str, str],
    spacing: float,
    y: float,
    concatenating: bool,
) -> _Panel:
    numbers = sorted({node for edge in edges for node in edge[:2]})
    place = {node: float(_MARGIN + _NODE + i * spacing) for i, node in enumerate(numbers)}
    kept = [edge for edge in edges if edge.operation != "none"]
    lanes = _lanes(kept)
    axis = 60.0 + _LANE * max([0, *lanes])
    arcs = tuple(_arc(i, kept, lanes, place, axis, colours[edge.operation]) for i, edge in enumerate(kept))
    captions = {0: "input", numbers[-1] if numbers else 0: "output"}
    if concatenating:
        captions = {0: "cell k−2", 1: "cell k−1"}
    nodes = [(x, str(node), captions.get(node, "")) for node, x in place.items()]
    joined: tuple[float, ...] = ()
    if concatenating:
        joined = tuple(x for node, x in place.items() if node not in captions)
        nodes.append((float(_MARGIN + _NODE + len(numbers) * spacing), "out", ""))
    title = {"cell": "Cell", "normal": "Normal cell", "reduce": "Reduction cell"}.get(kind, kind)
    return _Panel(title, y, axis, tuple(nodes), arcs, joined, axis + 66)


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
) -> _Arc:
    edge, lane = edges[i], lanes[i]
    # The label stands in the middle one of the gaps that the edge crosses.
    crossed = [x for node, x in place.items() if _span_ends(edge)[0] <= node <= _span_ends(edge)[1]]
    middle = (len(crossed) - 1) // 2
    label_x = (crossed[middle] + crossed[min(middle + 1, len(crossed) - 1)]) / 2
    y = axis - _LANE * lane
    if lane == 0:
        start, end = place[edge.source] + _NODE, place[edge.target] - _NODE
        path, tip = f"M{start:g} {axis:g}H{end - 7:g}", (end, axis)
    else:
        y -= 14
        start = place[edge.source] + _port(i, edges, lanes, outgoing=True)
        end = place[edge.target] - _port(i, edges, lanes, outgoing=False)
        top, corner = axis - 16, math.copysign(_CORNER, end - start)
        path = (
            f"M{start:g} {top:g}V{y + _CORNER:g}Q{start:g} {y:g} {start + corner:g} {y:g}"
            f"H{end - corner:g}Q{end:g} {y:g} {end:g} {y + _CORNER:g}V{top - 7:g}"
        )
        tip = (end, top)
    return _Arc(edge, colour, path, tip, lane > 0, label_x, y, _label_width(edge.operation))


def _port(i: int, edges: Sequence[Edge], lanes: Sequence[int], *, outgoing: bool) -> float:
    """How far from a node's middle an arc meets it: outer arcs enclose inner ones without crossing."""
    end = 0 if outgoing else 1
    siblings = [j for j in range(len(edges)) if lanes[j] > 0 and edges[j][end] == edges[i][end]]
    siblings.sort(key=lambda j: -lanes[j])
    return 6 + siblings.index(i) * 14 / max(len(siblings) - 1, 1)


def _label_width(name: str) -> float:
    return len(name) * _CHARACTER + 12


def _legend(colours: Mapping[str, str], width: float) -> tuple[list[tuple[float, float, str, str]], float]:
    entries, x, y = [], float(_MARGIN), 8.0
    for name, colour in colours.items():
        step = _label_width(name) + 34
        if x + step > width and x > _MARGIN:
            x, y = float(_MARGIN), y + 22
        entries.append((x, y, name, colour))
        x += step
    return entries, y + 22


# ---- accuracy against time ----------------------------------------------------------------------

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 700.0, 20.0, 280.0  # the frame of the plot


def draw_history(
    history: Sequence[EpochRecord], *, others: Mapping[str, Sequence[EpochRecord]] | None = None
) -> str:
    """Validation accuracy against seconds, the stages coloured.

    Args:
        history: of the run.
        others: runs to compare with, by name; dashed.

    Returns:
        An `<svg>` element.
    """
    others = dict(others or {})
    records = [*history, *(record for other in others.values() for record in other)]
    end = max([1e-3, *(record.seconds for record in records)])
    accuracies = [record.val_accuracy for record in records] or [0.0, 1.0]
    low = max(0.0, math.floor(min(accuracies) * 10 - 0.2) / 10)
    high = max(min(1.0, math.ceil(max(accuracies) * 10 + 0.2) / 10), low + 0.1)

    def point(record: EpochRecord) -> tuple[float, float]:
        share = (record.val_accuracy - low) / (high - low)
        x = _LEFT + record.seconds / end * (_RIGHT - _LEFT)
        return round(x, 1), round(_BOTTOM - share * (_BOTTOM - _TOP), 1)

    pieces = []
    for last, record in zip([None, *history], history, strict=False):
        if last is not None:
            pieces.append((point(last), point(record), stage_colour(record.stage)))
    dashes = ("6 4", "2 3", "9 3 2 3")
    unit, per = ("min", 60.0) if end > 240 else ("s", 1.0)
    used = list(dict.fromkeys(record.stage for record in history))
    legend = [(STAGES.get(s, (s, ""))[0], stage_colour(s), "") for s in used]
    legend += [(name, "", dashes[i % len(dashes)]) for i, name in enumerate(others)]
    spots, legend_height = _legend_spots([name for name, _, _ in legend])
    return TEMPLATES.get_template("history.svg.j2").render(
        frame=(_LEFT, _RIGHT, _TOP, _BOTTOM),
        pieces=pieces,
        dots=[(*point(r), stage_colour(r.stage), r) for r in history],
        dashed=[
            (" ".join("{:g},{:g}".format(*point(r)) for r in other), dashes[i % len(dashes)])
            for i, other in enumerate(others.values())
        ],
        x_ticks=[
            (round(_LEFT + t * per / end * (_RIGHT - _LEFT), 1), f"{t:g}") for t in _ticks(0.0, end / per)
        ],
        y_ticks=[
            (round(_BOTTOM - (t - low) / (high - low) * (_BOTTOM - _TOP), 1), f"{100 * t:g} %")
            for t in _ticks(low, high)
        ],
        unit=unit,
        legend=[(*spot, *entry) for spot, entry in zip(spots, legend, strict=True)],
        height=_BOTTOM + 62 + legend_height,
    )


def stage_colour(stage: str) -> str:
    """The colour of a stage, in the curve and beside it."""
    return STAGES.get(stage, ("", "#818b98"))[1]


def _ticks(low: float, high: float) -> list[float]:
    """Three to eight round numbers within the bounds."""
    rough = (high - low) / 7
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 5, 10) if m * size >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    count = math.floor(high / step + 1e-9) - first + 1
    return [round((first + i) * step, 10) for i in range(count)]


def _legend_spots(names: Sequence[str]) -> tuple[list[tuple[float, float]], float]:
    spots, x, y = [], _LEFT, _BOTTOM + 58
    for name in names:
        step = _label_width(name) + 40
        if x + step > _RIGHT and x > _LEFT:
            x, y = _LEFT, y + 22
        spots.append((x, y))
        x += step
    return spots, y - _BOTTOM - 58 + 12
