"""Where photos were taken: places of a box, ranked by a model that GAIR's pre-training left."""

import csv
import logging
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cspops.artefacts import json_as
from cspops.climate_raster import Box
from cspops.data.overhead import overhead_reading, read_footprints
from cspops.errors import DataError, ParamsError
from cspops.files import whole
from cspops.gair.locator import Locator
from cspops.gair.raster import BlueMarble, GeoTiff, Raster
from cspops.gair.stored import REMAKE
from cspops.gair.tiling import Side
from cspops.geo import KM_PER_DEGREE, haversine, wrap_longitude
from cspops.library.cells import Cells
from cspops.library.inputs import Input
from cspops.library.labelled import NO_IMAGE
from cspops.library.loading import run_of
from cspops.pixels.reading import Reading
from cspops.pixels.rgb import open_rgb, square
from cspops.pixels.tensors import read_reading
from cspops.pixels.unreadable import UnreadableImage
from cspops.progress import Done, uncounted
from cspops.shapes import Float, Tensor, UInt8

log = logging.getLogger(__name__)

CELLS = 150
"""Most places along the longer side of a box, where no step is given."""
MOST_SCORES = 2**28
HAIR = 1e-9
COARSER = 2.0
"""Ratio of pixels above which a raster is warned of."""
APART = 0.25
"""Share of the side of an overhead image by which the places of a table lie apart, at least."""


@dataclass(frozen=True)
class Search:
    """A model, what is seen from above, and the places."""

    locator: Locator
    reading: Reading
    raster: Raster
    side: Side
    cells: Cells

    @classmethod
    def of(cls, run: Path, box: Box, *, overhead: Path | None, step: float | None, device: torch.device) -> "Search":
        """Load the model of a whole run.

        Args:
            run: its artefacts.
            box: where to look, as `checked_box` returns it.
            overhead: a GeoTIFF; None: the embedded raster, where the run was on its pieces.
            step: distance of places, km; None: half a cell of the overhead network's map, more in a large box.
            device: where it computes.
        """
        parts = run / "pretrain_img" / "gair"
        if (parts / "location").is_dir() and not (parts / "projection").is_dir():
            raise DataError(
                f"{parts} was trained without photos, so that no photo can be compared with places",
                hint="rows need photos beside their overhead images, then dvc repro -f pretrain-img",
            )
        locator = Locator.load(run / "pretrain_img", device)
        footprints = read_footprints(run / "download")
        if footprints is None:
            raise DataError(f"{run / 'download'} has no overhead image", hint="dvc repro download")
        side, reading = Side.of(footprints), read_reading(run / "download")
        if overhead is None and _source(run) != "blue_marble":
            raise ParamsError(
                "this model was not trained on the embedded raster: name a GeoTIFF of the area with --overhead",
                hint="--overhead RASTER.tif, a GeoTIFF like the overhead images of the data set",
            )
        raster: Raster = BlueMarble() if overhead is None else _geotiff(overhead, run / "download", locator)
        _require_within(box, raster.box, overhead)
        if isinstance(raster, GeoTiff):
            _warn_of_coarse_pixels(raster, side, locator.px, overhead)
        west, south, east, north = box
        longer = KM_PER_DEGREE * max(north - south, (east - west) * math.cos(math.radians((south + north) / 2)))
        half_a_cell = min(side.wide, side.high) / locator.cells / 2
        return cls(locator, reading, raster, side, Cells.of(box, step or max(half_a_cell, longer / CELLS)))

    @property
    def apart_km(self) -> float:
        """Least distance of two places of a table."""
        return APART * min(self.side.wide, self.side.high)

    def photo(self, image: bytes | Path) -> UInt8[Tensor, "px px 3"]:
        """Return a photo as the network takes it; raise UnreadableImage where it cannot be read."""
        config = self.locator.photo.config
        return torch.from_numpy(
            square(open_rgb(image, reading=self.reading), config["px"], interpolation=config["interpolation"]).copy()
        )

    def scores(self, photos: Float[Tensor, "p d"], done: Done = uncounted) -> Float[Tensor, "p n"]:
        """Return the cosines of photos and the overhead features of all places."""
        lonlat = self.cells.lonlat()
        if len(photos) * len(lonlat) > MOST_SCORES:
            raise ParamsError(f"{len(photos):,} photos at {len(lonlat):,} places are too many", hint="a larger --step")
        return self.locator.scores(photos, lonlat, self.raster, self.side, done)


@dataclass(frozen=True)
class Place:
    """One of the best places of a photo."""

    lon: float
    lat: float
    score: float
    """Cosine of the photo and the overhead feature at the place."""
    by_place: float
    """Cosine of the photo and e(x), the location embedding of the place."""
    from_best_km: float


@dataclass(frozen=True)
class Found:
    """What is known of one photo."""

    photo: str
    places: Sequence[Place] = ()
    error: str | None = None
    own: tuple[float, float] | None = None
    """The position in the file, degrees."""
    own_km: float | None = None
    """From there to the best place."""
    better: int | None = None
    """How many places score higher than the one in whose cell that is; None where it lies outside the box."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        own = None
        if self.own is not None:
            lon, lat = self.own
            own = {"lon": lon, "lat": lat, "from_best_km": self.own_km, "places_that_score_higher": self.better}
        places = [vars(place) for place in self.places]
        return {"photo": self.photo, "error": self.error, "own_position": own, "places": places}


def locate(
    search: Search, inputs: Iterable[Input], *, top: int, done: Done = uncounted
) -> tuple[list[Found], Float[Tensor, "p n"]]:
    """Rank the places of a box for photos; the scores are of those that can be read, in their order.

    Raises:
        DataError: none can be read, with the reason of the first.
    """
    rows, squares, errors = list(inputs), [], []
    for row in rows:
        error = NO_IMAGE if row.image is None and row.error is None else row.error
        try:
            if error is None and row.image is not None:
                squares.append(search.photo(row.image))
        except UnreadableImage as unreadable:
            error = str(unreadable)
        errors.append(error)
    if not squares:
        first = f"{rows[0].where}: {errors[0]}" if rows else "no path is given"
        raise DataError(f"no photo can be read; the first: {first}", hint="name photos, folders of them, or tables")
    photos = torch.cat([search.locator.photos(torch.stack(squares[at : at + 256])) for at in range(0, len(squares), 256)])
    scores, lonlat = search.scores(photos, done), search.cells.lonlat()
    found, good = [], iter(zip(photos, scores, strict=True))
    for row, error in zip(rows, errors, strict=True):
        if error is not None:
            found.append(Found(row.where, error=error))
            continue
        photo, score = next(good)
        best = best_places(score, lonlat, top=top, apart_km=search.apart_km)
        by_place = search.locator.by_place(photo[None], lonlat[best])[0]
        found.append(_found(row, search.cells, lonlat, score, best, by_place))
    return found, scores


def best_places(score: Float[Tensor, "n"], lonlat: Float[Tensor, "n 2"], *, top: int, apart_km: float) -> Tensor:
    """Return the numbers of the best places, best first, each no nearer than ``apart_km`` to one before it."""
    left = score.clone()
    best: list[int] = []
    while len(best) < top and not left.isneginf().all():
        best.append(int(left.argmax()))
        left[haversine(lonlat, lonlat[best[-1]]) < apart_km] = -torch.inf
        left[best[-1]] = -torch.inf
    return torch.tensor(best)


def _found(row: Input, cells: Cells, lonlat: Tensor, score: Tensor, best: Tensor, by_place: Tensor) -> Found:
    first = lonlat[best[0]]
    km = haversine(lonlat[best], first).tolist()
    degrees = torch.stack((wrap_longitude(lonlat[best, 0]), lonlat[best, 1]), 1).tolist()
    numbers = zip(degrees, score[best].tolist(), by_place.tolist(), km, strict=True)
    places = [Place(round(lon, 5), round(lat, 5), round(s, 4), round(e, 4), round(far, 1)) for (lon, lat), s, e, far in numbers]
    if np.isnan(row.lon):
        return Found(row.where, places)
    at = cells.index(row.lon, row.lat)
    far = float(haversine(torch.tensor([row.lon, row.lat], dtype=torch.float64), first))
    better = None if at is None else int((score > score[at]).sum())
    return Found(row.where, places, None, (row.lon, row.lat), round(far, 1), better)


def run_of_gair(folder: Path) -> Path:
    """Return the artefacts of a whole run in ``folder``, a project or its artefacts; DataError where there are none."""
    run = run_of(folder, "pretrain_img")
    if run is None:
        raise DataError(
            f"{folder} holds no run whose image network was trained",
            hint=f"--model names a project's folder (or its artifacts), after {REMAKE}",
        )
    return run


COLUMNS = ("photo", "rank", "lon", "lat", "score", "by_place", "from_best_km")


def table(found: Iterable[Found]) -> list[list[str]]:
    """Return a header and one line per photo and place."""

    def line(photo: str, rank: int, place: Place) -> list[str]:
        scores = f"{place.score:.4f}", f"{place.by_place:.4f}"
        return [photo, str(rank), f"{place.lon:.4f}", f"{place.lat:.4f}", *scores, f"{place.from_best_km:.1f}"]

    return [list(COLUMNS), *(line(one.photo, rank, place) for one in found for rank, place in enumerate(one.places, 1))]


def write_csv(found: Iterable[Found], out: Path) -> None:
    """Write `table` as CSV."""
    with whole(out) as new, new.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows(table(found))


def _source(run: Path) -> str | None:
    record = json_as(run / "download" / "stage.json", dict[str, Any], remake="dvc repro -f download")
    source: str | None = record.get("params", {}).get("dataset.source")
    return source


def _warn_of_coarse_pixels(raster: GeoTiff, side: Side, px: int, overhead: Path | None) -> None:
    """Warn where the raster's pixels are much larger than those that the network was trained on."""
    own = KM_PER_DEGREE * (raster.box[3] - raster.box[1]) / raster.image.height
    trained = side.high / px
    if own > COARSER * trained:
        log.warning(
            f"the pixels of {overhead} are {own / trained:.1f} times as large as those that the overhead network was trained "
            f"on ({1000 * own:,.3g} m, {1000 * trained:,.3g} m): it says little about places"
        )


def _geotiff(file: Path, download: Path, locator: Locator) -> GeoTiff:
    return GeoTiff(file, overhead_reading(download), locator.overhead.config["map"]["interpolation"])


def _require_within(box: Box, there: Box, overhead: Path | None) -> None:
    """Raise a ParamsError unless a raster with these edges shows the whole box."""
    west, south, east, north = box
    start = (west - there[0] + HAIR) % 360 - HAIR
    ring = there[2] - there[0] >= 360
    across = ring or start + east - west <= there[2] - there[0] + HAIR
    if not across or south < there[1] - HAIR or north > there[3] + HAIR:
        named, shown = (",".join(f"{edge:.7g}" for edge in one) for one in (box, there))
        raise ParamsError(f"the box {named} reaches beyond {overhead}", hint=f"that raster shows --within {shown}")
