"""GeoTIFFs in EPSG:4326, north up; nodata where a map is not drawn. Their rows are written some at a time."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb

from cspops.climate_raster import Box
from cspops.report.likeliest import class_colours
from cspops.shapes import Float
from cspops.terminal import visible

CACHE = 64
"""MB of rows that GDAL keeps before it writes them; by itself it would take a twentieth of the machine's memory."""

Rows = Iterable[Float[np.ndarray, "rows columns"]]
"""A band in parts of whole rows, from the north."""


class Frame(NamedTuple):
    """Rows and columns of a band, and its edges in degrees."""

    shape: tuple[int, int]
    box: Box


def write(bands: Mapping[str, Rows], frame: Frame, tags: Mapping[str, str], file: Path) -> None:
    """Write bands of float32 by their names, nodata nan; of a box across the antimeridian the longitudes go on above 180."""
    with _opened(file, frame, "float32", float("nan"), bands=len(bands)) as out:
        for band, (name, parts) in enumerate(bands.items(), 1):
            for _ in _written(out, (part.astype(np.float32) for part in parts), band):
                pass
            out.set_band_description(band, name)
        out.update_tags(**tags)


def write_classes(
    parts: Rows,
    frame: Frame,
    classes: Sequence[str],
    tags: Mapping[str, str],
    file: Path,
    *,
    name: str = "most likely class",
    colours: Sequence[str] | None = None,
) -> None:
    """Write the numbers of classes, nan where there is none, with a colour table; the names are the tags class_0 ...

    ``name`` describes the band; ``colours`` are those of the classes, None: those of the map of the most likely class.
    Up to 255 classes are of uint8 and 255 is nodata, else uint16 and 65535.
    """
    import rasterio

    kind = np.uint8 if len(classes) <= 255 else np.uint16
    none = int(np.iinfo(kind).max)
    frequency = np.zeros(len(classes), np.int64)
    names = {f"class_{at}": visible(one) for at, one in enumerate(classes)}
    with _opened(file, frame, np.dtype(kind).name, none) as out:
        for band in _written(out, (np.where(np.isnan(part), none, part).astype(kind) for part in parts)):
            frequency += np.bincount(band[band != none], minlength=len(classes))
        out.set_band_description(1, visible(name))
        out.update_tags(**tags, **names)
    shades = class_colours(frequency)[1] if colours is None else np.array([to_rgb(one) for one in colours])
    with rasterio.open(file, "r+") as opened:
        table = {at: (*(round(255 * part) for part in colour), 255) for at, colour in enumerate(shades.tolist())}
        opened.write_colormap(1, table | {none: (0, 0, 0, 0)})


@contextmanager
def _opened(file: Path, frame: Frame, kind: str, nodata: float, *, bands: int = 1) -> Iterator[Any]:
    import rasterio
    from rasterio.transform import from_bounds

    rows, columns = frame.shape
    about = {"driver": "GTiff", "height": rows, "width": columns, "count": bands, "dtype": kind, "crs": "EPSG:4326"}
    place = {
        "transform": from_bounds(*frame.box, columns, rows),
        "nodata": nodata,
        "compress": "deflate",
        "BIGTIFF": "IF_SAFER",
    } | ({"interleave": "band"} if bands > 1 else {})
    with rasterio.Env(GDAL_CACHEMAX=CACHE), rasterio.open(file, "w", **about, **place) as out:
        yield out


def _written(out: Any, parts: Rows, band: int = 1) -> Iterator[np.ndarray]:
    """Write each part of a band below the one before, and yield it."""
    from rasterio.windows import Window

    top = 0
    for part in parts:
        out.write(part, band, window=Window(0, top, part.shape[1], len(part)))
        top += len(part)
        yield part
