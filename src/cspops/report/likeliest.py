"""A map of the most likely class, with a legend of the classes that take most of it."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Patch

from cspops.report import maps
from cspops.report.figures import STYLE, drawable, save
from cspops.report.world import World
from cspops.shapes import Float, Int

PALETTE = ("#3C0F3C", "#2D2D87", "#962D4B", "#2D7896", "#96780F", "#3CB487", "#B487F0", "#F0B43C", "#7DEFF2")
"""Nine colours that differ in lightness and, with every common colour blindness, in hue; darkest first."""
OTHERS = "#E4E4E0"
ORDER = (1, 7, 5, 2, 8, 4, 6, 3, 0)
"""The classes' colours, most frequent first: those of unlike lightness follow one another."""
LONGEST = 28
"""Most characters of a name in the legend."""
LEGEND, PER_INCH = 0.7, 8
"""Inches of the height of the legend, and characters per inch of its width."""


def class_colours(frequency: Int[np.ndarray, "q"]) -> tuple[list[int], Float[np.ndarray, "q 3"]]:
    """Return the classes that have a colour of their own, most frequent first, and the colours of all.

    ``frequency`` is the number of places of equal area where each class is the most likely one.
    """
    present = [int(one) for one in np.argsort(-frequency, kind="stable") if frequency[one]]
    own = present if len(present) <= len(PALETTE) else present[: len(PALETTE)]
    colours = np.tile(to_rgb(OTHERS), (len(frequency), 1))
    for one, colour in zip(own, ORDER, strict=False):
        colours[one] = to_rgb(PALETTE[colour])
    return own, colours


def likeliest_map(
    number: Int[np.ndarray, "n"],
    classes: Sequence[str],
    world: World,
    file: Path,
    *,
    title: str | None,
    note: str | None = None,
) -> list[tuple[str, str]]:
    """Write a PNG of the class at each land pixel of ``world``; where it is -1 the land is hatched.

    Returns:
        the legend: colour (#rrggbb) and text of each entry. It is drawn where there is a ``title``.
    """
    drawn = number >= 0
    frequency = np.bincount(number[drawn], minlength=len(classes))
    own, colours = class_colours(frequency)
    legend = _legend(frequency, classes, own, colours)
    with mpl.rc_context(STYLE):
        figure, (ax,) = maps.map_panels(1, world, columns=1, width=maps.WIDTH, below=0.0 if title is None else LEGEND)
        maps.ground(ax, world)
        maps.picture(ax, world, colours[np.where(drawn, number, 0)], drawn)
        maps.set_titles(ax, title, note)
        if title is not None:
            handles = [Patch(facecolor=one, edgecolor=maps.COAST, lw=0.4, label=drawable(text)) for one, text in legend]
            longest = max((len(text) for _, text in legend), default=0)
            columns = max(1, int(PER_INCH * figure.get_figwidth()) // (longest + 6))
            figure.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=9)
        save(figure, file, colours=maps.COLOURS)
    return legend


def _legend(
    places: Int[np.ndarray, "q"], classes: Sequence[str], own: Sequence[int], colours: Float[np.ndarray, "q 3"]
) -> list[tuple[str, str]]:
    shares = places / max(int(places.sum()), 1)
    names = [one if len(one) <= LONGEST else f"{one[: LONGEST - 1]}…" for one in classes]
    entries = [(to_hex(colours[one]), f"{names[one]} ({_percent(shares[one])})") for one in own]
    others = int((places > 0).sum()) - len(own)
    if others:
        entries.append((to_hex(OTHERS), f"{others} {'others' if others > 1 else 'other'} ({_percent(1 - shares[own].sum())})"))
    return entries


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "< 1 %"
