"""Rows of the test set that location turned to right or to wrong, with their images and places."""

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from cspops.data.catalogue import Observations, read_images
from cspops.data.images.tensors import decode, read_reading
from cspops.data.rows import image_root
from cspops.errors import DataError
from cspops.report.html_parts import Example, data_uri, place_text
from cspops.report.locator import Locator
from cspops.shapes import Int
from cspops.stages.judged_rows import JudgedRows
from cspops.stages.site import Site

PX = 96


def examples(
    rows: Int[np.ndarray, "m"], judged: JudgedRows, observations: Observations, ground: Locator, site: Site
) -> list[Example]:
    """An example for each of ``rows`` of ``judged``, all of which have a position."""
    of_catalogue = judged.row[rows].tolist()
    lonlat = observations.lonlat[of_catalogue].numpy()
    pictures = thumbnails(of_catalogue, site)
    names = observations.classes
    return [
        Example(
            name=observations.obs_id[judged.row[row]],
            thumbnail=picture,
            true=names[judged.label[row]],
            image=(names[judged.guess["image"][row]], float(judged.confidence["image"][row])),
            combined=(names[judged.guess["combined"][row]], float(judged.confidence["combined"][row])),
            p_true=(float(judged.p_true["image"][row]), float(judged.p_true["combined"][row])),
            dot=dot,
            place=place_text(lon, lat),
        )
        for row, picture, dot, (lon, lat) in zip(rows.tolist(), pictures, ground.at(lonlat), lonlat.tolist(), strict=True)
    ]


def thumbnails(rows: Sequence[int], site: Site) -> list[str | None]:
    """A JPEG of the centre square of each row of the catalogue as a data URI; None where there is no image to be read."""
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
