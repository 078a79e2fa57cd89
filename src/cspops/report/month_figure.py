"""One figure of the twelve months: small maps of a probability on one scale."""

import calendar
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from cspops.report import maps
from cspops.report.figures import STYLE, drawable, save
from cspops.report.world import World
from cspops.shapes import Float

MONTHS = calendar.month_name[1:]
PIXELS = 480
"""Pixels of the width of the whole world, on each small map."""
SIDE, TALLEST = 10.0, 10.5
"""Inches of the figure's width, and of its greatest height."""
TITLE, FOOT = 0.35, 0.75
"""Inches of the height of its title, and of the scale below."""
HEAD, PAD, DEGREES = 0.22, 0.08, 0.35
"""Inches of the height of the name of a month, of the space around a map, and of the degrees beside all."""


def month_map(
    panels: Mapping[str, Float[np.ndarray, "n"]], name: str, world: World, file: Path, *, title: str | None, note: str | None
) -> None:
    """Write a PNG of P(``name`` | x) at each land pixel of ``world`` in each month, all on one scale; nan is hatched."""
    left, right, bottom, top = world.extent
    tall = float(np.clip((top - bottom) / (right - left), *maps.SHAPE))
    columns = 3 if tall < 0.75 else 4 if tall < 1.4 else 6
    rows = len(panels) // columns
    width = min(SIDE / columns - PAD, ((TALLEST - TITLE - FOOT) / rows - HEAD - PAD) / tall)
    shade = maps.probability_shade([*panels.values()])
    with mpl.rc_context(STYLE):
        size = (
            columns * (width + PAD) + DEGREES * world.is_part,
            rows * (HEAD + PAD + width * tall) + (TITLE if title else 0.0) + FOOT,
        )
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=PAD / 2, w_pad=PAD / 2, hspace=0, wspace=0))
        cells = figure.subplots(rows, columns).flatten().tolist()
        for at, (ax, (month, p)) in enumerate(zip(cells, panels.items(), strict=True)):
            maps.ground(ax, world, below=at >= len(cells) - columns, beside=at % columns == 0)
            maps.probability_picture(ax, world, shade, p)
            ax.set_title(month, fontsize=9.5, pad=3)
        if title is not None:
            figure.suptitle(drawable(title), x=0.0, ha="left", fontsize=11.5)
        if note is not None:
            figure.supxlabel(note, x=0.0, ha="left", fontsize=8.5, color=maps.QUIET)
        maps.probability_bar(figure, cells, shade, name, given="x, month")
        save(figure, file, colours=maps.COLOURS)
