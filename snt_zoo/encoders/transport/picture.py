"""A picture of a coupling: which class of one dataset is carried to which of the other."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from snt_zoo.encoders.transport.coupling import Transport
from snt_zoo.errors import UnknownFormatError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")
_INCHES = 0.16  # for one class: a name of 7 points fits
_LARGEST = 26.0  # inches of either side of the map; beyond about 160 classes names are left out
_NAME = 24  # characters of a name that are shown
_NAMED = int(_LARGEST / _INCHES)


def draw_coupling(transport: Transport, path: str | Path, *, target: str, source: str) -> Path:
    """Write a map with a row for each class of the target and a column for each of the source.

    The colour is the share of the target class that is carried there, so that rows sum to 1. Columns are
    ordered by where their mass comes from, which puts what belongs together near the diagonal.

    Args:
        transport: what is drawn.
        path: of the file; its suffix, png, svg or pdf, decides the format.
        target: name of the target.
        source: name of the source.

    Returns:
        The path.

    Raises:
        UnknownFormatError: another suffix.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise UnknownFormatError(
            f"cannot draw to {path.name!r}: give a name that ends in {', '.join(FORMATS)}"
        )
    # Not pyplot: it keeps figures, and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = column_order(transport.coupling)
    shares = (transport.coupling / transport.coupling.sum(1, keepdim=True))[:, order]
    rows = [_label(name) for name in transport.target_classes]
    columns = [_label(transport.source_classes[column]) for column in order]
    height, width = (min(max(_INCHES * len(names), 1.5), _LARGEST) for names in (rows, columns))
    left, below = (0.075 * max(map(len, names)) + 0.6 for names in (rows, columns))
    above, right = 0.9, 1.2
    total = (left + width + right, below + height + above)
    figure = Figure(figsize=total, dpi=110)
    FigureCanvasAgg(figure)
    axes = figure.add_axes(
        (left / total[0], below / total[1], width / total[0], height / total[1]),
    )
    image = axes.imshow(shares.numpy(), cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    _ticks(axes, rows, columns)
    parts = ", ".join(f"{name} {value:.3f}" for name, value in transport.parts.items())
    heading = f"distance {transport.distance:.3f} ({transport.level}: {parts})"
    axes.set_title(f"{_label(target)} to {_label(source)}\n{heading}", fontsize=8, loc="left")
    axes.set_ylabel(f"classes of {_label(target)}", fontsize=8)
    axes.set_xlabel(f"classes of {_label(source)}", fontsize=8)
    scale = figure.add_axes(
        ((left + width + 0.15) / total[0], below / total[1], 0.12 / total[0], min(height, 2.0) / total[1])
    )
    bar = figure.colorbar(image, cax=scale)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("share of the class", fontsize=7)
    figure.savefig(path)
    return path


def column_order(coupling: Tensor) -> list[int]:
    """Columns by the mean place of the rows that they get their mass from; of equals the one that stood
    first."""
    places = torch.arange(coupling.shape[0], dtype=coupling.dtype)
    centres = (coupling * places[:, None]).sum(0) / coupling.sum(0).clamp_min(1e-300)
    order: list[int] = centres.argsort(stable=True).tolist()
    return order


def _ticks(axes: Axes, rows: list[str], columns: list[str]) -> None:
    for axis, names, turned in ((axes.yaxis, rows, 0), (axes.xaxis, columns, 90)):
        if len(names) > _NAMED:
            axis.set_ticks([])
            continue
        axis.set_ticks(range(len(names)), names, fontsize=7, rotation=turned)
    axes.tick_params(length=2)
    if max(len(rows), len(columns)) <= _NAMED:  # lines between cells, while these are cells and not dots
        axes.set_xticks([x - 0.5 for x in range(1, len(columns))], minor=True)
        axes.set_yticks([y - 0.5 for y in range(1, len(rows))], minor=True)
        axes.grid(which="minor", color="0.9", linewidth=0.4)
        axes.tick_params(which="minor", length=0)


def _label(name: str) -> str:
    """A name as the font can show it: on one line, of bounded length, and no mathematics."""
    shown = "".join(_shown(character) for character in " ".join(name.split()))
    shown = shown if len(shown) <= _NAME else shown[: _NAME - 1] + "…"
    return shown.replace("$", r"\$")


def _shown(character: str) -> str:
    return character if ord(character) in _characters() else f"U+{ord(character):04X}"


@functools.cache
def _characters() -> frozenset[int]:
    """Code points of matplotlib's own font, which lies on every machine that has it."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())
