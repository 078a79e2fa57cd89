"""Thumbnails of rows with bytes, with files, with features alone, and with files that are gone."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from image_files import encoded
from PIL import Image

from cspops.data.schemas import SCHEMA
from cspops.host import Host
from cspops.pixels.reading import Reading
from cspops.report.examples import PX, WIDTH, locator, thumbnails
from cspops.report.world import World, surroundings, world_of
from cspops.site import Site

RED, BLUE = (encoded(Image.new("RGB", (40, 20), colour)) for colour in ((250, 10, 10), (10, 10, 250)))


def site(tmp_path: Path) -> Site:
    """Row 0 has bytes, row 1 a file, row 2 a file that is gone, row 3 no image."""
    (tmp_path / "red.png").write_bytes(RED)
    images = [{"bytes": BLUE, "path": None}, *({"bytes": None, "path": path} for path in ("red.png", "gone.png"))]
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


WORLD = World(-60, 84, width=400)
SWISS = np.array([[8.5, 47.4], [7.4, 46.9]])


def corners(path: str) -> np.ndarray:
    """The absolute points of a path of one relative polyline a part."""
    out = []
    for part in path.split("z")[:-1]:
        start, steps = part.removeprefix("M").split("l")
        points = np.array([int(one) for one in re.findall(r"-?\d+", f"{start} {steps}")]).reshape(-1, 2)
        out.append(points.cumsum(0))
    return np.concatenate(out)


def test_the_whole_world_fills_its_box() -> None:
    ground = locator(WORLD)
    land, border = corners(ground.land), corners(ground.border)
    assert ground.height == round(WIDTH * (WORLD.extent[3] - WORLD.extent[2]) / (2 * WORLD.extent[1]))
    assert border[:, 0].min() <= 2
    assert border[:, 0].max() >= WIDTH - 2
    assert (land >= -5).all()
    assert (land <= [WIDTH + 5, ground.height + 5]).all()
    assert len(ground.land) < 60_000


def test_dots_lie_where_the_projection_puts_them() -> None:
    ground = locator(WORLD)
    (middle,) = ground.at(np.array([[0.0, 0.0]]))
    assert middle[0] == WIDTH // 2
    (north, south) = ground.at(np.array([[0.0, 84.0], [0.0, -60.0]]))
    assert north[1] == 0
    assert abs(south[1] - ground.height) <= 3


def test_a_region_is_drawn_larger_and_places_stay_inside() -> None:
    ground = locator(world_of(surroundings(SWISS, 20.0)))
    for x, y in ground.at(SWISS):
        assert 0 < x < WIDTH
        assert 0 < y < ground.height
    assert ground.land


def test_a_region_of_sea_has_no_land() -> None:
    ground = locator(world_of((-141.0, -41.0, -139.0, -39.0)))
    assert ground.land == ""
    assert ground.border.endswith("z")
