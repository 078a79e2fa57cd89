"""World maps of the report: observations, clusters of location embeddings, P(y|x) of one class."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from scipy.spatial import cKDTree

from cspops.geo import unit_vectors
from cspops.report.figures import BLUE, STYLE, drawable, save
from cspops.report.world import World
from cspops.shapes import Bool, Float, Int

SEA, LAND, COAST, LINE, QUIET = "#EEF2F5", "#FFFFFF", "#5F6B73", "#D5DDE3", "#566069"
Drawn = TypeVar("Drawn")
NARROW = 5.4
"""Inches of the width of one of two maps side by side."""
WIDTH = 9.0
"""Inches of the longer side of a map that stands alone."""
BAR = 0.6
"""Inches of the scale of P."""
SHAPE = (0.25, 2.0)
"""Least and greatest height over width of a map; a longer strip is drawn within."""
COLOURS = 256
"""Size of the palette that a map is saved with."""

# Paul Tol's smooth rainbow without its lightest and darkest ends: a scheme made for colour-blind readers too.
RAINBOW = (
    "#BEBCE3", "#A49BD1", "#8F7BBE", "#7F5FA9", "#6F4C9B", "#6059A9", "#5568B8", "#4E79C5", "#4D8AC6",
    "#4E96BC", "#549EB3", "#59A5A9", "#60AB9E", "#69B190", "#77B77D", "#8CBC68", "#A6BE54", "#BEBC48", "#D1B541",
    "#DDAA3C", "#E49C39", "#E78C35", "#E67932", "#E4632D", "#DF4828", "#DA2222", "#B8221E", "#95211B", "#721E17",
)  # fmt: skip
PROBABILITY = LinearSegmentedColormap.from_list(
    "probability", ["#F7F5EF", "#F6DDA8", "#EFA64F", "#C75A32", "#7C2230", "#3A0F2A"]
)

LEVELS = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1)
"""Steps of the scale of P where the largest P is above 0.1; a tenth of them where it is above 0.01, and so on."""


@dataclass(frozen=True)
class ClassPanel:
    """P(y|x) of one class by one classifier."""

    p: Float[np.ndarray, "n"]
    """P at each land pixel of the world; nan where it is not drawn."""
    labelled: Float[np.ndarray, "m 2"]
    """Positions (degrees) of the labelled observations of the class that the classifier was trained on."""


def observation_map(groups: Mapping[str, np.ndarray], world: World, file: Path, *, apart: Path | None = None) -> None:
    """Draw one map per group of positions (n, 2), degrees.

    Here and below, ``apart`` is a folder that gets each map as an untitled picture of its own: 0.png, 1.png ...
    """

    def draw(ax: Axes, lonlat: np.ndarray) -> None:
        ground(ax, world)
        size = float(np.clip(6000 / max(len(lonlat), 1), 0.5, 7))
        _dots(ax, world.project(lonlat), color=BLUE, s=size, alpha=0.75)

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(groups), world)
        for ax, (title, lonlat) in zip(cells, groups.items(), strict=True):
            draw(ax, lonlat)
            ax.set_title(f"{title}: {len(lonlat):,}")
        save(figure, file, colours=COLOURS)
        _apart(apart, groups.values(), world, draw)


def cluster_map(
    panels: Mapping[str, Int[np.ndarray, "n"]],
    points: Float[np.ndarray, "n 2"],
    world: World,
    file: Path,
    *,
    drawn: Bool[np.ndarray, "p"],
    apart: Path | None = None,
) -> None:
    """Draw one map per clustering of ``points`` (degrees), each land pixel coloured as the nearest point's cluster.

    ``drawn`` says which land pixels are.
    """
    _, nearest = cKDTree(unit_vectors(torch.from_numpy(points))).query(unit_vectors(torch.from_numpy(world.lonlat)))
    count = 1 + max(int(labels.max()) for labels in panels.values())
    rainbow = LinearSegmentedColormap.from_list("rainbow", RAINBOW)
    colours = rainbow(np.linspace(0, 1, count))[:, :3]

    def draw(ax: Axes, labels: np.ndarray) -> None:
        ground(ax, world)
        picture(ax, world, colours[labels[nearest]], drawn)

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(panels), world)
        for ax, (title, labels) in zip(cells, panels.items(), strict=True):
            draw(ax, labels)
            ax.set_title(title)
        save(figure, file, colours=COLOURS)
        _apart(apart, panels.values(), world, draw)


def class_map(
    panels: Mapping[str, ClassPanel],
    name: str,
    test: Float[np.ndarray, "m 2"],
    world: World,
    file: Path,
    *,
    apart: Path | None = None,
) -> None:
    """Draw one map per classifier: P(``name`` | x) over land, with labelled and test observations as dots."""
    shade = probability_shade([panel.p for panel in panels.values()])

    def draw(ax: Axes, panel: ClassPanel) -> None:
        ground(ax, world)
        probability_picture(ax, world, shade, panel.p)
        size = float(np.clip(2400 / max(len(panel.labelled), 1), 4, 14))
        _dots(ax, world.project(panel.labelled), color=BLUE, s=size, edge=0.3, label=f"labelled ({len(panel.labelled):,})")
        _dots(ax, world.project(test), color="#000000", s=3.5, edge=0.3, label=f"test ({len(test):,})")

    def key(figure: Figure, cells: list[Axes], *, corner: float) -> None:
        for ax in cells:
            at = (0.0 if world.is_part else corner, 0.01)
            legend = ax.legend(loc="lower left", bbox_to_anchor=at, handletextpad=0.1, frameon=world.is_part, edgecolor="none")
            legend.set_zorder(7)
            for handle in legend.legend_handles:
                if isinstance(handle, PathCollection):
                    handle.set_sizes([16])
        probability_bar(figure, cells, shade, name)

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(panels), world, columns=1, width=WIDTH, below=BAR)
        for ax, (title, panel) in zip(cells, panels.items(), strict=True):
            draw(ax, panel)
            ax.set_title(title)
        key(figure, cells, corner=0.13)
        save(figure, file, colours=COLOURS)
        _apart(apart, panels.values(), world, draw, functools.partial(key, corner=-0.04))


def _apart(
    folder: Path | None,
    each: Iterable[Drawn],
    world: World,
    draw: Callable[[Axes, Drawn], None],
    key: Callable[[Figure, list[Axes]], None] | None = None,
) -> None:
    """Draw each map as a picture in ``folder``."""
    if folder is None:
        return
    for number, one in enumerate(each):
        figure, cells = map_panels(1, world)
        draw(cells[0], one)
        if key is not None:
            key(figure, cells)
        save(figure, folder / f"{number}.png", colours=COLOURS)


def probability_shade(panels: Sequence[Float[np.ndarray, "n"]]) -> BoundaryNorm:
    """Return the steps of the scale of P that holds the largest value of some maps."""
    top = max((float(np.nanmax(p)) for p in panels if not np.isnan(p).all()), default=0.0)
    return BoundaryNorm(10.0 ** np.ceil(np.log10(min(max(top, 1e-9), 1))) * np.array(LEVELS), PROBABILITY.N)


def probability_picture(ax: Axes, world: World, shade: BoundaryNorm, p: Float[np.ndarray, "n"]) -> None:
    """Colour the land pixels by P; nan is hatched."""
    drawn = ~np.isnan(p)
    picture(ax, world, PROBABILITY(shade(np.where(drawn, p, 0.0)))[:, :3], drawn)


def probability_bar(figure: Figure, cells: Sequence[Axes], shade: BoundaryNorm, name: str, *, given: str = "x") -> None:
    """Draw the scale of P(``name`` | ``given``) below some maps."""
    shrink = min(1.0, NARROW / figure.get_figwidth())
    bar = figure.colorbar(ScalarMappable(shade, PROBABILITY), ax=cells, location="bottom", shrink=shrink, aspect=40, pad=0.01)
    bar.set_ticks(shade.boundaries.tolist(), labels=[f"{level:g}" for level in shade.boundaries], fontsize=8.5)
    bar.set_label(f"P({drawable(name)} | {given})")


def map_panels(
    count: int, world: World, *, columns: int = 2, width: float = NARROW, below: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` maps of ``width`` inches, or of that height where they are higher than wide.

    ``below`` is the height in inches of what is drawn below them all.
    """
    columns = min(count, columns)
    rows = -(-count // columns)
    left, right, bottom, top = world.extent
    tall = float(np.clip((top - bottom) / (right - left), *SHAPE))
    width /= max(tall, 1.0)
    figure = Figure(figsize=(width * columns, rows * (0.5 + width * tall) + below), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for ax in cells[count:]:
        ax.remove()
    return figure, cells[:count]


def set_titles(ax: Axes, title: str | None, note: str | None) -> None:
    """Write a title and a small line below it, where there are."""
    if title is not None:
        ax.set_title(drawable(title) + ("" if note is None else "\n "))
    if note is not None:  # as a title: the layout makes a map no narrower for a long one
        ax.set_title(note, loc="center", x=0.0, ha="left", fontsize=8.5, color=QUIET)


def ground(ax: Axes, world: World, *, below: bool = True, beside: bool = True) -> None:
    """Draw sea, land, coasts and lines of longitude and latitude, with their degrees below and beside a part."""
    left, right, bottom, top = world.extent
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    outline = world.outline()
    ax.fill(*outline.T, facecolor=SEA, edgecolor="none", zorder=0)
    ax.add_collection(LineCollection(world.graticule(), colors=LINE, linewidths=0.5, zorder=1))
    picture(ax, world, np.tile(to_rgb(LAND), (len(world.lonlat), 1)))
    ax.add_collection(LineCollection(world.coasts(), colors=COAST, linewidths=0.35, zorder=4))
    ax.plot(*outline.T, color=COAST, linewidth=0.6, clip_on=False, zorder=5)
    if world.is_part:
        longitudes, latitudes = world.degrees()
        near: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "color": QUIET, "annotation_clip": False}
        for x, y, text in longitudes if below else ():
            ax.annotate(text, (x, y), (0, -3), ha="center", va="top", **near)
        for x, y, text in latitudes if beside else ():
            ax.annotate(text, (x, y), (-4, 0), ha="right", va="center", **near)


def picture(ax: Axes, world: World, colours: Float[np.ndarray, "n 3"], drawn: Bool[np.ndarray, "n"] | None = None) -> None:
    """Colour the land pixels, and hatch those that are not to be ``drawn``."""
    grid = np.zeros((*world.land.shape, 4))
    shown = np.ones(len(colours), dtype=bool) if drawn is None else drawn
    grid[world.land] = np.concatenate((colours, shown[:, None]), 1)
    ax.imshow(grid, extent=world.extent, interpolation="nearest", zorder=2)
    if not shown.all():
        left, right, bottom, top = world.extent
        beyond = np.zeros(world.land.shape)
        beyond[world.land] = ~shown
        rows, columns = world.land.shape
        x = left + (right - left) * (np.arange(columns) + 0.5) / columns
        y = top - (top - bottom) * (np.arange(rows) + 0.5) / rows
        ax.contourf(x, y, beyond, levels=[0.5, 1.5], colors="none", hatches=["//////"], zorder=3)


def _dots(
    ax: Axes, xy: np.ndarray, *, color: str, s: float, alpha: float = 1.0, edge: float = 0.0, label: str | None = None
) -> None:
    """Dots of ``s`` square points, in a white ring ``edge`` points wide."""
    ax.scatter(xy[:, 0], xy[:, 1], s=s, color=color, alpha=alpha, linewidths=edge, edgecolors="#FFFFFF", label=label, zorder=6)
