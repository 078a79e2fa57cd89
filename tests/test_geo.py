import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2

from cspops.geo import (
    EARTH_RADIUS_KM,
    KM_PER_DEGREE,
    blocks,
    destination,
    equal_earth,
    equirectangular_pixel,
    from_equal_earth,
    haversine,
    near_blocks,
    tile_grid,
    uniform_on_sphere,
    unit_vectors,
    wrap_longitude,
)

prop = settings(deadline=None, derandomize=True, max_examples=100)
longitudes = st.floats(-1000, 1000)
positions = st.tuples(st.floats(-180, 180, exclude_max=True), st.floats(-90, 90))
QUARTER = math.pi / 2 * EARTH_RADIUS_KM


def tensor(*rows):
    return torch.tensor(rows, dtype=torch.float64)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def assert_uniform(counts, expected):
    """Pearson's chi-square. With the fixed seed a right sampler fails at one seed in 10^4; a wrong one always."""
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert chi2.sf(statistic, counts.numel() - 1) > 1e-4


# --- longitudes


@prop
@given(longitudes)
def test_wrapped_longitude_lies_in_range_and_differs_by_whole_turns(lon):
    wrapped = float(wrap_longitude(tensor(lon)))
    assert -180 <= wrapped < 180
    turns = (lon - wrapped) / 360
    assert turns == pytest.approx(round(turns), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("lon", "expected"), [(180, -180), (-180, -180), (540, -180), (-540, -180), (179.5, 179.5), (181, -179), (0, 0), (360, 0)]
)
def test_wrapping_at_the_date_line(lon, expected, dtype):
    assert wrap_longitude(torch.tensor([float(lon)], dtype=dtype)).tolist() == [expected]


def test_a_hair_west_of_the_date_line_does_not_round_up_to_180():
    """-180 - 3e-14 plus 180 is -2.8e-14, whose remainder by 360 rounds to 360: the result must still be below 180."""
    hair = torch.nextafter(tensor(-180.0), tensor(-181.0))
    assert float(hair) < -180
    wrapped = float(wrap_longitude(hair))
    assert -180 <= wrapped < 180


# --- unit vectors


@pytest.mark.parametrize(
    ("lon", "lat", "vector"),
    [
        (0, 0, (1, 0, 0)),
        (90, 0, (0, 1, 0)),
        (-180, 0, (-1, 0, 0)),
        (33, 90, (0, 0, 1)),
        (33, -90, (0, 0, -1)),
        (45, 0, (math.sqrt(0.5), math.sqrt(0.5), 0)),
        (0, 30, (math.sqrt(0.75), 0, 0.5)),
    ],
)
def test_unit_vectors_of_known_places(lon, lat, vector):
    torch.testing.assert_close(unit_vectors(tensor(float(lon), float(lat))), tensor(*map(float, vector)), rtol=0, atol=1e-15)


@prop
@given(positions)
def test_unit_vectors_have_length_one_and_point_at_their_place(position):
    vector = unit_vectors(tensor(*position))
    assert float(vector.norm()) == pytest.approx(1, abs=1e-14)
    x, y, z = vector.tolist()
    back = tensor(math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y))))
    # Longitude is free at the poles, so compare places, not numbers. 1e-5 km is a centimetre.
    assert float(haversine(back, tensor(*position))) < 1e-5


# --- distances


@pytest.mark.parametrize(
    ("a", "b", "km"),
    [
        ((0, 0), (1, 0), KM_PER_DEGREE),
        ((0, 0), (0, 1), KM_PER_DEGREE),
        ((0, 0), (90, 0), QUARTER),
        ((17, 0), (123, 90), QUARTER),
        ((0, 0), (-180, 0), 2 * QUARTER),
        ((10, 40), (-170, -40), 2 * QUARTER),  # antipodes
        ((179.5, 0), (-179.5, 0), KM_PER_DEGREE),  # across the date line
        ((0, 80), (-180, 80), 20 * KM_PER_DEGREE),  # over the pole, not along the parallel
        ((5, -90), (99, -90), 0),  # one pole, two longitudes
    ],
)
def test_haversine_of_known_arcs(a, b, km):
    assert float(haversine(tensor(*map(float, a)), tensor(*map(float, b)))) == pytest.approx(km, rel=1e-7, abs=1e-9)


@prop
@given(positions, positions)
def test_haversine_agrees_with_the_chord(a, b):
    """The chord of a central angle t is 2 sin(t / 2)."""
    a, b = tensor(*a), tensor(*b)
    chord = float((unit_vectors(a) - unit_vectors(b)).norm())
    # asin has an infinite slope at 1: an error of 1e-16 there is 1e-8 of the radius, 1e-4 km.
    assert float(haversine(a, b)) == pytest.approx(2 * EARTH_RADIUS_KM * math.asin(min(1, chord / 2)), rel=1e-9, abs=2e-4)
    assert haversine(a, b).equal(haversine(b, a))


def test_haversine_is_stable_for_near_points():
    """A millimetre north is a millimetre; the arc cosine formula would answer 0."""
    degrees = 1e-6 / KM_PER_DEGREE
    assert float(haversine(tensor(0.0, 0.0), tensor(0.0, degrees))) == pytest.approx(1e-6, rel=1e-9)


@prop
@given(st.tuples(longitudes, st.floats(-89, 89)), st.floats(0, 5000), st.floats(-math.pi, math.pi))
def test_a_destination_is_as_far_as_asked_in_the_direction_asked(place, km, bearing):
    """The tangent at the start, from the unit vectors of both: its north and east parts are cosine and sine of the bearing."""
    start = torch.tensor([place], dtype=torch.float64)
    end = destination(start, km=torch.tensor([km], dtype=torch.float64), bearing=torch.tensor([bearing], dtype=torch.float64))
    assert -180 <= end[0, 0] < 180 and -90 <= end[0, 1] <= 90
    a, b = unit_vectors(start)[0], unit_vectors(end)[0]
    lon, lat = torch.deg2rad(start[0])
    north = torch.stack((-lat.sin() * lon.cos(), -lat.sin() * lon.sin(), lat.cos()))
    east = torch.stack((-lon.sin(), lon.cos(), torch.zeros_like(lon)))
    way = km / EARTH_RADIUS_KM
    expected = math.cos(way) * a + math.sin(way) * (math.cos(bearing) * north + math.sin(bearing) * east)
    torch.testing.assert_close(b, expected, rtol=0, atol=1e-7)


# --- sampling


def test_uniform_points_fill_equal_area_cells_equally():
    """Bands of equal height in sin(latitude) have equal areas, cut by 12 meridians: 120 cells of 1/120 of the sphere."""
    lon, lat = uniform_on_sphere(60_000, generator=stream()).unbind(-1)
    band = ((torch.sin(torch.deg2rad(lat)) + 1) * 5).long().clamp(max=9)
    sector = ((lon + 180) / 30).long()
    counts = torch.bincount(band * 12 + sector, minlength=120)
    assert_uniform(counts, torch.full((120,), 500.0))


def test_uniform_points_of_a_belt_stay_there_and_fill_equal_areas_equally():
    lat = uniform_on_sphere(20_000, generator=stream(), lat_min=30.0, lat_max=90.0)[:, 1]
    assert lat.min() >= 30 - 1e-9 and lat.max() <= 90
    # sin 30 = 1/2: ten bands between heights 0.5 and 1.
    counts = torch.bincount(((torch.sin(torch.deg2rad(lat)) - 0.5) * 20).long().clamp(0, 9), minlength=10)
    assert_uniform(counts, torch.full((10,), 2000.0))


def test_uniform_points_have_the_asked_shape_range_and_stream():
    a = uniform_on_sphere(5, 7, generator=stream(3))
    assert a.shape == (5, 7, 2) and a.dtype == torch.float64
    assert (a[..., 0] >= -180).all() and (a[..., 0] < 180).all() and (a[..., 1].abs() <= 90).all()
    assert a.equal(uniform_on_sphere(5, 7, generator=stream(3)))
    assert not a.equal(uniform_on_sphere(5, 7, generator=stream(4)))


# --- blocks


@prop
@given(st.integers(-180 * 64, 180 * 64 - 1), st.integers(-90 * 64, 90 * 64), st.sampled_from([1, 5, 7, 10, 25, 60, 90]))
def test_block_agrees_with_counting_cells(lon, lat, degrees):
    """Walk east from 180 W and north from 90 S, cell by cell."""
    lon, lat = lon / 64, lat / 64  # exact in binary, and so are the borders
    columns = -(-360 // degrees)
    column = max(c for c in range(columns) if -180 + c * degrees <= lon)
    row = max(r for r in range(-(-180 // degrees)) if -90 + r * degrees <= lat)
    assert int(blocks(tensor(lon, lat), float(degrees))) == row * columns + column


def test_blocks_number_their_cells_without_gap():
    corners = tensor(*[(lon + 0.0, lat + 0.0) for lat in range(-90, 90, 30) for lon in range(-180, 180, 30)])
    assert blocks(corners, 30.0).tolist() == list(range(6 * 12))


@pytest.mark.parametrize(
    ("a", "b"), [((180, 0), (-180, 0)), ((365, 12), (5, 12)), ((3, 90), (3, 89)), ((3, -90), (3, -89)), ((-190, 5), (170, 5))]
)
def test_blocks_close_at_the_date_line_and_hold_the_poles(a, b):
    assert blocks(tensor(*map(float, a)), 10.0) == blocks(tensor(*map(float, b)), 10.0)


def test_places_in_one_block_are_near():
    """A cell of s degrees is at most s high and, on the equator, s wide: two of its places are within s sqrt(2) degrees."""
    lonlat = uniform_on_sphere(2000, generator=stream())
    block = blocks(lonlat, 20.0)
    order = block.argsort()
    pairs = [(i, j) for i, j in pairwise(order.tolist()) if block[i] == block[j]]
    assert len(pairs) > 1000
    i, j = torch.tensor(pairs).unbind(1)
    assert haversine(lonlat[i], lonlat[j]).max() <= 20 * math.sqrt(2) * KM_PER_DEGREE


# --- near blocks


def cell_of(lon, lat, degrees):
    return blocks(tensor((float(lon), float(lat))), float(degrees))


def beside(lat, degrees):
    """Arc from a place to a meridian so many degrees beside it: its sine is cos(lat) sin(degrees)."""
    return math.degrees(math.asin(math.cos(math.radians(lat)) * math.sin(math.radians(degrees))))


OVER_THE_POLE = math.degrees(
    math.acos(
        math.sin(math.radians(80)) * math.sin(math.radians(85))
        + math.cos(math.radians(80)) * math.cos(math.radians(85)) * math.cos(math.radians(175))
    )
)
"""Degrees from (175 W, 85 N) to (0 E, 80 N), by the law of cosines: nearly over the pole."""


@pytest.mark.parametrize(
    ("degrees", "inside", "place", "arc"),
    [
        (10.0, (0, 0), (4.0, 13.0), 3.0),  # due north
        (10.0, (0, 0), (4.0, -3.0), 3.0),  # due south
        (10.0, (0, 0), (12.0, 0.0), 2.0),  # due east, on the equator
        (10.0, (170, 0), (-178.0, 0.0), 2.0),  # east, across the date line
        (10.0, (-180, 0), (178.0, 0.0), 2.0),  # west, across the date line
        (10.0, (0, 80), (30.0, 80.0), beside(80, 20)),  # the perpendicular from 80 N meets the side at 80.6 N
        (10.0, (0, 80), (-20.0, 80.0), beside(80, 20)),
        (10.0, (0, -90), (-20.0, -80.0), beside(80, 20)),
        (10.0, (0, 80), (130.0, 88.0), 2.0),  # beyond 90 degrees of longitude the pole itself is nearest
        (10.0, (0, 70), (-175.0, 85.0), OVER_THE_POLE),
        # Of 7 degrees the last column is 177 E to 180, the row of these two 1 N to 8 N, the last row 85 N to 90.
        (7.0, (179, 3), (-179.0, 3.0), beside(3, 1)),
        (7.0, (179, 3), (-177.0, 1.0), beside(1, 3)),
        (7.0, (100, 89), (-110.0, 87.0), 3.0),
    ],
)
def test_distance_to_one_cell(degrees, inside, place, arc):
    """Nearer than a hair more than the arc, not than a hair less."""
    cell, km = cell_of(*inside, degrees), arc * KM_PER_DEGREE
    assert near_blocks(tensor(place), cell, degrees, km=km * (1 + 1e-9)).tolist() == [True]
    assert near_blocks(tensor(place), cell, degrees, km=km * (1 - 1e-9)).tolist() == [False]


SIDES = 250
"""Points that the oracle sets on each side of a cell."""


def distance_to_border(place, cell, degrees):
    """Shortest of the distances to points along the four sides: too long by at most half their spacing."""
    columns = math.ceil(360 / degrees)
    west, south = -180 + (cell % columns) * degrees, -90 + (cell // columns) * degrees
    east, north = min(west + degrees, 180), min(south + degrees, 90)
    step = torch.linspace(0, 1, SIDES + 1, dtype=torch.float64)
    lon, lat = west + (east - west) * step, south + (north - south) * step
    sides = [(lon, torch.full_like(lon, at)) for at in (south, north)] + [
        (torch.full_like(lat, at), lat) for at in (west, east)
    ]
    return min(float(haversine(torch.stack(side, 1), place).min()) for side in sides)


DATE_LINE = 5.0, [(-180, 0), (175, 5), (-180, 60)]  # both sides of it
POLES = 5.0, [(-100, 80), (20, 80), (25, 80), (140, 85), (0, -90)]  # high latitudes, and both poles
NARROW = 7.0, [(179.9, 12), (-179, 12), (60, 89)]  # the last column is 3 degrees wide, the last row 5 high
LARGE = 30.0, [(0, 0), (-179, -89), (100, 70)]


@pytest.mark.parametrize(
    ("degrees", "cells", "km"),
    [(*DATE_LINE, 50.0), (*DATE_LINE, 1500.0), (*POLES, 50.0), (*POLES, 240.0), (*NARROW, 1500.0), (*LARGE, 240.0)],
)
def test_nearness_agrees_with_walking_along_the_borders(degrees, cells, km):
    """Half the places are around a cell's corners, so that the answers differ."""
    cells = torch.cat([cell_of(*corner, degrees) for corner in cells])
    anywhere = uniform_on_sphere(40, generator=stream())
    columns = math.ceil(360 / degrees)
    which = cells[torch.arange(80) % len(cells)]
    corner = torch.stack(((which % columns) * degrees - 180, (which // columns) * degrees - 90), 1).double()
    turn = torch.rand(80, 2, generator=stream(1), dtype=torch.float64) * 4 - 2
    lat = (corner[:, 1] + degrees / 2 + turn[:, 1] * (degrees / 2 + km / KM_PER_DEGREE)).clamp(-90, 90)
    stretch = torch.deg2rad(lat).cos().clamp_min(0.05)
    lon = corner[:, 0] + degrees / 2 + turn[:, 0] * (degrees / 2 + km / KM_PER_DEGREE / stretch)
    lonlat = torch.cat((anywhere, torch.stack((lon, lat), 1)))
    near = near_blocks(lonlat, cells, degrees, km=km)
    slack = degrees * KM_PER_DEGREE / SIDES / 2  # half the spacing
    for place, answer in zip(lonlat, near.tolist(), strict=True):
        if int(blocks(place, degrees)) in cells.tolist():
            assert answer
        else:
            distance = min(distance_to_border(place, int(cell), degrees) for cell in cells)
            assert distance < km + slack if answer else distance >= km
    assert 10 < int(near.sum()) < 110


def test_near_by_nothing_is_inside():
    lonlat = uniform_on_sphere(3000, generator=stream())
    cells = torch.tensor([100, 101, 140, 7])
    assert near_blocks(lonlat, cells, 20.0, km=0.0).equal(torch.isin(blocks(lonlat, 20.0), cells))
    assert not near_blocks(lonlat, torch.tensor([], dtype=torch.long), 20.0, km=100.0).any()


def test_nearness_does_not_depend_on_the_order_of_cells_nor_on_whole_turns():
    lonlat = uniform_on_sphere(2000, generator=stream())
    cells = torch.randperm(162, generator=stream(1))[:20]
    near = near_blocks(lonlat, cells, 20.0, km=300.0)
    assert near.equal(near_blocks(lonlat, cells.sort().values, 20.0, km=300.0))
    assert near.equal(near_blocks(lonlat + tensor(360.0, 0.0), cells, 20.0, km=300.0))


@prop
@given(positions, st.integers(1, 40), st.integers(1, 40))
def test_a_pixel_of_a_global_raster_holds_its_position(at, height, width):
    row, column = (int(part) for part in equirectangular_pixel(tensor(*at), height=height, width=width))
    assert 0 <= row < height
    assert 0 <= column < width
    assert -180 + column * 360 / width - 1e-9 <= at[0] <= -180 + (column + 1) * 360 / width + 1e-9
    assert 90 - (row + 1) * 180 / height - 1e-9 <= at[1] <= 90 - row * 180 / height + 1e-9


@prop
@given(st.floats(-180, 179), st.floats(-80, 80), st.floats(1, 100), st.integers(2, 9))
def test_the_grid_is_symmetric_about_the_place(lon, lat, km, px):
    offset = tile_grid(tensor((lon, lat)), km=km, px=px)[0] - tensor(lon, lat)
    torch.testing.assert_close(offset, -offset.flip(0, 1), rtol=0, atol=1e-11)
    torch.testing.assert_close(offset[..., 0], -offset[..., 0].flip(1), rtol=0, atol=1e-11)
    torch.testing.assert_close(offset[..., 1], -offset[..., 1].flip(0), rtol=0, atol=1e-11)
    assert (offset[:-1, :, 1] > offset[1:, :, 1]).all(), "first row in the north"
    assert (offset[:, :-1, 0] < offset[:, 1:, 0]).all(), "first column in the west"


@pytest.mark.parametrize("lat", [0.0, 45.0, -60.0, 80.0])
def test_the_grid_is_as_wide_as_it_is_high(lat):
    """Pixels are km / px apart, measured on the sphere. (px odd: the middle row lies on the place's own parallel.)

    North to south that is exact. West to east a great circle is shorter than the parallel by (step / R)^2 tan^2 / 24.
    """
    km, px = 30.0, 5
    grid = tile_grid(tensor((179.9, lat)), km=km, px=px)[0]
    high = haversine(grid[:-1], grid[1:])
    wide = haversine(grid[2, :-1], grid[2, 1:])
    torch.testing.assert_close(high, torch.full_like(high, km / px), rtol=1e-9, atol=0)
    torch.testing.assert_close(wide, torch.full_like(wide, km / px), rtol=1e-5, atol=0)


def test_pixel_centres_lie_half_a_pixel_inside_the_tile():
    """Two pixels of a tile of four degrees: one degree to either side."""
    lon, lat = tile_grid(tensor((10.0, 0.0)), km=4 * KM_PER_DEGREE, px=2)[0].unbind(-1)
    torch.testing.assert_close(lon, tensor((9.0, 11.0), (9.0, 11.0)))
    torch.testing.assert_close(lat, tensor((1.0, 1.0), (-1.0, -1.0)))


# --- Equal Earth

ANYWHERE = (st.floats(-179.99, 179.99), st.floats(-89.9, 89.9))


def test_the_equator_is_straight_and_as_long_as_the_formula_says():
    """At the equator the auxiliary angle is 0, so x = 2 lon / (sqrt(3) A1) and y = 0, with A1 = 1.340264."""
    half = 2 * math.pi / math.sqrt(3) / 1.340264
    torch.testing.assert_close(equal_earth(tensor((180.0, 0.0), (-90.0, 0.0))), tensor((half, 0.0), (-half / 2, 0.0)))


@prop
@given(*ANYWHERE)
def test_equal_earth_keeps_areas(lon, lat):
    """On the unit sphere d(area) = cos(lat) dlon dlat; so the Jacobian's determinant is cos(lat), and dy/dlon is 0."""
    jacobian = torch.autograd.functional.jacobian(equal_earth, torch.tensor([lon, lat], dtype=torch.float64)) * 180 / math.pi
    assert float(torch.linalg.det(jacobian)) == pytest.approx(math.cos(math.radians(lat)), rel=1e-9)
    assert float(jacobian[1, 0]) == 0


@prop
@given(*ANYWHERE)
def test_equal_earth_there_and_back(lon, lat):
    """Near the poles arcsin loses half the digits: 1e-8 radians is 6e-7 degrees."""
    torch.testing.assert_close(from_equal_earth(equal_earth(tensor((lon, lat)))), tensor((lon, lat)), rtol=0, atol=2e-6)


def test_beyond_the_globe_is_nowhere():
    outside = tensor((2.8, 0.0), (-2.8, 0.0), (2.6, 1.2), (0.0, 1.33), (0.0, -1.33), (9.0, 9.0))
    assert from_equal_earth(outside).isnan().all()
    assert not from_equal_earth(tensor((2.7, 0.0), (0.0, 1.31))).isnan().any()
