"""What the pictures share: templates, colours, and the width of a label."""

from __future__ import annotations

import jinja2

TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("snt_zoo.search.adapting"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

# Each has a contrast of 3:1 or more to both white and the dark background of the report.
PALETTE = ("#2f81f7", "#2da44e", "#cf7010", "#a371f7", "#e5534b", "#1b93a3", "#d0569a", "#818b98")
COLOURS = {
    "skip_connect": "#818b98",
    "nor_conv_1x1": "#1b93a3",
    "nor_conv_3x3": "#2f81f7",
    "sep_conv_3x3": "#2f81f7",
    "sep_conv_5x5": "#a371f7",
    "dil_conv_3x3": "#2da44e",
    "dil_conv_5x5": "#d0569a",
    "avg_pool_3x3": "#cf7010",
    "max_pool_3x3": "#e5534b",
    # A hue for each kernel, darker with more channels.
    "mb_e3_k3": "#3c90ef",
    "mb_e4_k3": "#1376e8",
    "mb_e6_k3": "#1063c3",
    "mb_e3_k5": "#ab73eb",
    "mb_e4_k5": "#9955e7",
    "mb_e6_k5": "#8534e2",
    "mb_e3_k7": "#29a349",
    "mb_e4_k7": "#238a3e",
    "mb_e6_k7": "#1d7434",
}
STAGES = {
    "probe": ("linear probe", "#d0569a"),
    "race": ("race of sources", "#cf7010"),
    "head": ("new head", "#a371f7"),
    "search": ("supernet", "#2f81f7"),
    "derived": ("derived network", "#2da44e"),
    "ensemble": ("network and probe", "#1b7c83"),
}

_CHARACTER = 6.2  # width of one, at the size of the labels


def label_width(name: str) -> float:
    """Pixels that a label takes with its frame."""
    return len(name) * _CHARACTER + 12


def stage_colour(stage: str) -> str:
    """The colour of a stage, in the curve and beside it; those of a front's networks take turns."""
    if stage.startswith("network ") and stage[8:].isdigit():
        return PALETTE[(int(stage[8:]) - 1) % len(PALETTE)]
    return STAGES.get(stage, ("", "#818b98"))[1]
