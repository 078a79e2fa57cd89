"""P(y|x) of one class over the world or a box, as a picture and as a raster for a GIS."""

import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm

from cspops.errors import EnvironmentProblem
from cspops.report import maps
from cspops.report.figures import STYLE, drawable, save
from cspops.report.world import World
from cspops.shapes import Float

Box = tuple[float, float, float, float]


def probability_levels(top: float) -> list[float]:
    """Steps of the scale of P where the largest is ``top``."""
    power = 10.0 ** np.ceil(np.log10(min(max(top, 1e-9), 1)))
    return [float(power * level) for level in maps.LEVELS]


def draw_place_map(p: Float[np.ndarray, "n"], world: World, part: maps.Extent, name: str, title: str, file: Path) -> None:
    """A PNG of ``p``, P(``name`` | x) at each land pixel of ``world``, cut to ``part`` of the plane."""
    levels = probability_levels(float(p.max()) if len(p) else 0.0)
    shade = BoundaryNorm(levels, maps.PROBABILITY.N)
    with mpl.rc_context(STYLE):
        figure, (ax,) = maps.map_panels(1, part, columns=1, width=9.0)
        maps.ground(ax, world, part)
        maps.picture(ax, world, maps.PROBABILITY(shade(p))[:, :3])
        ax.set_title(drawable(title))
        scale = ScalarMappable(shade, maps.PROBABILITY)
        bar = figure.colorbar(scale, ax=ax, location="bottom", shrink=0.6, aspect=40, pad=0.01)
        bar.set_ticks(levels, labels=[f"{level:g}" for level in levels])
        bar.set_label(f"P({drawable(name)} | x)")
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
