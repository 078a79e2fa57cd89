"""Scores of places: those of one overhead image at a time."""

from pathlib import Path

import pytest
import torch
from gair_run import write_gair_run, write_raster
from torch.nn.functional import normalize
from unlabelled import CPU

from cspops.errors import DataError
from cspops.gair import locator as module
from cspops.gair.locator import Locator
from cspops.gair.raster import GeoTiff
from cspops.gair.tiling import Side, tiling
from cspops.geo import KM_PER_DEGREE
from cspops.pixels.reading import Reading

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # of rasterio's own arithmetic
SIDE = Side(2 * KM_PER_DEGREE, 2 * KM_PER_DEGREE)


def draws(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("features", ["photo", "overhead_at_place"])
def test_scores_are_those_of_one_place_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, features: str) -> None:
    """In parts of three tiles, with different numbers of places."""
    monkeypatch.setattr(module, "TILES", 3)
    locator = Locator.load(write_gair_run(tmp_path, features=features) / "pretrain_img", CPU)
    write_raster(tmp_path / "a.tif", (10.0, 40.0, 16.0, 46.0))
    raster = GeoTiff(tmp_path / "a.tif", Reading())
    lonlat = torch.tensor([10.0, 40.0]) + 6 * draws(60, 2) ** 2
    squares = (255 * draws(2, 32, 32, 3)).to(torch.uint8)
    photos = locator.photos(squares)
    done: list[tuple[int, int]] = []
    found = locator.scores(photos, lonlat, raster, SIDE, lambda *some: done.append(some))
    assert (found.shape, done[-1]) == ((2, 60), (60, 60))
    assert len(done) > 2
    made = tiling(raster.box, SIDE, lonlat)
    with torch.no_grad():
        assert torch.allclose(photos, normalize(locator.projection(locator.photo(squares)), dim=1), atol=1e-6)
        for row in (0, 17, 59):
            bbox = made.bbox[made.tile[row], None]
            r = locator.overhead(raster.cut(bbox, 32), bbox, lonlat[row, None])
            assert torch.allclose(found[:, row], photos @ normalize(r, dim=1)[0], atol=1e-5)
        e = normalize(locator.location(lonlat), dim=1)
        assert torch.allclose(locator.by_place(photos, lonlat), photos @ e.T, atol=1e-6)


def test_a_model_that_saw_no_photo_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="trained without photos"):
        Locator.load(write_gair_run(tmp_path, photos=False) / "pretrain_img", CPU)
