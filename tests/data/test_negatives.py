import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2
from test_land import PATTERN

from cspops.climate_raster import SEA
from cspops.data import negatives
from cspops.data.negatives import dated_sampler, negative_sampler, place_and_date
from cspops.errors import DataError
from cspops.land import LandRuns, climate_zones, read_land_runs

LAWS = ("sphere", "planar_disk", "ne_quadrant", "land", "data")
N = 40_000
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def stream(seed=0, device="cpu"):
    return torch.Generator(device=device).manual_seed(seed)


def assert_share(found, expected, n=N):
    """Within five binomial deviations: a right sampler fails at one seed in a million, and the seed is fixed."""
    deviation = math.sqrt(expected * (1 - expected) / n)
    assert abs(float(found.double().mean()) - expected) <= 5 * deviation


def assert_counts(counts, expected):
    """Pearson's chi-square. With the fixed seed a right sampler fails at one seed in 10^4."""
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert chi2.sf(statistic, counts.numel() - 1) > 1e-4


def cells(u, v, k):
    """Counts of pairs in [0, 1)^2 on a k x k lattice."""
    return torch.bincount((u * k).long().clamp(0, k - 1) * k + (v * k).long().clamp(0, k - 1), minlength=k * k).double()


@pytest.fixture(scope="module")
def zones():
    return climate_zones().numpy()


@pytest.fixture(scope="module")
def earth():
    return read_land_runs()


@pytest.fixture(scope="module")
def draw(earth):
    """Draw from a law by name."""
    data = torch.tensor([[-120.0, 40.0], [10.0, 50.0], [150.0, -30.0]])
    samplers = {name: negative_sampler(name, land=earth, data=data) for name in LAWS}

    def from_law(name, *shape, seed=0, device="cpu"):
        return samplers[name](*shape, generator=stream(seed, device))

    return from_law


# --- what every law keeps to


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("law", LAWS)
def test_positions_are_degrees_of_the_asked_shape_on_the_generators_device(draw, law, device):
    for shape in [(), (7,), (5, 3), (0, 2), (2, 3, 4)]:
        lonlat = draw(law, *shape, device=device)
        assert lonlat.shape == (*shape, 2) and lonlat.dtype == torch.float64 and lonlat.device.type == device
        lon, lat = lonlat.unbind(-1)
        assert (lon >= -180).all() and (lon < 180).all() and (lat.abs() <= 90).all()


@pytest.mark.parametrize("law", LAWS)
def test_only_the_generator_decides(draw, earth, law):
    torch.manual_seed(0)
    one = draw(law, 50, 2)
    torch.manual_seed(1)
    assert one.equal(draw(law, 50, 2)), "the global stream plays a part"
    assert not one.equal(draw(law, 50, 2, seed=1))
    generator, sampler = stream(), negative_sampler(law, land=earth, data=torch.rand(9, 2))
    assert not sampler(50, generator=generator).equal(sampler(50, generator=generator)), "the stream does not move on"


@pytest.mark.parametrize("law", LAWS)
def test_draws_are_independent_of_their_neighbours(draw, law):
    """The correlation of independent pairs has mean 0 and deviation 1 / sqrt(n): five of them."""
    lonlat = draw(law, N, 2)
    for axis in (0, 1):
        first, second = lonlat[..., axis].unbind(1)
        assert abs(float(torch.corrcoef(torch.stack((first, second)))[0, 1])) < 5 / math.sqrt(N)


# --- sphere


def test_sphere_is_area_uniform(draw):
    """A cap beyond latitude p has the share (1 - sin p) / 2 of the sphere: beyond 60 north and south, 13.4 %."""
    lon, lat = draw("sphere", N).unbind(-1)
    assert_share(lat.abs() > 60, 1 - math.sin(math.radians(60)))
    assert_counts(cells((lon + 180) / 360, (torch.sin(torch.deg2rad(lat)) + 1) / 2, 8), N / 64)


# --- planar disk


def test_planar_disk_is_the_projection_of_the_sphere(draw):
    """With x = lon/180, y = lat/90 and r^2 = x^2 + y^2 <= 1: sqrt(1 - r^2) is u and the angle 2 pi v, both uniform and
    independent, which is the whole law."""
    lon, lat = draw("planar_disk", N).unbind(-1)
    x, y = lon / 180, lat / 90
    square = x**2 + y**2
    assert square.max() <= 1 + 1e-12
    u, v = (1 - square).clamp_min(0).sqrt(), torch.atan2(y, x) / (2 * torch.pi) % 1
    assert_counts(cells(u, v, 8), N / 64)


def test_planar_disk_closes_at_the_date_line(monkeypatch):
    """u = v = 0 gives longitude 180, which is -180."""
    monkeypatch.setattr(negatives, "_uniforms", lambda *shape, generator: torch.zeros(2, *shape, dtype=torch.float64))
    assert negatives.planar_disk(1, generator=stream()).tolist() == [[-180, 0]]


# --- north-east quadrant


def test_ne_quadrant_is_uniform_in_degrees_there(draw):
    lon, lat = draw("ne_quadrant", N).unbind(-1)
    assert (lon >= 0).all() and (lat >= 0).all() and (lon < 180).all() and (lat < 90).all()
    assert_counts(cells(lon / 180, lat / 90, 8), N / 64)
    assert_share(lat > 60, 1 / 3)


# --- land


def test_land_draws_lie_on_land_pixels(draw, zones):
    """(A draw is on the border of its pixel, and may round to the next, once in 10^12.)"""
    lon, lat = draw("land", N).unbind(-1)
    row, column = ((90 - lat) * 36).long().numpy(), ((lon + 180) * 36).long().numpy()
    assert (zones[row, column] != SEA).all()


def test_land_draws_fill_the_land_by_its_area(draw, zones):
    """12 bands of 15 degrees by 12 sectors of 30: each expects its pixels' area, where a pixel between latitudes a < b
    has sin b - sin a (up to a constant). Cells that expect fewer than five are counted as one."""
    lon, lat = draw("land", N).unbind(-1)
    edge = np.sin(np.radians(np.linspace(90, -90, 6481)))
    pixels = (zones != SEA).reshape(6480, 12, 1080).sum(2)
    area = torch.from_numpy((pixels * (edge[:-1] - edge[1:])[:, None]).reshape(12, 540, 12).sum(1)).flatten()
    expected = N * area / area.sum()
    counts = torch.bincount(((90 - lat) / 15).long() * 12 + ((lon + 180) / 30).long(), minlength=144).double()
    rich = expected >= 5
    assert rich.sum() > 70
    assert (counts[expected == 0] == 0).all()
    assert_counts(
        torch.cat((counts[rich], counts[~rich].sum()[None])), torch.cat((expected[rich], expected[~rich].sum()[None]))
    )


def test_every_land_pixel_is_filled_evenly_and_by_its_area():
    """Pixels of 60 x 45 degrees; each is cut in 2 x 2 parts of equal area, halves of the longitude and of the sine of the
    latitude. Rows reach from 90 to 45, 0, -45 and -90 degrees: heights 1 - s, s, s, 1 - s with s = sin 45."""
    lon, lat = negative_sampler("land", land=LandRuns.of(PATTERN))(N, generator=stream()).unbind(-1)
    s = math.sqrt(0.5)
    edge = torch.tensor([1, s, 0, -s, -1], dtype=torch.float64)
    sine = torch.sin(torch.deg2rad(lat))
    row = (sine[:, None] < edge[1:4]).sum(1)
    down = (edge[row] - sine) / (edge[row] - edge[row + 1])
    column = (lon + 180) / 60
    assert torch.from_numpy(PATTERN)[row, column.long()].all()
    part = (row * 6 + column.long()) * 4 + (column % 1 >= 0.5) * 2 + (down >= 0.5)
    area = torch.from_numpy(PATTERN) * torch.tensor([1 - s, s, s, 1 - s])[:, None]
    expected = N * (area / area.sum()).double().flatten().repeat_interleave(4) / 4
    counts = torch.bincount(part, minlength=96).double()
    assert (counts[expected == 0] == 0).all()
    assert_counts(counts[expected > 0], expected[expected > 0])


def test_land_without_a_mask_is_that_of_the_embedded_raster():
    """None in the middle of the Indian Ocean, and the Sahara as often as its area says."""
    lonlat = negative_sampler("land")(20_000, generator=torch.Generator().manual_seed(0))
    in_the_ocean = (lonlat[:, 0] > 62) & (lonlat[:, 0] < 68) & (lonlat[:, 1] > -45) & (lonlat[:, 1] < -22)
    assert not in_the_ocean.any()
    in_the_sahara = (lonlat[:, 0] > 0) & (lonlat[:, 0] < 30) & (lonlat[:, 1] > 18) & (lonlat[:, 1] < 30)
    # Its area is 30 degrees times sin 30 - sin 18, of all land 4 pi times 0.299: 2.66 %; the sd of the share is 0.11 %.
    assert float(in_the_sahara.double().mean()) == pytest.approx(0.0266, abs=0.0045)


# --- data


def test_each_row_of_the_data_is_drawn_equally_often():
    data = torch.stack((torch.arange(100.0), -torch.arange(100.0) / 2), 1)
    data[[3, 50]] = torch.nan
    lonlat = negative_sampler("data", data=data)(N, generator=stream())
    assert lonlat[:, 1].equal(-lonlat[:, 0] / 2), "longitude and latitude of different rows"
    counts = torch.bincount(lonlat[:, 0].long(), minlength=100).double()
    assert counts[3] == counts[50] == 0, "a row without a position was drawn"
    assert_counts(counts[counts > 0], N / 98)
    assert (counts > 0).sum() == 98


def test_data_without_a_position_is_refused():
    with pytest.raises(DataError, match="no unlabelled observation has a position") as caught:
        negative_sampler("data", data=torch.full((5, 2), torch.nan))
    assert "sphere" in (caught.value.hint or "")
    with pytest.raises(ValueError, match="positions"):
        negative_sampler("data")


# --- dates


@pytest.mark.parametrize("law", [law for law in LAWS if law != "data"])
def test_dates_are_uniform_over_the_year_and_the_places_of_the_law(law):
    sampler = dated_sampler(law, data=torch.rand(9, 2), when=torch.rand(9))
    drawn = sampler(N, generator=stream())
    lonlat, when = place_and_date(drawn)
    assert drawn.shape == (N, 3) and drawn.dtype == torch.float64
    assert when.min() >= 0 and when.max() < 1
    assert_counts(torch.bincount((when * 12).long(), minlength=12).double(), N / 12)
    assert torch.equal(lonlat, negative_sampler(law)(N, generator=stream()))
    assert abs(float(torch.corrcoef(torch.stack((lonlat[:, 0], when)))[0, 1])) < 5 / math.sqrt(N)
    assert sampler(2, 3, generator=stream()).shape == (2, 3, 3)


def test_rows_of_the_data_keep_their_own_dates_or_none():
    data = torch.stack((torch.arange(100.0), -torch.arange(100.0) / 2), 1)
    data[3] = torch.nan
    when = torch.arange(100) / 100
    when[7] = torch.nan
    lonlat, dates = place_and_date(dated_sampler("data", data=data, when=when)(N, generator=stream()))
    undated = lonlat[:, 0] == 7
    assert torch.equal(dates.isnan(), undated) and undated.any()
    torch.testing.assert_close(dates[~undated], lonlat[~undated, 0] / 100)
    assert not (lonlat[:, 0] == 3).any()
    assert place_and_date(lonlat)[1] is None
