"""Maps of where a class is likely in each month, P(y|x, t) at its middle, as one figure or a GeoTIFF of 12 bands."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from cspops.data.dates import day_share
from cspops.errors import ParamsError
from cspops.files import whole
from cspops.library.given_dates import Day
from cspops.progress import Done, uncounted
from cspops.report import geotiff
from cspops.report.month_figure import MONTHS, PIXELS, month_map
from cspops.report.place_map import ROWS, PlaceMap, classes_of, require_suffix
from cspops.report.world import World, world_of
from cspops.shapes import Float
from cspops.terminal import visible


@dataclass(frozen=True)
class MonthMaps:
    """Twelve maps of one class on one scale."""

    year: PlaceMap
    """The map without a date."""

    def __post_init__(self) -> None:
        if self.year.number is None or self.year.threshold is not None:
            raise ParamsError("--months draws how likely one class is", hint="cspops map CLASS --months --out months.png")

    @property
    def title(self) -> str:
        """What is drawn, with seed and label ratio where they are known."""
        return self.year.with_facts(f"{self.year.what} in the middle of each month")

    def draw(self, out: Path, *, grid: float | None = None, done: Done = uncounted) -> None:
        """Write a PNG of twelve maps over land, or a GeoTIFF of twelve bands; arguments as for `PlaceMap.draw`."""
        require_suffix(out)
        if out.suffix.lower() == ".png":
            world = world_of(self.year.drawn_box(grid), pixels=PIXELS)
            panels = {month: self._over_land(number, world, done) for number, month in enumerate(MONTHS)}
            name = classes_of(self.year.model)[self.year.number or 0]
            with whole(out) as new:
                month_map(panels, name, world, new, title=self.title, note=self.year.note)
        else:
            self._geotiff(out, grid, done)

    def month(self, number: int) -> PlaceMap:
        """Return the map of a month, counted from 0."""
        return replace(self.year, day=Day(day_share(MONTHS[number]), MONTHS[number], "given"))

    def _over_land(self, number: int, world: World, done: Done) -> Float[np.ndarray, "n"]:
        n = len(world.lonlat)
        parts = (world.lonlat[start : start + ROWS] for start in range(0, n, ROWS))
        values = self.month(number).values(
            parts, "land", world.half_pixel_km, lambda count: done(number * n + count, len(MONTHS) * n)
        )
        return np.concatenate([*values])

    def _geotiff(self, out: Path, grid: float | None, done: Done) -> None:
        cells, name = self.year.cells(grid), visible(classes_of(self.year.model)[self.year.number or 0])
        n = len(cells)

        def step(number: int, count: int) -> None:
            done(number * n + count, len(MONTHS) * n)

        bands = {
            f"P({name} | x, {month})": self.month(number).rows_of(cells, partial(step, number))
            for number, month in enumerate(MONTHS)
        }
        tags = self.year.tags | {"TIFFTAG_IMAGEDESCRIPTION": self.title}
        with whole(out) as new:
            geotiff.write(bands, geotiff.Frame(cells.shape, cells.box), tags, new)
