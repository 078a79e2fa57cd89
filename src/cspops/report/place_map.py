"""Maps of where a class is likely: P(y|x) or P_n(y|x) over the world or a box, as PNG or GeoTIFF."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from cspops.errors import DataError, ParamsError, nearest
from cspops.files import whole
from cspops.land import Box
from cspops.library.embedding import WORLD, Grid
from cspops.library.model import Model
from cspops.progress import Step, uncounted
from cspops.report import maps
from cspops.report.figures import STYLE, drawable, save
from cspops.report.world import World, extent_of
from cspops.shapes import Float
from cspops.terminal import visible

WIDTH = 9.0
"""Inches of a picture's longer side."""
SHAPE = (0.25, 2.0)
"""Least and greatest height over width; a longer strip is drawn within."""


def draw_place_map(p: Float[np.ndarray, "n"], world: World, name: str, title: str, file: Path) -> None:
    """Write a PNG of ``p``, P(``name`` | x) at each land pixel of ``world``."""
    shade = maps.probability_shade(float(p.max()) if len(p) else 0.0)
    left, right, bottom, top = world.extent
    tall = float(np.clip((top - bottom) / (right - left), *SHAPE))
    with mpl.rc_context(STYLE):
        figure, (ax,) = maps.map_panels(1, (0.0, 1.0, 0.0, tall), columns=1, width=WIDTH / max(tall, 1.0))
        maps.ground(ax, world)
        maps.picture(ax, world, maps.PROBABILITY(shade(p))[:, :3])
        ax.set_title(drawable(title))
        maps.probability_bar(figure, [ax], shade, name)
        with whole(file) as new:
            save(figure, new, colours=maps.COLOURS)


def write_geotiff(p: Float[np.ndarray, "rows columns"], box: Box, name: str, file: Path) -> None:
    """Write one float32 band in EPSG:4326, north up."""
    import rasterio
    from rasterio.transform import from_bounds

    rows, columns = p.shape
    about = {"driver": "GTiff", "height": rows, "width": columns, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with (
        whole(file) as new,
        rasterio.open(new, "w", **about, transform=from_bounds(*box, columns, rows), compress="deflate") as out,
    ):
        out.write(p.astype(np.float32), 1)
        out.set_band_description(1, f"P({visible(name)} | x)")


SUFFIXES = (".png", ".tif", ".tiff")
PIXELS = 800
"""Pixels of the longer side of the picture."""


def class_number(model: Model, name: str) -> int:
    """Return the number of the class ``name``, regardless of case; raise a ParamsError that suggests the nearest names."""
    if model.classes is None or model.classifier is None:
        raise DataError("the model has no location classifier with named classes", hint="name a project's folder with --model")
    if name in model.classes:
        return model.classes.index(name)
    same = [number for number, one in enumerate(model.classes) if one.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    near = nearest(name, model.classes, most=3, cutoff=0.4) or list(model.classes[:5])
    raise ParamsError(f"there is no class {name!r}", hint=f"for example: {', '.join(near)}")


def probability(
    model: Model, number: int, lonlat: Float[np.ndarray, "n 2"], step: Step = uncounted, *, learned: bool = False
) -> Float[np.ndarray, "n"]:
    """Return P_n(y|x) of one class at positions in degrees (`Model.place_log_p`); ``step`` receives the number done.

    ``learned``: of the learned model alone, P(y|x).
    """
    parts, log_p = [], model.location_log_p if learned else model.place_log_p
    for points in torch.from_numpy(lonlat).split(8192):
        parts.append(log_p(points)[:, number].exp())
        step(len(points))
    return torch.cat(parts).numpy() if parts else np.zeros(0)


def world_of(box: Box) -> World:
    """Return the map of a box, with at most ``PIXELS`` along its longer side."""
    west, south, east, north = box
    left, right, bottom, top = extent_of(box)
    width = PIXELS if box == WORLD else max(1, round(PIXELS * min(1.0, (right - left) / (top - bottom))))
    return World(south, north, west=west, east=east, width=width)


def map_of_class(
    model: Model, name: str, out: Path, *, grid: float, box: Box = WORLD, learned: bool = False, step: Step = uncounted
) -> str:
    """Write the map of a class: a PNG over land (Equal Earth), or a GeoTIFF of ``grid`` degrees with land and sea.

    Returns:
        the class's name as spelled by the model.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ParamsError(f"{out}: maps are written as {', '.join(SUFFIXES)}", hint="--out map.png")
    number = class_number(model, name)
    assert model.classes is not None
    class_name = model.classes[number]
    cells = Grid(grid, box)  # refuses an empty box
    if out.suffix.lower() == ".png":
        world = world_of(box)
        p = probability(model, number, world.lonlat, step, learned=learned)
        draw_place_map(p, world, class_name, f"Where {class_name} is likely", out)
    else:
        values = np.concatenate([probability(model, number, some.lonlat, step, learned=learned) for some in cells.points()])
        write_geotiff(values.reshape(cells.shape), box, class_name, out)
    return class_name
