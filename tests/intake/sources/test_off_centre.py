"""Overhead tiles of the embedded source: where they lie, and that they hold their places."""

import pytest
import torch

from cspops.geo import haversine, tile_grid
from cspops.intake.sources.off_centre import RIM, off_centre
from cspops.params.sections import OverheadTile
from cspops.shapes import Float, Tensor

LATITUDES = (-85.0, -60.0, 0.0, 45.0, 84.0, 85.0)


def places(n: int = 400) -> Float[Tensor, "n 2"]:
    """Places on several parallels, all round the Earth and so on both sides of the date line."""
    lon = torch.linspace(-180, 179.9, n, dtype=torch.float64).repeat(len(LATITUDES))
    return torch.stack((lon, torch.tensor(LATITUDES, dtype=torch.float64).repeat_interleave(n)), 1)


def tile(side_km: float = 240.0, max_offset_km: float = 70.0) -> OverheadTile:
    return OverheadTile(side_km=side_km, px=32, max_offset_km=max_offset_km)


@pytest.mark.parametrize("settings", [tile(), tile(1.0, 0.45), tile(888.0, 399.0), tile(2000.0, 400.0), tile(500.0, 0.0)])
def test_every_tile_holds_its_place_and_ends_at_the_outer_edges_of_its_pixels(settings: OverheadTile) -> None:
    lonlat = places()
    centre, edges = off_centre(lonlat, settings, seed=3)
    west, south, east, north = edges.unbind(1)
    assert bool(((west >= -180) & (west < 180) & (south >= -90) & (north <= 90) & (east - west <= 180)).all())
    lon, lat = lonlat.unbind(1)
    lon = torch.where(lon < west, lon + 360, lon)  # over the date line
    right, up = (lon - west) / (east - west), (lat - south) / (north - south)
    for share in (right, up):
        assert float(share.min()) >= RIM - 1e-9 and float(share.max()) <= 1 - RIM + 1e-9
    assert float(haversine(lonlat, centre).max()) <= settings.max_offset_km + 1e-6 or settings.side_km == 2000
    # half a pixel beyond the outer pixel centres
    grid = tile_grid(centre, km=settings.side_km, px=settings.px)
    step_lon, step_lat = (east - west) / settings.px, (north - south) / settings.px
    first, last = grid[:, 0, 0], grid[:, -1, -1]
    turn = ((first[:, 0] - west) / 360).round() * 360
    corners = (first[:, 0] - step_lon / 2, last[:, 1] - step_lat / 2, last[:, 0] + step_lon / 2, first[:, 1] + step_lat / 2)
    assert torch.allclose(torch.stack(corners, 1) - torch.stack((turn, 0 * turn, turn, 0 * turn), 1), edges, rtol=0, atol=1e-9)


def test_middles_are_uniform_in_the_disc_around_the_place() -> None:
    lonlat = torch.tensor([[10.0, 20.0]], dtype=torch.float64).expand(20000, 2).contiguous()
    centre, _ = off_centre(lonlat, tile(), seed=0)
    km = haversine(lonlat, centre)
    assert float(km.max()) <= 70
    # the share within r of a disc of radius R is (r / R)^2; sd of a share at n = 20000: 0.0035
    for share in (0.25, 0.5, 0.75):
        assert float((km < 70 * share**0.5).double().mean()) == pytest.approx(share, abs=0.015)
    assert (centre.mean(0) - lonlat[0]).tolist() == pytest.approx([0, 0], abs=0.02)  # of 0.3 degrees, 1 / sqrt(n)


def test_the_draw_depends_on_the_seed_alone() -> None:
    lonlat = places(50)
    first, again, other = (off_centre(lonlat, tile(), seed=seed)[1] for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
