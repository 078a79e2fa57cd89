import math
import os
import sys

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from affine import Affine
from image_files import geotiff
from rasterio.control import GroundControlPoint
from rasterio.warp import transform as warp
from scipy.integrate import quad

from cspops.intake.images import georeference
from cspops.intake.images.footprints import footprints
from cspops.intake.images.georeference import MOST_BESIDE, centre, footprint
from cspops.pixels.reading import IMAGE
from cspops.pixels.unreadable import LEADS_OUT, NO_FILE, NOT_THERE

A, F = 6378137.0, 1 / 298.257223563
E2 = F * (2 - F)
"""WGS 84: half axis in metres, flattening, squared eccentricity."""
WIDTH, HEIGHT = 6, 4
PIXELS = np.ones((HEIGHT, WIDTH), np.uint8)


def around(x, y, step):
    """North-up pixels of `step`, the middle of the grid at (x, y)."""
    return Affine(step, 0, x - step * WIDTH / 2, 0, -step, y + step * HEIGHT / 2)


def meridian_arc(lat):
    """Metres from the equator: the integral of the radius of curvature a (1 - e^2) / (1 - e^2 sin^2)^(3/2)."""
    return quad(lambda phi: A * (1 - E2) * (1 - E2 * math.sin(phi) ** 2) ** -1.5, 0, math.radians(lat), epsabs=1e-6)[0]


def polar_radius(lat, true_scale):
    """Metres from the pole in a polar stereographic map of a latitude of true scale: Snyder 1987, (15-9), (14-15), (21-34)."""

    def t(phi):
        e_sin = math.sqrt(E2) * math.sin(phi)
        return math.tan(math.pi / 4 - phi / 2) / ((1 - e_sin) / (1 + e_sin)) ** (math.sqrt(E2) / 2)

    phi, phi_c = math.radians(lat), math.radians(true_scale)
    m_c = math.cos(phi_c) / math.sqrt(1 - E2 * math.sin(phi_c) ** 2)
    return A * m_c * t(phi) / t(phi_c)


def web_mercator(lon, lat):
    return A * math.radians(lon), A * math.asinh(math.tan(math.radians(lat)))


# On its central meridian a UTM map is 0.9996 times the meridian arc; EPSG:3413 has its true scale at 70 N and 45 W downwards.
CLOSED_FORM = {
    "UTM 33 north": ("EPSG:32633", (500000.0, 0.9996 * meridian_arc(52.3)), 10.0, (15.0, 52.3)),
    "UTM 19 south": ("EPSG:32719", (500000.0, 1e7 - 0.9996 * meridian_arc(33.4)), 10.0, (-69.0, -33.4)),
    "web mercator": ("EPSG:3857", web_mercator(-73.9, 40.7), 30.0, (-73.9, 40.7)),
    "polar, 45 W": ("EPSG:3413", (0.0, -polar_radius(81.0, 70.0)), 100.0, (-45.0, 81.0)),
    "polar, 45 E": ("EPSG:3413", (polar_radius(81.0, 70.0), 0.0), 100.0, (45.0, 81.0)),
    "degrees": ("EPSG:4326", (-7.25, 58.5), 0.01, (-7.25, 58.5)),
    "degrees by the date line": ("EPSG:4326", (179.5, -16.5), 0.01, (179.5, -16.5)),
}


@pytest.mark.parametrize("case", CLOSED_FORM)
def test_the_centre_by_closed_form(tmp_path, case):
    crs, (x, y), step, lonlat = CLOSED_FORM[case]
    found, notes = centre(geotiff(tmp_path / "a.tif", PIXELS, crs=crs, transform=around(x, y, step)))
    # 1e-9 degrees are 0.1 mm, below what the quadrature (1e-6 m) and PROJ's series (well under 1 mm) leave.
    assert found == pytest.approx(lonlat, rel=0, abs=1e-8)
    assert notes == []


def test_a_rotated_grid(tmp_path):
    """The middle of the grid is where the affine sends (w/2, h/2): one corner plus half of both edges."""
    x, y = web_mercator(11.0, 43.0)
    angle = math.radians(30)
    right = 50 * math.cos(angle), 50 * math.sin(angle)
    down = 50 * math.sin(angle), -50 * math.cos(angle)
    corner = [at - right_ * WIDTH / 2 - down_ * HEIGHT / 2 for at, right_, down_ in zip((x, y), right, down, strict=True)]
    grid = Affine(right[0], down[0], corner[0], right[1], down[1], corner[1])
    found, notes = centre(geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:3857", transform=grid))
    assert found == pytest.approx((11.0, 43.0), rel=0, abs=1e-8)
    assert notes == []


@pytest.mark.parametrize(
    ("crs", "x", "y"),
    [
        ("EPSG:3035", 4.2e6, 2.9e6),
        ("EPSG:2263", 980000.0, 200000.0),
        ("EPSG:3577", 1.5e6, -3.9e6),
        ("EPSG:32756", 334000.0, 6252000.0),
    ],
)
def test_other_systems_agree_with_gdal(tmp_path, crs, x, y):
    """Equal-area, US survey feet, southern Albers, UTM 56 south, by GDAL's own way through its own PROJ."""
    lon, lat = warp(crs, "EPSG:4326", [x], [y])
    found, notes = centre(geotiff(tmp_path / "a.tif", PIXELS, crs=crs, transform=around(x, y, 10.0)))
    # NAD83 and GDA94 are taken as WGS 84 by both or shifted by up to 2 m, 2e-5 degrees.
    assert found == pytest.approx((lon[0], lat[0]), rel=0, abs=2e-5)
    assert notes == []


def test_ground_control_points(tmp_path):
    """Corners tied to degrees; their affine is exact."""
    corners = [(0, 0, 10.0, 50.0), (0, WIDTH, 13.0, 50.0), (HEIGHT, 0, 10.0, 48.0), (HEIGHT, WIDTH, 13.0, 48.0)]
    points = [GroundControlPoint(row, column, lon, lat) for row, column, lon, lat in corners]
    found, notes = centre(geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", gcps=points))
    assert found == pytest.approx((11.5, 49.0), rel=0, abs=1e-9)
    assert notes == []


LOCAL = 'LOCAL_CS["a room",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]'


@pytest.mark.parametrize(
    ("given", "note"),
    [
        ({"crs": None, "transform": around(5.0, 50.0, 0.1)}, georeference.NO_CRS),
        ({"crs": None}, georeference.NO_CRS),
        ({"crs": "EPSG:32633"}, georeference.NO_TRANSFORM),
        ({"crs": LOCAL, "transform": around(5.0, 50.0, 0.1)}, georeference.UNKNOWN_CRS),
        ({"crs": "EPSG:3035", "transform": around(1e9, 1e9, 10.0)}, georeference.UNKNOWN_CRS),
    ],
)
def test_no_position_and_why(tmp_path, given, note):
    assert centre(geotiff(tmp_path / "a.tif", PIXELS, **given)) == (None, [note])


def test_neighbours_do_not_matter(tmp_path):
    file = geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", transform=None)
    (tmp_path / "a.tfw").write_text("0.1\n0\n0\n-0.1\n5\n50\n")
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><GeoTransform>5,0.1,0,50,0,-0.1</GeoTransform></PAMDataset>")
    assert centre(file) == (None, [georeference.NO_TRANSFORM])


@pytest.mark.parametrize("content", [b"", b"II*\0\x08\0\0\0\xff\xff", b"\x89PNG\r\n\x1a\n"])
def test_a_broken_file(tmp_path, content, capfd):
    (tmp_path / "a.tif").write_bytes(content)
    assert centre(tmp_path / "a.tif") == (None, [georeference.BROKEN])
    assert capfd.readouterr() == ("", "")


# Where the control points lie in the grid of 6 x 4 pixels, and on Earth; where its middle, (2, 3), then is.
TIED = {
    "corners over the date line": ([(0, 0, 179.5, 66), (0, 6, -179.5, 66), (4, 0, 179.5, 65), (4, 6, -179.5, 65)], -180, 65.5),
    "east of the middle": (
        [(0, 0, 178.5, 66), (0, 3, 179.5, 66), (0, 6, -179.5, 66), (4, 0, 178.5, 65), (4, 3, 179.5, 65), (4, 6, -179.5, 65)],
        179.5, 65.5,
    ),
    "written to 181": ([(0, 0, 179, 66), (0, 6, 181, 66), (4, 0, 179, 65), (4, 6, 181, 65)], -180, 65.5),
    "over Greenwich, from 0 to 360": ([(0, 0, 359, 2), (0, 6, 2, 2), (4, 0, 359, 0), (4, 6, 2, 0)], 0.5, 1),
    # A square round the pole: its corners are as far from it to each side.
    "round the north pole": ([(0, 0, -135, 85), (0, 6, 135, 85), (4, 0, -45, 85), (4, 6, 45, 85)], None, 90),
    "round the south pole": ([(0, 0, -45, -85), (0, 6, 45, -85), (4, 0, -135, -85), (4, 6, 135, -85)], None, -90),
}  # fmt: skip


@pytest.mark.parametrize("case", TIED)
def test_control_points_on_both_sides_of_the_date_line_and_round_the_poles(tmp_path, case):
    at, lon, lat = TIED[case]
    points = [GroundControlPoint(*point) for point in at]
    found, notes = centre(geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", gcps=points))
    assert found is not None and notes == []
    assert found[1] == pytest.approx(lat, abs=1e-6)
    assert lon is None or (found[0] - lon + 180) % 360 - 180 == pytest.approx(0, abs=1e-6)


def test_a_name_that_is_not_utf8(tmp_path):
    file = geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", transform=around(5, 50, 0.1))
    file = file.rename(tmp_path / os.fsdecode(b"caf\xe9.tif"))
    assert centre(file) == (pytest.approx((5, 50)), [])


def test_a_tag_that_is_not_utf8_costs_no_position_and_prints_nothing(tmp_path, capfd):
    """GDAL quotes its XML in a warning, of which rasterio cannot make text."""
    file = geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", transform=around(5, 50, 0.1))
    with rasterio.open(file, "r+") as opened:
        opened.update_tags(place="here")
    data = file.read_bytes()
    assert b'name="place"' in data
    file.write_bytes(data.replace(b'name="place"', b'name\xed"place"'))
    hooks = sys.excepthook, sys.unraisablehook
    assert centre(file) == (pytest.approx((5, 50)), [])
    assert capfd.readouterr() == ("", "")
    assert (sys.excepthook, sys.unraisablehook) == hooks


# --- footprints

NORTH_UP = {
    "degrees": ("EPSG:4326", Affine(0.25, 0, 8.5, 0, -0.125, 47.5), (8.5, 47.0, 10.0, 47.5)),
    "degrees over the date line": ("EPSG:4326", Affine(0.5, 0, 178.5, 0, -0.5, 1), (178.5, -1.0, 181.5, 1.0)),
    "degrees from 0 to 360": ("EPSG:4326", Affine(0.5, 0, 200, 0, -0.5, 1), (-160.0, -1.0, -157.0, 1.0)),
    "all the Earth": ("EPSG:4326", Affine(60, 0, -180, 0, -45, 90), (-180.0, -90.0, 180.0, 90.0)),
}


@pytest.mark.parametrize("case", NORTH_UP)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_the_footprint_in_degrees_is_that_of_the_outer_edges(tmp_path, case, as_bytes):
    crs, transform, expected = NORTH_UP[case]
    file = geotiff(tmp_path / "a.tif", PIXELS, crs=crs, transform=transform)
    assert footprint(file.read_bytes() if as_bytes else file) == expected


@pytest.mark.parametrize(
    ("crs", "middle"),
    [
        ("EPSG:3857", web_mercator(-73.9, 40.7)),
        ("EPSG:32633", (500000.0, 5.8e6)),  # on the meridian
        ("EPSG:32633", (300000.0, 6.5e6)),  # 3.5 degrees west of it, at 58.6 N: turned by 3.0 degrees
        ("EPSG:32601", (300000.0, 2e6)),  # beside the date line
        ("EPSG:32756", (334000.0, 6252000.0)),
    ],
)
def test_pixels_of_a_projected_tile_lie_where_its_footprint_puts_them(tmp_path, crs, middle):
    """By GDAL's own way, at the pixel centres: nowhere beside by more than is said."""
    step, n = 10.0, 64
    transform = Affine(step, 0, middle[0] - step * n / 2, 0, -step, middle[1] + step * n / 2)
    file = geotiff(tmp_path / "a.tif", np.ones((n, n), np.uint8), crs=crs, transform=transform)
    west, south, east, north = footprint(file)
    column, row = np.meshgrid(np.arange(n) + 0.5, np.arange(n) + 0.5)
    x, y = transform.c + step * column, transform.f - step * row
    lon, lat = map(np.array, warp(crs, "EPSG:4326", x.ravel(), y.ravel()))
    right, down = ((lon - west + 180) % 360 - 180) / (east - west), (north - lat) / (north - south)
    beside = max(np.abs(right - column.ravel() / n).max(), np.abs(down - row.ravel() / n).max())
    assert beside < MOST_BESIDE
    middle_of_it = (lon.reshape(n, n)[31:33, 31:33].mean(), lat.reshape(n, n)[31:33, 31:33].mean())
    assert middle_of_it == pytest.approx(((west + east) / 2, (south + north) / 2), abs=1e-6)


def test_a_tile_across_the_date_line_in_utm(tmp_path):
    x, y = warp("EPSG:4326", "EPSG:32601", [-180.0], [-10.0])
    file = geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:32601", transform=around(x[0], y[0], 100.0))
    west, south, east, north = footprint(file)
    assert 179.99 < west < 180 < east < 180.01 and (west + east) / 2 == pytest.approx(180, abs=1e-6)
    assert (south + north) / 2 == pytest.approx(-10, abs=1e-6)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"crs": "EPSG:4326", "transform": Affine(0.1, 0, 5, 0, 0.1, 50)}, georeference.NOT_NORTH_UP),  # south up
        ({"crs": "EPSG:4326", "transform": Affine(-0.1, 0, 5, 0, -0.1, 50)}, georeference.NOT_NORTH_UP),  # mirrored
        ({"crs": "EPSG:4326", "transform": Affine(0, 0.1, 5, 0.1, 0, 50)}, georeference.NOT_NORTH_UP),  # turned by a quarter
        ({"crs": "EPSG:3857", "transform": Affine.translation(5e5, 5e6) @ Affine.rotation(20) @ Affine.scale(9, -9)},
         georeference.NOT_NORTH_UP),
        ({"crs": "EPSG:3413", "transform": around(8e5, -8e5, 10.0)}, georeference.NOT_NORTH_UP),  # by 45 degrees
        ({"crs": "EPSG:3035", "transform": around(5.8e6, 2.9e6, 1e5)}, georeference.NOT_NORTH_UP),  # bent
        ({"crs": None}, georeference.NO_CRS),
        ({"crs": "EPSG:32633"}, georeference.NO_TRANSFORM),
        ({"crs": LOCAL, "transform": around(5.0, 50.0, 0.1)}, georeference.UNKNOWN_CRS),
        ({"crs": "EPSG:3035", "transform": around(1e9, 1e9, 10.0)}, georeference.UNKNOWN_CRS),
        ({"crs": "EPSG:4326", "gcps": [GroundControlPoint(0, 0, 10, 50), GroundControlPoint(0, 6, 13, 50),
                                       GroundControlPoint(4, 0, 10, 48)]}, georeference.NOT_NORTH_UP),
    ],
)  # fmt: skip
def test_no_footprint_and_why(tmp_path, given, why):
    assert footprint(geotiff(tmp_path / "a.tif", PIXELS, **given)) == why


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", georeference.NO_GEOTIFF),
        (b"\xff\xd8\xff\xe0 a photo", georeference.NO_GEOTIFF),
        (b"II*\0\x08\0\0\0\xff\xff", georeference.BROKEN),
    ],
)
def test_the_footprint_of_another_file(tmp_path, content, why):
    (tmp_path / "a.tif").write_bytes(content)
    assert footprint(tmp_path / "a.tif") == footprint(content) == why
    assert footprint(tmp_path / "missing.tif") == georeference.NO_GEOTIFF


def test_the_footprints_of_a_batch(tmp_path):
    geotiff(tmp_path / "a.tif", PIXELS, crs="EPSG:4326", transform=Affine(0.5, 0, 8, 0, -0.5, 48))
    content = (tmp_path / "a.tif").read_bytes()
    images = [(None, "a.tif"), (content, "photo.jpg"), (None, "../a.tif"), (None, "gone.tif"), (b"", None), (None, None)]
    column = pa.array([{"bytes": data, "path": path} for data, path in images], IMAGE)
    here, nothing = (8.0, 46.0, 11.0, 48.0), georeference.NO_GEOTIFF
    assert footprints(column, root=tmp_path) == [here, here, LEADS_OUT, NOT_THERE, nothing, NO_FILE]
