import contextlib
import hashlib
import math
import signal
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from cspops.errors import DataError, ParamsError
from cspops.geo import (
    EARTH_RADIUS_KM,
    KM_PER_DEGREE,
    blocks,
    destination,
    haversine,
    near_blocks,
    tile_grid,
    uniform_on_sphere,
    wrap_longitude,
)
from cspops.intake.sources import blue_marble
from cspops.intake.sources.blue_marble import (
    OBSERVER_SPREAD_KM,
    SEA,
    Rasters,
    draw,
    glimpses,
    open_blue_marble,
    propose,
    read_rasters,
    rows,
    tiles,
    zone_diversity,
)
from cspops.params import default_params, with_values
from cspops.params.sections import BlueMarble, Glimpse
from cspops.pixels.reading import Reading
from cspops.pixels.tensors import decode
from cspops.seeds import torch_stream

SAMPLE = Path(blue_marble.__file__).parents[2] / "sample"
prop = settings(deadline=None, derandomize=True, max_examples=60)
SIZES = {"train": 400, "val": 100, "test": 100, "spatial_val": 60, "spatial_test": 60}
BELT = {"lat_min": -60.0, "lat_max": 60.0}


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def zones_only(zones, names=("A", "B", "C")):
    """Rasters whose image does not matter."""
    return Rasters(torch.zeros(2, 4, 3, dtype=torch.uint8), zones.to(torch.uint8), dict(enumerate(names, start=1)))


def drawn(rasters, **change):
    settings_ = {
        "density": "uniform",
        "sizes": SIZES,
        "border_km": 200.0,
        **BELT,
        "block_degrees": 20.0,
        "block_share": 0.1,
        "buffer_km": 0.0,
        "min_zone_points": 0,
    } | change
    sizes, seed = settings_.pop("sizes"), settings_.pop("seed", 0)
    return draw(rasters, BlueMarble.model_construct(**settings_, **sizes), seed=seed)


@pytest.fixture(scope="module")
def real():
    return read_rasters(SAMPLE)


@pytest.fixture(scope="module")
def stripes():
    """Land everywhere; of every ten columns of half a degree six are zone 1, three zone 2, one zone 3."""
    column = torch.arange(720) % 10
    return zones_only((1 + (column >= 6).int() + (column >= 9).int()).expand(360, 720))


# --- the raw files


def test_the_rasters_are_those_of_the_folder(real):
    assert real.image.shape == (2700, 5400, 3) and real.zones.shape == (6480, 12960)
    assert len(real.zone_names) == 31 and SEA not in real.zone_names
    assert set(real.zones[::7, ::7].unique().tolist()) <= {*real.zone_names, SEA}


@pytest.mark.parametrize(
    ("place", "lon", "lat", "zone", "colour"),
    [
        ("Sahara", 25.0, 23.0, "BWh", "sand"),
        ("Greenland", -40.0, 75.0, "EF", "white"),
        ("Antarctica", 20.0, -80.0, "EF", "white"),
        ("Amazon", -68.0, -3.0, "Af", "green"),
        ("Congo", 20.0, 0.5, "Af", "green"),
        ("Great Victoria Desert", 128.0, -28.0, "BWh", "sand"),
        ("Pacific", -150.0, 0.0, None, "blue"),
        ("Indian Ocean", 80.0, -30.0, None, "blue"),
    ],
)
def test_both_rasters_are_north_up_from_180_west(real, place, lon, lat, zone, colour):
    lonlat = tensor((lon, lat))
    assert real.zone_names.get(int(real.zone_at(lonlat))) == zone
    red, green, blue = tiles(real.image, lonlat, km=50.0, px=8).float().mean((0, 1, 2)).tolist()
    seen = {
        "sand": red > 90 and red > green > blue,
        "white": min(red, green, blue) > 180,
        "green": green > max(red, blue) and green < 120,
        "blue": blue > 1.5 * max(red, green),
    }
    assert seen[colour], f"{place} has the colour {red, green, blue}"


RAW = ("manifest.json", "blue_marble.jpg", "climate_zones.png", "climate_zones.csv")


def linked(folder, leave_out):
    for name in RAW:
        if name != leave_out:
            (folder / name).symlink_to(SAMPLE / name)


@pytest.mark.parametrize("name", RAW)
def test_a_missing_raw_file_is_named(tmp_path, name):
    linked(tmp_path, leave_out=name)
    with pytest.raises(DataError, match="is missing") as caught:
        read_rasters(tmp_path)
    assert str(tmp_path / name) in caught.value.message
    assert caught.value.hint is not None and caught.value.hint.startswith("dvc repro data.dvc")


@pytest.mark.parametrize("name", RAW[1:])
def test_a_raw_file_of_which_one_bit_changed_is_named(tmp_path, name):
    linked(tmp_path, leave_out=name)
    data = bytearray((SAMPLE / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name} differs from the sha256"):
        read_rasters(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"blue_marble.jpg": 3}', "{"])
def test_a_broken_manifest_is_named(tmp_path, text):
    linked(tmp_path, leave_out="manifest.json")
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json is broken"):
        read_rasters(tmp_path)


# --- zone_at


PIXEL = 4.0  # degrees, in the two small rasters below: 90 columns, 45 rows
COLUMNS = zones_only(torch.arange(90).expand(45, 90))
ROWS = zones_only(torch.arange(45)[:, None].expand(45, 90))


def pixel_of(lon, lat):
    at = tensor(lon, lat)
    return int(ROWS.zone_at(at)), int(COLUMNS.zone_at(at))


@pytest.mark.parametrize(
    ("lon", "lat", "pixel"),
    [
        (-180.0, 90.0, (0, 0)),
        (180.0, 90.0, (0, 0)),  # 180 E is 180 W
        (179.999, -90.0, (44, 89)),  # the south pole is in the last row
        (-180.0, -90.0, (44, 0)),
        (540.0, 0.0, (22, 0)),
        (-181.0, 0.0, (22, 89)),  # wraps to 179 E
        (181.0, 0.0, (22, 0)),
    ],
)
def test_zones_at_the_borders_of_the_world(lon, lat, pixel):
    assert pixel_of(lon, lat) == pixel


def in_64ths(low, high):
    """Whole degrees in 64ths, borders of pixels and their neighbours among them."""
    return st.integers(low * 64, high * 64 - 1) | st.builds(
        lambda border, step: border * 256 + step, st.integers(-(-low // 4), (high - 4) // 4), st.integers(0, 1)
    )


@prop
@given(in_64ths(-180, 180), in_64ths(-90, 90).map(lambda south: -south))
def test_zone_agrees_with_walking_the_pixels(lon, lat):
    """Western and northern borders belong to their pixels."""
    lon, lat = lon / 64, lat / 64  # exact in binary, and so are the borders
    column = max(c for c in range(90) if -180 + PIXEL * c <= lon)
    row = max(r for r in range(45) if lat <= 90 - PIXEL * r)
    assert pixel_of(lon, lat) == (row, column)


def test_zones_keep_the_shape_of_the_positions():
    assert COLUMNS.zone_at(torch.zeros(2, 3, 5, 2)).shape == (2, 3, 5)


# --- tiles


def wave(lon):
    """A wave that bilinear sampling of one-degree pixels renders without error.

    At pixel centres (half degrees) |lon| - 1/2 is a whole number, and between two of them it is linear, but at its
    crests 0 and 180 where both neighbours are equal: there sampling is flat.
    """
    return np.clip(np.abs((lon + 180) % 360 - 180) - 0.5, 0, 179)


def height(lat):
    """Whole at pixel centres and linear in between; beyond the last row's centre it is that row."""
    return np.clip(89.5 - lat, 0, 179)


def globe(lon, lat):
    return np.stack((height(lat), wave(lon), wave(lon - 90)), -1)


WORLD = torch.from_numpy(globe(*np.meshgrid(np.arange(-179.5, 180), np.arange(89.5, -90, -1))).astype(np.uint8))


def closed_form(lonlat, km, px):
    """The tiles pixel by pixel, without any array of positions."""
    degree = 2 * math.pi * EARTH_RADIUS_KM / 360
    out = np.empty((len(lonlat), px, px, 3))
    for i, (lon, lat) in enumerate(lonlat):
        for row in range(px):
            for column in range(px):
                north = (px - 1 - 2 * row) / (2 * px) * km
                east = (2 * column + 1 - px) / (2 * px) * km
                out[i, row, column] = globe(lon + east / (degree * math.cos(math.radians(lat))), lat + north / degree)
    return out


PLACES = {
    "the origin": (0.0, 0.0),
    "a place in the east": (40.3, 17.7),
    "a place in the south-west": (-121.9, -48.2),
    "just west of the date line": (179.9, 5.0),
    "just east of the date line": (-179.9, -5.0),
    "on the date line": (-180.0, 30.0),
    "date line at 80 N": (179.9, 80.0),
    "date line at 80 S": (-179.9, -80.0),
    "85 N": (12.0, 85.0),
}


@pytest.mark.parametrize("km", [100.0, 700.0, 2000.0])
def test_tiles_are_bilinear_samples_that_wrap(km):
    """Rounding to whole numbers moves a value by a half at most; float32 positions by some thousandths."""
    sampled = tiles(WORLD, tensor(*PLACES.values()), km=km, px=9).numpy().astype(float)
    for name, one, expected in zip(PLACES, sampled, closed_form(PLACES.values(), km, 9), strict=True):
        assert np.abs(one - expected).max() < 0.51, name


def test_tiles_of_one_call_do_not_depend_on_one_another():
    """A place at 80 N widens the margin for all; and 4100 tiles are more than one portion."""
    lonlat = uniform_on_sphere(4100, generator=torch_stream(0, "tiles"), lat_min=-80.0, lat_max=80.0)
    sampled = tiles(WORLD, lonlat, km=500.0, px=2).numpy().astype(float)
    assert sampled.shape == (4100, 2, 2, 3)
    assert np.abs(sampled - closed_form(lonlat.tolist(), 500.0, 2)).max() < 0.52


def test_an_even_image_gives_even_tiles():
    image = torch.full((4, 8, 3), 255, dtype=torch.uint8)
    assert (tiles(image, tensor((179.9, 80.0), (0.0, -85.0)), km=1000.0, px=8) == 255).all()


# --- glimpses

GREYS = 70.0  # a degree, in the rasters below


def chart(lon0, lat0):
    """A raster that tells north and east of a place: 128 at the place, ``GREYS`` more for each degree of a great circle."""
    lon, lat = np.meshgrid(np.arange(-179.75, 180, 0.5), np.arange(89.75, -90, -0.5))
    east = ((lon - lon0 + 180) % 360 - 180) * math.cos(math.radians(lat0))
    north = lat - lat0
    return torch.from_numpy(np.stack((north, east, 0 * east), -1) * GREYS + 128).clamp(0, 255)


def located(lon0, lat0, n, settings, seed=0):
    """The centres of ``n`` glimpses of one place, read off the mean of their pixels."""
    image = chart(lon0, lat0).round().to(torch.uint8)
    seen = glimpses(image, tensor((lon0, lat0)).expand(n, 2), settings, seed=seed).double().mean((1, 2))
    north, east = ((seen[:, :2] - 128) / GREYS).unbind(1)
    return torch.stack((wrap_longitude(lon0 + east / math.cos(math.radians(lat0))), lat0 + north), 1)


def bearing(a, b):
    (lon_a, lat_a), (lon_b, lat_b) = torch.deg2rad(a).unbind(-1), torch.deg2rad(b).unbind(-1)
    north = lat_a.cos() * lat_b.sin() - lat_a.sin() * lat_b.cos() * (lon_b - lon_a).cos()
    return torch.atan2((lon_b - lon_a).sin() * lat_b.cos(), north)


@pytest.mark.parametrize(
    ("lon", "lat"), [(0.0, 0.0), (-180.0, 60.0), (179.9, -60.0), (20.0, 84.0)], ids=["equator", "180 W", "179.9 E", "84 N"]
)
def test_a_glimpse_lies_uniformly_within_its_greatest_offset(lon, lat):
    """The square of the offset, as a share of the greatest, is uniform, and so is the bearing.

    Greys are rounded, twice: a hundredth of a degree each, less in the mean of 64 pixels. The largest gap of 3000 draws to
    their distribution is below 1.95 / sqrt(3000) = 0.036 but once in a thousand.
    """
    settings_ = Glimpse(side_km=120.0, px=8, max_offset_km=100.0, exposure=0.0)
    place, seen = tensor((lon, lat)), located(lon, lat, 3000, settings_)
    offset = haversine(place, seen)
    assert 98 < offset.max() < 101
    assert float(offset.mean()) == pytest.approx(200 / 3, abs=2)
    assert kstest((offset / 100).square().clamp(max=1).numpy(), "uniform").statistic < 0.036
    assert kstest((bearing(place, seen) / (2 * math.pi) + 0.5).numpy(), "uniform").statistic < 0.036


def test_the_light_of_a_glimpse_is_of_the_image_and_of_each_channel():
    """Gains g and h_c uniform in [0.8, 1.2]: Var(g h) = (1 + v)^2 - 1 with v = 0.4^2 / 12, covariance of two channels v."""
    lonlat = uniform_on_sphere(4000, generator=torch_stream(0, "places"), **BELT)
    even = torch.full((4, 8, 3), 100, dtype=torch.uint8)
    seen = glimpses(even, lonlat, Glimpse(side_km=120.0, px=8, max_offset_km=100.0, exposure=0.2), seed=0)
    assert (seen == seen[:, :1, :1]).all(), "the light differs within an image"
    gain = seen[:, 0, 0].double() / 100
    assert gain.min() >= 0.64 and gain.max() <= 1.44
    v = 0.4**2 / 12
    expected = torch.full((3, 3), v, dtype=torch.float64).fill_diagonal_((1 + v) ** 2 - 1)
    torch.testing.assert_close(torch.cov(gain.T), expected, rtol=0.12, atol=0)
    bright = glimpses(even + 150, lonlat, Glimpse(side_km=120.0, px=8, max_offset_km=0.0, exposure=0.2), seed=0)
    # A wrapped 300 would be 44.
    assert bright.min() >= 250 * 0.64 - 1 and (bright == 255).float().mean() > 0.3


def test_a_glimpse_without_offset_and_jitter_is_the_tile():
    lonlat = tensor(*PLACES.values())
    still = Glimpse(side_km=300.0, px=9, max_offset_km=0.0, exposure=0.0)
    assert glimpses(WORLD, lonlat, still, seed=0).equal(tiles(WORLD, lonlat, km=300.0, px=9))


def test_a_glimpse_does_not_depend_on_how_many_are_made_at_once(monkeypatch):
    """The first place is the northernmost, whose glimpse, a tile of 80 N or more, widens the margin for all."""
    lonlat = torch.cat((tensor((10.0, 84.0)), uniform_on_sphere(300, generator=torch_stream(0, "glimpses"), **BELT)))
    settings_ = Glimpse(side_km=120.0, px=8, max_offset_km=100.0, exposure=0.1)
    whole = glimpses(WORLD, lonlat, settings_, seed=0)
    assert glimpses(WORLD, lonlat[:40], settings_, seed=0).equal(whole[:40])
    monkeypatch.setattr(blue_marble, "BATCH", 7)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads % 2 + 1)
    assert glimpses(WORLD, lonlat, settings_, seed=0).equal(whole)
    torch.set_num_threads(threads)
    assert not glimpses(WORLD, lonlat, settings_, seed=1).equal(whole)


# --- zone_diversity


def naive_diversity(rasters, lon, lat, km):
    """One minus the chance that two draws (with replacement) of the lattice's land points agree."""
    lattice = tile_grid(tensor((lon, lat)), km=km, px=8)[0].reshape(-1, 2)
    land = [zone for zone in (int(rasters.zone_at(at)) for at in lattice) if zone != SEA]
    differ = sum(a != b for a in land for b in land)
    return differ / len(land) ** 2 if land else 0.0


def test_zone_diversity_agrees_with_counting_pairs():
    zones = torch.randint(1, 4, (45, 90), generator=torch_stream(0, "zones"))
    zones[torch.rand(45, 90, generator=torch_stream(0, "sea")) < 0.5] = SEA
    rasters = zones_only(zones)
    lonlat = torch.cat((uniform_on_sphere(12, generator=torch_stream(0, "x"), **BELT), tensor((179.9, 10.0))))
    got = zone_diversity(rasters, lonlat, km=900.0)
    expected = [naive_diversity(rasters, lon, lat, 900.0) for lon, lat in lonlat.tolist()]
    torch.testing.assert_close(got.double(), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)
    assert got.max() < 1 and got.std() > 0.05


@pytest.mark.parametrize(
    ("halves", "diversity"),
    [((1, 1), 0.0), ((1, 2), 0.5), ((1, SEA), 0.0), ((SEA, SEA), 0.0)],
    ids=["one zone", "half and half", "coast of one zone", "sea alone"],
)
def test_zone_diversity_of_two_halves(halves, diversity):
    """The western and eastern halves of the tile around 0 E. Sea does not count; where there is only sea, nothing differs."""
    west, east = halves
    rasters = zones_only(torch.where(torch.arange(90) < 45, west, east).expand(45, 90))
    assert float(zone_diversity(rasters, tensor((0.0, 0.0)), km=500.0)) == pytest.approx(diversity, abs=1e-6)


# --- propose


@pytest.mark.parametrize("city", [(0.0, 0.0), (179.9, 0.0), (10.0, 55.0)], ids=["equator", "date line", "55 N"])
def test_observers_spread_around_their_city(monkeypatch, city):
    """One city, spread s: nine in ten are within d with probability 1 - exp(-d^2 / 2 s^2) (a plane is near enough);
    the tenth goes anywhere, within d with probability (1 - cos(d / R)) / 2, the share of that cap of the sphere.

    The largest gap of 5000 draws to their distribution is below 1.95 / sqrt(5000) = 0.028 but once in a thousand;
    the seed is fixed, and the curvature of the Earth accounts for less than 0.01.
    """
    monkeypatch.setattr(blue_marble, "OBSERVER_CENTRES", {"city": (*city, 1.0)})
    lonlat = propose(5000, density="observers", lat_min=-90.0, lat_max=90.0, generator=torch_stream(0, "observers"))
    assert (lonlat[:, 0] >= -180).all() and (lonlat[:, 0] < 180).all()
    distance = haversine(lonlat, tensor(*city).expand_as(lonlat)).numpy()

    def distribution(d):
        near = 1 - np.exp(-((d / OBSERVER_SPREAD_KM) ** 2) / 2)
        return 0.9 * near + 0.1 * (1 - np.cos(d / EARTH_RADIUS_KM)) / 2

    assert kstest(distance, distribution).statistic < 0.038


def test_observers_choose_their_city_by_weight(monkeypatch):
    """Weights 1 and 3, far apart: a quarter goes to the first. 4000 draws, deviation sqrt(4000 3/16) = 27, five of it 137;
    of the tenth that goes anywhere nearly none comes near either city."""
    monkeypatch.setattr(blue_marble, "OBSERVER_CENTRES", {"small": (0.0, 0.0, 1), "large": (90.0, 0.0, 3)})
    lonlat = propose(4000, density="observers", lat_min=-90.0, lat_max=90.0, generator=torch_stream(0, "observers"))
    small, large = (int((haversine(lonlat, tensor(lon, 0.0).expand_as(lonlat)) < 1600).sum()) for lon in (0.0, 90.0))
    assert abs(small - 900) < 137 and abs(large - 2700) < 137


def test_the_cities_are_on_the_map():
    for name, (lon, lat, weight) in blue_marble.OBSERVER_CENTRES.items():
        assert -180 <= lon < 180 and -60 < lat < 84 and weight > 0, name


# --- draw


def roles_array(roles):
    return np.array(roles)


def assert_roles_keep_to_their_blocks(lonlat, roles, degrees):
    cells = {role: set(blocks(lonlat[torch.from_numpy(roles_array(roles) == role)], degrees).tolist()) for role in SIZES}
    main = cells["train"] | cells["val"] | cells["test"]
    assert not main & cells["spatial_val"]
    assert not main & cells["spatial_test"]
    assert not cells["spatial_val"] & cells["spatial_test"]


@pytest.mark.parametrize(("density", "degrees"), [("uniform", 10.0), ("observers", 37.0), ("borders", 37.0)])
def test_what_is_drawn_from_the_real_rasters(real, density, degrees):
    belt = {"lat_min": -40.0, "lat_max": 70.0}
    lonlat, roles, left_out = drawn(real, density=density, block_degrees=degrees, min_zone_points=5, seed=3, **belt)
    assert Counter(roles) == SIZES and len(lonlat) == sum(SIZES.values())
    assert lonlat[:, 1].min() >= -40 and lonlat[:, 1].max() <= 70
    zones = real.zone_at(lonlat).tolist()
    assert SEA not in zones
    assert not {real.zone_names[zone] for zone in zones} & set(left_out)
    assert all(count < 5 for count in left_out.values())
    assert len(lonlat.unique(dim=0)) == len(lonlat), "a position was drawn twice"
    assert_roles_keep_to_their_blocks(lonlat, roles, degrees)


def test_uniform_positions_are_area_uniform_on_land(real):
    """Between 60 S and 60 N, in 4 x 12 cells of 30 degrees, weighed by the land pixels' areas.

    A pixel between latitudes a and b covers sin b - sin a, up to a constant. With a tiny block share one block is held
    out for each spatial role, and its points tell which: its land does not count. The threshold fails a right sampler at
    one seed in 10^4; one that is uniform in degrees is off by a factor of two at 60 N.
    """
    n = 12_000
    sizes = {"train": n, "val": 1, "test": 1, "spatial_val": 1, "spatial_test": 1}
    lonlat, _, left_out = drawn(real, sizes=sizes, block_degrees=10.0, block_share=1e-6)
    assert left_out == {}
    land = (real.zones != SEA)[1080:5400].clone()  # 36 rows a degree
    for lon, lat in lonlat[-2:].tolist():
        top, left = int((60 - math.ceil(lat / 10) * 10) * 36), int((math.floor(lon / 10) * 10 + 180) * 36)
        assert land[top : top + 360, left : left + 360].any()
        land[top : top + 360, left : left + 360] = False
    edge = torch.sin(torch.deg2rad(torch.linspace(60, -60, 4321, dtype=torch.float64)))
    area = (land.view(4320, 12, 1080).sum(2) * (edge[:-1] - edge[1:])[:, None]).view(4, 1080, 12).sum(1)
    expected = n * area / area.sum()
    train = lonlat[:n]
    cell = ((60 - train[:, 1]) / 30).long() * 12 + ((train[:, 0] + 180) / 30).long()
    counts = torch.bincount(cell, minlength=48).view(4, 12)
    assert (counts[expected == 0] == 0).all()
    # Pearson's statistic wants five expected points a cell: the poorer cells are one.
    rich = expected >= 5
    observed = torch.cat((counts[rich], counts[~rich].sum()[None])).double()
    wanted = torch.cat((expected[rich], expected[~rich].sum()[None]))
    keep = wanted > 0
    statistic = float(((observed - wanted)[keep] ** 2 / wanted[keep]).sum())
    assert chi2.sf(statistic, int(keep.sum()) - 1) > 1e-4


def test_borders_draws_by_the_root_of_the_diversity():
    """Zone 1 in the west, zone 2 in the east, meeting at 0 E and 180 E; u is the distance to the nearer, in tile widths.
    (Far from there is sea, to save time.)

    Of the 8 lattice columns of a tile those at offsets -7/16, -5/16 .. 7/16 of its width; 4 + k of them lie on the
    place's own side for u between (2k - 1)/16 and (2k + 1)/16 (k = 0 from 0). The diversity is 2 p (1 - p) with
    p = (4 + k)/8, so that the density is as sqrt((4 + k)(4 - k)), and the four bins' probabilities are as
    1/2 x 4, sqrt 15, sqrt 12, sqrt 7; none beyond 7/16. Every block (60 degrees) sees the same picture or its mirror.
    """
    column = torch.arange(720)
    near = torch.minimum(column % 360, 359 - column % 360) < 30  # 15 degrees; a drawn tile ends 2 x 7/16 of 13.5 away
    rasters = zones_only(torch.where(near, torch.where(column < 360, 1, 2), SEA).expand(360, 720))
    km, sizes = 1500.0, {"train": 3000, "val": 500, "test": 500, "spatial_val": 1, "spatial_test": 1}
    lonlat, _, _ = drawn(
        rasters, density="borders", border_km=km, sizes=sizes, lat_min=-1.0, lat_max=1.0, block_degrees=60.0, block_share=0.01
    )
    lon, lat = lonlat[:4000].unbind(1)
    width = km / KM_PER_DEGREE / torch.deg2rad(lat).cos()
    u = torch.minimum(lon.abs(), 180 - lon.abs()) / width
    assert u.max() <= 7 / 16 + 1e-9
    counts = torch.bincount(torch.floor(u * 8 + 0.5).long().clamp(max=3), minlength=4).double()
    weight = torch.tensor([2, math.sqrt(15), math.sqrt(12), math.sqrt(7)], dtype=torch.float64)
    expected = 4000 * weight / weight.sum()
    assert chi2.sf(float(((counts - expected) ** 2 / expected).sum()), 3) > 1e-4


def test_each_spatial_role_gets_its_share_of_the_blocks(stripes):
    """All is land: from 50 S to 50 N there are 5 x 18 cells of 20 degrees, and a fifth of 90 is 18 for each role."""
    sizes = SIZES | {"train": 3000, "spatial_val": 800, "spatial_test": 800}
    lonlat, roles, _ = drawn(stripes, sizes=sizes, block_share=0.2, lat_min=-50.0, lat_max=50.0)
    held = {
        role: blocks(lonlat[torch.from_numpy(roles_array(roles) == role)], 20.0).unique()
        for role in ("spatial_val", "spatial_test")
    }
    assert {role: len(cells) for role, cells in held.items()} == {"spatial_val": 18, "spatial_test": 18}
    free = blocks(lonlat[:3000], 20.0).unique()
    assert len(free) == 90 - 36


@pytest.mark.parametrize("density", ["uniform", "observers"])
def test_train_val_and_test_keep_their_distance_from_the_spatial_blocks(real, density):
    """A held-out point is no nearer than its block. The buffer is no wider than asked: the belt from one to one and a half
    of it, 120 km around some 80 blocks of 1000 km with their buffers, is 80 x 4 x 1000 x 120 km^2, a quarter of the
    130 million km^2 of land, less where belts overlap or lie in the sea; a twentieth is far below, none is a wider buffer.
    """
    km = 240.0
    sizes = SIZES | {"train": 2400, "val": 300, "test": 300, "spatial_val": 300, "spatial_test": 300}
    lonlat, roles, _ = drawn(
        real, density=density, sizes=sizes, block_degrees=5.0, block_share=0.05, buffer_km=km, border_km=km
    )
    main, spatial = lonlat[:3000], lonlat[3000:]
    held = blocks(spatial, 5.0).unique()
    assert haversine(main[:, None], spatial).min() >= km
    assert not near_blocks(main, held, 5.0, km=km).any()
    for role in ("train", "val", "test"):
        rows = lonlat[torch.from_numpy(roles_array(roles) == role)]
        assert near_blocks(rows, held, 5.0, km=1.5 * km).float().mean() > 0.05
    bearings = 2 * math.pi * torch.rand(3000, generator=torch_stream(0, "bearings"), dtype=torch.float64)
    farthest = destination(main, km=torch.full((3000,), 100.0, dtype=torch.float64), bearing=bearings)
    for reached in (tile_grid(main, km=km, px=16), tile_grid(farthest, km=120.0, px=16)):
        assert not torch.isin(blocks(reached, 5.0), held).any(), "a view of the default reaches into a spatial block"


def test_a_buffer_that_leaves_no_land_is_a_data_error(stripes, monkeypatch):
    monkeypatch.setattr(blue_marble, "propose", lambda n, **how: propose(n // 16, **how))  # to save time
    with at_most(20), pytest.raises(DataError, match="'random' and none is usable") as caught:
        drawn(stripes, block_share=0.2, buffer_km=5000.0)
    assert "buffer_km" in (caught.value.hint or "")


def test_which_blocks_are_held_out_changes_with_the_seed(stripes):
    held = {frozenset(blocks(drawn(stripes, seed=seed)[0][-60:], 20.0).tolist()) for seed in range(4)}
    assert len(held) == 4


def test_no_stream_is_used_twice(stripes, monkeypatch):
    """Were the trial's stream the training set's too, zones would be chosen by the very points they are to be judged on."""
    used = []
    monkeypatch.setattr(blue_marble, "torch_stream", lambda *purpose: used.append(purpose) or torch_stream(*purpose))
    lonlat, _, _ = drawn(stripes, seed=7)
    glimpses(stripes.image, lonlat, Glimpse(side_km=120.0, px=8, max_offset_km=100.0, exposure=0.1), seed=7)
    assert len(used) == len(set(used)) == 6
    assert {seed for seed, *_ in used} == {7}


def test_zones_with_too_few_points_are_left_out(stripes):
    """Zones of 60, 30 and 10 % of the land, 400 trial points. The trial does not depend on the threshold, so its counts,
    learnt at one threshold, say what must happen at others: fewer than it is out, exactly it is in."""
    _, _, left_out = drawn(stripes, min_zone_points=180)
    assert set(left_out) == {"B", "C"}
    b, c = left_out["B"], left_out["C"]
    # Binomial counts, five deviations: sqrt(400 0.3 0.7) = 9.2 and sqrt(400 0.1 0.9) = 6.
    assert abs(b - 120) < 46 and abs(c - 40) < 30
    for threshold, expected in [(0, {}), (c, {}), (c + 1, {"C": c}), (b, {"C": c}), (b + 1, {"B": b, "C": c})]:
        lonlat, _, left_out = drawn(stripes, min_zone_points=threshold)
        assert left_out == expected
        names = {stripes.zone_names[zone] for zone in stripes.zone_at(lonlat).tolist()}
        assert names == {"A", "B", "C"} - set(expected)


def test_a_threshold_that_no_zone_reaches_is_a_data_error(stripes):
    with pytest.raises(DataError, match="min_zone_points is 401"):
        drawn(stripes, min_zone_points=401)


@pytest.mark.parametrize("density", ["uniform", "observers", "borders"])
def test_a_draw_repeats_by_seed_only(real, density):
    one, same, other = (drawn(real, density=density, seed=seed) for seed in (0, 0, 1))
    assert one[0].equal(same[0]) and one[1:] == same[1:]
    assert not torch.isin(one[0], other[0]).any()


def test_the_spatial_roles_do_not_disturb_the_others(stripes):
    """Each role draws from its own stream."""
    small, _, _ = drawn(stripes)
    large, _, _ = drawn(stripes, sizes=SIZES | {"spatial_val": 90})
    assert large[:660].equal(small[:660]) and large[690:].equal(small[660:])


@contextlib.contextmanager
def at_most(seconds):
    """Fail instead of hanging."""

    def stop(signum, frame):
        raise TimeoutError("still drawing: there is nothing to be found")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_belt_without_land_is_a_data_error():
    rasters = zones_only(torch.full((45, 90), SEA))
    with at_most(10), pytest.raises(DataError):
        drawn(rasters)


@pytest.mark.parametrize("islands", [1, 2])
def test_land_in_too_few_blocks_is_a_data_error(islands):
    """Three blocks at least are needed: one for each spatial role, and one for the others."""
    zones = torch.full((45, 90), SEA)
    for island in range(islands):
        zones[20:25, 5 + 40 * island] = 1
    with at_most(10), pytest.raises(DataError):
        drawn(zones_only(zones), block_degrees=60.0)


def test_a_block_of_left_out_zones_alone_does_not_hang_the_draw():
    """Zone 2 fills blocks of its own and is left out: a spatial role that is given one of them could never fill it.

    Two blocks in three are zone 2, on a third of their area, so that it has fewer trial points than zone 1 and its blocks
    are likely to be drawn first at some of the seeds.
    """
    column = torch.arange(720)
    block = column // 40  # 20 degrees
    zone = torch.where(block % 3 == 0, 1, torch.where(column % 40 < 8, 2, SEA))
    rasters = zones_only(zone.expand(360, 720))
    for seed in range(4):
        with at_most(10):
            lonlat, roles, left_out = drawn(rasters, min_zone_points=200, block_share=0.02, seed=seed)
        assert set(left_out) == {"B", "C"}
        assert Counter(roles) == SIZES
        assert (rasters.zone_at(lonlat) == 1).all()


# --- rows


def test_the_rows_are_all_observations(real, monkeypatch):
    monkeypatch.setattr(blue_marble, "BATCH", 25)  # several batches, the last one shorter
    sizes = dict.fromkeys(SIZES, 12)
    lonlat, roles, _ = drawn(real, sizes=sizes, seed=1)
    given = tiles(real.image, lonlat, km=240.0, px=16)
    batches = list(rows(real, lonlat, roles, given))
    assert [len(one) for one in batches] == [25, 25, 10]
    table = pa.Table.from_batches(batches)
    assert table["obs_id"].to_pylist() == table["where"].to_pylist() == [f"bm{row:06d}" for row in range(60)]
    assert table["official_split"].to_pylist() == roles
    assert table["lon"].to_pylist() == lonlat[:, 0].tolist() and table["lat"].to_pylist() == lonlat[:, 1].tolist()
    zones = [real.zone_names[zone] for zone in real.zone_at(lonlat).tolist()]
    assert table["label"].to_pylist() == zones
    assert table["reason"].null_count == 60
    images = table["image"].combine_chunks()
    pixels = decode(pa.table({"image": images}), px=16, root=Path("nowhere"), reading=Reading())
    assert pixels.equal(given), "the bytes are not the tile"
    assert len({one["bytes"] for one in images.to_pylist()}) > 50


# --- both views

VIEWS = [
    *((f"dataset.blue_marble.{role}", 30) for role in SIZES),
    ("dataset.blue_marble.min_zone_points", 2),
]


def observations(rasters, monkeypatch, *values):
    monkeypatch.setattr(blue_marble, "read_rasters", lambda raw: rasters)
    chosen = with_values(default_params(), [*VIEWS, *values]).dataset.blue_marble
    return pa.Table.from_batches(open_blue_marble(Path("nowhere"), chosen, seed=5).batches)


def test_both_views_show_the_same_places_and_labels(real, monkeypatch):
    """And the tile is as it was before there were glimpses: the hash is of the rows that were drawn then."""
    glimpse, tile = (observations(real, monkeypatch, ("dataset.blue_marble.view", view)) for view in ("glimpse", "tile"))
    assert glimpse.drop_columns(["image"]) == tile.drop_columns(["image"])
    heads = [table["image"][0].as_py()["bytes"][:10] for table in (glimpse, tile)]
    assert heads == [b"P6 16 16 2", b"P6 32 32 2"]
    lonlat = torch.from_numpy(np.stack((tile["lon"].to_numpy(), tile["lat"].to_numpy()), 1))
    expected = tiles(real.image, lonlat, km=240.0, px=32).numpy()
    assert [one["bytes"][13:] for one in tile["image"].to_pylist()] == [one.tobytes() for one in expected]
    text = "\n".join(
        f"{row['obs_id']} {row['lon']:.6f} {row['lat']:.6f} {row['label']} {row['official_split']}"
        for row in tile.drop_columns(["image"]).to_pylist()
    )
    assert hashlib.sha256(text.encode()).hexdigest() == BEFORE


BEFORE = "ae7e1592e9226a7d20086b08f18e736fe48d96bac8d25957e339e0ee747ab2fb"


@pytest.mark.parametrize(("chosen", "absent"), [("glimpse", "tile"), ("tile", "glimpse")])
def test_a_view_that_is_not_chosen_may_be_absent(real, monkeypatch, chosen, absent):
    raw = default_params().dataset.blue_marble.model_dump()
    del raw["views"][absent]
    settings_ = BlueMarble.model_validate(raw | {"view": chosen, "min_zone_points": 0} | dict.fromkeys(SIZES, 5))
    monkeypatch.setattr(blue_marble, "read_rasters", lambda raw: real)
    assert sum(len(one) for one in open_blue_marble(Path("nowhere"), settings_, seed=0).batches) == 25


# --- overhead images


@pytest.mark.parametrize("shown", ["glimpse", "tile"])
def test_an_overhead_image_beside_each_image_changes_nothing_else(real, monkeypatch, shown):
    values = [*VIEWS, ("dataset.blue_marble.view", shown)]
    chosen = with_values(default_params(), values).dataset.blue_marble
    monkeypatch.setattr(blue_marble, "read_rasters", lambda raw: real)
    plain, both = (
        pa.Table.from_batches(open_blue_marble(Path("nowhere"), chosen, seed=5, overhead=overhead).batches)
        for overhead in (False, True)
    )
    assert both.drop_columns(["overhead", "overhead_bbox"]) == plain
    # each is the tile of its footprint: the middle of it, and the same pixels
    west, south, east, north = np.array(both["overhead_bbox"].to_pylist()).T
    middle = torch.from_numpy(np.stack(((west + east) / 2, (south + north) / 2), 1))
    expected = tiles(real.image, torch.stack((wrap_longitude(middle[:, 0]), middle[:, 1]), 1), km=240.0, px=32)
    pixels = decode(pa.table({"image": both["overhead"].combine_chunks()}), px=32, root=Path("nowhere"), reading=Reading())
    assert int((pixels.int() - expected.int()).abs().max()) <= 1  # rounding of the middle
    assert north - south == pytest.approx(240 / KM_PER_DEGREE)


def test_overhead_images_need_their_section(real, monkeypatch):
    raw = default_params().dataset.blue_marble.model_dump()
    del raw["overhead"]
    monkeypatch.setattr(blue_marble, "read_rasters", lambda raw: real)
    settings_ = BlueMarble.model_validate(raw | {"min_zone_points": 0} | dict.fromkeys(SIZES, 5))
    with pytest.raises(ParamsError, match=r"dataset\.blue_marble\.overhead is missing"):
        open_blue_marble(Path("nowhere"), settings_, seed=0, overhead=True)
    assert sum(len(one) for one in open_blue_marble(Path("nowhere"), settings_, seed=0).batches) == 25
