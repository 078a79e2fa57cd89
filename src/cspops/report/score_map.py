"""Maps of how well a photo fits the places of a box, as PNG or GeoTIFF."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np

from cspops.errors import ParamsError
from cspops.files import whole
from cspops.library.cells import Cells
from cspops.library.locating import Found
from cspops.report import geotiff, maps
from cspops.report.figures import STYLE, save
from cspops.report.world import world_of
from cspops.shapes import Float

SCALE = "cosine of the photo and the overhead feature at a place"
SUFFIXES = (".csv", ".png", ".tif", ".tiff")
MARK = "#0B3C5D"


def require_suffix(out: Path) -> None:
    """Raise a ParamsError unless ``out`` has one of `SUFFIXES`."""
    if out.suffix.lower() not in SUFFIXES:
        raise ParamsError(f"{out}: places are written as {', '.join(SUFFIXES)}", hint="--out places.csv, or --out map.png")


@dataclass(frozen=True)
class ScoreMap:
    """The scores of one photo at the places of a box; `draw` writes them."""

    found: Found
    cells: Cells
    scores: Float[np.ndarray, "n"]

    def draw(self, out: Path) -> None:
        """Write a PNG (Equal Earth) with the best places and the photo's own, or a GeoTIFF with a pixel per place."""
        band = self.scores.reshape(self.cells.rows, self.cells.columns)
        if out.suffix.lower() == ".png":
            self._png(band, out)
            return
        with whole(out) as new:
            tags = {"TIFFTAG_IMAGEDESCRIPTION": self.title}
            geotiff.write({SCALE: [band]}, geotiff.Frame(band.shape, self.cells.box), tags, new)

    @property
    def title(self) -> str:
        """What is drawn."""
        return f"Where {Path(self.found.photo).name} may have been taken"

    def _png(self, band: Float[np.ndarray, "rows columns"], out: Path) -> None:
        world = world_of(self.cells.box)
        west, south, east, north = self.cells.box
        lon, lat = np.linspace(west, east, self.cells.columns + 1), np.linspace(north, south, self.cells.rows + 1)
        corners = world.line(np.stack(np.meshgrid(lon, lat), -1))
        with mpl.rc_context(STYLE), whole(out) as new:
            figure, (ax,) = maps.map_panels(1, world, columns=1, width=maps.WIDTH, below=maps.BAR)
            maps.ground(ax, world)
            drawn = ax.pcolormesh(corners[..., 0], corners[..., 1], band, cmap=maps.PROBABILITY, zorder=3, rasterized=True)
            places = world.project(np.array([(one.lon, one.lat) for one in self.found.places]))
            for rank, (x, y) in enumerate(places.tolist(), 1):
                ax.plot(x, y, "o", color="#FFFFFF", markeredgecolor=MARK, markersize=9, zorder=6)
                ax.annotate(str(rank), (x, y), ha="center", va="center", fontsize=6.5, color=MARK, zorder=7)
            note = None
            if self.found.own is not None and self.cells.index(*self.found.own) is not None:
                x, y = world.project(np.array([self.found.own]))[0].tolist()
                for colour, wide in (("#FFFFFF", 4.5), (MARK, 2)):
                    ax.plot(x, y, "x", color=colour, markersize=10, markeredgewidth=wide, zorder=8)
                note = "x: the position in the photo's file"
            maps.set_titles(ax, self.title, note)
            bar = figure.colorbar(drawn, ax=[ax], location="bottom", shrink=0.6, aspect=40, pad=0.01)
            bar.set_label(SCALE)
            save(figure, new, colours=maps.COLOURS)
