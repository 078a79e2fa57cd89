"""Maps of where a class is likely, P(y|x) or P_n(y|x), and of the most likely class, as PNG or GeoTIFF."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch

from cspops.climate_raster import Box
from cspops.errors import DataError, ParamsError, nearest
from cspops.files import whole
from cspops.geo import KM_PER_DEGREE
from cspops.kernels import row_blocks
from cspops.library.given_dates import NO_DAY, Day
from cspops.library.model import Model
from cspops.library.places import Grid, checked_box
from cspops.progress import Done, uncounted
from cspops.report import geotiff, maps
from cspops.report.character_map import STEPS
from cspops.report.figures import STYLE, save
from cspops.report.likeliest import likeliest_map
from cspops.report.model_reach import reach_of
from cspops.report.range_map import RANGE, range_map
from cspops.report.reach import Reach
from cspops.report.world import World, world_of
from cspops.shapes import Float
from cspops.terminal import visible

SUFFIXES = (".png", ".tif", ".tiff")
GRID = 0.5
"""Degrees of the largest pixel of a GeoTIFF that is chosen for a box."""
CELLS = 400
"""Most pixels along the longer side of a GeoTIFF with smaller ones."""
ROWS = 8192
"""Places that are computed at once, unless there are many classes."""


@dataclass(frozen=True)
class PlaceMap:
    """What is drawn of a model, and where; `draw` writes it."""

    model: Model
    number: int | None
    """The class whose probability is drawn; None: the most likely class."""
    reach: Reach
    box: Box | None
    """What was asked for; None: the places and their reach."""
    learned: bool
    """Whether the learned model is drawn alone, without labelled neighbours."""
    threshold: float | None = None
    """Where the class is at least so likely it is drawn as present, and as absent elsewhere; None: its probability."""
    day: Day = NO_DAY
    """Of models that take time; without a date the average over the year is drawn."""

    @classmethod
    def of(
        cls, model: Model, name: str | None, *, box: Box | None = None, learned: bool = False, beyond: float | None = None
    ) -> "PlaceMap":
        """Return the map of a class, or of the most likely one, around the labelled places or in a box.

        ``beyond`` is the distance in km from the nearest labelled place beyond which nothing is drawn; None: as `Reach.of`
        says. A model that knows no labelled place is drawn everywhere.
        """
        number = None if name is None else class_number(model, name)
        reach = _reach(model, beyond)
        return cls(model, number, reach, None if box is None else checked_box(box), learned)

    @property
    def what(self) -> str:
        """What is drawn, as a title: `Where oak is likely`."""
        if self.number is None:
            return "The most likely class"
        name = classes_of(self.model)[self.number]
        return (
            f"Where {name} is likely" if self.threshold is None else f"Where {name} is present: P at least {self.threshold:.3g}"
        )

    @property
    def title(self) -> str:
        """What is drawn, with the day, seed and label ratio where they are known."""
        return self.with_facts(self.what, self.day.text or ("average over the year" if self.model.takes_time else ""))

    def with_facts(self, what: str, day: str = "") -> str:
        """Return a title with a day, and with seed and label ratio where they are known."""
        model, facts = self.model, [day] if day else []
        if model.seed is not None and model.label_ratio is not None:
            facts += [f"seed {model.seed}", f"{100 * model.label_ratio:g} % of the labels"]
        return f"{what} ({', '.join(facts)})" if facts else what

    def draw(self, out: Path, *, grid: float | None = None, done: Done = uncounted) -> None:
        """Write a PNG over land (Equal Earth), or a GeoTIFF of ``grid`` degrees with land and sea.

        ``done`` receives how many of how many places are done.
        """
        require_suffix(out)
        if out.suffix.lower() == ".png":
            world = world_of(self.drawn_box(grid))
            n = len(world.lonlat)
            parts = (world.lonlat[start : start + ROWS] for start in range(0, n, ROWS))
            values = self.values(parts, "land", world.half_pixel_km, lambda count: done(count, n))
            self._png(np.concatenate([*values]), world, out)
        else:
            cells = self.cells(grid)
            self._geotiff(self.rows_of(cells, lambda count: done(count, len(cells))), cells, out)

    @property
    def note(self) -> str | None:
        """What is hatched and why; None: nothing."""
        end = self.reach.end()
        return None if end is None else f"Hatched: land {end}"

    @property
    def tags(self) -> dict[str, str]:
        """What a GeoTIFF says about itself."""
        end = self.reach.end()
        return {"TIFFTAG_IMAGEDESCRIPTION": self.title} | ({} if end is None else {"nodata": end})

    def cells(self, grid: float | None) -> Grid:
        """Return the pixels of a GeoTIFF."""
        box = self.drawn_box(grid)
        return Grid(grid or _grid_of(box), box)

    def rows_of(self, cells: Grid, done: Callable[[int], None]) -> Iterator[Float[np.ndarray, "rows columns"]]:
        """Yield what is drawn in some rows of pixels, from the north."""
        half_km = cells.degrees * KM_PER_DEGREE / math.sqrt(2)
        places = (cells.lonlat(start, stop) for start, stop in _bands(cells))
        return (part.reshape(-1, cells.shape[1]) for part in self.values(places, "place", half_km, done))

    def drawn_box(self, grid: float | None = None) -> Box:
        """Return the box that was asked for, or one around all that is drawn of whole pixels of ``grid`` degrees."""
        return self.box if self.box is not None else self._box_of_all(grid)

    def _box_of_all(self, grid: float | None) -> Box:
        west, south, east, north = box = self.reach.box()
        side = grid or _grid_of(box)
        west, south = (round(math.floor(value / side + 1e-9) * side, 6) for value in (west, south))
        east, north = (round(math.ceil(value / side - 1e-9) * side, 6) for value in (east, north))
        if east - west >= 360:
            west, east = -180.0, 180.0
        turn = 360 if west < -180 else 0
        return west + turn, max(south, -90.0), east + turn, min(north, 90.0)

    def values(
        self, parts: Iterable[np.ndarray], what: str, slack_km: float, done: Callable[[int], None]
    ) -> Iterator[Float[np.ndarray, "n"]]:
        """Yield P of the class, or the number of the most likely class, at positions; nan where nothing is drawn.

        Raise a ParamsError after the last one where nothing is drawn at all.
        """
        count, drawn = 0, False
        for lonlat in parts:
            near, part = self.reach.within(lonlat, slack_km=slack_km), np.full(len(lonlat), np.nan, dtype=np.float32)
            if near.any():
                part[near] = self._of_places(torch.from_numpy(lonlat[near]))
            drawn |= not np.isnan(part).all()
            yield part
            count += len(part)
            done(count)
        if not drawn:
            km, data = self.reach.km, _box_text(self._box_of_all(1.0))
            limit = (
                "" if math.isinf(km) else f" lies within {km:g} km of a labelled place; these places lie within --box {data}"
            )
            raise ParamsError(
                f"no {what} in the box {_box_text(self.drawn_box())}{limit}",
                hint="another --box, or --beyond KM" + (", or a .tif, which has the sea" if what == "land" else ""),
            )

    def _of_places(self, lonlat: Float[torch.Tensor, "n 2"]) -> Float[torch.Tensor, "n"]:
        """Return what is drawn at positions; the table of classes is made of few rows at a time."""
        log_p = self.model.location_log_p if self.learned else self.model.place_log_p
        values = []
        for rows in row_blocks(torch.arange(len(lonlat)), len(classes_of(self.model))):
            when = torch.full((len(rows),), self.day.when, dtype=torch.float64)
            values.append(self._shown(log_p(lonlat[rows], when)))
        return torch.cat(values)

    def _shown(self, log_p: Float[torch.Tensor, "n q"]) -> Float[torch.Tensor, "n"]:
        """Return what is drawn where the classes have these log P."""
        if self.number is None:
            return log_p.argmax(1).double()
        p = log_p[:, self.number].exp()
        return p if self.threshold is None else (p >= self.threshold).double()

    def _png(self, values: Float[np.ndarray, "n"], world: World, out: Path) -> None:
        note = self.note
        with whole(out) as new:
            if self.number is None or self.threshold is not None:
                number = np.nan_to_num(values, nan=-1).astype(np.int64)
                if self.number is None:
                    likeliest_map(number, classes_of(self.model), world, new, title=self.title, note=note)
                else:
                    range_map(number, world, new, title=self.title, note=note)
                return
            shade = maps.probability_shade([values])
            with mpl.rc_context(STYLE):
                figure, (ax,) = maps.map_panels(1, world, columns=1, width=maps.WIDTH, below=maps.BAR)
                maps.ground(ax, world)
                maps.probability_picture(ax, world, shade, values)
                maps.set_titles(ax, self.title, note)
                maps.probability_bar(figure, [ax], shade, classes_of(self.model)[self.number])
                save(figure, new, colours=maps.COLOURS)

    def _geotiff(self, parts: Iterable[Float[np.ndarray, "rows columns"]], cells: Grid, out: Path) -> None:
        tags, classes, frame = self.tags, classes_of(self.model), geotiff.Frame(cells.shape, cells.box)
        with whole(out) as new:
            if self.number is None:
                geotiff.write_classes(parts, frame, classes, tags, new)
            elif self.threshold is not None:
                name, colours = classes[self.number], [*RANGE.values()]
                geotiff.write_classes(parts, frame, [*RANGE], tags, new, name=name, colours=colours)
            else:
                geotiff.write({f"P({visible(classes[self.number])} | x)": parts}, frame, tags, new)


def _bands(cells: Grid) -> Iterator[tuple[int, int]]:
    """Yield the first cell of some rows of a grid, and the first after them: `ROWS` cells, or one row where it has more."""
    rows, columns = cells.shape
    step = max(1, ROWS // columns)
    for row in range(0, rows, step):
        yield row * columns, min(row + step, rows) * columns


def require_suffix(out: Path) -> None:
    """Raise a ParamsError unless ``out`` has one of `SUFFIXES`."""
    if out.suffix.lower() not in SUFFIXES:
        raise ParamsError(f"{out}: maps are written as {', '.join(SUFFIXES)}", hint="--out map.png")


def class_number(model: Model, name: str) -> int:
    """Return the number of the class ``name``, regardless of case; raise a ParamsError that suggests the nearest names."""
    classes = classes_of(model)
    if name in classes:
        return classes.index(name)
    same = [number for number, one in enumerate(classes) if one.casefold() == name.casefold()]
    if len(same) == 1:
        return same[0]
    near = nearest(name, classes, most=3, cutoff=0.4) or list(classes[:5])
    raise ParamsError(f"there is no class {name!r}", hint=f"for example: {', '.join(near)}")


def classes_of(model: Model) -> tuple[str, ...]:
    if model.classes is None or model.classifier is None:
        raise DataError("the model has no location classifier with named classes", hint="name a project's folder with --model")
    return model.classes


def _reach(model: Model, beyond: float | None) -> Reach:
    reach = reach_of(model)
    return reach if beyond is None or not len(reach.places.label) else Reach(reach.places, beyond, "as --beyond says")


def _grid_of(box: Box) -> float:
    """Return the smallest round side, in degrees, with which no more than ``CELLS`` pixels span a box; at most ``GRID``."""
    west, south, east, north = box
    return min((one for one in STEPS if max(east - west, north - south) / one <= CELLS and one < GRID), default=GRID)


def _box_text(box: Box) -> str:
    return " ".join(f"{edge:.6g}" for edge in box)
