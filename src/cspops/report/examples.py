"""Rows of the test set that location turned right or wrong, with their images and places."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from cspops.data.catalogue import Observations, read_images
from cspops.errors import DataError
from cspops.pixels.reading import image_root
from cspops.pixels.tensors import decode, read_reading
from cspops.report.html_parts import Example, data_uri, place_text
from cspops.report.mistakes import JudgedRows
from cspops.report.world import Extent, World, equal_earth
from cspops.shapes import Float, Int
from cspops.site import Site

WIDTH = 1000
"""Width of the picture in units."""
COLUMNS = 220
"""Most columns of the mask that the path is drawn around."""


@dataclass(frozen=True)
class Locator:
    """Land and border as SVG paths in a box of `WIDTH` x ``height`` units."""

    land: str
    border: str
    height: int
    extent: Extent

    def at(self, lonlat: Float[np.ndarray, "n 2"]) -> list[tuple[int, int]]:
        """Return where positions (degrees) are in the picture."""
        return [(round(x), round(y)) for x, y in _units(equal_earth(lonlat), self.extent).tolist()]


def locator(world: World, part: Extent) -> Locator:
    """Return the ground of little maps that show ``part`` of ``world``."""
    left, right, bottom, top = part
    rows, columns = world.land.shape
    west, east, _, north = world.extent
    side = (east - west) / columns
    first, last = (int(np.clip(round((x - west) / side), 0, columns)) for x in (left, right))
    upper, lower = (int(np.clip(round((north - y) / side), 0, rows)) for y in (top, bottom))
    step = -(-(last - first) // COLUMNS)
    mask = np.pad(world.land[upper:lower:step, first:last:step].astype(float), 1)
    x = west + side * (first + step * (np.arange(mask.shape[1]) - 1 + 0.5))
    y = north - side * (upper + step * (np.arange(mask.shape[0]) - 1 + 0.5))
    lines = Figure().subplots().contour(x, y, mask, levels=[0.5]).allsegs[0] if mask.any() else []
    whole = part == world.extent
    corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
    return Locator(
        "".join(_path(_units(line, part)) for line in lines if len(line) > 6),
        _path(_units(world.outline()[::8] if whole else corners, part)),
        round(WIDTH * (top - bottom) / (right - left)),
        part,
    )


def _units(xy: Float[np.ndarray, "n 2"], part: Extent) -> Float[np.ndarray, "n 2"]:
    left, right, _, top = part
    units: np.ndarray = np.stack((xy[:, 0] - left, top - xy[:, 1]), 1) * WIDTH / (right - left)
    return units


def _path(points: Float[np.ndarray, "n 2"]) -> str:
    """Return a closed SVG path of whole units."""
    whole = np.round(points).astype(int)
    kept = whole[np.r_[True, (np.diff(whole, axis=0) != 0).any(1)]]
    steps = np.diff(kept, axis=0)
    return f"M{kept[0, 0]} {kept[0, 1]}l" + " ".join(f"{x} {y}" for x, y in steps.tolist()) + "z"


PX = 96


def examples(
    rows: Int[np.ndarray, "m"],
    judged: JudgedRows,
    observations: Observations,
    names: Sequence[str],
    ground: Locator,
    site: Site,
) -> list[Example]:
    """Return one example per row of ``rows`` of ``judged``, all of which have a position; ``names`` are the classes'."""
    catalogue_rows = judged.row[rows].tolist()
    lonlat = observations.lonlat[catalogue_rows].numpy()
    pictures = thumbnails(catalogue_rows, site)
    return [
        Example(
            name=observations.obs_id[judged.row[row]],
            thumbnail=picture,
            true=names[judged.label[row]],
            image=(names[judged.guess["image"][row]], float(judged.confidence["image"][row])),
            pool=(names[judged.guess["pool"][row]], float(judged.confidence["pool"][row])),
            p_true=(float(judged.p_true["image"][row]), float(judged.p_true["pool"][row])),
            dot=dot,
            place=place_text(lon, lat),
        )
        for row, picture, dot, (lon, lat) in zip(rows.tolist(), pictures, ground.at(lonlat), lonlat.tolist(), strict=True)
    ]


def thumbnails(rows: Sequence[int], site: Site) -> list[str | None]:
    """Return the centre square of each row of the catalogue as JPEG in a data URI; None where no image can be read."""
    download = site.inputs["download"]
    reading = read_reading(download)
    root = image_root(reading, raw=site.raw, data_root=site.host.data_root)
    out: list[str | None] = []
    for row in rows:
        image = read_images(download, range(row, row + 1))
        try:
            pixels = decode(image, px=PX, root=root, reading=reading)[0].numpy()
        except DataError:  # features came instead of images, or the files are on another machine
            out.append(None)
            continue
        with io.BytesIO() as written:
            Image.fromarray(pixels).save(written, "JPEG", quality=88, optimize=True)
            out.append(data_uri(written.getvalue(), "jpeg"))
    return out
