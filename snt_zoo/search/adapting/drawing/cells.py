"""A genotype as a picture: one panel for each kind of cell."""

from __future__ import annotations

from collections.abc import Mapping

from snt_zoo.networks.genotype import Genotype
from snt_zoo.search.adapting.drawing.arcs import arc_panel
from snt_zoo.search.adapting.drawing.chain import chain_panel, is_chain
from snt_zoo.search.adapting.drawing.panel import MARGIN, NODE, Panel
from snt_zoo.search.adapting.drawing.style import COLOURS, PALETTE, TEMPLATES, label_width

# Spaces whose cells take the outputs of the two cells before and give all their nodes, concatenated.
_CONCATENATING = frozenset({"darts"})


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
        panels.append(panel)
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
    )


def _legend(colours: Mapping[str, str], width: float) -> tuple[list[tuple[float, float, str, str]], float]:
    entries, x, y = [], float(MARGIN), 8.0
    for name, colour in colours.items():
        step = label_width(name) + 34
        if x + step > width and x > MARGIN:
            x, y = float(MARGIN), y + 22
        entries.append((x, y, name, colour))
        x += step
    return entries, y + 22
