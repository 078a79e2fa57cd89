"""P(y|x) of one class over the world or a box, as a picture and as a raster for a GIS."""

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np

from cspops.errors import EnvironmentProblem
from cspops.report import maps
from cspops.report.figures import STYLE, drawable, save
from cspops.report.land import Box
from cspops.report.world import World
from cspops.shapes import Float

WIDTH = 9.0
"""Inches of a picture's longer side."""
SHAPE = (0.25, 2.0)
"""Its height over its width, at least and at most: a longer strip is drawn within it."""


def draw_place_map(p: Float[np.ndarray, "n"], world: World, name: str, title: str, file: Path) -> None:
    """A PNG of ``p``, P(``name`` | x) at each land pixel of ``world``."""
    shade = maps.probability_shade(float(p.max()) if len(p) else 0.0)
    left, right, bottom, top = world.extent
    tall = float(np.clip((top - bottom) / (right - left), *SHAPE))
    with mpl.rc_context(STYLE):
        figure, (ax,) = maps.map_panels(1, (0.0, 1.0, 0.0, tall), columns=1, width=WIDTH / max(tall, 1.0))
        maps.ground(ax, world)
        maps.picture(ax, world, maps.PROBABILITY(shade(p))[:, :3])
        ax.set_title(drawable(title))
        maps.probability_bar(figure, [ax], shade, name)
        begun = file.with_name(f".{file.stem}.new.png")
        try:
            save(figure, begun, colours=maps.COLOURS)
            os.replace(begun, file)
        finally:
            begun.unlink(missing_ok=True)


def write_geotiff(p: Float[np.ndarray, "rows columns"], box: Box, name: str, file: Path) -> None:
    """One float32 band in EPSG:4326, north up; EnvironmentProblem without rasterio."""
    try:
        import rasterio
        from rasterio.transform import from_bounds
    except ImportError:
        raise EnvironmentProblem("a GeoTIFF needs rasterio", hint="pip install 'cspops[geo]', or name a .png") from None
    rows, columns = p.shape
    about = {"driver": "GTiff", "height": rows, "width": columns, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    begun = file.with_name(f".{file.stem}.new.tif")
    try:
        with rasterio.open(begun, "w", **about, transform=from_bounds(*box, columns, rows), compress="deflate") as out:
            out.write(p.astype(np.float32), 1)
            out.set_band_description(1, f"P({name} | x)")
        os.replace(begun, file)
    finally:
        begun.unlink(missing_ok=True)
