"""GeoTIFFs of one band in EPSG:4326, north up; nodata where a map is not drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

from cspops.land import Box
from cspops.report.likeliest import class_colours
from cspops.shapes import Float
from cspops.terminal import visible


def write(band: Float[np.ndarray, "rows columns"], box: Box, name: str, tags: Mapping[str, str], file: Path) -> None:
    """Write a band of float32, nodata nan; of a box across the antimeridian the longitudes go on above 180."""
    _write(band.astype(np.float32), box, float("nan"), name, tags, file)


def write_classes(
    number: Float[np.ndarray, "rows columns"],
    box: Box,
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
    band = np.where(np.isnan(number), none, number).astype(kind)
    names = {f"class_{at}": visible(name) for at, name in enumerate(classes)}
    _write(band, box, none, visible(name), {**tags, **names}, file)
    of_all = np.where(band == none, -1, band.astype(np.int64)).reshape(-1)
    _, shades = class_colours(of_all, len(classes)) if colours is None else (None, np.array([to_rgb(one) for one in colours]))
    with rasterio.open(file, "r+") as opened:
        table = {at: (*(round(255 * part) for part in colour), 255) for at, colour in enumerate(shades.tolist())}
        opened.write_colormap(1, table | {none: (0, 0, 0, 0)})


def _write(band: np.ndarray, box: Box, nodata: float, name: str, tags: Mapping[str, str], file: Path) -> None:
    import rasterio
    from rasterio.transform import from_bounds

    rows, columns = band.shape
    about = {"driver": "GTiff", "height": rows, "width": columns, "count": 1, "dtype": band.dtype, "crs": "EPSG:4326"}
    place = {"transform": from_bounds(*box, columns, rows), "nodata": nodata, "compress": "deflate"}
    with rasterio.open(file, "w", **about, **place) as out:
        out.write(band, 1)
        out.set_band_description(1, name)
        out.update_tags(**tags)
