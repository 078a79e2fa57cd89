"""World maps of the report: observations, clusters of location embeddings, P(y|x) of one class."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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
from cspops.report.world import Extent, World, equal_earth, extent_of
from cspops.shapes import Float, Int

SEA, LAND, COAST, LINE = "#EEF2F5", "#FFFFFF", "#5F6B73", "#D5DDE3"
Drawn = TypeVar("Drawn")
REGION = np.array([60.0, 40.0])
"""Degrees of longitude and latitude: sets that span less are drawn without the rest of the world."""
LEAST_SPAN = 12.0
"""Least degrees that a map spans: the land mask's cells are a third of a degree wide."""
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
    """P at each land pixel of the world."""
    labelled: Float[np.ndarray, "m 2"]
    """Positions (degrees) of the labelled observations of the class that the classifier was trained on."""


def observation_map(groups: Mapping[str, np.ndarray], world: World, file: Path, *, apart: Path | None = None) -> None:
    """Draw one map per group of positions (n, 2), degrees: of the world, or of the region that holds every group.

    Here and below, ``apart`` is a folder that gets each map as an untitled picture of its own: 0.png, 1.png ...
    """
    part = region(np.concatenate(list(groups.values())), world)

    def draw(ax: Axes, lonlat: np.ndarray) -> None:
        ground(ax, world, part)
        size = float(np.clip(6000 / max(len(lonlat), 1), 0.5, 7))
        _dots(ax, lonlat, color=BLUE, s=size, alpha=0.75)

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(groups), part)
        for ax, (title, lonlat) in zip(cells, groups.items(), strict=True):
            draw(ax, lonlat)
            ax.set_title(f"{title}: {len(lonlat):,}")
        save(figure, file, colours=COLOURS)
        _apart(apart, groups.values(), part, draw)


def cluster_map(
    panels: Mapping[str, Int[np.ndarray, "n"]],
    points: Float[np.ndarray, "n 2"],
    world: World,
    file: Path,
    *,
    apart: Path | None = None,
) -> None:
    """Draw one world map per clustering of ``points`` (degrees), each land pixel coloured as the nearest point's cluster."""
    _, nearest = cKDTree(unit_vectors(torch.from_numpy(points))).query(unit_vectors(torch.from_numpy(world.lonlat)))
    count = 1 + max(int(labels.max()) for labels in panels.values())
    rainbow = LinearSegmentedColormap.from_list("rainbow", RAINBOW)
    colours = rainbow(np.linspace(0, 1, count))[:, :3]

    def draw(ax: Axes, labels: np.ndarray) -> None:
        ground(ax, world)
        picture(ax, world, colours[labels[nearest]])

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(panels), world.extent)
        for ax, (title, labels) in zip(cells, panels.items(), strict=True):
            draw(ax, labels)
            ax.set_title(title)
        save(figure, file, colours=COLOURS)
        _apart(apart, panels.values(), world.extent, draw)


def class_map(
    panels: Mapping[str, ClassPanel],
    name: str,
    test: Float[np.ndarray, "m 2"],
    world: World,
    file: Path,
    *,
    apart: Path | None = None,
) -> None:
    """Draw one world map per classifier: P(``name`` | x) over land, with labelled and test observations as dots."""
    top = max(float(panel.p.max()) for panel in panels.values())
    shade = probability_shade(top)

    def draw(ax: Axes, panel: ClassPanel) -> None:
        ground(ax, world)
        picture(ax, world, PROBABILITY(shade(panel.p))[:, :3])
        size = float(np.clip(2400 / max(len(panel.labelled), 1), 4, 14))
        _dots(ax, panel.labelled, color=BLUE, s=size, edge=0.3, label=f"labelled ({len(panel.labelled):,})")
        _dots(ax, test, color="#000000", s=3.5, edge=0.3, label=f"test ({len(test):,})")

    def key(figure: Figure, cells: list[Axes], *, corner: float, shrink: float) -> None:
        for ax in cells:
            legend = ax.legend(loc="lower left", bbox_to_anchor=(corner, 0.01), handletextpad=0.1)
            for handle in legend.legend_handles:
                if isinstance(handle, PathCollection):
                    handle.set_sizes([16])
        probability_bar(figure, cells, shade, name, shrink=shrink)

    with mpl.rc_context(STYLE):
        figure, cells = map_panels(len(panels), world.extent, columns=1, width=9.0)
        for ax, (title, panel) in zip(cells, panels.items(), strict=True):
            draw(ax, panel)
            ax.set_title(title)
        key(figure, cells, corner=0.13, shrink=0.6)
        save(figure, file, colours=COLOURS)
        _apart(apart, panels.values(), world.extent, draw, functools.partial(key, corner=-0.04, shrink=0.98))


def _apart(
    folder: Path | None,
    each: Iterable[Drawn],
    part: Extent,
    draw: Callable[[Axes, Drawn], None],
    key: Callable[[Figure, list[Axes]], None] | None = None,
) -> None:
    """Draw each map as a picture in ``folder``."""
    if folder is None:
        return
    for number, one in enumerate(each):
        figure, cells = map_panels(1, part)
        draw(cells[0], one)
        if key is not None:
            key(figure, cells)
        save(figure, folder / f"{number}.png", colours=COLOURS)


def probability_shade(top: float) -> BoundaryNorm:
    """Return the steps of the scale of P whose largest value is ``top``."""
    return BoundaryNorm(10.0 ** np.ceil(np.log10(min(max(top, 1e-9), 1))) * np.array(LEVELS), PROBABILITY.N)


def probability_bar(figure: Figure, cells: Sequence[Axes], shade: BoundaryNorm, name: str, *, shrink: float = 0.6) -> None:
    """Draw the scale of P(``name`` | x) below some maps."""
    bar = figure.colorbar(ScalarMappable(shade, PROBABILITY), ax=cells, location="bottom", shrink=shrink, aspect=40, pad=0.01)
    bar.set_ticks(shade.boundaries.tolist(), labels=[f"{level:g}" for level in shade.boundaries])
    bar.set_label(f"P({drawable(name)} | x)")


def region(lonlat: Float[np.ndarray, "n 2"], world: World) -> Extent:
    """Return the part of ``world`` to show: all, or the surroundings of positions that span less than ``REGION`` degrees."""
    if len(lonlat) == 0:
        return world.extent
    low, high = lonlat.min(0), lonlat.max(0)
    if ((high - low) >= REGION).any():
        return world.extent
    margin = np.maximum(LEAST_SPAN - (high - low), 0.2 * (high - low)) / 2
    (west, south), (east, north) = low - margin, high + margin
    return extent_of((max(west, -180), max(south, world.south), min(east, 180), min(north, world.north)))


def map_panels(count: int, extent: Extent, *, columns: int = 2, width: float = 5.4) -> tuple[Figure, list[Axes]]:
    """Return a figure with ``count`` maps of ``width`` inches and ``extent`` in the plane."""
    columns = min(count, columns)
    rows = -(-count // columns)
    left, right, bottom, top = extent
    figure = Figure(figsize=(width * columns, rows * (0.35 + width * (top - bottom) / (right - left))), layout="constrained")
    cells = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for ax in cells[count:]:
        ax.remove()
    return figure, cells[:count]


def ground(ax: Axes, world: World, part: Extent | None = None) -> None:
    left, right, bottom, top = part or world.extent
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.axis("off")
    outline = world.outline()
    ax.fill(*outline.T, facecolor=SEA, edgecolor="none", zorder=0)
    ax.add_collection(LineCollection(world.graticule(), colors=LINE, linewidths=0.5, zorder=1))
    picture(ax, world, np.tile(to_rgb(LAND), (len(world.lonlat), 1)))
    ax.add_collection(LineCollection(world.coasts(), colors=COAST, linewidths=0.35, zorder=4))
    ax.plot(*outline.T, color=COAST, linewidth=0.6, clip_on=part not in (None, world.extent), zorder=5)


def picture(ax: Axes, world: World, colours: Float[np.ndarray, "n 3"]) -> None:
    """Colour the land pixels."""
    picture = np.zeros((*world.land.shape, 4))
    picture[world.land] = np.concatenate((colours, np.ones((len(colours), 1))), 1)
    ax.imshow(picture, extent=world.extent, interpolation="nearest", zorder=2)


def _dots(
    ax: Axes, lonlat: np.ndarray, *, color: str, s: float, alpha: float = 1.0, edge: float = 0.0, label: str | None = None
) -> None:
    """Dots of ``s`` square points, in a white ring ``edge`` points wide."""
    x, y = equal_earth(lonlat).T
    ax.scatter(x, y, s=s, color=color, alpha=alpha, linewidths=edge, edgecolors="#FFFFFF", label=label, zorder=6)
