"""Whether a set's longitudes and latitudes look exchanged: a test of shares over the set, never a change.

Two pieces of evidence. (a) Latitudes that cannot be one, beside longitudes that could: of a set that spans the world and
is exchanged these are half the rows or more, of one that is not, only slips of the pen; the line is drawn at a
twentieth, and at more rows than `SLIPS`, of `PLACES` positions or more. (b) Where exchanging leaves every position on the
map, as for a set of Europe or Africa: the share on land. Geo-tagged images are mostly taken on land (here: what has a
climate zone in the embedded raster), so a set of which `LITTLE` or less of the places lie on land as given and `MOST` or
more when exchanged is suspected. Land of Europe keeps some 0.57 of it when exchanged, of France 0.43, of Britain, India and
Brazil 0.2 or less; but of Poland 0.93 and of Nigeria 0.96: there the map cannot tell.
"""

from importlib.resources import files

import numpy as np
from PIL import Image

SEA = 32
"""The code of the embedded climate raster that is not a land zone."""
PER_DEGREE = 36
"""Pixels of the raster."""

IMPOSSIBLE = 0.05
"""Share of the given positions."""
SLIPS = 2
"""Rows that may be mistakes of their own however small the set is."""
BEYOND = 0.01
"""Share of the positions east or west of 90 degrees: exchanged they would be no positions, which speaks against (b)."""
PLACES = 10
"""Positions that (a) needs, and pixels of the raster (3 km) that (b) needs, where many rows at one place are one."""
LITTLE = 0.8
MOST = 0.9

REMEDY = "if so, exchange lon and lat under `columns` (dataset.table.columns, dataset.folder.columns) in params.yaml"


def look_exchanged(lon: np.ndarray, lat: np.ndarray, *, given: int, exchangeable: int) -> str | None:
    """A warning with the evidence, or None.

    Args:
        lon: (n,) degrees in [-180, 180), of the rows whose position can be one.
        lat: (n,) degrees.
        given: number of the rows that give a position, right or wrong.
        exchangeable: number of those whose latitude cannot be one although it could be a longitude, and vice versa.
    """
    if given >= PLACES and exchangeable > SLIPS and exchangeable / given >= IMPOSSIBLE:
        return (
            f"latitude and longitude look exchanged: {exchangeable} of {given} positions ({exchangeable / given:.1%}) have a "
            f"latitude outside [-90, 90] that could be their longitude; {REMEDY}"
        )
    beyond = np.abs(lon) > 90
    if len(lon) < PLACES or beyond.mean() > BEYOND:
        return None
    lon, lat = lon[~beyond], lat[~beyond]
    places = np.unique(_pixel(lon, lat), return_index=True)[1]
    if len(places) < PLACES:
        return None
    lon, lat = lon[places], lat[places]
    land = read_land()
    as_given, exchanged = (float(land.flat[_pixel(*position)].mean()) for position in ((lon, lat), (lat, lon)))
    if as_given > LITTLE or exchanged < MOST:
        return None
    return (
        f"latitude and longitude look exchanged: {as_given:.0%} of {len(places)} places lie on land as given, {exchanged:.0%} "
        f"when exchanged (of images taken at sea that says nothing); {REMEDY}"
    )


def read_land() -> np.ndarray:
    """Mask of the embedded climate raster, a row for 100 arc seconds, north up, first pixel at 180 W 90 N."""
    with files("cspops").joinpath("sample/climate_zones.png").open("rb") as opened, Image.open(opened) as image:
        land: np.ndarray = np.asarray(image) != SEA
    return land


def _pixel(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Which pixel of the raster each position lies in, row by row."""
    column = ((lon + 180) * PER_DEGREE).astype(np.int64).clip(0, 360 * PER_DEGREE - 1)
    row = ((90 - lat) * PER_DEGREE).astype(np.int64).clip(0, 180 * PER_DEGREE - 1)
    pixel: np.ndarray = row * (360 * PER_DEGREE) + column
    return pixel
