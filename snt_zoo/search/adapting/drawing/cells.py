"""A genotype as a picture: one panel for each kind of cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from snt_zoo.networks.genotype import Edge, Genotype
from snt_zoo.search.adapting.drawing.arcs import arc_panel
from snt_zoo.search.adapting.drawing.chain import chain_panel, is_chain
from snt_zoo.search.adapting.drawing.panel import MARGIN, NODE, Panel
from snt_zoo.search.adapting.drawing.style import COLOURS, PALETTE, TEMPLATES, label_width

# Spaces whose cells take the outputs of the two cells before and give all their nodes, concatenated.
_CONCATENATING = frozenset({"darts"})


_THINNEST, _THICKEST = 1.5, 9.0  # lines of a share of 0 and of 1


def draw_genotype(
    genotype: Genotype, *, shares: Mapping[str, Sequence[float]] | None = None, styled: bool = True
) -> str:
    """The cells of a genotype as graphs, one below the other; edges with `none` are left out.

    Args:
        genotype: of any space.
        shares: for each kind of cell the share of each edge's operation in its mixture, from 0 to 1: then
            edges are as thick as that, and it is told.
        styled: whether the picture brings its own style; a page that allows no inline style has that of
            `templates/_style.j2` in its own sheet.

    Returns:
        An `<svg>` element; each drawn edge is one group of the class `edge`.

    Example:
        >>> draw_genotype(Genotype("nas_bench_201", {"cell": (Edge(0, 1, "skip_connect"),)}))[:4]
        '<svg'
    """
    kept = [e.operation for cell in genotype.cells.values() for e in cell if e.operation != "none"]
    operations = sorted(set(kept))
    colours = {
        name: COLOURS.get(name, PALETTE[index % len(PALETTE)]) for index, name in enumerate(operations)
    }
    gap = max([90.0, *(label_width(name) + 24 for name in operations)])
    spacing = gap + 2 * NODE
    panels: list[Panel] = []
    y = 0.0
    for kind, edges in genotype.cells.items():
        if is_chain(edges):
            panel = chain_panel(kind, edges, colours, spacing, y)
        else:
            panel = arc_panel(kind, edges, colours, spacing, y, genotype.space in _CONCATENATING)
        panels.append(panel if shares is None else _weighted(panel, edges, shares[kind]))
        y += panel.height
    right = max([x for panel in panels for x, *_ in panel.nodes], default=0.0)
    width = max(right + NODE + MARGIN, 420.0)
    legend, legend_height = _legend(colours, width)
    return TEMPLATES.get_template("cell.svg.j2").render(
        genotype=genotype,
        panels=panels,
        legend=[(x, y + row, name, colour) for x, row, name, colour in legend],
        width=width,
        height=y + legend_height,
        node=NODE,
        styled=styled,
    )


def _weighted(panel: Panel, edges: Sequence[Edge], shares: Sequence[float]) -> Panel:
    told = dict(zip(edges, shares, strict=True))
    arcs = (
        replace(
            arc, width=round(_THINNEST + (_THICKEST - _THINNEST) * told[arc.edge], 2), share=told[arc.edge]
        )
        for arc in panel.arcs
    )
    return replace(panel, arcs=tuple(arcs))


def _legend(colours: Mapping[str, str], width: float) -> tuple[list[tuple[float, float, str, str]], float]:
    entries, x, y = [], float(MARGIN), 8.0
    for name, colour in colours.items():
        step = label_width(name) + 34
        if x + step > width and x > MARGIN:
            x, y = float(MARGIN), y + 22
        entries.append((x, y, name, colour))
        x += step
    return entries, y + 22
