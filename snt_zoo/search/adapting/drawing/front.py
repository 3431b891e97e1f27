"""Accuracy against cost: networks that were compared, those that were trained, and the front among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from snt_zoo.formats.counts import format_size
from snt_zoo.search.adapting.drawing.history import ticks
from snt_zoo.search.adapting.drawing.style import TEMPLATES

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 700.0, 20.0, 280.0  # the frame of the plot


def draw_front(front: Mapping[str, Any], *, styled: bool = True) -> str:
    """Validation accuracy against multiply-accumulates, which are on a logarithmic scale.

    Args:
        front: `pareto` of what `FinetuneResult.to_json` gives.
        styled: as of `draw_genotype`.

    Returns:
        An `<svg>` element.
    """
    trained = front["networks"]
    best, beaten = ([each for each in trained if each["dominated"] is which] for which in (False, True))
    macs = [each["macs"] for each in (*trained, *front["compared"])]
    shares = [each["accuracy"]["val"] for each in trained]
    shares += [each["val_accuracy"] for each in front["compared"]]
    low, high = math.log10(min(macs)), math.log10(max(macs))
    low, high = low - 0.05 * (high - low + 0.1), high + 0.05 * (high - low + 0.1)
    bottom = max(0.0, math.floor(10 * min(shares) - 0.2) / 10)
    top = max(min(1.0, math.ceil(10 * max(shares) + 0.2) / 10), bottom + 0.1)

    def place(cost: float, share: float) -> tuple[float, float]:
        x = _LEFT + (math.log10(cost) - low) / (high - low) * (_RIGHT - _LEFT)
        return round(x, 1), round(_BOTTOM - (share - bottom) / (top - bottom) * (_BOTTOM - _TOP), 1)

    def spots(networks: list[dict[str, Any]]) -> list[tuple[float, float, dict[str, Any]]]:
        return [(*place(each["macs"], each["accuracy"]["val"]), each) for each in networks]

    return TEMPLATES.get_template("front.svg.j2").render(
        frame=(_LEFT, _RIGHT, _TOP, _BOTTOM),
        height=_BOTTOM + 84,
        line=" ".join("{:g},{:g}".format(*spot[:2]) for spot in spots(best)),
        best=spots(best),
        dominated=spots(beaten),
        compared=[place(each["macs"], each["val_accuracy"]) for each in front["compared"]],
        x_ticks=[(place(cost, bottom)[0], format_size(cost)) for cost in _costs(10**low, 10**high)],
        y_ticks=[(place(10**low, share)[1], f"{100 * share:g} %") for share in ticks(bottom, top)],
        styled=styled,
    )


def _costs(low: float, high: float) -> list[int]:
    """Round numbers within the bounds, by factors of about two."""
    found = [digit * 10**power for power in range(3, 13) for digit in (1, 2, 5)]
    return [cost for cost in found if low <= cost <= high]
