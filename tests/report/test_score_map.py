"""Maps of scores: numbers, georeference, and a picture with the same bytes each time."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cspops.errors import ParamsError
from cspops.library.cells import Cells
from cspops.library.locating import Found, Place
from cspops.report.score_map import ScoreMap, require_suffix

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic


def score_map(box: tuple[float, float, float, float], *, own: tuple[float, float] | None = None) -> ScoreMap:
    cells = Cells(box, 3, 4)
    lon, lat = cells.lonlat()[5].tolist()
    found = Found("photos/a.jpg", [Place((lon + 180) % 360 - 180, lat, 0.5, 0.1, 0.0)], None, own)
    return ScoreMap(found, cells, np.linspace(-0.5, 0.5, 12, dtype=np.float32))


def test_a_geotiff_has_a_pixel_per_place(tmp_path: Path) -> None:
    import rasterio

    drawn = score_map((178.0, -19.0, 182.0, -16.0))
    drawn.draw(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif") as opened:
        assert (opened.crs.to_epsg(), tuple(opened.bounds), opened.shape) == (4326, (178.0, -19.0, 182.0, -16.0), (3, 4))
        np.testing.assert_array_equal(opened.read(1).reshape(-1), drawn.scores)
        assert opened.tags()["TIFFTAG_IMAGEDESCRIPTION"] == "Where a.jpg may have been taken"


@pytest.mark.parametrize("box", [(178.0, -19.0, 182.0, -16.0), (8.5, 47.3, 8.6, 47.4), (-180.0, -90.0, 180.0, 90.0)])
@pytest.mark.parametrize("own", [None, (8.55, 47.35)])
def test_a_png_of_any_box_has_the_same_bytes_each_time(tmp_path: Path, box, own) -> None:
    for name in ("a", "b"):
        score_map(box, own=own).draw(tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert min(image.size) > 300


def test_other_formats_are_refused() -> None:
    for good in ("a.csv", "a.PNG", "a.tiff"):
        require_suffix(Path(good))
    with pytest.raises(ParamsError, match=r"written as \.csv, \.png"):
        require_suffix(Path("a.svg"))
