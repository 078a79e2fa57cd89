"""Thumbnails of rows with bytes, with files, with features alone, and with files that are gone."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from cspops.data.catalogue import SCHEMA
from cspops.host import Host
from cspops.pixels.reading import Reading
from cspops.report.examples import PX, thumbnails
from cspops.site import Site


def png(colour: tuple[int, int, int]) -> bytes:
    with io.BytesIO() as written:
        Image.new("RGB", (40, 20), colour).save(written, "PNG")
        return written.getvalue()


def site(tmp_path: Path) -> Site:
    """Row 0 has bytes, row 1 a file, row 2 a file that is gone, row 3 no image."""
    (tmp_path / "red.png").write_bytes(png((250, 10, 10)))
    images = [{"bytes": png((10, 10, 250)), "path": None}, *({"bytes": None, "path": path} for path in ("red.png", "gone.png"))]
    columns = {field.name: pa.nulls(4, field.type) for field in SCHEMA} | {
        "obs_id": pa.array(["a", "b", "c", "d"]),
        "image": pa.array([*images, None], SCHEMA.field("image").type),
    }
    pq.write_table(pa.table(columns).cast(SCHEMA), tmp_path / "observations.parquet")
    (tmp_path / "images.json").write_text(json.dumps(Reading().as_json()))
    return Site(tmp_path, {"download": tmp_path}, tmp_path, tmp_path, tmp_path, Host())


def test_each_image_is_shown_and_what_cannot_be_read_is_none(tmp_path: Path) -> None:
    found = thumbnails([1, 0, 2, 3], site(tmp_path))
    assert found[2:] == [None, None]
    for uri, colour in zip(found[:2], ((250, 10, 10), (10, 10, 250)), strict=True):
        assert uri is not None
        kind, content = uri.split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.size == (PX, PX)
            np.testing.assert_allclose(np.asarray(image).mean((0, 1)), colour, atol=6)
