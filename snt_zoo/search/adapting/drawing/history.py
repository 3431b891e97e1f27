"""Validation accuracy against time, the stages coloured."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from snt_zoo.search.adapting.drawing.style import STAGES, TEMPLATES, label_width, stage_colour

if TYPE_CHECKING:
    from snt_zoo.search.run import EpochRecord

_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 700.0, 20.0, 280.0  # the frame of the plot


def draw_history(
    history: Sequence[EpochRecord],
    *,
    others: Mapping[str, Sequence[EpochRecord]] | None = None,
    styled: bool = True,
) -> str:
    """Validation accuracy against seconds, the stages coloured.

    Args:
        history: of the run.
        others: runs to compare with, by name; dashed.
        styled: as of `draw_genotype`.

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
            (round(_LEFT + t * per / end * (_RIGHT - _LEFT), 1), f"{t:g}") for t in ticks(0.0, end / per)
        ],
        y_ticks=[
            (round(_BOTTOM - (t - low) / (high - low) * (_BOTTOM - _TOP), 1), f"{100 * t:g} %")
            for t in ticks(low, high)
        ],
        unit=unit,
        legend=[(*spot, *entry) for spot, entry in zip(spots, legend, strict=True)],
        height=_BOTTOM + 62 + legend_height,
        styled=styled,
    )


def ticks(low: float, high: float) -> list[float]:
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
        step = label_width(name) + 40
        if x + step > _RIGHT and x > _LEFT:
            x, y = _LEFT, y + 22
        spots.append((x, y))
        x += step
    return spots, y - _BOTTOM - 58 + 12
