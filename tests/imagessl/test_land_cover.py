"""Shares of classes around positions: against a loop, on the embedded raster, and what is left out."""

import math

import pytest
import torch

from cspops.errors import DataError
from cspops.geo import tile_grid
from cspops.imagessl import land_cover
from cspops.imagessl.land_cover import NOTHING, climate_zones, land_cover_around


def by_degree(lonlat: torch.Tensor) -> torch.Tensor:
    """Codes 0, 10, 20 by the tens of degrees of longitude; nothing south of the equator."""
    code = (lonlat[..., 0].floor().long() % 30) // 10 * 10
    return torch.where(lonlat[..., 1] < 0, NOTHING, code)


def around(lonlat, codes_at=by_degree, km: float = 500.0):
    return land_cover_around(torch.as_tensor(lonlat, dtype=torch.float64), codes_at, side_km=km, name="the map", note="a note")


PLACES = [[9.5, 40.0], [15.0, 50.0], [math.nan, math.nan], [29.9, 0.5], [100.0, -60.0], [-0.5, 70.0]]


@pytest.mark.parametrize("block", [1, 2, 1024])
def test_shares_are_those_of_a_loop(block, monkeypatch):
    """Half of the square around 0.5 degrees north lies on what has no code: it does not count."""
    monkeypatch.setattr(land_cover, "BLOCK", block)
    made = around(PLACES)
    assert made.rows.tolist() == [0, 1, 3, 5]
    assert made.left_out == 2
    assert made.codes == (0, 10, 20)
    assert made.note == "a note"
    for row, share in zip(made.rows.tolist(), made.share.tolist(), strict=True):
        points = tile_grid(torch.tensor([PLACES[row]], dtype=torch.float64), km=500.0, px=land_cover.LATTICE)[0].reshape(-1, 2)
        codes = [code for code in (int(by_degree(point)) for point in points) if code != NOTHING]
        assert share == pytest.approx([codes.count(code) / len(codes) for code in (0, 10, 20)], abs=1e-6)


def test_classes_are_those_around_training_places_only():
    assert around([[9.5, 40.0], [5.0, 40.0]], km=100.0).codes == (0, 10)


@pytest.mark.parametrize(
    ("places", "codes_at", "says"),
    [
        ([[0.0, -50.0], [math.nan, math.nan]], by_degree, "the map has no class around any of 2 training positions"),
        ([[5.0, 40.0]], by_degree, "the map has only one class around the training positions"),
        (
            [[5.0, 40.0]],
            lambda at: torch.arange(at[..., 0].numel()).view(at.shape[:-1]),
            "the map is not a categorical raster: it has more than 256 classes",
        ),
    ],
)
def test_what_teaches_nothing_is_refused(places, codes_at, says):
    with pytest.raises(DataError, match=says):
        around(places, codes_at, km=100.0)


def test_the_embedded_raster_knows_deserts_coasts_and_the_sea():
    """The middle of the Sahara is hot desert (BWh, 7), the Pacific is sea (32), the shore of the Amazon's mouth both."""
    zones = climate_zones()
    assert zones(torch.tensor([[10.0, 24.0], [-140.0, 10.0]])).tolist() == [7, 32]
    made = around([[10.0, 24.0], [-140.0, 10.0], [-48.0, 0.0]], zones, km=240.0)
    sea = made.share[:, made.codes.index(32)]
    assert sea[0] == 0
    assert sea[1] == 1
    assert 0.1 < float(sea[2]) < 0.9
    torch.testing.assert_close(made.share.sum(1), torch.ones(3))


def test_the_pole_and_the_date_line_are_no_border():
    made = around(
        [[179.9, 70.0], [0.0, 90.0], [-180.0, -90.0]], lambda at: at[..., 0].isfinite().long() + (at[..., 1] > 75), km=300.0
    )
    assert made.rows.tolist() == [0, 1, 2]
    made = around([[179.99, 66.5], [-180.0, 66.5]], climate_zones(), km=300.0)
    torch.testing.assert_close(made.share[0], made.share[1], rtol=0, atol=0.05)
