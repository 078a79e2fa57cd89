"""A map of where a class is present."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Patch

from cspops.report import maps
from cspops.report.figures import STYLE, save
from cspops.report.likeliest import LEGEND
from cspops.report.world import World
from cspops.shapes import Int

RANGE = {"absent": "#E4E4E0", "present": "#2D2D87"}
"""What the numbers of the map are called, and their colours."""


def range_map(number: Int[np.ndarray, "n"], world: World, file: Path, *, title: str, note: str | None) -> None:
    """Write a PNG of the numbers of `RANGE` at each land pixel of ``world``; where it is -1 the land is hatched."""
    drawn, colours = number >= 0, np.array([to_rgb(one) for one in RANGE.values()])
    shares = np.bincount(number[drawn], minlength=len(RANGE)) / max(int(drawn.sum()), 1)
    with mpl.rc_context(STYLE):
        figure, (ax,) = maps.map_panels(1, world, columns=1, width=maps.WIDTH, below=LEGEND)
        maps.ground(ax, world)
        maps.picture(ax, world, colours[np.where(drawn, number, 0)], drawn)
        maps.set_titles(ax, title, note)
        entries = zip(RANGE.items(), shares, strict=True)
        handles = [
            Patch(facecolor=colour, edgecolor=maps.COAST, lw=0.4, label=f"{name} ({100 * share:.1f} %)")
            for (name, colour), share in entries
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=9)
        save(figure, file, colours=maps.COLOURS)
