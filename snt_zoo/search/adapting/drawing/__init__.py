"""Pictures for the report: a derived cell as a graph, validation accuracy against time.

Plain SVG strings without scripts or outside resources, readable on light and on dark. The geometry is
computed here, the markup stands in `templates/`.
"""

from snt_zoo.search.adapting.drawing.cells import draw_genotype
from snt_zoo.search.adapting.drawing.front import draw_front
from snt_zoo.search.adapting.drawing.history import draw_history
from snt_zoo.search.adapting.drawing.style import STAGES, TEMPLATES, stage_colour

__all__ = ["STAGES", "TEMPLATES", "draw_front", "draw_genotype", "draw_history", "stage_colour"]
